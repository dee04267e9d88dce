"""Samples of all rounds, and their statistics: medians, ranges, and ratios within a round."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """What one measurement of one system found in one round."""

    round: int
    system: str
    group: str
    figures: Mapping[str, float]


class Spread(NamedTuple):
    """The median of some numbers and their range."""

    median: float
    low: float
    high: float


def spread_of(numbers: list[float]) -> Spread | None:
    """Return the median and the range; None without a number."""
    if not numbers:
        return None
    return Spread(statistics.median(numbers), min(numbers), max(numbers))


class Samples:
    """All samples of a run, by figure and system."""

    def __init__(self, samples: list[Sample]) -> None:
        self._by_round: dict[tuple[str, str], dict[int, float]] = {}
        for sample in samples:
            for key, value in sample.figures.items():
                self._by_round.setdefault((key, sample.system), {})[sample.round] = value

    def rounds(self, key: str, system: str) -> int:
        """Return in how many rounds a figure of a system was measured."""
        return len(self._by_round.get((key, system), {}))

    def spread(self, key: str, system: str) -> Spread | None:
        """Return a figure of a system over all rounds."""
        return spread_of(list(self._by_round.get((key, system), {}).values()))

    def ratio(self, key: str, system: str, peer: str) -> Spread | None:
        """Return how many times the peer's figure a system's is, compared round by round.

        Both meet about the same machine in one round, and another machine in the next one.
        """
        ours = self._by_round.get((key, system), {})
        theirs = self._by_round.get((key, peer), {})
        return spread_of([ours[n] / theirs[n] for n in ours if theirs.get(n, 0) > 0])
