"""Pauses between attempts that double up to a bound, with jitter so that retries spread out.

A pause is drawn uniformly from the upper half of the present bound ("equal jitter", Brooker,
"Exponential Backoff and Jitter", 2015).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Backoff:
    """The pauses of one series of attempts, in seconds."""

    def __init__(self, seconds_min: float, seconds_max: float, *, rng: "Random") -> None:
        assert 0 < seconds_min <= seconds_max
        self._seconds_min = seconds_min
        self._seconds_max = seconds_max
        self._rng = rng
        self._bound = seconds_min

    def next_seconds(self) -> float:
        """Return the next pause, and double the bound of the one after it."""
        pause = self._bound * (0.5 + self._rng.random() / 2)
        self._bound = min(self._bound * 2, self._seconds_max)
        return pause

    def reset(self) -> None:
        """Start again with the shortest pause, because an attempt succeeded."""
        self._bound = self._seconds_min
