"""What a primary sends one replica: its changes and digests, in order, and what is acknowledged."""

from collections.abc import Iterable
from typing import Final

from zreg.data.store.datum_buckets import DatumBuckets
from zreg.effects import Effect, Link, Send
from zreg.model import Change, DataInfoId
from zreg.wire.parts import ReplicatedChange, replicate_records
from zreg.wire.records.replication_messages import BucketDigests, Replicate

# A replica that acknowledged too late is out of sync for so long.
_LAG_SECONDS: Final = 2.0


class ReplicaStream:
    """One replica, by the name of its connection.

    Invariant: a bucket is in `in_sync` only if its copy was equal at some point of this stream, all
    changes since that point were sent, and each was acknowledged in time.
    """

    __slots__ = (
        "_awaited_from",
        "_changes",
        "_due",
        "_lagged_at",
        "_lags_until",
        "_missed",
        "_sent",
        "acked",
        "buckets",
        "in_sync",
        "is_up",
        "peer",
    )

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.is_up = False
        # The buckets of which the replica has to keep a copy.
        self.buckets: frozenset[int] = frozenset()
        self.in_sync: frozenset[int] = frozenset()
        # The highest number that the replica has acknowledged.
        self.acked = 0
        # The numbers of changes that may be lost, since a connection ended, or refused, since the
        # ring changed; only a digest tells.
        self._missed = range(0)
        # The number at which the present connection began.
        self._awaited_from = 0
        # The highest number that was sent over the present connection.
        self._sent = 0
        # Until when it counts for nothing, since it acknowledged too late; None if it was in time.
        self._lags_until: float | None = None
        # The highest number that was sent when it acknowledged too late.
        self._lagged_at = 0
        # What is sent when the turn ends.
        self._changes: list[ReplicatedChange] = []
        self._due: set[int] = set()

    def begin(self, number: int) -> None:
        """Begin a stream at a number of its own: all copies are compared first."""
        self.end()
        self.is_up = True
        self.doubt(number)
        self._awaited_from = number
        self._sent = self._lagged_at = 0
        self.request_digests(self.buckets)

    def end(self) -> None:
        """End the stream: its connection is gone."""
        self.is_up = False
        self.in_sync = frozenset()
        self._changes.clear()
        self._due.clear()

    def take_buckets(self, buckets: frozenset[int]) -> None:
        """Replicate these buckets under a new ring; all copies are compared first."""
        self.buckets = buckets
        self.in_sync = frozenset()
        self._due.clear()
        self.request_digests(buckets)

    def doubt(self, number: int) -> None:
        """Note that a later acknowledgement is none of the changes before this number."""
        start = self._missed.start if self._missed else self.acked + 1
        self._missed = range(start, number)

    def acknowledge(self, number: int) -> None:
        """Note what the replica acknowledges: all before it, unless there is a doubt between."""
        self.acked = number
        if number < self._missed.stop:
            self._missed = range(number + 1, self._missed.stop)

    def holds(self, number: int) -> bool:
        """Return whether the replica has acknowledged the changes up to a number."""
        return number <= self.acked and number not in self._missed

    def is_awaited(self, number: int) -> bool:
        """Return whether the changes up to a number wait for this replica."""
        counts = self.is_up and self._lags_until is None
        return counts and number > self.acked and number >= self._awaited_from

    def lag(self, now: float) -> None:
        """Note that the replica acknowledged too late."""
        self.in_sync = frozenset()
        self._lags_until = now + _LAG_SECONDS
        self._lagged_at = self._sent

    def note_compared(self, equal: Iterable[int], differing: Iterable[int], now: float) -> None:
        """Note which copies were equal at a point of this stream.

        Of a late replica that point may be long before the present one, so nothing counts before it
        has acknowledged what was sent to it when it was late.
        """
        lags_until = self._lags_until
        if lags_until is not None and now >= lags_until and self.acked >= self._lagged_at:
            self._lags_until = None
        if self._lags_until is None:
            self.in_sync = (self.in_sync | self.buckets.intersection(equal)) - set(differing)

    def note(self, name: DataInfoId, change: Change, tombstone_seconds: tuple[float, ...]) -> None:
        """Send a change, with the `Datum.tombstone_seconds` of its removals, when the turn ends."""
        self._changes.append((name, change, tombstone_seconds))

    def request_digests(self, buckets: Iterable[int]) -> None:
        """Send the digests of these buckets when the turn ends, after the changes."""
        if self.is_up:
            self._due.update(buckets)

    def compare(self) -> None:
        """Compare all copies when the turn ends, also those without changes."""
        self.request_digests(self.buckets)

    def settle(self, buckets: DatumBuckets, ring_epoch: int, number: int) -> list[Effect]:
        """Send what was noted; `number` is that of the last change of this node."""
        effects: list[Effect] = []
        if self._changes:
            self._sent = number
            records = replicate_records(ring_epoch, number, self._changes)
            effects += [Send(Link.DATA, self.peer, record) for record in records]
            self._changes = []
        if self._due:
            held = [(bucket, buckets.digest(bucket)) for bucket in sorted(self._due)]
            digests = tuple((bucket, digest.count, digest.value) for bucket, digest in held)
            if self._lags_until is not None and self.acked < number:
                # Its acknowledgement may be lost: it may have refused a change under another ring.
                effects.append(Send(Link.DATA, self.peer, Replicate(ring_epoch, number, ())))
            effects.append(Send(Link.DATA, self.peer, BucketDigests(ring_epoch, digests)))
            self._due = set()
        return effects

    def ask(self, ring_epoch: int, number: int) -> list[Effect]:
        """Have the replica acknowledge a number of which it was sent no change."""
        if max(self.acked, self._sent) >= number:
            return []
        self._sent = number
        return [Send(Link.DATA, self.peer, Replicate(ring_epoch, number, ()))]
