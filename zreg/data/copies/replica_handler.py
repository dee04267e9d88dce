"""A data node's side towards other data nodes: as the primary of buckets, and as a replica.

On `Link.DATA` are the connections that this node made to its replicas, on `Link.REQUESTS` those
that primaries made to it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.data.copies.copies import Copies
from zreg.data.copies.copy_answers import CopyAnswers
from zreg.data.copies.handover import Handover
from zreg.data.followers.hints import Hints
from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.replication.acceptances import Acceptances
from zreg.data.replication.copy_watch import CopyWatch
from zreg.data.replication.replication import Replication
from zreg.data.replication.take_overs import TakeOvers
from zreg.data.store.datum_store import DatumStore
from zreg.effects import (
    TIMED_OUT,
    Disconnect,
    Effect,
    HandOver,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerSlow,
    PeerUp,
)
from zreg.errors import UnknownNodeError
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.data_connections import DataConnections
from zreg.model import Membership, Role
from zreg.primitives.reports.hop_rings import HopRings
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import NodeHello
from zreg.wire.records.replication_messages import (
    BucketDigests,
    BucketsCompared,
    DatumCopy,
    DatumDigests,
    FetchBucket,
    FetchCopies,
    OfferCopy,
    Replicate,
    Replicated,
)

if TYPE_CHECKING:
    from random import Random


# The copies are counted so often, when a tick is due anyway.
_LOOK_SECONDS: Final = 1.0


class ReplicaHandler:
    """Joins what this node is as a primary (`replication`, …) and as a replica (`copies`)."""

    def __init__(  # noqa: PLR0913 -- one argument per part
        self,
        config: Config,
        store: DatumStore,
        placement: Placement,
        cluster_member: ClusterMember,
        refusals: Refusals,
        *,
        hops: HopRings,
        rng: "Random",
    ) -> None:
        self._acks = hops.acks
        self._cluster_member = cluster_member
        self._refusals = refusals
        connections = DataConnections(config, hears_changes=False, rng=rng)
        self.replication = Replication(config, store.buckets, placement, connections)
        self.acceptances = Acceptances(config, self.replication, hops)
        self.hints = Hints(store, self.replication, hops)
        self.copies = Copies(config, store, placement, cluster_member, refusals)
        self.copy_watch = CopyWatch(placement, self.replication)
        self._take_overs = TakeOvers(placement)
        self._look_at = 0.0
        self.handover = Handover(config, placement, cluster_member, self.copies.repairs)
        self._answers = CopyAnswers(config, store, self.hints, placement, self.replication)

    # --- messages -----------------------------------------------------------------------------

    def receive_from_replica(
        self, peer: str, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take a message of a node that keeps copies of this node's buckets."""
        match message:
            case Replicated():
                if self.replication.on_replicated(peer, message):
                    self._acks[peer].append((message.number, now))
                    self.acceptances.on_acked(peer, now)
            case BucketsCompared():
                self.replication.on_buckets_compared(peer, message, now)
            case FetchBucket():
                return self._answers.on_fetch_bucket(peer, message, self._refusals.epoch)
            case FetchCopies():
                return self._answers.on_fetch_copies(peer, message, self._refusals.epoch, now)
            case OfferCopy():
                return self._answers.on_offer_copy(peer, message, self._refusals.epoch, now)
            case Refused(code=UnknownNodeError.code):
                effects = self.replication.begin(peer)
                self.acceptances.on_acked(peer, now)
                return effects
            case Refused():
                return self._cluster_member.see_epoch(message.epoch)
            case _:
                pass
        return ()

    def receive_from_primary(
        self, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect] | None:
        """Take a message of a primary whose copies this node keeps; None if it is no such one."""
        repairs = self.copies.repairs
        match message:
            case Replicate():
                return self.copies.on_replicate(peer, message, now)
            case BucketDigests():
                return self.copies.on_bucket_digests(peer, message, now)
            case DatumDigests():
                return repairs.on_datum_digests(peer, message, now)
            case DatumCopy():
                return repairs.on_datum_copy(peer, message, now)
            case Refused():
                return repairs.on_refused(peer, message.request_id, now)
            case NodeHello(role=Role.DATA):
                self.copies.on_node_hello(peer, message.incarnation)
                return ()
            case _:
                return None

    def receive_event(self, event: Local, now: float) -> Sequence[Effect] | None:
        """Take an event of a connection to a replica; None if it is no such event."""
        match event:
            case HandOver():
                return self.handover.begin(now)
            case PeerUp(link=Link.DATA):
                return self.replication.on_peer_up(event)
            case PeerLost(link=Link.DATA):
                return self._on_replica_lost(event, now)
            case PeerSlow(link=Link.DATA):
                lost = PeerLost(Link.DATA, event.peer, TIMED_OUT)
                return [Disconnect(Link.DATA, event.peer), *self._on_replica_lost(lost, now)]
            case _:
                return None

    def _on_replica_lost(self, lost: PeerLost, now: float) -> list[Effect]:
        """End the stream to a replica, accept what waited for it, and report it to meta."""
        peer = self.replication.on_peer_lost(lost, now)
        if peer is None:
            return []
        self.acceptances.on_acked(peer, now)
        return self.replication.report(lost, self._cluster_member)

    # --- membership ---------------------------------------------------------------------------

    def follow(self, membership: Membership, now: float, *, has_new_ring: bool) -> list[Effect]:
        """Take a new membership, after the placement."""
        effects = self.replication.follow(membership, has_new_ring=has_new_ring)
        self.acceptances.release_all(now)
        return effects + self._take_overs.follow() if has_new_ring else effects

    def on_roles(self, now: float, *, has_new_ring: bool) -> None:
        """Take the roles of the store."""
        self.copies.repairs.on_roles(now, has_new_ring=has_new_ring)

    # --- the end of a turn, and time ----------------------------------------------------------

    def settle(self, now: float) -> list[Effect]:
        """Send the changes of this turn, which are committed, and accept what replicas hold."""
        effects = self.replication.settle()
        effects += self.acceptances.settle(now) + self.copies.settle()
        return effects + self.handover.settle(now)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects = self.replication.tick(now) + self.acceptances.tick(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            effects += self.copy_watch.look(now)
        return effects + self.copies.repairs.tick(now)

    def next_tick_at(self) -> float | None:
        """Return when something is due; None if nothing is."""
        due: float | None = None
        for at in (
            self.replication.next_tick_at(),
            self.acceptances.next_tick_at(),
            self.copies.repairs.next_tick_at(),
            self.handover.next_tick_at(),
        ):
            if at is not None and (due is None or at < due):
                due = at
        return due

    def statistics(self) -> dict[str, int]:
        """Return counters and sizes."""
        copies, copies_wanted = self.replication.copy_counts()
        repairs = self.copies.repairs
        return {
            "copies_in_sync": copies,
            "copies_wanted": copies_wanted,
            "waiting_for_replicas": len(self.acceptances),
            "replicas_late": self.acceptances.late_count,
            "repairs": len(repairs),
            "copies_fetched": repairs.copy_count,
            "copies_offered": repairs.offer_count,
        }
