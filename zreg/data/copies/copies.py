"""A replica's side of replication: it takes the changes of primaries, and compares its copies.

A change is taken only from the node that is the primary of its bucket in this node's own
membership. A primary of a former ring is refused, and so learns that there is a newer one.
"""

from itertools import islice
from typing import Final, NamedTuple

from zreg.config import Config
from zreg.data.copies.repairs import Repairs
from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import UnknownNodeError
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Change, DataInfoId, Incarnation, Version
from zreg.primitives.ring import bucket_of
from zreg.wire.records.replication_messages import (
    BucketDigests,
    BucketsCompared,
    Replicate,
    Replicated,
)

_SAY_HELLO: Final = "say NodeHello first"


class _Unfinished(NamedTuple):
    """The last change of a record that another one goes on; a further piece may be there."""

    ring_epoch: int
    name: DataInfoId
    version: Version


class Copies:
    """The copies of this node, and the primaries that send it their changes, by connection."""

    def __init__(
        self,
        config: Config,
        store: DatumStore,
        placement: Placement,
        cluster_member: ClusterMember,
        refusals: Refusals,
    ) -> None:
        self._store = store
        self._placement = placement
        self._cluster_member = cluster_member
        self._refusals = refusals
        self._primaries: dict[Peer, Incarnation] = {}
        self.repairs = Repairs(config, store, placement)
        # The number that each primary is told when the turn ends.
        self._replicated: dict[Peer, int] = {}
        # Copies that may lack a piece of their last change, and are unsure until the next record.
        self._unfinished: dict[Peer, _Unfinished] = {}

    def on_node_hello(self, peer: Peer, primary: Incarnation) -> None:
        """Note which data node is behind a connection, which begins anew."""
        self.forget(peer)
        self._primaries[peer] = primary

    def of_peer(self, peer: Peer) -> Incarnation | None:
        """Return the data node behind a connection; None if it has not said which one it is."""
        return self._primaries.get(peer)

    def forget(self, peer: Peer) -> Incarnation | None:
        """Forget a connection; return its data node if no other connection of it is left."""
        self._replicated.pop(peer, None)
        self._unfinished.pop(peer, None)
        self.repairs.forget(peer)
        primary = self._primaries.pop(peer, None)
        return None if primary in self._primaries.values() else primary

    # --- changes ------------------------------------------------------------------------------

    def on_replicate(self, peer: Peer, replicate: Replicate, now: float) -> list[Effect]:
        """Take changes; the primary of a newer ring is not told that there is a copy yet."""
        primary, ring_epoch = self._primaries.get(peer), self._placement.ring_epoch
        if primary is None:
            return [self._refusals.refuse(peer, 0, UnknownNodeError, _SAY_HELLO)]
        if replicate.ring_epoch < ring_epoch:
            return [self._refusals.not_primary(peer, 0)]
        self._finish(peer, replicate.ring_epoch)
        is_same_ring = replicate.ring_epoch == ring_epoch
        tombstone_seconds = iter(replicate.tombstone_seconds)
        for name, change in replicate.changes:
            seconds = tuple(islice(tombstone_seconds, change.tombstone_count))
            bucket = bucket_of(name)
            if is_same_ring and not self._placement.is_replica_of(primary, bucket):
                return [self._refusals.not_primary(peer, 0)]
            if self._store.buckets.role(bucket) is BucketRole.REPLICA:
                self._store.apply(name, change, now, seconds)
        if not replicate.number and replicate.changes:
            self._note_unfinished(peer, replicate.ring_epoch, *replicate.changes[-1])
        if not is_same_ring:
            return self._cluster_member.see_epoch(replicate.ring_epoch)
        if replicate.number:
            self._replicated[peer] = replicate.number
        return []

    def _note_unfinished(
        self, peer: Peer, ring_epoch: int, name: DataInfoId, change: Change
    ) -> None:
        """Do not let the version of a copy stand for a part of its last change."""
        datum = self._store.find(name)
        if datum is not None and datum.revision == change.version and not datum.is_unsure:
            datum.is_unsure = True
            self._unfinished[peer] = _Unfinished(ring_epoch, name, change.version)

    def _finish(self, peer: Peer, ring_epoch: int) -> None:
        """Go on with the copy that the last record left unfinished, or had finished."""
        unfinished = self._unfinished.pop(peer, None)
        if unfinished is None or unfinished.ring_epoch != ring_epoch:
            return
        datum = self._store.find(unfinished.name)
        if datum is not None and datum.revision == unfinished.version:
            datum.is_unsure = False

    def settle(self) -> list[Effect]:
        """Acknowledge what this turn took."""
        if not self._replicated:
            return []
        replicated, self._replicated = self._replicated, {}
        return [
            Send(Link.REQUESTS, peer, Replicated(number)) for peer, number in replicated.items()
        ]

    # --- comparisons --------------------------------------------------------------------------

    def on_bucket_digests(self, peer: Peer, digests: BucketDigests, now: float) -> list[Effect]:
        """Say which copies are equal, and begin to repair the others."""
        primary = self._primaries.get(peer)
        if primary is None:
            return [self._refusals.refuse(peer, 0, UnknownNodeError, _SAY_HELLO)]
        if digests.ring_epoch > self._placement.ring_epoch:
            return self._cluster_member.see_epoch(digests.ring_epoch)
        if digests.ring_epoch < self._placement.ring_epoch:
            return [self._refusals.not_primary(peer, 0)]
        equal: list[int] = []
        differing: list[int] = []
        for bucket, count, value in digests.digests:
            if self._placement.is_replica_of(primary, bucket):
                held = self._store.buckets.digest(bucket)
                is_equal = (held.count, held.value) == (count, value)
                (equal if is_equal else differing).append(bucket)
        self.repairs.note_equal(peer, equal, now)
        compared = BucketsCompared(digests.ring_epoch, tuple(equal), tuple(differing))
        return [
            Send(Link.REQUESTS, peer, compared),
            *self.repairs.begin(peer, differing, now),
        ]
