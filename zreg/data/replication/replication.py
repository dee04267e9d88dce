"""A primary's side of replication: which nodes keep copies of its buckets, and which are in sync.

The primary sends each replica its changes over one ordered connection, and once in a while the
digests of its buckets. A replica whose copy of a bucket is equal at such a point is in sync from
there on, until it acknowledges too late or its connection ends. (Kafka has such in-sync sets; here
no quorum decides, since zreg is AP.)
"""

from collections.abc import Iterable
from typing import Final

from zreg.config import Config
from zreg.data.placement import Placement
from zreg.data.replication.replica_stream import ReplicaStream
from zreg.data.store.datum import Datum
from zreg.data.store.datum_buckets import DatumBuckets
from zreg.effects import Effect, Link, PeerLost, PeerUp, Send
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.data_connections import DataConnections
from zreg.model import Change, Member, Membership, Role, Status
from zreg.wire.records.data_messages import NodeHello
from zreg.wire.records.replication_messages import BucketsCompared, Replicated

_HOLDERS: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING)


class Replication:
    """All replicas of this node's primary buckets, and the connections to them.

    `number` is that of the last change, or of the last beginning of a stream: all of this process
    have one order. Invariant: a replica has a stream exactly if there is a connection to it, or one
    is being made.
    """

    def __init__(
        self,
        config: Config,
        buckets: DatumBuckets,
        placement: Placement,
        connections: DataConnections,
    ) -> None:
        self._config = config
        self._buckets = buckets
        self._placement = placement
        self._connections = connections
        self._members: list[Member] = []
        self._streams: dict[str, ReplicaStream] = {}
        # The peer names of the nodes that join or leave, and of those that leave.
        self._guests: frozenset[str] = frozenset()
        self._leaving: frozenset[str] = frozenset()
        # For each bucket, the streams of its replicas and guests; none where this node is not the
        # primary.
        self._targets: list[tuple[ReplicaStream, ...]] = [()] * len(placement.ring.placements)
        # For each bucket, what `awaited` returns; None: not known since the last change of any.
        self._awaited: list[tuple[str, ...] | None] = [()] * len(self._targets)
        # The replicas that may have refused changes because the ring changed in this turn.
        self._doubted: list[str] = []
        # How many copies of its buckets this node's replicas should have.
        self._wanted_count = 0
        self.number = 0
        # When all copies are compared next.
        self._digest_at = 0.0

    def stream(self, peer: str) -> ReplicaStream | None:
        """Return the stream to a replica."""
        return self._streams.get(peer)

    def awaited(self, bucket: int) -> tuple[str, ...]:
        """Return the peer names of the nodes in sync that a write of a bucket waits for.

        These are its replicas, and the nodes that join: one of them may be the primary a moment
        later, and must not lack what was accepted.
        """
        known = self._awaited[bucket]
        if known is None:
            known = tuple(
                stream.peer
                for stream in self._targets[bucket]
                if bucket in stream.in_sync and stream.peer not in self._leaving
            )
            self._awaited[bucket] = known
        return known

    def peers_of(self, bucket: int) -> tuple[str, ...]:
        """Return the peer names of the nodes that get the changes of a bucket."""
        return tuple(stream.peer for stream in self._targets[bucket])

    def counts(self, peer: str) -> bool:
        """Return whether what a node holds counts as a copy: a guest's does not."""
        return peer not in self._guests

    def copy_counts(self) -> tuple[int, int]:
        """Return how many copies of its buckets are in sync, and how many there should be."""
        replicas = (s for s in self._streams.values() if s.peer not in self._guests)
        return sum(len(stream.in_sync) for stream in replicas), self._wanted_count

    def _note_moved(self) -> None:
        """Forget what is known of `awaited`, because a stream has changed."""
        self._awaited = [None] * len(self._targets)

    # --- membership, connections --------------------------------------------------------------

    def follow(self, membership: Membership, *, has_new_ring: bool) -> list[Effect]:
        """Take a new membership, after the placement; connect to all replicas.

        Under a new ring all copies are compared again.
        """
        members = membership.of(Role.DATA, *_HOLDERS)
        if not has_new_ring and members == self._members:
            return []
        self._members = members
        guests = (m for m in members if m.status is not Status.WORKING)
        self._guests = frozenset(str(m.incarnation) for m in guests)
        leaving = (m for m in members if m.status is Status.LEAVING)
        self._leaving = frozenset(str(m.incarnation) for m in leaving)
        self._wanted_count = self._placement.wanted_copy_count()
        holders = self._placement.holders()
        held: dict[str, list[int]] = {}
        for bucket, nodes in enumerate(holders):
            for node_id in nodes:
                held.setdefault(node_id, []).append(bucket)
        effects = self._connections.follow(m for m in members if m.node_id in held)
        former, self._streams = self._streams, {}
        by_node: dict[str, ReplicaStream] = {}
        for node_id, peer in self._connections.peers.items():
            stream = former.get(peer) or ReplicaStream(peer)
            self._streams[peer] = by_node[node_id] = stream
            buckets = frozenset(held[node_id])
            if has_new_ring or stream.buckets != buckets:
                stream.take_buckets(buckets)
        self._targets = [
            tuple(by_node[node_id] for node_id in nodes if node_id in by_node) for nodes in holders
        ]
        if has_new_ring:
            self._doubt_unacknowledged()
        self._note_moved()
        return effects

    def _doubt_unacknowledged(self) -> None:
        """Count on no change that is under way: a replica that knows the new ring refuses it."""
        behind = [s for s in self._streams.values() if s.is_up and s.acked < self.number]
        if behind:
            # As for `begin`: later changes need numbers above it.
            self.number += 1
        for stream in behind:
            stream.doubt(self.number)
        self._doubted = [stream.peer for stream in behind]

    def on_peer_up(self, event: PeerUp) -> list[Effect]:
        """Say who this node is, and begin the stream."""
        peer = self._connections.on_peer_up(event)
        return [] if peer is None else self.begin(peer)

    def begin(self, peer: str) -> list[Effect]:
        """Begin the stream to a replica, which may have forgotten a former one."""
        stream, incarnation = self._streams.get(peer), self._placement.incarnation
        if stream is None or incarnation is None or not self._connections.is_up(peer):
            return []
        if stream.acked < self.number:
            # The changes up to here may be lost: later ones need numbers above it.
            self.number += 1
        stream.begin(self.number)
        self._note_moved()
        return [Send(Link.DATA, peer, NodeHello(incarnation, Role.DATA))]

    def begin_all(self) -> list[Effect]:
        """Begin all streams, as another incarnation of this node."""
        return [effect for peer in self._streams for effect in self.begin(peer)]

    def on_peer_lost(self, event: PeerLost, now: float) -> str | None:
        """End a stream; return its peer, None if the connection had none."""
        peer = self._connections.on_peer_lost(event, now)
        stream = None if peer is None else self._streams.get(peer)
        if stream is None:
            return None
        stream.end()
        self._note_moved()
        return peer

    def report(self, lost: PeerLost, cluster_member: ClusterMember) -> list[Effect]:
        """Report to meta that a replica may be gone."""
        return self._connections.report(lost, cluster_member)

    def lag(self, stream: ReplicaStream, now: float) -> None:
        """Take a replica for out of sync, because it acknowledges too late."""
        stream.lag(now)
        self._note_moved()

    # --- changes, digests ---------------------------------------------------------------------

    def note(self, datum: Datum, change: Change, now: float) -> None:
        """Send a change to the replicas of its datum when the turn ends."""
        self.number += 1
        seconds = datum.tombstone_seconds(change.removals, now) if change.removals else ()
        for stream in self._targets[datum.bucket]:
            if stream.is_up:
                stream.note(datum.name, change, seconds)

    def on_replicated(self, peer: str, replicated: Replicated) -> bool:
        """Note what a replica holds; return whether that is news."""
        stream = self._streams.get(peer)
        if stream is None or not stream.acked < replicated.number <= self.number:
            return False
        stream.acknowledge(replicated.number)
        return True

    def on_buckets_compared(self, peer: str, compared: BucketsCompared, now: float) -> None:
        """Note which copies of a replica are equal."""
        stream = self._streams.get(peer)
        if stream is not None and compared.ring_epoch == self._placement.ring_epoch:
            stream.note_compared(compared.equal, compared.differing, now)
            self._note_moved()

    def request_digest(self, peer: str, bucket: int) -> None:
        """Compare one copy again when the turn ends: the replica has filled in what it lacked."""
        stream = self._streams.get(peer)
        if stream is not None and bucket in stream.buckets:
            stream.request_digests((bucket,))

    def settle(self) -> list[Effect]:
        """Send the changes of this turn, and the digests that are due."""
        ring_epoch, number = self._placement.ring_epoch, self.number
        effects: list[Effect] = []
        for stream in self._streams.values():
            effects += stream.settle(self._buckets, ring_epoch, number)
        if self._doubted:
            # What was under way when the ring changed may be refused. The answer to this ends the
            # wait for it. It tells nothing of a write that comes again: that has a higher number.
            effects += self.ask(peer for peer in self._doubted if peer in self._streams)
            self._doubted = []
            self.number += 1
        return effects

    def ask(self, peers: Iterable[str]) -> list[Effect]:
        """Have these replicas acknowledge the present number, after `settle`."""
        ring_epoch = self._placement.ring_epoch
        effects: list[Effect] = []
        for peer in peers:
            effects += self._streams[peer].ask(ring_epoch, self.number)
        return effects

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Connect again; once in a while compare all copies, also those without changes.

        A copy may differ for a reason that no change shows. The digests are kept, and there are
        1,024 buckets, so a comparison at rest costs no more than one under load.
        """
        if now >= self._digest_at:
            self._digest_at = now + self._config.digest_seconds
            for stream in self._streams.values():
                stream.compare()
        return self._connections.tick(now)

    def next_tick_at(self) -> float | None:
        """Return when something is due; None if there are no replicas."""
        if not self._streams:
            return None
        at = self._connections.next_tick_at()
        return self._digest_at if at is None else min(at, self._digest_at)
