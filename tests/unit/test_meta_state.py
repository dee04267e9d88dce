"""The state machine of meta: each change raises the epoch by one."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from meta_state_fakes import FIRST, META, founded, member

from zreg.config import Limits
from zreg.errors import DeniedError, LimitError, NodeIdInUseError, NotReadyError
from zreg.meta.state.meta_state import MetaState
from zreg.model import NO_INCARNATION, Incarnation, Member, Membership, RingParameters, Role, Status
from zreg.wire.log_commands import (
    Admit,
    AdmitMeta,
    AnyCommand,
    ChangeSetting,
    Depart,
    Forget,
    Found,
    Raise,
    SetStatus,
    decode_command,
    encode_command,
)


def statuses(state: MetaState) -> list[tuple[str, str]]:
    return [(str(m.incarnation), m.status.name) for m in state.membership.members]


def test_a_cluster_is_founded_once() -> None:
    state = founded()
    other = Membership(b"other", 9, 0, RingParameters(), ())

    assert not state.apply(Found(other)).is_changed
    assert state.membership == FIRST


def test_a_join_is_idempotent() -> None:
    state = founded(Admit(member("s1")))
    before = state.membership

    again = state.apply(Admit(member("s1")))

    assert not again.is_changed
    assert again.member == before.living("s1")
    assert state.membership is before


def test_a_newer_process_replaces_only_the_incarnation_that_it_names() -> None:
    """Of two processes with one id that join at once the second is refused."""
    state = founded(Admit(member("s1")))
    second = Admit(member("s1", life=2), Incarnation(2, "s1"))
    third = Admit(member("s1", life=3), Incarnation(2, "s1"))

    assert state.apply(second).is_changed
    refused = state.apply(third)

    assert refused.code == NodeIdInUseError.code
    assert statuses(state) == [("s1@2", "DEPARTED"), ("s1@3", "WORKING"), ("m1@1", "WORKING")]


def test_a_node_that_is_not_named_is_not_replaced() -> None:
    state = founded(Admit(member("d1")))

    assert state.apply(Admit(member("d1", life=2), NO_INCARNATION)).code == NodeIdInUseError.code
    assert state.apply(Admit(member("m1"))).code == NodeIdInUseError.code


def test_a_full_cluster_admits_no_node() -> None:
    state = founded()
    crowd = tuple(member(f"d{number}") for number in range(Limits.members_max))
    state.membership = Membership(b"id" * 8, 5, 0, RingParameters(), crowd)

    assert state.apply(Admit(member("s1"))).code == LimitError.code
    assert state.epoch == 5


def test_a_departure_ends_the_named_incarnation_only() -> None:
    state = founded(Admit(member("d1")), Admit(member("s1")))

    assert not state.apply(Depart(Incarnation(1, "d1"), "silent")).is_changed
    assert not state.apply(Depart(META.incarnation, "silent")).is_changed
    assert state.apply(Depart(Incarnation(2, "d1"), "silent")).is_changed
    assert state.apply(Depart(Incarnation(3, "s1"), "left")).is_changed
    assert not state.apply(Depart(Incarnation(3, "s1"), "left")).is_changed
    assert statuses(state) == [("s1@3", "DEPARTED"), ("m1@1", "WORKING")]
    assert state.epoch == 5
    assert state.membership.ring_epoch == 4


def test_only_departed_sessions_are_forgotten() -> None:
    state = founded(Admit(member("s1")))

    assert not state.apply(Forget(Incarnation(2, "s1"))).is_changed
    state.apply(Depart(Incarnation(2, "s1"), "left"))
    assert state.apply(Forget(Incarnation(2, "s1"))).is_changed
    assert statuses(state) == [("m1@1", "WORKING")]


def test_a_status_changes_the_ring_of_data_nodes() -> None:
    state = founded(Admit(member("d1")))
    leaving = SetStatus(Incarnation(2, "d1"), Status.LEAVING)

    assert state.apply(leaving).is_changed
    assert not state.apply(leaving).is_changed
    assert not state.apply(SetStatus(Incarnation(1, "d1"), Status.WORKING)).is_changed
    assert statuses(state)[0] == ("d1@2", "LEAVING")
    assert state.membership.ring_epoch == state.epoch == 3


def test_a_status_never_goes_back() -> None:
    state = founded(Admit(member("d1")), Admit(member("d2")))
    d1 = Incarnation(2, "d1")

    assert state.apply(SetStatus(d1, Status.INITIAL)).code == DeniedError.code
    assert state.apply(SetStatus(d1, Status.DEPARTED)).code == DeniedError.code
    state.apply(SetStatus(d1, Status.LEAVING))
    assert state.apply(SetStatus(d1, Status.WORKING)).code == DeniedError.code
    assert statuses(state)[0] == ("d1@2", "LEAVING")


def test_a_status_is_not_changed_if_the_ring_has_moved() -> None:
    initial = Admit(member("d2"), status=Status.INITIAL)
    state = founded(Admit(member("d1")), initial, Admit(member("s1")))
    d2 = Incarnation(3, "d2")

    assert state.apply(SetStatus(d2, Status.WORKING, 3)).code == NotReadyError.code
    assert state.epoch == 4
    assert state.apply(SetStatus(d2, Status.WORKING, 2)).is_changed
    assert state.membership.ring_epoch == 5
    again = state.apply(SetStatus(d2, Status.WORKING, 2))
    assert (again.is_changed, again.code) == (False, 0)


def test_a_command_of_an_earlier_version_names_no_ring() -> None:
    data = msgspec.msgpack.encode([4, Incarnation(2, "d1"), Status.WORKING])

    assert decode_command(data) == SetStatus(Incarnation(2, "d1"), Status.WORKING)


def test_a_meta_node_shows_its_newest_process() -> None:
    state = founded(Admit(member("d1")))
    again = Member("m1", Role.META, 1, Status.WORKING, "tcp://m1:9", process_id=b"m1 again")

    assert not state.apply(AdmitMeta(META)).is_changed
    assert state.apply(AdmitMeta(again)).is_changed
    assert [m.address for m in state.membership.of(Role.META)] == ["tcp://m1:9"]
    assert state.apply(AdmitMeta(member("d1", life=2))).code == NodeIdInUseError.code


def test_the_epoch_goes_above_one_that_was_seen() -> None:
    state = founded(Raise(41))

    assert state.epoch == 42
    assert not state.apply(Raise(42)).is_changed


def test_an_adopt_command_of_an_old_journal_is_applied() -> None:
    """No version proposes it any more, but the journals of earlier ones hold it."""
    remembered = Membership(b"old" * 5, 7, 3, RingParameters(), (member("s1"),))
    data = msgspec.msgpack.encode([8, remembered])

    state = founded(decode_command(data))

    assert state.membership.cluster_id == b"old" * 5
    assert state.epoch == 8


incarnations = st.builds(Incarnation, st.integers(1, 9), st.sampled_from(["s1", "s2", "d1"]))
members = st.builds(member, st.sampled_from(["s1", "s2", "d1"]), st.integers(1, 2))
commands: st.SearchStrategy[AnyCommand] = st.one_of(
    st.builds(Admit, members, incarnations, st.sampled_from(Status), st.booleans()),
    st.builds(Depart, incarnations, st.just("silent")),
    st.builds(Forget, incarnations),
    st.builds(SetStatus, incarnations, st.sampled_from(Status), st.integers(-1, 9)),
    st.builds(Raise, st.integers(0, 20)),
    st.builds(
        ChangeSetting,
        st.sampled_from("ab"),
        st.none() | st.sampled_from("xy"),
        st.none() | st.integers(0, 9),
        st.sampled_from([b"", b"1", b"2"]),
    ),
    st.builds(AdmitMeta, members),
)


@given(st.lists(commands, max_size=20), st.data())
def test_each_change_is_one_epoch_and_a_snapshot_holds_all_of_it(
    given_: list[AnyCommand], data: st.DataObject
) -> None:
    """A node that applies all commands and one that starts from a snapshot agree."""
    state, copy = founded(), MetaState()
    cut = data.draw(st.integers(0, len(given_)))
    for place, command in enumerate(given_):
        if place == cut:
            copy.restore(state.snapshot())
        before = state.epoch
        applied = state.apply(command)
        if not isinstance(command, Raise):
            assert state.epoch == before + applied.is_changed
        assert applied.code == 0 or not applied.is_changed
        if place >= cut:
            assert copy.apply(command) == applied
    if cut < len(given_):
        assert copy.snapshot() == state.snapshot()
        assert copy.membership == state.membership


@given(commands)
def test_a_decoded_command_equals_the_encoded_one(command: AnyCommand) -> None:
    assert decode_command(encode_command(command)) == command


def test_a_member_reports_until_it_is_not_initial_any_more() -> None:
    """Each meta node knows who has to report, also one that starts from a snapshot."""
    admit = Admit(member("d1"), NO_INCARNATION, Status.INITIAL, reports_ready=True)
    d1 = Incarnation(2, "d1")
    state, copy = founded(admit, Admit(member("d2"))), MetaState()
    copy.restore(state.snapshot())

    assert state.reporters == copy.reporters == {d1}
    state.apply(SetStatus(d1, Status.WORKING))
    copy.apply(Depart(d1, "left"))
    assert state.reporters == copy.reporters == frozenset()


def test_an_image_of_an_earlier_version_names_no_reporters() -> None:
    state = MetaState()
    image = msgspec.msgpack.decode(founded(Admit(member("d1"))).snapshot())

    state.restore(msgspec.msgpack.encode(image[:-1]))

    assert state.reporters == frozenset()
    assert [m.node_id for m in state.membership.members] == ["d1", "m1"]


def test_the_state_shows_itself() -> None:
    assert repr(founded(ChangeSetting("a", "1"))) == "<MetaState epoch=2 members=1 settings=1>"
