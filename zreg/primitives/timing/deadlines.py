"""Deadlines by key, of which the earliest is known without a look at the others."""

import math
from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# How many entries that no longer count the heap may hold besides as many as there are deadlines.
_STALE_MAX: Final = 64


class Deadlines(Generic[K]):
    """One deadline for each key, in seconds of the caller's clock.

    Invariant: each deadline has an entry in the heap; an entry that is no deadline does not count.
    All operations take logarithmic time at most, amortized.
    """

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        # The number orders entries of equal time.
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        """Return how many keys have a deadline."""
        return len(self._at)

    def __contains__(self, key: K) -> bool:
        """Return whether a key has a deadline."""
        return key in self._at

    def set(self, key: K, at: float) -> None:
        """Give a key a deadline, in place of the one that it has."""
        self._at[key] = at
        self._count += 1
        heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 2 * len(self._at) + _STALE_MAX:
            self._heap = [entry for entry in self._heap if self._at.get(entry[2]) == entry[0]]
            heapify(self._heap)

    def get(self, key: K) -> float | None:
        """Return the deadline of a key; None if it has none."""
        return self._at.get(key)

    def drop(self, key: K) -> None:
        """Drop the deadline of a key, if it has one."""
        self._at.pop(key, None)

    def take_due(self, now: float, count_max: float = math.inf) -> list[K]:
        """Drop deadlines that have come and return their keys, the earliest first."""
        due: list[K] = []
        while self._heap and self._heap[0][0] <= now and len(due) < count_max:
            at, _, key = heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                due.append(key)
        return due

    def next_at(self) -> float | None:
        """Return the earliest deadline; None if there is none."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heappop(self._heap)
        return None
