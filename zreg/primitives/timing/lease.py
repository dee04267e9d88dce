"""Leases: which holders were silent for too long while this process was running.

The owner of a table renews a lease at every sign of life and calls `expired` often. If more than a
quarter of the lease passed since the last call (the process was frozen, its loop was stuck), no
holder could renew in that time, so every lease starts again.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K")

_STALL_SHARE: Final = 0.25
_LOOKS_PER_LEASE: Final = 16


class LeaseTable(Generic[K]):
    """The last renewal of each holder, the oldest first. Times are monotonic seconds."""

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
        """Iterate over the holders, the longest silent first."""
        return iter(self._renewed_at)

    def __len__(self) -> int:
        """Return the number of leases."""
        return len(self._renewed_at)

    def renew(self, holder: K, now: float) -> None:
        """Start the lease of a holder, or start it again after a sign of life."""
        self._renewed_at.pop(holder, None)
        self._renewed_at[holder] = now

    def drop(self, holder: K) -> None:
        """End the lease of a holder, if it has one."""
        self._renewed_at.pop(holder, None)

    def restart_all(self, now: float) -> None:
        """Start all leases again."""
        self._counted_from = now

    def expired(self, now: float) -> list[K]:
        """Return the holders whose leases have expired, the longest silent first.

        They stay in the table until they are dropped. Call this after all input has been handled,
        or a waiting renewal comes too late. Starts all leases again after a stall.
        """
        if self.is_stalled(now):
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

    def is_stalled(self, now: float) -> bool:
        """Return whether `expired` was not called for so long that its caller has stalled."""
        return now - self._looked_at > self.lease_seconds * _STALL_SHARE

    def next_look_at(self) -> float:
        """Return when to call `expired` next: so often that a late call shows a stall."""
        return self._looked_at + self.lease_seconds / _LOOKS_PER_LEASE
