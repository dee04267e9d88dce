"""A data node's decisions: it takes writes, answers followers, and compares with sessions.

Sessions write to the primary of an id and follow it. The node is the primary of the ids that the
ring of its own membership gives it, and drops all others. Everything that one turn merges into a
datum becomes one change with one hint.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.data.copies.replica_handler import ReplicaHandler
from zreg.data.followers.followers import Followers
from zreg.data.health import health_of
from zreg.data.instance_search import InstanceSearch
from zreg.data.open_questions import OpenQuestions
from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.sessions.comparisons import SessionComparisons
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.suspicions import Suspicions
from zreg.data.sessions.writes import Writes
from zreg.data.store.datum_store import DatumStore
from zreg.effects import (
    ENDED,
    Disconnect,
    Effect,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerSlow,
    Stop,
)
from zreg.health import Health
from zreg.membership.cluster_member import ClusterMember, Learned
from zreg.membership.leader_reports import report_gone
from zreg.model import Member, Membership, Role
from zreg.primitives.reports.event_ring import EventRing
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.reports.own_answers import OwnAnswers
from zreg.primitives.ring import bucket_of
from zreg.wire.messages import Message
from zreg.wire.records.data_messages import (
    ClientWaits,
    CompareDigest,
    ComparePublishers,
    CompareVersions,
    FetchChanges,
    FetchInstance,
    ListDatums,
    NodeHello,
    Present,
    PublishDatum,
    UnpublishDatum,
    WritesWait,
)
from zreg.wire.records.membership_messages import MembershipReply

if TYPE_CHECKING:
    from random import Random

_SWEEP_SECONDS: Final = 10.0
# How many publishers one turn evicts, drops or sweeps: the next turn goes on. It takes 5 to 20 ms.
_SLICE: Final = 1000


class DataCore:
    """One data node: routes messages to the parts, and acts on a new membership.

    The parts share the store, the placement and the refusals; each docstring says what it decides.
    """

    def __init__(
        self,
        member: Member,
        config: Config,
        *,
        rng: "Random",
        now: float,
        cached: Membership | None = None,
    ) -> None:
        assert member.role is Role.DATA
        self.events = EventRing(member.node_id, member.process_id)
        hops = HopRings(self._replicas_of)
        self._config = config
        self._cluster_member = ClusterMember(
            member, config, rng=rng, now=now, cached=cached, reports_ready=True
        )
        self._store = DatumStore(config)
        self._placement = Placement(member.node_id)
        self._refusals = Refusals()
        parts = (self._placement, self._cluster_member, self._refusals)
        self._replicas = ReplicaHandler(config, self._store, *parts, hops=hops, rng=rng)
        self._hints = self._replicas.hints
        self._contacts = SessionContacts(config)
        self._suspicions = Suspicions(
            config, self._contacts, self._cluster_member, self._placement, self._store
        )
        shared = (*parts, self._suspicions, self._contacts, self._replicas.acceptances)
        self._writes = Writes(config, self._store, *shared)
        self._followers = Followers(self._store, self._hints, *parts)
        self._questions = OpenQuestions(
            OwnAnswers(self.events, self.statistics, hops, InstanceSearch(self._store.buckets)),
            self._cluster_member,
            self._refusals,
        )
        self._comparisons = SessionComparisons(
            self._store, self._placement, self._refusals, self._contacts, self._suspicions
        )
        # The epoch of the membership that this core has acted on, not only heard of.
        self._refusals.epoch = self._cluster_member.membership.epoch
        self._store.buckets.follow(self._placement.roles(), self._refusals.epoch)
        self._beat_at = now
        self._sweep_at = now + _SWEEP_SECONDS
        # When the work that was too much for one turn goes on; None if there is none.
        self._go_on_at: float | None = None

    def __repr__(self) -> str:
        """Show epoch and sizes."""
        incarnation = self._placement.incarnation
        return f"<DataCore {incarnation} epoch={self.epoch} datums={len(self._store)}>"

    @property
    def epoch(self) -> int:
        """The epoch of the membership that this node follows."""
        return self._refusals.epoch

    def start(self, now: float) -> Sequence[Effect]:
        """Listen to announcements. A cached membership gives meta addresses, but no buckets."""
        del now
        return self._cluster_member.start().effects

    # --- messages -----------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take one message; writes and fetches of sessions come first, since most are these."""
        if link is Link.REQUESTS:
            match message:
                case PublishDatum():
                    return self._writes.on_publish(peer, message, now)
                case UnpublishDatum():
                    return self._writes.on_unpublish(peer, message, now)
                case FetchChanges():
                    return self._followers.on_fetch_changes(peer, message, now)
                case MembershipReply() if self._contacts.of_peer(peer):
                    learned = self._cluster_member.take_from_member(
                        message.membership, now, is_answer=False
                    )
                    return self._act_on(learned, now)
                case _:
                    return self._receive_rest(peer, message, now)
        if link is Link.DATA:
            return self._replicas.receive_from_replica(str(peer), message, now)
        if isinstance(message, Local):
            return self._receive_event(message, now)
        return self._act_on(self._cluster_member.receive(link, peer, message, now), now)

    def _receive_event(self, event: Local, now: float) -> Sequence[Effect]:
        effects = self._replicas.receive_event(event, now)
        if effects is not None:
            return effects
        match event:
            case PeerLost(link=Link.REQUESTS):
                return self._on_peer_lost(event, now)
            case PeerSlow(link=Link.REQUESTS):
                self._contacts.forget(event.peer, now)
                self._writes.forget(event.peer)
                self._replicas.copies.forget(event.peer)
                return [Disconnect(Link.REQUESTS, event.peer)]
            case Stop():
                return self._cluster_member.leave()
            case _:
                learned = self._cluster_member.receive(Link.LOCAL, "", event, now)
                return self._act_on(learned, now)

    def _receive_rest(self, peer: Peer, message: Message | Local, now: float) -> Sequence[Effect]:
        effects = self._replicas.receive_from_primary(peer, message, now)
        if effects is not None:
            return effects
        match message:
            case NodeHello() | WritesWait() | ClientWaits() | Present():
                return self._comparisons.on_told(peer, message, now)
            case CompareDigest():
                return self._on_compare_digest(peer, message, now)
            case CompareVersions():
                return self._followers.on_compare_versions(peer, message)
            case ComparePublishers():
                return self._comparisons.on_compare_publishers(peer, message)
            case ListDatums():
                return self._followers.on_list_datums(peer, message)
            case FetchInstance():
                return self._writes.http_instances.on_fetch(peer, message)
            case _:
                return self._questions.answer(peer, message, now, is_known=self._knows(peer))

    def _on_compare_digest(self, peer: Peer, compare: CompareDigest, now: float) -> list[Effect]:
        effects, is_last = self._comparisons.on_compare_digest(peer, compare)
        if not is_last:
            return effects
        effects += self._evict(now)
        # A snapshot from an unreconciled node may lack publishers. The beat tells the followers
        # that they can fetch a complete one now.
        return effects + self._beat()

    def _replicas_of(self, data_info_id: str) -> Collection[str]:
        """Return the peer names of the nodes that get the changes of an id from this one."""
        return self._replicas.replication.peers_of(bucket_of(data_info_id))

    def _knows(self, peer: Peer) -> bool:
        """Return whether a connection has said which node is behind it."""
        return (
            self._contacts.of_peer(peer) is not None
            or self._replicas.copies.of_peer(peer) is not None
        )

    def _on_peer_lost(self, lost: PeerLost, now: float) -> list[Effect]:
        """Forget the connection; report its node to meta if the connection was ended."""
        self._writes.forget(lost.peer)
        session = self._contacts.forget(lost.peer, now)
        node = self._replicas.copies.forget(lost.peer) or session
        if node is None or lost.reason not in ENDED:
            return []
        return report_gone(self._cluster_member, node)

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> Sequence[Effect]:
        """Renew the lease, beat, and sweep what has expired."""
        self._cluster_member.counts.copies = self._replicas.copies.repairs.copy_counts
        effects = self._act_on(self._cluster_member.tick(now), now)
        if now >= self._beat_at:
            self._beat_at = now + self._config.beat_seconds
            self._suspicions.forget_released(now)
            effects += self._beat()
            # A publisher of a session long gone may have come from an old copy.
            self._go_on_at = now
        if now >= self._sweep_at:
            is_done = self._store.sweep(now, _SLICE)
            self._sweep_at = now + _SWEEP_SECONDS if is_done else now
        if self._go_on_at is not None:
            self._go_on_at = None
            self._check_some(now)
            effects += self._evict(now)
        return effects + self._replicas.tick(now)

    def settle(self, now: float) -> Sequence[Effect]:
        """Judge suspicions, commit what this turn merged, send hints, replicate, then accept."""
        return self._writes.judge(now) + self._commit(now)

    def _commit(self, now: float) -> list[Effect]:
        effects = self._hints.commit(self._store.dirty(), self.epoch, now)
        return effects + self._replicas.settle(now)

    def next_tick_at(self) -> float | None:
        """Return when something is due."""
        due = min(self._beat_at, self._sweep_at)
        for at in (
            self._cluster_member.next_tick_at(),
            self._go_on_at,
            self._replicas.next_tick_at(),
        ):
            if at is not None and at < due:
                due = at
        return due

    def _beat(self) -> list[Effect]:
        incarnation = self._placement.incarnation
        if incarnation is None:
            return []
        return [self._hints.beat(incarnation, self._placement.unreconciled)]

    # --- for people ---------------------------------------------------------------------------

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes; copies of other primaries' publishers count apart."""
        publishers = self._store.buckets.primary_publisher_count()
        return {
            **self._cluster_member.statistics(),
            "ring_epoch": self._placement.ring_epoch,
            "datums": len(self._store),
            "publishers": publishers,
            "copied_publishers": self._store.buckets.publisher_count - publishers,
            "sessions": len(self._contacts),
            "unreconciled": len(self._placement.unreconciled),
            "hints": self._hints.hint_count,
            "beats": self._hints.beat_count,
            "refusals": self._refusals.count,
            "suspicions": len(self._suspicions),
            "publishers_refused": self._writes.limits.refused_count,
            **self._replicas.statistics(),
        }

    def health(self, now: float) -> Health:
        """Return the problems that this core knows of."""
        copy_watch = self._replicas.copy_watch
        return health_of(self._cluster_member, copy_watch, self._writes.limits, now)

    # --- membership ---------------------------------------------------------------------------

    def _act_on(self, learned: Learned, now: float) -> list[Effect]:
        """Act on what this node learned as a member; return the effects of both steps."""
        effects, placement = learned.effects, self._placement
        incarnation = self._cluster_member.incarnation
        is_new_life = learned.has_new_incarnation and incarnation != placement.incarnation
        if not is_new_life and not learned.has_new_membership:
            return effects
        # What this turn merged so far belongs to the epoch at which it came. Suspicions are judged
        # after it, with the new sessions in view.
        effects += self._commit(now)
        membership = self._cluster_member.membership
        if is_new_life:
            # Sessions may have written elsewhere while this node was no member. They send
            # everything again.
            placement.start_over(None, membership)
            effects += self._take_roles(now, has_new_ring=True)
            placement.start_over(incarnation, membership)
            effects += self._take_roles(now, has_new_ring=True)
            effects += self._replicas.replication.begin_all()
        if learned.has_new_membership:
            effects += self._follow(membership, now)
        return effects

    def _evict(self, now: float) -> list[Effect]:
        """Evict what may be evicted, as far as one turn allows, and commit."""
        if self._placement.may_evict and not self._writes.evict_forgotten(_SLICE):
            self._go_on_at = now
        return self._hints.commit(self._store.dirty(), self.epoch, now)

    def _take_roles(self, now: float, *, has_new_ring: bool) -> list[Effect]:
        """Let the store and the replicas know for which buckets this node is what."""
        self._store.buckets.follow(self._placement.roles(), self.epoch)
        self._check_some(now)
        self._replicas.on_roles(now, has_new_ring=has_new_ring)
        membership = self._cluster_member.membership
        effects = self._replicas.follow(membership, now, has_new_ring=has_new_ring)
        return effects + self._writes.refuse_of_others()

    def _check_some(self, now: float) -> None:
        """Check what a new ring changed in the store, as far as one turn allows."""
        self._store.buckets.check_some(_SLICE)
        if self._store.buckets.is_checking:
            self._go_on_at = now

    def _follow(self, membership: Membership, now: float) -> list[Effect]:
        """Take the roles of a new ring, and evict the publishers of sessions long gone."""
        self._refusals.epoch = membership.epoch
        before = list(self._placement.unreconciled)
        ring = self._placement.ring
        if self._placement.follow(membership):
            effects = self._take_roles(now, has_new_ring=True)
        elif self._placement.ring is not ring:
            # Guests have come or gone.
            effects = self._take_roles(now, has_new_ring=False)
        else:
            effects = self._replicas.follow(membership, now, has_new_ring=False)
        self._writes.follow(membership)
        self._contacts.follow(membership, now)
        effects += self._evict(now)
        if before != list(self._placement.unreconciled):
            # As after the last digest: the beat tells followers to fetch complete snapshots.
            effects += self._beat()
        return effects
