"""The tail of a datum's changes: a follower gets all that came after its version, or nothing."""

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


def test_a_follower_gets_what_came_after_its_version() -> None:
    log = make_log(0, 2, 5, 6)

    assert log.since(ZERO) == [change(0, 2), change(2, 5), change(5, 6)]
    assert log.since(Version(0, 2)) == [change(2, 5), change(5, 6)]
    assert log.since(Version(0, 6)) == []
    assert len(log) == 3


@pytest.mark.parametrize("counter", [1, 3, 7])
def test_a_version_between_or_above_is_not_here(counter: int) -> None:
    assert make_log(0, 2, 5, 6).since(Version(0, counter)) is None


def test_an_empty_log_has_no_version() -> None:
    assert make_log().since(ZERO) is None


def test_a_version_of_another_epoch_is_not_here() -> None:
    assert make_log(0, 2, 5).since(Version(1, 2)) is None


def test_a_gap_clears_what_was_here() -> None:
    log = make_log(0, 2, 5)

    log.append(change(6, 8), 9.0)

    assert log.since(Version(0, 5)) is None
    assert log.since(Version(0, 6)) == [change(6, 8)]


def test_what_is_over_the_length_goes_oldest_first() -> None:
    log = make_log(0, 1, 2, 3)

    log.trim(3.0, length_max=2, seconds_max=60.0)

    assert log.since(ZERO) is None
    assert log.since(Version(0, 1)) == [change(1, 2), change(2, 3)]


def test_what_is_too_old_goes_and_the_newest_stays() -> None:
    log = make_log(0, 1, 2, 3)

    log.trim(10.0, length_max=100, seconds_max=10.0)
    assert len(log) == 3

    log.trim(11.0, length_max=100, seconds_max=10.0)
    assert log.since(Version(0, 1)) == [change(1, 2), change(2, 3)]

    log.trim(1000.0, length_max=100, seconds_max=10.0)
    assert log.since(Version(0, 2)) == [change(2, 3)]


def test_length_and_age_are_bounds_together() -> None:
    log = make_log(0, 1, 2, 3, 4, 5)

    log.trim(13.0, length_max=4, seconds_max=10.0)

    assert log.since(Version(0, 3)) == [change(3, 4), change(4, 5)]
    assert len(log) == 2


def test_nothing_is_trimmed_of_an_empty_log() -> None:
    log = make_log()

    log.trim(1000.0, length_max=1, seconds_max=1.0)

    assert len(log) == 0


def test_a_cleared_log_starts_anywhere() -> None:
    log = make_log(0, 1, 2)
    log.clear()
    assert len(log) == 0

    log.append(change(7, 9), 0.0)

    assert log.since(Version(0, 7)) == [change(7, 9)]


def test_a_change_that_goes_nowhere_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        make_log(2, 2)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=20),
    st.integers(1, 6),
    st.floats(0.0, 30.0),
    st.integers(0, 60),
)
def test_an_answer_leads_gap_free_to_the_newest(
    steps: list[tuple[int, bool]], length_max: int, seconds_max: float, asked: int
) -> None:
    """Whatever was appended, with gaps or without: an unbroken way, or no answer."""
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
