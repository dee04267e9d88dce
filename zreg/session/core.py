"""A session's decisions: its clients on one side, data nodes and meta on the other.

`SessionCore` takes each message and hands it to the part that acts on it:

- `clients/`: what clients ask, what they are answered, and what is pushed to them;
- `upstream/`: what data nodes have to be told, and what is followed there;
- `proxy/`: requests that are passed on to meta or to all data nodes;
- `membership/`: joining the cluster and following the membership.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import (
    Disconnect,
    Effect,
    EpochSeen,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
    Stop,
)
from zreg.errors import NotPrimaryError, NotReadyError, SessionGoneError
from zreg.health import Health
from zreg.membership.cluster_member import ClusterMember, Learned
from zreg.model import Incarnation, Member, Membership, Role
from zreg.session.clients.client_handler import ClientHandler
from zreg.session.health import health_of
from zreg.session.membership_handover import MembershipHandover
from zreg.session.membership_loss import MembershipLoss
from zreg.session.proxy.listings import Listing, Listings
from zreg.session.proxy.meta_proxy import MetaAnswer, MetaProxy
from zreg.session.proxy.questions import Questions
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed_datum import FollowedDatum
from zreg.session.upstream.followed_datums import FollowedDatums
from zreg.session.upstream.node_queues import NodeQueues
from zreg.session.upstream.reconciliation import Reconciliation
from zreg.session.upstream.registrations import Registrations
from zreg.wire.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.data_messages import (
    Beat,
    Changed,
    Changes,
    DatumsListed,
    DigestCompared,
    NodeHello,
    PublishersCompared,
    Snapshot,
    Versions,
)
from zreg.wire.messages import Message

if TYPE_CHECKING:
    from random import Random

# Refusals after which a request is sent again.
_TRANSIENT: Final = (NotPrimaryError.code, NotReadyError.code, SessionGoneError.code)


class SessionCore:
    """One session node."""

    def __init__(
        self,
        member: Member,
        config: Config,
        *,
        rng: "Random",
        now: float,
        cached: Membership | None = None,
    ) -> None:
        assert member.role is Role.SESSION
        self._cluster_member = ClusterMember(member, config, rng=rng, now=now, cached=cached)
        # The last incarnation of this session; it stays when meta takes it away.
        self._incarnation: Incarnation | None = None
        self._loss = MembershipLoss()
        self._handover = MembershipHandover()
        self._links = DataLinks(config, rng=rng)
        self._queues = NodeQueues(config, self._links, rng=rng)
        self._registrations = Registrations(self._links, self._queues)
        self._reconciliation = Reconciliation(
            config, self._links, self._registrations, self._queues
        )
        self._followed = FollowedDatums(config, self._links, self._registrations, rng=rng, now=now)
        self._listings = Listings(self._links)
        self._meta_proxy = MetaProxy(self._cluster_member)
        self._client_handler = ClientHandler(
            config,
            self._cluster_member,
            self._registrations,
            self._followed,
            Questions(self._cluster_member, self._listings, self._meta_proxy),
            now=now,
        )

    def __repr__(self) -> str:
        """Show epoch and sizes."""
        return (
            f"<SessionCore {self._incarnation} epoch={self.epoch} "
            f"clients={len(self._client_handler.clients)} "
            f"pending={self._queues.pending_count}>"
        )

    @property
    def epoch(self) -> int:
        """The epoch of the membership that this node follows."""
        return self._cluster_member.membership.epoch

    def start(self, now: float) -> Sequence[Effect]:
        """Begin to look for meta, listen to beats, and follow the membership from the disk."""
        learned = self._cluster_member.start()
        learned.effects += self._followed.start()
        return self._act_on(learned, now)

    # --- messages -----------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take one message; those of clients and data nodes come first, as they are the most."""
        if link is Link.CLIENTS:
            return self._client_handler.receive(peer, message, now)
        if link is Link.DATA:
            return self._receive_from_data(str(peer), message, now)
        match message:
            case Changed():
                return self._followed.on_changed(str(peer), message, now)
            case Beat():
                return self._followed.on_beat(str(peer), message, now)
            case Local():
                return self._on_local(message, now)
            case _:
                return self._receive_from_meta(link, peer, message, now)

    def _receive_from_meta(
        self, link: Link, peer: Peer, message: Message, now: float
    ) -> Sequence[Effect]:
        if link is Link.META and isinstance(message, MetaAnswer):
            answer = self._meta_proxy.on_answer(str(peer), message)
            if answer is not None:
                return answer
        return self._act_on(self._cluster_member.receive(link, peer, message, now), now)

    def _receive_from_data(
        self, peer: str, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        match message:
            case Accepted():
                accepted = self._registrations.on_accepted(peer, message.request_ids)
                self._client_handler.publishing.on_accepted(accepted)
                return ()
            case Changes() | Snapshot() | DatumsListed():
                return self._on_answer(peer, message, now)
            case Refused():
                return self._on_refused(peer, message, now)
            case Versions():
                return self._followed.on_versions(peer, message, now)
            case DigestCompared():
                return self._reconciliation.on_digest_compared(peer, message)
            case PublishersCompared():
                return self._reconciliation.on_publishers_compared(peer, message)
            case Ping():
                return [Send(Link.DATA, peer, Pong())]
            case _:
                return ()

    def _on_answer(
        self, peer: str, answer: Changes | Snapshot | DatumsListed, now: float
    ) -> Sequence[Effect]:
        """Hand an answer to the owner of its request."""
        match self._links.requests.owner(peer, answer.request_id), answer:
            case FollowedDatum() as followed, Changes() as changes:
                return self._followed.on_changes(followed, changes, now)
            case FollowedDatum() as followed, Snapshot() as snapshot:
                effects, lacking = self._followed.on_snapshot(followed, snapshot, now)
                self._registrations.resend(lacking)
                return effects
            case Listing() as listing, DatumsListed() as listed:
                return self._listings.on_datums_listed(peer, listing, listed)
            case _:
                return ()

    def _on_refused(self, peer: str, refused: Refused, now: float) -> Sequence[Effect]:
        """Hand a refusal to the owner of its request; learn from the epoch of the data node."""
        effects: list[Effect] = []
        if refused.epoch > self.epoch:
            seen = EpochSeen(refused.epoch)
            effects += self._act_on(self._cluster_member.receive(Link.LOCAL, "", seen, now), now)
        if refused.code in _TRANSIENT:
            effects += self._handover.on_refused(peer, refused, self._cluster_member.membership)
        match self._links.requests.owner(peer, refused.request_id):
            case FollowedDatum() as followed:
                self._followed.on_refused(followed, now)
            case Listing() as listing:
                effects += self._listings.on_refused(peer, listing, refused)
            case _:
                effects += self._on_registration_refused(peer, refused, now)
        return effects

    def _on_registration_refused(self, peer: str, refused: Refused, now: float) -> list[Effect]:
        is_final = refused.code not in _TRANSIENT
        request_id = refused.request_id
        registration = self._registrations.on_refused(peer, request_id, now, is_final=is_final)
        if registration is None:
            return []
        if is_final:
            return self._client_handler.publishing.on_refused(registration, refused)
        # A refusal of what a former incarnation sent says nothing about the present one.
        is_mine = registration.publisher.session == self._cluster_member.incarnation
        if refused.code == SessionGoneError.code and is_mine and refused.epoch >= self.epoch:
            return self._act_on(self._cluster_member.lose_incarnation(now), now)
        return []

    # --- events of this process ---------------------------------------------------------------

    def _on_local(self, event: Local, now: float) -> Sequence[Effect]:
        match event:
            case PeerLost(link=Link.CLIENTS):
                self._on_client_lost(event.peer, now)
                return ()
            case PeerSlow(link=Link.CLIENTS):
                # Without its connection the client comes back, and gets the newest state.
                self._on_client_lost(event.peer, now)
                return [Disconnect(Link.CLIENTS, event.peer)]
            case PeerUp(link=Link.DATA | Link.CHANGES):
                is_node_up = self._links.on_peer_up(event)
                return self._on_node_up(str(event.peer), now) if is_node_up else ()
            case PeerLost(link=Link.DATA | Link.CHANGES):
                is_node_lost = self._links.on_peer_lost(event, now)
                return self._on_node_lost(event, now) if is_node_lost else ()
            case Stop():
                return self._client_handler.send_away() + self._cluster_member.leave()
            case _:
                return self._act_on(self._cluster_member.receive(Link.LOCAL, "", event, now), now)

    def _on_client_lost(self, peer: Peer, now: float) -> None:
        self._meta_proxy.on_client_lost(peer)
        self._client_handler.on_peer_lost(peer, now)

    def _on_node_up(self, peer: str, now: float) -> list[Effect]:
        self._handover.on_node_up(peer)
        effects: list[Effect] = []
        if self._incarnation is not None:
            effects.append(Send(Link.DATA, peer, NodeHello(self._incarnation)))
        self._queues.request_digest(peer)
        return effects + self._followed.on_node_up(peer, now)

    def _on_node_lost(self, lost: PeerLost, now: float) -> list[Effect]:
        """Ask again what was under way, and report to meta that the data node may be gone."""
        peer, leader = str(lost.peer), self._cluster_member.leader
        self._queues.on_node_lost(peer)
        self._followed.on_node_lost(peer, now)
        gone = self._links.unreported(lost, leader)
        if gone is None or leader is None:
            return []
        effects = self._cluster_member.report_gone(gone)
        if effects:
            self._links.note_reported(peer, leader)
        return effects

    # --- membership ---------------------------------------------------------------------------

    def _act_on(self, learned: Learned, now: float) -> list[Effect]:
        """Act on what this node learned as a member; return its effects with those."""
        effects = learned.effects
        if learned.has_new_leader:
            effects += self._meta_proxy.on_leader()
        if learned.has_new_membership:
            effects += self._on_membership(self._cluster_member.membership, now)
        if learned.has_new_incarnation:
            effects += self._on_incarnation(self._cluster_member.incarnation, now)
        return effects

    def _on_membership(self, membership: Membership, now: float) -> list[Effect]:
        has_new_ring, effects = self._links.follow(membership)
        effects += self._client_handler.subscriptions.on_epoch(now)
        if has_new_ring:
            self._registrations.on_ring()
            effects += self._followed.on_ring(now)
        return effects

    def _on_incarnation(self, incarnation: Incarnation | None, now: float) -> list[Effect]:
        if incarnation is None:
            self._loss.on_lost(now)
            return []
        self._loss.on_joined()
        return [] if incarnation == self._incarnation else self._become(incarnation)

    def _become(self, incarnation: Incarnation) -> list[Effect]:
        """Go on as a new incarnation: clients say again what the former one answered for."""
        self._incarnation = incarnation
        effects: list[Effect] = [
            Send(Link.DATA, peer, NodeHello(incarnation))
            for peer in self._links.peers()
            if self._links.is_up(peer)
        ]
        self._registrations.on_incarnation(incarnation)
        # A client that was greeted before there was a membership was told of no cluster. It would
        # take its next session for one of another cluster, and its view could go back.
        self._client_handler.ask_all()
        return effects

    # --- the end of a turn, and time ----------------------------------------------------------

    def settle(self, now: float) -> Sequence[Effect]:
        """Send the registrations of this turn, push what it changed, join the answers."""
        effects = self._queues.settle(self._registrations.session, now)
        effects += self._followed.settle(now)
        for followed in self._followed.take_changed():
            difference = followed.mirror.take_difference()
            if difference.version > difference.source_version:
                followed.log.append(difference, now)
                self._followed.trim(followed, now)
            self._client_handler.subscriptions.pusher.wake(followed)
        return effects + self._client_handler.settle(now)

    def tick(self, now: float) -> Sequence[Effect]:
        """Judge leases, and send again what was not answered in time."""
        effects = self._act_on(self._cluster_member.tick(now), now)
        effects += self._links.tick(now)
        effects += self._client_handler.tick(now)
        # Digests are marked as due before the queues send, which they follow.
        self._reconciliation.tick(now)
        effects += self._queues.tick(self._registrations.session, now)
        effects += self._tick_requests(now)
        effects += self._meta_proxy.tick(now)
        if self._loss.is_send_away_due(now):
            self._loss.on_sent_away(now)
            effects += self._client_handler.send_away()
        return effects

    def _tick_requests(self, now: float) -> list[Effect]:
        """Fetch what is due, also what was not answered in time; give up listings."""
        owners = [owner for _, _, owner in self._links.requests.take_expired(now)]
        fetches = [owner for owner in owners if isinstance(owner, FollowedDatum)]
        effects = self._followed.tick(fetches, now)
        # A listing expires once, however many data nodes have not answered.
        listings = dict.fromkeys(owner for owner in owners if isinstance(owner, Listing))
        if listings:
            outage = self._cluster_member.outage_sentence
            effects += self._listings.on_expired(listings, outage_sentence=outage)
        return effects

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due."""
        due = (
            self._cluster_member.next_tick_at(),
            self._links.next_tick_at(),
            self._links.requests.next_deadline_at(),
            self._client_handler.next_tick_at(),
            self._reconciliation.next_tick_at(),
            self._queues.next_tick_at(),
            self._followed.next_tick_at(),
            self._meta_proxy.next_tick_at(),
            self._loss.next_tick_at(),
        )
        return min(at for at in due if at is not None)

    # --- for people ---------------------------------------------------------------------------

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        return {
            **self._cluster_member.statistics(),
            "clients": len(self._client_handler.clients),
            "publishers": len(self._registrations),
            "pending": self._queues.pending_count,
            "subscribers": len(self._client_handler.subscriptions.pusher),
            "interests": len(self._followed),
            "pushes": self._client_handler.subscriptions.pusher.push_count,
            "fetches": self._followed.fetch_count,
            "gaps": self._followed.gap_count,
            "compares": self._followed.compare_count,
            "clients_off": self._client_handler.removed_count,
            "stalls": self._client_handler.clients.stall_count,
        }

    def health(self, now: float) -> Health:
        """Return the problems of this session, as far as it knows them."""
        return health_of(
            self._cluster_member,
            self._links,
            now,
            is_full=self._client_handler.clients.is_full,
            is_sending_away=self._loss.is_lasting(now),
        )
