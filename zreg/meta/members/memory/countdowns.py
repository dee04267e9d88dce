"""How much time each of some incarnations has left, counted only while the leader is awake."""

from collections.abc import Iterable
from typing import Final

from zreg.model import Incarnation

# A leader that did not count for more than this share of a lease was not awake.
_STALL_SHARE: Final = 0.25


class Countdowns:
    """The seconds left to each incarnation; all are whole when a leader begins."""

    def __init__(self, whole_seconds: float, lease_seconds: float) -> None:
        self._whole_seconds = whole_seconds
        self._stall_seconds = lease_seconds * _STALL_SHARE
        self._left: dict[Incarnation, float] = {}
        self._counted_at: float | None = None

    def begin(self) -> None:
        """Begin to lead: each incarnation has the whole time."""
        self._left.clear()
        self._counted_at = None

    def follow(self, incarnations: Iterable[Incarnation]) -> None:
        """Keep the countdowns of these incarnations, and begin those that are missing."""
        whole = self._whole_seconds
        self._left = {each: self._left.get(each, whole) for each in sorted(incarnations)}

    def count(self, now: float, *, is_running: bool = True) -> list[Incarnation]:
        """Count the time since the last call; return the incarnations that have none left.

        The time does not count if the leader slept in it, or if `is_running` is False.
        """
        passed = 0.0 if self._counted_at is None else now - self._counted_at
        self._counted_at = now
        if is_running and passed <= self._stall_seconds:
            for incarnation in self._left:
                self._left[incarnation] -= passed
        return [incarnation for incarnation, left in self._left.items() if left <= 0.0]
