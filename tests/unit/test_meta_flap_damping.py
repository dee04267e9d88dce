"""A node that departs too often waits: longer each time."""

import pytest

from zreg.config import Limits
from zreg.meta.members.memory.flap_damping import FlapDamping
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status

WINDOW = 600.0
D1 = Incarnation(5, "d1")


def member(node_id: str, epoch: int, status: Status) -> Member:
    return Member(node_id, Role.DATA, epoch, status, f"tcp://{node_id}:1")


def membership(*members: Member) -> Membership:
    return Membership(b"c", 9, 9, RingParameters(), members)


WAITS = membership(member("d1", 5, Status.INITIAL), member("d2", 2, Status.WORKING))


def departed(count: int, *, now: float = 0.0) -> FlapDamping:
    damping = FlapDamping()
    for _ in range(count):
        damping.note_departure("d1", now)
    return damping


@pytest.mark.parametrize(
    ("count", "seconds"),
    [(0, 0.0), (1, 0.0), (2, 0.0), (3, 5.0), (4, 10.0), (5, 20.0), (6, 40.0), (7, 60.0), (9, 60.0)],
)
def test_from_the_third_departure_on_it_waits_twice_as_long_each_time(
    count: int, seconds: float
) -> None:
    assert departed(count).wait_seconds("d1", 0.0) == seconds
    if count:
        assert departed(count - 1).wait_seconds("d1", 0.0, more=1) == seconds


def test_each_node_has_a_count_of_its_own() -> None:
    assert departed(3).wait_seconds("d2", 0.0) == 0.0


def test_departures_of_more_than_ten_minutes_ago_do_not_count() -> None:
    damping = departed(2)
    damping.note_departure("d1", 10.0)

    assert damping.wait_seconds("d1", WINDOW) == 5.0
    assert damping.wait_seconds("d1", WINDOW + 0.1) == 0.0


def test_old_departures_are_forgotten_with_the_next_departure() -> None:
    damping = departed(3)
    damping.note_departure("d2", WINDOW)
    assert len(damping) == 2
    damping.note_departure("d3", WINDOW + 0.1)

    assert len(damping) == 2
    assert damping.wait_seconds("d1", WINDOW + 0.1) == 0.0


def test_the_memory_is_bounded_and_keeps_the_newest() -> None:
    damping = departed(3)
    for number in range(Limits.members_max):
        damping.note_departure(f"n{number}", 1.0)

    assert len(damping) == Limits.members_max
    assert damping.wait_seconds("d1", 1.0) == 0.0


def test_a_member_waits_until_its_time() -> None:
    damping = FlapDamping()
    damping.begin_wait(D1, 30.0)
    damping.follow(WAITS, 10.0)

    assert damping.seconds_left(D1, 29.0) == 1.0
    assert damping.seconds_left(D1, 30.0) == 0.0
    assert damping.seconds_left(D1, 31.0) == 0.0


def test_a_member_admitted_by_another_leader_waits_the_shortest_time() -> None:
    """The times of another leader are not known."""
    damping = FlapDamping()
    damping.begin_wait(D1, 30.0)
    damping.forget_waits()
    damping.follow(WAITS, 10.0)
    damping.follow(WAITS, 12.0)

    assert damping.seconds_left(D1, 14.0) == 1.0
    assert damping.seconds_left(D1, 15.0) == 0.0


def test_a_member_that_works_or_departed_does_not_wait() -> None:
    damping = FlapDamping()
    damping.begin_wait(D1, 30.0)
    assert damping.has_members, "until the membership is followed"
    damping.follow(membership(member("d1", 5, Status.WORKING)), 10.0)

    assert not damping.has_members
    assert damping.seconds_left(D1, 10.0) == 0.0
