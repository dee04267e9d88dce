"""Time that is counted for each incarnation while the leader is awake."""

from zreg.meta.members.memory.countdowns import Countdowns
from zreg.model import Incarnation

A, B = Incarnation(1, "a"), Incarnation(2, "b")
LEASE = 4.0


def counting(*incarnations: Incarnation) -> Countdowns:
    countdowns = Countdowns(2.0, LEASE)
    countdowns.follow(incarnations)
    assert countdowns.count(10.0) == []
    return countdowns


def test_the_time_of_each_incarnation_begins_when_it_is_followed() -> None:
    countdowns = counting(A)
    assert countdowns.count(11.0) == []
    countdowns.follow([A, B])

    assert countdowns.count(12.0) == [A]
    countdowns.follow([B])
    assert countdowns.count(13.0) == [B]


def test_time_in_which_the_leader_slept_does_not_count() -> None:
    """It could not hear in that time that an incarnation left by itself."""
    countdowns = counting(A)

    assert countdowns.count(10.0 + LEASE / 4 + 0.1) == []
    assert countdowns.count(12.0) == []
    assert countdowns.count(13.0) == []
    assert countdowns.count(14.0) == [A]


def test_time_that_does_not_run_is_not_counted_later() -> None:
    countdowns = counting(A)

    assert countdowns.count(11.0, is_running=False) == []
    assert countdowns.count(12.0) == []
    assert countdowns.count(13.0) == [A]


def test_with_a_new_leader_the_whole_time_begins() -> None:
    countdowns = counting(A)
    countdowns.count(11.0)
    countdowns.begin()
    countdowns.follow([A])

    assert countdowns.count(20.0) == []
    assert countdowns.count(21.0) == []
    assert countdowns.count(22.0) == [A]
