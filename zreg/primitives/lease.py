"""Leases: who was silent for too long, judged only by somebody who was awake.

A table is told of every sign of life and looked at often. When the judge itself was away (its
process frozen, its loop stuck) for more than a quarter of the lease, nobody could renew with it,
so every lease starts afresh.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K")

_STALL_SHARE: Final = 0.25
_LOOKS_PER_LEASE: Final = 16


class LeaseTable(Generic[K]):
    """The last sign of life of each holder, oldest first. Times are monotonic seconds."""

    def __init__(self, lease_seconds: float, *, now: float) -> None:
        assert lease_seconds > 0
        self.lease_seconds = lease_seconds
        self._renewed_at: dict[K, float] = {}
        self._looked_at = now
        self._counted_from = now
        self.stall_count = 0

    def __contains__(self, holder: K) -> bool:
        """Return whether this holder has a lease."""
        return holder in self._renewed_at

    def __iter__(self) -> Iterator[K]:
        """Return who holds one, longest silent first."""
        return iter(self._renewed_at)

    def __len__(self) -> int:
        """Return how many hold a lease."""
        return len(self._renewed_at)

    def renew(self, holder: K, now: float) -> None:
        """Note a sign of life; a holder that is new gets a whole lease."""
        self._renewed_at.pop(holder, None)
        self._renewed_at[holder] = now

    def drop(self, holder: K) -> None:
        """Forget a holder."""
        self._renewed_at.pop(holder, None)

    def restart_all(self, now: float) -> None:
        """Give everybody a whole lease from now on."""
        self._counted_from = now

    def expired(self, now: float) -> list[K]:
        """Return who ran out, longest silent first. Call it after all input has been taken."""
        if now - self._looked_at > self.lease_seconds * _STALL_SHARE:
            self.stall_count += 1
            self.restart_all(now)
        self._looked_at = now
        if now - self._counted_from < self.lease_seconds:
            return []
        deadline = now - self.lease_seconds
        out: list[K] = []
        for holder, renewed_at in self._renewed_at.items():
            if renewed_at > deadline:
                break
            out.append(holder)
        return out

    def next_look_at(self) -> float:
        """Return when to call `expired` next, often enough that lateness means a stall."""
        return self._looked_at + self.lease_seconds / _LOOKS_PER_LEASE
