"""Op logs: a follower gets all changes after its version, or None."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.model import ZERO, Change, Version
from zreg.primitives.op_log import OpLog


def change(source: int, to: int) -> Change:
    return Change(Version(0, source), Version(0, to), (), ())


def make_log(*counters: int) -> OpLog[Change]:
    """Return a log of the changes from each counter to the next, one a second."""
    log: OpLog[Change] = OpLog()
    for second, (source, to) in enumerate(itertools.pairwise(counters)):
        log.append(change(source, to), float(second))
    return log


def test_a_follower_gets_the_changes_after_its_version() -> None:
    log = make_log(0, 2, 5, 6)

    assert log.since(ZERO) == [change(0, 2), change(2, 5), change(5, 6)]
    assert log.since(Version(0, 2)) == [change(2, 5), change(5, 6)]
    assert log.since(Version(0, 6)) == []
    assert len(log) == 3


@pytest.mark.parametrize("counter", [1, 3, 7])
def test_a_version_between_or_above_the_changes_is_not_in_the_log(counter: int) -> None:
    assert make_log(0, 2, 5, 6).since(Version(0, counter)) is None


def test_an_empty_log_has_no_version() -> None:
    assert make_log().since(ZERO) is None


def test_a_version_of_another_epoch_is_not_in_the_log() -> None:
    assert make_log(0, 2, 5).since(Version(1, 2)) is None


def test_a_gap_drops_the_earlier_changes() -> None:
    log = make_log(0, 2, 5)

    log.append(change(6, 8), 9.0)

    assert log.since(Version(0, 5)) is None
    assert log.since(Version(0, 6)) == [change(6, 8)]


def test_the_oldest_changes_beyond_the_length_are_dropped() -> None:
    log = make_log(0, 1, 2, 3)

    log.trim(3.0, length_max=2, seconds_max=60.0)

    assert log.since(ZERO) is None
    assert log.since(Version(0, 1)) == [change(1, 2), change(2, 3)]


def test_old_changes_are_dropped_but_the_newest_stays() -> None:
    log = make_log(0, 1, 2, 3)

    log.trim(10.0, length_max=100, seconds_max=10.0)
    assert len(log) == 3

    log.trim(11.0, length_max=100, seconds_max=10.0)
    assert log.since(Version(0, 1)) == [change(1, 2), change(2, 3)]

    log.trim(1000.0, length_max=100, seconds_max=10.0)
    assert log.since(Version(0, 2)) == [change(2, 3)]


def test_length_and_age_are_both_bounds() -> None:
    log = make_log(0, 1, 2, 3, 4, 5)

    log.trim(13.0, length_max=4, seconds_max=10.0)

    assert log.since(Version(0, 3)) == [change(3, 4), change(4, 5)]
    assert len(log) == 2


def test_an_empty_log_can_be_trimmed() -> None:
    log = make_log()

    log.trim(1000.0, length_max=1, seconds_max=1.0)

    assert len(log) == 0


def test_a_cleared_log_takes_a_change_from_any_version() -> None:
    log = make_log(0, 1, 2)
    log.clear()
    assert len(log) == 0

    log.append(change(7, 9), 0.0)

    assert log.since(Version(0, 7)) == [change(7, 9)]


def test_a_change_to_the_same_version_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        make_log(2, 2)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=20),
    st.integers(1, 6),
    st.floats(0.0, 30.0),
    st.integers(0, 60),
)
def test_an_answer_leads_without_gaps_to_the_newest_version(
    steps: list[tuple[int, bool]], length_max: int, seconds_max: float, asked: int
) -> None:
    """This holds for changes with and without gaps; without such a way there is no answer."""
    log: OpLog[Change] = OpLog()
    version = 0
    for second, (step, is_gap) in enumerate(steps):
        source = version + is_gap
        version = source + step
        log.append(change(source, version), float(second))
        log.trim(float(second), length_max=length_max, seconds_max=seconds_max)

    answer = log.since(Version(0, asked))

    assert len(log) <= length_max
    assert bool(len(log)) == bool(steps)
    if answer:
        assert answer[0].source_version == Version(0, asked)
        assert answer[-1].version == Version(0, version)
        assert all(a.version == b.source_version for a, b in itertools.pairwise(answer))
    elif answer == []:
        assert asked == version


def test_the_floor_of_a_version_is_the_last_version_at_or_below_it() -> None:
    log: OpLog[Change] = OpLog()
    assert log.floor(Version(1, 9)) is None
    for start in (10, 20, 30):
        log.append(Change(Version(1, start), Version(1, start + 10), (), ()), 0.0)

    floors = [log.floor(Version(1, counter)) for counter in (9, 10, 15, 20, 39, 40, 99)]

    counters = [None if floor is None else floor.counter for floor in floors]
    assert counters == [None, 10, 10, 20, 30, 40, 40]


def test_the_oldest_change_can_be_taken_off() -> None:
    log: OpLog[Change] = OpLog()
    assert log.newest() is None
    changes = [Change(Version(1, n), Version(1, n + 1), (), ()) for n in range(2)]
    for change in changes:
        log.append(change, 0.0)

    assert log.pop_oldest() == changes[0]
    assert log.newest() == changes[1]
    assert len(log) == 1
