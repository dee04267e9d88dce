"""The steps of the membership: each raises the epoch, and the ring's if data nodes changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from zreg.meta.state import membership_steps as steps
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status

META = Member("meta", Role.META, 1, Status.WORKING, "tcp://meta:1", "tcp://meta:2")
OTHER_META = Member("meta", Role.META, 1, Status.WORKING, "tcp://meta:8", "tcp://meta:9")


def member(node_id: str, epoch: int = 0, status: Status = Status.WORKING, life: int = 1) -> Member:
    """Return a session if the id starts with `s`, else a data node; a new joiner has epoch 0."""
    role = Role.SESSION if node_id.startswith("s") else Role.DATA
    address = f"tcp://{node_id}:{life}"
    if epoch == 0:
        status = Status.INITIAL
    return Member(node_id, role, epoch, status, address, process_id=bytes([life]))


def membership(
    *members: Member,
    epoch: int = 10,
    ring_epoch: int = 5,
    cluster_id: bytes = b"A",
    meta: Member = META,
) -> Membership:
    return Membership(cluster_id, epoch, ring_epoch, RingParameters(), (*members, meta))


def test_a_newcomer_is_working_as_an_incarnation_of_the_new_epoch() -> None:
    after = steps.joined(membership(), member("s1"))

    assert after == membership(member("s1", 11), epoch=11)


def test_a_new_data_node_changes_the_ring() -> None:
    after = steps.joined(membership(member("d1", 3)), member("d2"))

    assert after == membership(member("d1", 3), member("d2", 11), epoch=11, ring_epoch=11)


def test_a_newcomer_that_waits_is_a_member_and_not_on_the_ring() -> None:
    after = steps.joined(membership(), member("d1"), Status.INITIAL)
    waits = member("d1", 11, Status.INITIAL)
    assert after == membership(waits, epoch=11)

    assert steps.departed(after, waits.incarnation) == membership(epoch=12)
    works = steps.with_status(after, waits.incarnation, Status.WORKING)
    assert works == membership(member("d1", 11), epoch=12, ring_epoch=12)


def test_a_newcomer_that_leaves_before_it_works_does_not_touch_the_ring() -> None:
    before = membership(member("d1", 3, Status.INITIAL), member("d2", 4))

    after = steps.with_status(before, Incarnation(3, "d1"), Status.LEAVING)
    assert after == membership(member("d1", 3, Status.LEAVING), member("d2", 4), epoch=11)
    other = steps.with_status(before, Incarnation(4, "d2"), Status.LEAVING)
    assert other.ring_epoch == 11


def test_a_waiting_newcomer_removes_its_former_incarnation_from_the_ring() -> None:
    after = steps.joined(membership(member("d1", 3)), member("d1", life=2), Status.INITIAL)

    waits = replace(member("d1", 11, Status.INITIAL, life=2))
    assert after == membership(waits, epoch=11, ring_epoch=11)
    again = steps.joined(after, member("d1", life=3), Status.INITIAL)
    assert again.ring_epoch == 11


def test_the_former_incarnation_of_a_session_stays_as_departed() -> None:
    """Each of the former incarnations has its own grace."""
    before = membership(member("s1", 2, Status.DEPARTED), member("s1", 4))

    after = steps.joined(before, member("s1", life=2))

    assert after == membership(
        member("s1", 2, Status.DEPARTED),
        member("s1", 4, Status.DEPARTED),
        member("s1", 11, life=2),
        epoch=11,
    )


def test_the_former_incarnation_of_a_data_node_is_removed() -> None:
    after = steps.joined(membership(member("d1", 3)), member("d1", life=2))

    assert after == membership(member("d1", 11, life=2), epoch=11, ring_epoch=11)


def test_a_session_that_takes_the_id_of_a_data_node_changes_the_ring() -> None:
    session = Member("d1", Role.SESSION, 0, Status.INITIAL, "tcp://d1:1")

    after = steps.joined(membership(member("d1", 3)), session)

    joined = replace(session, incarnation_epoch=11, status=Status.WORKING)
    assert after == membership(joined, epoch=11, ring_epoch=11)


def test_a_data_node_that_takes_the_id_of_a_session_leaves_it_its_grace() -> None:
    session = Member("n", Role.SESSION, 3, Status.WORKING, "tcp://n:1")
    data = Member("n", Role.DATA, 0, Status.INITIAL, "tcp://n:2")

    after = steps.joined(membership(session), data)

    assert after == membership(
        replace(session, status=Status.DEPARTED),
        replace(data, incarnation_epoch=11, status=Status.WORKING),
        epoch=11,
        ring_epoch=11,
    )


def test_a_session_departs_and_stays() -> None:
    before = membership(member("s1", 2), member("s2", 3))

    after = steps.departed(before, Incarnation(2, "s1"))

    assert after == membership(member("s1", 2, Status.DEPARTED), member("s2", 3), epoch=11)


def test_a_data_node_departs_and_leaves_the_ring() -> None:
    before = membership(member("d1", 2), member("d2", 3))

    after = steps.departed(before, Incarnation(2, "d1"))

    assert after == membership(member("d2", 3), epoch=11, ring_epoch=11)


def test_only_the_forgotten_incarnation_is_removed() -> None:
    before = membership(member("s1", 2, Status.DEPARTED), member("s1", 4))

    after = steps.forgotten(before, Incarnation(2, "s1"))

    assert after == membership(member("s1", 4), epoch=11)


@pytest.mark.parametrize(("seen", "epoch"), [(3, 11), (10, 11), (57, 58)])
def test_going_above_an_epoch_changes_nothing_else(seen: int, epoch: int) -> None:
    before = membership(member("d1", 2))

    assert steps.raised(before, seen) == membership(member("d1", 2), epoch=epoch)


# --- adopting, for old journals -----------------------------------------------------------------


def test_an_adopted_membership_gets_a_higher_epoch_and_the_present_meta_nodes() -> None:
    """The ring is the same, so data nodes need not compare anything again."""
    mine = membership(epoch=2, ring_epoch=0, cluster_id=b"B")
    theirs = membership(
        member("s1", 7),
        member("s2", 8, Status.DEPARTED),
        member("d1", 5),
        epoch=57,
        meta=OTHER_META,
    )

    after = steps.adopted(mine, theirs)

    assert after == membership(
        member("s1", 7), member("s2", 8, Status.DEPARTED), member("d1", 5), epoch=58
    )


def test_members_of_another_cluster_are_not_members_of_the_adopted_one() -> None:
    mine = membership(member("s9", 2), epoch=2, ring_epoch=0, cluster_id=b"B")

    after = steps.adopted(mine, membership(member("s1", 7)))

    assert after == membership(member("s1", 7), epoch=11)


def test_the_epoch_goes_above_that_of_the_present_membership_too() -> None:
    mine = membership(epoch=99, cluster_id=b"B")

    assert steps.adopted(mine, membership()) == membership(epoch=100)


def test_adopting_the_same_cluster_again_keeps_the_members_that_joined() -> None:
    mine = membership(member("s1", 7), member("d9", 9), epoch=9, ring_epoch=9)
    theirs = membership(member("s1", 7), member("d1", 5), epoch=20)

    after = steps.adopted(mine, theirs)

    assert after == membership(
        member("s1", 7), member("d1", 5), member("d9", 9), epoch=21, ring_epoch=21
    )


def test_adopting_a_data_node_that_had_departed_changes_the_ring() -> None:
    """Equal ring epochs must mean equal rings, for the followers of either membership."""
    mine = membership(member("d2", 5), epoch=13, ring_epoch=13)
    theirs = membership(member("d1", 5), member("d2", 5), epoch=20, ring_epoch=5)

    after = steps.adopted(mine, theirs)

    assert after == membership(member("d1", 5), member("d2", 5), epoch=21, ring_epoch=21)


def test_of_two_incarnations_of_a_node_the_newest_stays() -> None:
    mine = membership(member("s1", 11, life=2), member("d1", 4), epoch=12)
    theirs = membership(member("s1", 7), member("d1", 9, life=2), epoch=20)

    after = steps.adopted(mine, theirs)

    assert after == membership(
        member("s1", 7, Status.DEPARTED),
        member("s1", 11, life=2),
        member("d1", 9, life=2),
        epoch=21,
        ring_epoch=21,
    )


node_ids = st.sampled_from(["s1", "s2", "d1", "d2", "n"])
roles = st.sampled_from([Role.SESSION, Role.DATA])


def take_step(before: Membership, data: st.DataObject) -> Membership:
    """Take any step that the core might take."""
    others = [m for m in before.members if m.role is not Role.META]
    living = [m for m in others if m.status is not Status.DEPARTED]
    departed = [m for m in others if m.status is Status.DEPARTED]
    kind = data.draw(st.sampled_from(["join", "depart", "forget", "raise", "adopt"]))
    if kind == "join":
        newcomer = Member(data.draw(node_ids), data.draw(roles), 0, Status.INITIAL, "tcp://x:1")
        return steps.joined(before, newcomer)
    if kind == "depart" and living:
        return steps.departed(before, data.draw(st.sampled_from(living)).incarnation)
    if kind == "forget" and departed:
        return steps.forgotten(before, data.draw(st.sampled_from(departed)).incarnation)
    if kind == "adopt" and others:
        kept = data.draw(st.lists(st.sampled_from(others), unique=True))
        members = tuple(m for m in before.members if m.role is Role.META or m in kept)
        epoch = data.draw(st.integers(1, 40))
        return steps.adopted(before, replace(before, epoch=epoch, ring_epoch=0, members=members))
    return steps.raised(before, data.draw(st.integers(0, 40)))


@given(st.data())
def test_with_any_steps_the_epoch_rises_and_no_node_lives_twice(data: st.DataObject) -> None:
    now = membership(epoch=1, ring_epoch=0)
    for _ in range(data.draw(st.integers(1, 8))):
        before, now = now, take_step(now, data)

        assert now.epoch > before.epoch
        assert now.ring_epoch <= now.epoch
        living = [m.node_id for m in now.members if m.status is not Status.DEPARTED]
        assert len(living) == len(set(living))
        assert now.of(Role.META) == [META]
        assert list(now.members) == sorted(
            now.members, key=lambda m: (m.role, m.node_id, m.incarnation_epoch)
        )
        if now.of(Role.DATA) != before.of(Role.DATA):
            assert now.ring_epoch == now.epoch
