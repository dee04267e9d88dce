"""The state machine of meta: what changes raises the epoch by one, what does not leaves it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.config import Limits
from zreg.errors import LimitError, NodeIdInUseError, VersionMismatchError
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import NO_INCARNATION, Incarnation, Member, Membership, RingParameters, Role, Status
from zreg.wire.log_commands import (
    Admit,
    AdmitMeta,
    Adopt,
    AnyCommand,
    ChangeSetting,
    Depart,
    Forget,
    Found,
    Raise,
    SetStatus,
    decode_command,
    decode_image,
    encode_command,
)
from zreg.wire.settings_messages import Setting

META = Member("m1", Role.META, 1, Status.WORKING, "tcp://m1:1", "tcp://m1:2", process_id=b"m1")
FIRST = Membership(b"id" * 8, 1, 0, RingParameters(), (META,))


def member(node_id: str, life: int = 1) -> Member:
    role = Role.SESSION if node_id.startswith("s") else Role.DATA
    process_id = f"{node_id}/{life}".encode()
    return Member(node_id, role, 0, Status.INITIAL, f"tcp://{node_id}:1", process_id=process_id)


def founded(*commands: AnyCommand) -> MetaState:
    state = MetaState()
    for command in (Found(FIRST), *commands):
        assert state.apply(command).code == 0
    return state


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


def test_a_newer_process_replaces_the_incarnation_that_was_named_and_no_other() -> None:
    """Two processes of one id that ask at once: the second finds the first in its place."""
    state = founded(Admit(member("s1")))
    second = Admit(member("s1", life=2), Incarnation(2, "s1"))
    third = Admit(member("s1", life=3), Incarnation(2, "s1"))

    assert state.apply(second).is_changed
    refused = state.apply(third)

    assert refused.code == NodeIdInUseError.code
    assert statuses(state) == [("s1@2", "DEPARTED"), ("s1@3", "WORKING"), ("m1@1", "WORKING")]


def test_nobody_takes_the_place_of_a_node_that_is_not_named() -> None:
    state = founded(Admit(member("d1")))

    assert state.apply(Admit(member("d1", life=2), NO_INCARNATION)).code == NodeIdInUseError.code
    assert state.apply(Admit(member("m1"))).code == NodeIdInUseError.code


def test_a_full_cluster_takes_nobody() -> None:
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


def test_only_the_departed_are_forgotten() -> None:
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


def test_what_a_node_remembers_is_adopted() -> None:
    remembered = Membership(b"old" * 5, 7, 3, RingParameters(), (member("s1"),))
    state = founded(Adopt(remembered))

    assert state.membership.cluster_id == b"old" * 5
    assert state.epoch == 8


@pytest.mark.parametrize(
    ("if_version", "is_allowed"), [(None, True), (2, True), (0, False), (1, False), (3, False)]
)
def test_a_setting_is_changed_at_the_version_that_was_meant(
    if_version: int | None, *, is_allowed: bool
) -> None:
    state = founded(ChangeSetting("a", "1"))

    applied = state.apply(ChangeSetting("a", "2", if_version))

    assert applied.is_changed is is_allowed
    assert applied.code == (0 if is_allowed else VersionMismatchError.code)
    assert state.settings.find("a") == Setting("a", *(("2", 3) if is_allowed else ("1", 2)))
    assert state.epoch == (3 if is_allowed else 2)


def test_if_version_0_means_only_where_there_is_none() -> None:
    state = founded(ChangeSetting("a", "1", 0))

    assert state.apply(ChangeSetting("a", "2", 0)).code == VersionMismatchError.code
    assert state.apply(ChangeSetting("a", None, 2)).is_changed
    assert state.settings.find("a") is None
    assert not state.apply(ChangeSetting("a", None)).is_changed


ID, OTHER_ID = b"i" * 16, b"o" * 16


def test_a_change_that_comes_again_happens_once_and_is_answered_as_the_first_time() -> None:
    """Else a retry of what went through would be told a mismatch that it has made itself."""
    change = ChangeSetting("a", "2", 2, ID)
    state = founded(ChangeSetting("a", "1"))
    first = state.apply(change)

    again = state.apply(change)

    assert (first.is_changed, first.version) == (True, 3)
    assert again == Applied(version=3)
    assert state.epoch == 3


def test_a_copy_that_comes_late_does_not_undo_what_came_after_it() -> None:
    change, removal = ChangeSetting("a", "1", None, ID), ChangeSetting("a", None, None, OTHER_ID)
    state = founded(change, ChangeSetting("a", "2"))

    assert state.apply(change) == Applied(version=2)
    assert state.settings.find("a") == Setting("a", "2", 3)
    state.apply(removal)
    state.apply(ChangeSetting("a", "3"))
    assert state.apply(removal) == Applied(version=4)
    assert state.settings.find("a") == Setting("a", "3", 5)


def test_a_removal_that_found_nothing_finds_nothing_again() -> None:
    removal = ChangeSetting("a", None, None, ID)
    state = founded(removal, ChangeSetting("a", "1"))

    assert state.apply(removal) == Applied(version=1)
    assert state.settings.find("a") == Setting("a", "1", 2)


def test_a_refused_change_is_refused_again_whatever_has_changed() -> None:
    """Whoever was told no must not see it done by a copy that comes late."""
    change = ChangeSetting("a", "2", 0, ID)
    state = founded(ChangeSetting("a", "1"))
    first = state.apply(change)
    state.apply(ChangeSetting("a", None))

    again = state.apply(change)

    assert first.code == again.code == VersionMismatchError.code
    assert again.detail == "this change was refused before: look, then make it anew"
    assert state.settings.find("a") is None
    assert state.apply(ChangeSetting("a", "2", 0, OTHER_ID)).is_changed


def test_changes_without_an_id_are_all_different() -> None:
    state = founded(ChangeSetting("a", "1", 0))

    assert state.apply(ChangeSetting("a", "1", 0)).code == VersionMismatchError.code
    assert state.apply(ChangeSetting("a", "1")).is_changed
    assert decode_image(state.snapshot()).outcomes == ()


def test_who_starts_from_a_snapshot_knows_which_changes_happened() -> None:
    done, refused = ChangeSetting("a", "1", 0, ID), ChangeSetting("a", "2", 0, OTHER_ID)
    state, copy = founded(done), MetaState()
    state.apply(refused)

    copy.restore(state.snapshot())

    assert copy.apply(done) == Applied(version=2)
    assert copy.apply(refused).code == VersionMismatchError.code
    assert copy.epoch == 2


def test_so_many_changes_are_remembered_and_the_oldest_are_forgotten() -> None:
    count = Limits.changes_remembered_max
    changes = [ChangeSetting("a", "1", None, n.to_bytes(16)) for n in range(count + 1)]
    state = founded(*changes)
    state.apply(changes[1])

    assert len(decode_image(state.snapshot()).outcomes) == count
    assert state.apply(changes[1]) == Applied(version=3), "repeated, and not the newest by that"
    assert state.apply(changes[0]).is_changed
    assert state.apply(changes[1]).is_changed
    assert state.apply(changes[3]) == Applied(version=5)


def test_an_image_of_before_there_were_ids_is_read() -> None:
    settings = (Setting("a", "1", 2),)
    old = msgspec.msgpack.encode([FIRST, settings])
    state = MetaState()
    state.restore(old)

    assert state.settings.find("a") == settings[0]
    assert state.apply(ChangeSetting("a", "2", 2, ID)).is_changed


def test_a_command_of_before_there_were_ids_is_read() -> None:
    assert decode_command(msgspec.msgpack.encode([9, "a", "1", 2])) == ChangeSetting("a", "1", 2)


def test_settings_are_bounded_in_number() -> None:
    state = founded(*(ChangeSetting(f"n{number}", "") for number in range(Limits.settings_max)))

    assert state.apply(ChangeSetting("one more", "")).code == LimitError.code
    assert state.apply(ChangeSetting("n1", "still")).is_changed
    assert len(state.settings) == Limits.settings_max


def test_settings_are_listed_by_name_and_in_pages() -> None:
    state = founded(*(ChangeSetting(name, name) for name in ("b.2", "a.1", "b.1", "b.3")))

    first, is_complete = state.settings.page("b.*", "", 2)
    rest, is_rest_complete = state.settings.page("b.*", "b.2", 2)

    assert [s.name for s in first] == ["b.1", "b.2"]
    assert not is_complete
    assert [s.name for s in rest] == ["b.3"]
    assert is_rest_complete


incarnations = st.builds(Incarnation, st.integers(1, 9), st.sampled_from(["s1", "s2", "d1"]))
members = st.builds(member, st.sampled_from(["s1", "s2", "d1"]), st.integers(1, 2))
commands: st.SearchStrategy[AnyCommand] = st.one_of(
    st.builds(Admit, members, incarnations),
    st.builds(Depart, incarnations, st.just("silent")),
    st.builds(Forget, incarnations),
    st.builds(SetStatus, incarnations, st.sampled_from(Status)),
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
    """Whoever applies everything and whoever starts from a snapshot have the same state."""
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
def test_a_command_is_the_same_after_the_log(command: AnyCommand) -> None:
    assert decode_command(encode_command(command)) == command


def test_the_state_shows_itself() -> None:
    assert repr(founded(ChangeSetting("a", "1"))) == "<MetaState epoch=2 members=1 settings=1>"
