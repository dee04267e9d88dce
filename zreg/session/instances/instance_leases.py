"""The leases of the instances that this session answers for."""

from typing import Final

from zreg.model import DataInfoId
from zreg.primitives.timing.deadlines import Deadlines

# After a data node has accepted an instance it stays for this share of its lease at least. Its
# write may have waited for a data node nearly as long as its lease, and taken the instance over
# from another session, at which the program renews it. Its next renewal comes within a quarter.
_KEPT_SHARE: Final = 0.5


class InstanceLease:
    """One lease: of which instance, how long it is, and when it ends."""

    __slots__ = ("instance", "lease_seconds", "name", "until")

    def __init__(self, name: DataInfoId, instance: str) -> None:
        self.name = name
        self.instance = instance
        self.lease_seconds = 0.0
        self.until = 0.0


class InstanceLeases:
    """The leases by publisher id. Times are monotonic seconds.

    Invariant: each lease has its `until` as a deadline.
    """

    def __init__(self) -> None:
        # Plain, since a session looks in each turn whether there is any.
        self.by_id: dict[bytes, InstanceLease] = {}
        self._deadlines: Deadlines[bytes] = Deadlines()

    def __len__(self) -> int:
        """Return how many leases there are."""
        return len(self.by_id)

    def __contains__(self, publisher_id: bytes) -> bool:
        """Return whether an instance has a lease here."""
        return publisher_id in self.by_id

    def begin(
        self, publisher_id: bytes, name: DataInfoId, instance: str, seconds: float, now: float
    ) -> None:
        """Begin the lease of an instance, or begin it again."""
        lease = self.by_id.get(publisher_id)
        if lease is None:
            lease = self.by_id[publisher_id] = InstanceLease(name, instance)
        lease.lease_seconds = seconds
        self._set(publisher_id, lease, now + seconds)

    def note_accepted(self, publisher_id: bytes, now: float) -> None:
        """Note that a data node has accepted an instance."""
        lease = self.by_id.get(publisher_id)
        if lease is not None:
            until = max(lease.until, now + lease.lease_seconds * _KEPT_SHARE)
            self._set(publisher_id, lease, until)

    def begin_all(self, now: float) -> None:
        """Begin all leases again: this process has stalled, and may not have heard renewals."""
        for publisher_id, lease in self.by_id.items():
            self._set(publisher_id, lease, now + lease.lease_seconds)

    def _set(self, publisher_id: bytes, lease: InstanceLease, until: float) -> None:
        if until != lease.until:
            lease.until = until
            self._deadlines.set(publisher_id, until)

    def drop(self, publisher_id: bytes) -> None:
        """End the lease of an instance, if it has one."""
        if self.by_id.pop(publisher_id, None) is not None:
            self._deadlines.drop(publisher_id)

    def take_ended(self, now: float) -> list[tuple[bytes, InstanceLease]]:
        """Drop the leases that have ended, and return them."""
        ended = self._deadlines.take_due(now)
        return [(publisher_id, self.by_id.pop(publisher_id)) for publisher_id in ended]

    def next_at(self) -> float | None:
        """Return when the next lease ends; None if there is none."""
        return self._deadlines.next_at()
