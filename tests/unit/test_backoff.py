"""Backoff: pauses double up to a bound, and are spread so that peers do not retry together."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.primitives.timing.backoff import Backoff


@given(st.floats(0.01, 1.0), st.floats(1.0, 100.0), st.integers(0, 2**32))
def test_pauses_double_up_to_the_bound(shortest: float, longest: float, seed: int) -> None:
    backoff = Backoff(shortest, longest, rng=Random(seed))

    for attempt in range(12):
        bound = min(shortest * 2**attempt, longest)
        assert bound / 2 <= backoff.next_seconds() <= bound


def test_a_reset_starts_again_with_the_shortest_pause() -> None:
    backoff = Backoff(0.1, 10.0, rng=Random(1))
    for _ in range(9):
        backoff.next_seconds()

    backoff.reset()

    assert 0.05 <= backoff.next_seconds() <= 0.1


def test_the_pauses_of_many_peers_are_spread() -> None:
    rng = Random(1)
    pauses = [Backoff(1.0, 1.0, rng=rng).next_seconds() for _ in range(1000)]

    assert min(pauses) < 0.52
    assert max(pauses) > 0.98
    assert len(set(pauses)) > 990


def test_the_same_seed_gives_the_same_pauses() -> None:
    one, other = (Backoff(0.1, 2.0, rng=Random(7)) for _ in range(2))

    assert [one.next_seconds() for _ in range(5)] == [other.next_seconds() for _ in range(5)]


@pytest.mark.parametrize(("shortest", "longest"), [(0.0, 1.0), (2.0, 1.0)])
def test_wrong_bounds_are_a_bug(shortest: float, longest: float) -> None:
    with pytest.raises(AssertionError):
        Backoff(shortest, longest, rng=Random(1))
