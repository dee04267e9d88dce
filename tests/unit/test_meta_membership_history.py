"""The last steps of the membership lead from any of its epochs to the whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meta_state_fakes import CLUSTER, META, founded, member
from msgspec.structs import replace

from zreg.membership.following.changes import changed
from zreg.meta.state.membership_history import ITEMS_MAX, STEPS_MAX
from zreg.meta.state.meta_state import MetaState
from zreg.model import Incarnation, Membership, RingParameters, Role, Status
from zreg.wire.log_commands import (
    Admit,
    AdmitMeta,
    Adopt,
    AnyCommand,
    ChangeSetting,
    Depart,
    DropMeta,
    Forget,
    Raise,
    Recover,
    SetStatus,
)
from zreg.wire.records.membership_messages import FetchMembership, MembershipChanges

OTHER_CLUSTER = b"xx" * 8


def answer(
    state: MetaState, epoch: int, *, cluster_id: bytes = CLUSTER, request_id: int = 7
) -> MembershipChanges | None:
    request = FetchMembership(request_id, cluster_id, epoch)
    return state.history.answer(request, state.membership)


def crowd(count: int) -> list[AnyCommand]:
    return [Admit(member(f"s{number:03}")) for number in range(count)]


SETTING = ChangeSetting("a", "b", None, b"")


def test_one_join_among_many_is_one_member() -> None:
    state = founded(*crowd(100))
    before = state.membership
    state.apply(Admit(member("d1")))

    found = answer(state, before.epoch)

    assert found is not None
    assert found.upserts == (state.membership.living("d1"),)
    assert found.removals == ()
    assert (found.request_id, found.source_epoch, found.epoch) == (7, 101, 102)
    assert found.ring_epoch == 102
    assert changed(before, found) == state.membership


def test_a_setting_change_is_answered_without_members() -> None:
    state = founded(*crowd(3))
    before = state.membership
    state.apply(SETTING)

    found = answer(state, before.epoch)

    assert found is not None
    assert (found.upserts, found.removals, found.epoch) == ((), (), before.epoch + 1)
    assert changed(before, found) == state.membership


def test_a_node_that_came_back_twice_is_sent_once() -> None:
    state = founded(*crowd(9))
    before = state.membership
    for command in (Admit(member("d1")), Admit(member("d1", 2), Incarnation(11, "d1"))):
        state.apply(command)

    found = answer(state, before.epoch)

    assert found is not None
    assert [str(m.incarnation) for m in found.upserts] == ["d1@12"]
    assert changed(before, found) == state.membership


def test_many_nodes_get_the_same_changes_each_with_its_request_id() -> None:
    state = founded(*crowd(9))
    first, second = answer(state, 5, request_id=1), answer(state, 5, request_id=2)

    assert first is not None
    assert second is not None
    assert first.upserts is second.upserts
    assert (first.request_id, second.request_id) == (1, 2)
    state.apply(SETTING)
    third = answer(state, 5)
    assert third is not None
    assert third.epoch == first.epoch + 1


@pytest.mark.parametrize(
    ("epoch", "cluster_id"),
    [
        pytest.param(0, CLUSTER, id="no-epoch"),
        pytest.param(5, OTHER_CLUSTER, id="another-cluster"),
        pytest.param(10, CLUSTER, id="nothing-came-since"),
        pytest.param(11, CLUSTER, id="ahead"),
    ],
)
def test_without_a_known_epoch_the_whole_membership_is_sent(epoch: int, cluster_id: bytes) -> None:
    state = founded(*crowd(8), Depart(Incarnation(2, "s000"), "silent"))
    assert state.epoch == 10

    assert answer(state, epoch, cluster_id=cluster_id) is None


def test_changes_of_all_members_are_sent_as_the_whole() -> None:
    state = founded(*crowd(8))
    found = answer(state, 1)
    assert found is not None
    assert len(found.upserts) == len(state.membership.members) - 1

    state.apply(AdmitMeta(replace(META, process_id=b"new")))

    assert answer(state, 1) is None


@pytest.mark.parametrize("leap", [Raise(60), Recover()], ids=["raise", "recover"])
def test_an_epoch_that_was_skipped_has_no_step(leap: AnyCommand) -> None:
    """A node at that epoch got it from lost meta nodes: its membership is not known here."""
    state = founded(*crowd(5), leap)

    assert answer(state, 7) is None
    assert answer(state, state.epoch - 1) is None
    found = answer(state, 6)
    assert found is not None
    assert found.epoch == state.epoch


def test_the_steps_are_bounded() -> None:
    state = founded(*crowd(5))
    for _ in range(STEPS_MAX + 1):
        state.apply(Raise(state.epoch + 1))

    assert len(state.history) == STEPS_MAX
    assert answer(state, state.epoch - 2 * STEPS_MAX) is not None
    assert answer(state, state.epoch - 2 * STEPS_MAX - 2) is None


def test_setting_changes_push_out_no_change_of_members() -> None:
    state = founded(*crowd(5))
    before = state.membership
    state.apply(Admit(member("d1")))
    for number in range(2 * STEPS_MAX):
        state.apply(ChangeSetting("a", str(number), None, b""))

    assert len(state.history) == 6
    found = answer(state, before.epoch)
    assert found is not None
    assert found.upserts == (state.membership.living("d1"),)
    assert changed(before, found) == state.membership


def test_each_epoch_in_a_run_of_settings_is_known() -> None:
    state = founded(*crowd(5))
    first = state.epoch
    for number in range(9):
        state.apply(ChangeSetting("a", str(number), None, b""))
    state.apply(Admit(member("d1")))

    for epoch in range(first, first + 10):
        found = answer(state, epoch)
        assert found is not None, epoch
        assert (found.source_epoch, found.epoch) == (epoch, first + 10)
        assert found.upserts == (state.membership.living("d1"),)


def test_the_cached_answers_are_bounded() -> None:
    """A run may have any length, and requests may name each of its epochs."""
    state = founded(*crowd(5))
    first = state.epoch
    for number in range(2 * STEPS_MAX):
        state.apply(ChangeSetting("a", str(number), None, b""))
    for epoch in range(first, state.epoch):
        assert answer(state, epoch) is not None

    assert len(state.history._answers) <= len(state.history)


def test_a_skipped_epoch_ends_a_run_of_settings() -> None:
    """No node was ever at the skipped epochs."""
    state = founded(*crowd(5), SETTING, SETTING, Raise(60), SETTING, SETTING)

    known = [epoch for epoch in range(1, state.epoch) if answer(state, epoch) is not None]
    assert known == [*range(1, 9), 61, 62]


def test_the_members_in_all_steps_are_bounded() -> None:
    """A session that comes back counts twice: its former incarnation departs."""
    state = founded(*crowd(200))
    former = 2
    for life in range(2, 2 + ITEMS_MAX // 2):
        state.apply(Admit(member("s000", life), Incarnation(former, "s000")))
        state.apply(Forget(Incarnation(former, "s000")))
        former = state.epoch - 1

    # Three for each incarnation: it joins, it departs, it is forgotten.
    assert len(state.history) <= 2 * ITEMS_MAX // 3 + 1 < STEPS_MAX * 2
    assert repr(state.history).startswith("<MembershipHistory steps=")
    assert answer(state, state.epoch - len(state.history)) is not None
    assert answer(state, state.epoch - len(state.history) - 1) is None


def test_one_step_with_too_many_members_clears_the_history() -> None:
    state = founded(*crowd(3))
    others = tuple(
        replace(member(f"s{number:04}"), incarnation_epoch=9, status=Status.WORKING)
        for number in range(ITEMS_MAX + 1)
    )
    state.apply(Adopt(Membership(CLUSTER, 9, 0, RingParameters(), others)))

    assert len(state.history) == 0
    assert answer(state, 4) is None


@pytest.mark.parametrize(
    "other",
    [
        Membership(OTHER_CLUSTER, 50, 0, RingParameters(), ()),
        Membership(CLUSTER, 50, 0, RingParameters(virtual_node_count=8), ()),
    ],
    ids=["cluster", "ring"],
)
def test_another_cluster_or_ring_clears_the_history(other: Membership) -> None:
    state = founded(*crowd(3), Adopt(other))

    assert len(state.history) == 0
    state.apply(Admit(member("d1")))
    assert answer(state, 51, cluster_id=other.cluster_id) is not None


def test_a_restored_snapshot_has_no_steps() -> None:
    state = founded(*crowd(5))
    image = state.snapshot()

    state.restore(image)

    assert len(state.history) == 0
    assert answer(state, 4) is None
    assert state.snapshot() == image


def test_a_command_that_changes_nothing_is_no_step() -> None:
    state = founded(*crowd(5))
    assert len(state.history) == 5

    state.apply(Admit(member("s000")))
    state.apply(Depart(Incarnation(99, "d9"), "silent"))

    assert len(state.history) == 5


names = st.sampled_from(["s1", "s2", "s3", "d1", "d2", "m2"])


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Membership], MetaState]:
    """Return a state after some commands, and each membership that it went through."""
    state = founded(*(Admit(member(name)) for name in ("s7", "s8", "s9", "d7", "d8")))
    seen = [state.membership]
    for life in range(2, draw(st.integers(2, 25))):
        present = draw(st.sampled_from(state.membership.members))
        newcomer = member(draw(names), life)
        living = state.membership.living(newcomer.node_id)
        commands: list[AnyCommand] = [
            Depart(present.incarnation, "silent"),
            Forget(present.incarnation),
            SetStatus(present.incarnation, draw(st.sampled_from([Status.WORKING, Status.LEAVING]))),
            DropMeta("m2"),
            Raise(state.epoch + draw(st.integers(0, 3))),
            ChangeSetting("a", draw(st.sampled_from(["1", None])), None, b""),
            Adopt(replace(draw(st.sampled_from(seen)), cluster_id=CLUSTER)),
        ]
        if newcomer.role is Role.META:
            commands.append(AdmitMeta(newcomer))
        elif living is not None:
            commands += [Admit(newcomer, living.incarnation)] * 3
        else:
            commands += [Admit(newcomer, status=draw(st.sampled_from(list(Status)[:2])))] * 3
        state.apply(draw(st.sampled_from(commands)))
        seen.append(state.membership)
    return seen, state


def touched_since(seen: list[Membership], epoch: int) -> set[Incarnation]:
    steps = [pair for pair in pairwise(seen) if pair[0].epoch >= epoch]
    return {m.incarnation for old, new in steps for m in {*old.members} ^ {*new.members}}


@given(lives())
def test_the_changes_from_any_epoch_lead_to_the_whole(
    life: tuple[list[Membership], MetaState],
) -> None:
    seen, state = life
    for former in seen:
        found = answer(state, former.epoch)

        if found is None:
            touched = touched_since(seen, former.epoch)
            assert former.epoch == state.epoch or len(touched) >= len(state.membership.members)
            continue
        assert len(found.upserts) + len(found.removals) < len(state.membership.members)
        assert changed(former, found) == state.membership


@given(lives(), st.data())
def test_steps_that_follow_each_other_lead_to_the_whole_too(
    life: tuple[list[Membership], MetaState], data: st.DataObject
) -> None:
    """A follower applies some changes and misses others; it asks with its epoch only."""
    _, state = life
    mine = state.membership
    for life_number in range(100, 110):
        state.apply(Admit(member(f"d{life_number}")))
        if data.draw(st.booleans()):
            found = answer(state, mine.epoch)
            after = state.membership if found is None else changed(mine, found)
            assert after == state.membership
            mine = after
