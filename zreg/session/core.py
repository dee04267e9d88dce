"""A session's decisions: its clients on one side, data nodes and meta on the other.

`SessionCore` takes each message and hands it to the side that it concerns:

- `ClientHandler` (`clients/`): what clients ask, what they are answered, and what they are pushed;
- `DataHandler` (`upstream/`): what data nodes are told, and what is followed there;
- `Instances` (`instances/`): what programs without a client register over HTTP;
- `PageHandler` (`pages/`): what the HTTP pages of this node ask;
- `MetaProxy` and `NodeQuestions` (`proxy/`): requests that meta or other nodes have to answer;
- `ClusterMember`: joining the cluster and following its membership.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import (
    Effect,
    EpochSeen,
    Link,
    Local,
    Peer,
    PeerHeard,
    PeerLost,
    PeerSlow,
    PeerUp,
    Stop,
)
from zreg.errors import NotPrimaryError, NotReadyError, SessionGoneError, UnknownNodeError
from zreg.health import Health
from zreg.membership.cluster_member import ClusterMember, Learned
from zreg.model import Incarnation, Member, Membership, Role
from zreg.primitives.reports.event_ring import EventRing
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.reports.own_answers import OwnAnswers
from zreg.session.clients.client_handler import ClientHandler
from zreg.session.clients.client_search import ClientSearch
from zreg.session.clients.client_table import ClientTable
from zreg.session.data_handler import DataHandler
from zreg.session.health import health_of
from zreg.session.instances.instances import Instances
from zreg.session.isolation import Isolation
from zreg.session.membership_loss import MembershipLoss
from zreg.session.pages.page_handler import PageEvent, PageHandler
from zreg.session.proxy.command_questions import CommandQuestions
from zreg.session.proxy.meta_proxy import MetaAnswer, MetaProxy
from zreg.session.proxy.node_questions import NodeQuestions
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Accepted, Ping, Refused
from zreg.wire.records.data_messages import Beat, Changed, InstanceFetched, InstanceTaken
from zreg.wire.records.membership_messages import MembershipReply

if TYPE_CHECKING:
    from random import Random

# Refusals after which a request is sent again.
_TRANSIENT: Final = (NotPrimaryError.code, NotReadyError.code, SessionGoneError.code)


class SessionCore:
    """One session: hands each message to its part, and acts on a new membership or incarnation."""

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
        self.events = EventRing(member.node_id, member.process_id)
        hops = HopRings()
        self._cluster_member = ClusterMember(member, config, rng=rng, now=now, cached=cached)
        self._loss = MembershipLoss(member.node_id, now=now)
        self._data = DataHandler(
            config, self._cluster_member, node_id=member.node_id, hops=hops, rng=rng, now=now
        )
        self._isolation = Isolation(self._cluster_member, self._data.links, self._loss)
        self._meta_proxy = MetaProxy(self._cluster_member)
        table = ClientTable(config, now=now)
        search = ClientSearch(table, self._cluster_member, member.node_id)
        own = OwnAnswers(self.events, self.statistics, hops, search)
        self._node_questions = NodeQuestions(own, self._cluster_member, member.node_id)
        # What `next_tick_at` found, while it is known that no deadline has moved since.
        self._due_at: float | None = None
        self._is_due_known = self._is_settled = False
        self._questions = CommandQuestions(
            self._cluster_member, self._data.listings, self._meta_proxy, self._node_questions
        )
        self._clients = ClientHandler(
            config,
            self._cluster_member,
            self._data.registrations,
            self._data.replays,
            self._data.followed,
            self._questions,
            table,
            hops=hops,
        )
        self._instances = Instances(config, self._cluster_member, self._data, self._clients)
        self._pages = PageHandler(self._clients, self._questions, self._instances)

    def __repr__(self) -> str:
        """Show epoch and sizes."""
        return (
            f"<SessionCore {self._data.incarnation} epoch={self.epoch} "
            f"clients={len(self._clients.table)} pending={self._data.queues.pending_count}>"
        )

    @property
    def epoch(self) -> int:
        """The epoch of the membership that this node follows."""
        return self._cluster_member.membership.epoch

    @property
    def membership(self) -> Membership:
        """The membership that this node follows."""
        return self._cluster_member.membership

    def start(self, now: float) -> Sequence[Effect]:
        """Begin to look for meta, listen to beats, and follow the membership from the disk."""
        learned = self._cluster_member.start()
        learned.effects += self._data.followed.start()
        return self._act_on(learned, now)

    # --- messages -----------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take one message; those of clients and data nodes come first, as they are the most."""
        if type(message) is not Ping or link is not Link.CLIENTS:
            # It may move a deadline, at once or when the turn is settled. A ping moves none.
            self._is_due_known = self._is_settled = False
        if link is Link.CLIENTS:
            return self._clients.receive(peer, message, now)
        if link is Link.DATA:
            return self._receive_from_data(str(peer), message, now)
        match message:
            case Changed():
                return self._data.followed.on_changed(str(peer), message, now)
            case Beat():
                return self._data.followed.on_beat(str(peer), message)
            case Local():
                return self._on_local(message, now)
            case _ if link is Link.EVENTS:
                return self._node_questions.receive(str(peer), message)
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
                accepted = self._data.registrations.on_accepted(peer, message)
                self._clients.publishing.on_accepted(accepted, now)
                return self._instances.on_accepted(accepted, now)
            case Refused():
                return self._on_refused(peer, message, now)
            case InstanceFetched() | InstanceTaken():
                return self._instances.receive(peer, message, now)
            case MembershipReply():
                membership = message.membership
                return self._act_on(
                    self._cluster_member.take_from_member(membership, now, is_answer=True), now
                )
            case _:
                return self._data.receive(peer, message, now)

    def _on_refused(self, peer: str, refused: Refused, now: float) -> Sequence[Effect]:
        """Hand a refusal to the owner of its request; learn from the epoch of the data node."""
        effects: list[Effect] = []
        if refused.epoch > self.epoch:
            seen = EpochSeen(refused.epoch)
            effects += self._act_on(self._cluster_member.receive(Link.LOCAL, "", seen, now), now)
        if refused.code == UnknownNodeError.code:
            return effects + self._data.on_unidentified(peer, now)
        if refused.code in _TRANSIENT:
            effects += self._data.hand_over(peer, refused)
        answer = self._data.on_read_refused(peer, refused, now)
        if answer is None:
            answer = self._on_registration_refused(peer, refused, now)
        return effects + answer

    def _on_registration_refused(self, peer: str, refused: Refused, now: float) -> list[Effect]:
        is_final = refused.code not in _TRANSIENT
        registration = self._data.registrations.on_refused(
            peer, refused.request_id, now, is_final=is_final
        )
        if registration is None:
            return self._instances.on_fetch_refused(refused, now)
        self._clients.publishing.note_refused(registration, refused, now)
        if is_final:
            effects = self._clients.publishing.on_refused(registration, refused)
            return effects + self._instances.on_refused(registration, refused)
        # A refusal of what a former incarnation sent says nothing about the present one.
        is_mine = registration.publisher.session == self._cluster_member.incarnation
        if refused.code == SessionGoneError.code and is_mine and refused.epoch >= self.epoch:
            return self._act_on(self._cluster_member.lose_incarnation(now), now)
        return []

    def _on_local(self, event: Local, now: float) -> Sequence[Effect]:
        """Act on an event of this process."""
        match event:
            case PeerHeard():
                self._clients.table.note_host(event.peer, event.host)
                return ()
            case PeerLost(link=Link.CLIENTS):
                return self._on_client_lost(event.peer, now)
            case PeerSlow(link=Link.CLIENTS):
                return self._clients.on_peer_slow(event.peer, now)
            case PeerUp(link=Link.DATA | Link.CHANGES):
                return [
                    *self._data.on_peer_up(event),
                    *self._act_on(self._isolation.check(now), now),
                ]
            case PeerLost(link=Link.DATA | Link.CHANGES):
                return self._data.on_peer_lost(event, now)
            case PeerSlow(link=Link.DATA):
                return self._data.on_peer_slow(event, now)
            case PeerUp() | PeerLost() | PeerSlow() if event.link is Link.EVENTS:
                return self._node_questions.on_event(event)
            case _ if isinstance(event, PageEvent):
                return self._pages.receive(event, now)
            case Stop():
                return self._clients.send_away() + self._cluster_member.leave()
            case _:
                return self._act_on(self._cluster_member.receive(Link.LOCAL, "", event, now), now)

    def _on_client_lost(self, peer: Peer, now: float) -> list[Effect]:
        self._meta_proxy.on_client_lost(peer)
        return self._clients.on_peer_lost(peer, now, is_meta_away=self._loss.is_meta_away(now))

    # --- membership ---------------------------------------------------------------------------

    def _act_on(self, learned: Learned, now: float) -> list[Effect]:
        """Act on what this node learned as a member; return the effects of both steps."""
        effects = learned.effects
        if learned.has_new_leader:
            effects += self._on_leader(now)
        if learned.has_new_membership:
            effects += self._on_membership(self._cluster_member.membership, now)
        if learned.has_new_incarnation:
            effects += self._on_incarnation(self._cluster_member.incarnation, now)
        return effects

    def _on_leader(self, now: float) -> list[Effect]:
        self._loss.note_leader(now, is_reached=self._cluster_member.leader is not None)
        return self._meta_proxy.on_leader()

    def _on_membership(self, membership: Membership, now: float) -> list[Effect]:
        has_new_ring, effects = self._data.links.follow(membership)
        effects += self._clients.subscriptions.on_epoch(now)
        if has_new_ring:
            effects += self._data.on_ring(now)
        return effects

    def _on_incarnation(self, incarnation: Incarnation | None, now: float) -> list[Effect]:
        if incarnation is None:
            # Without a leader this session cannot join again within its clients' grace.
            self._loss.on_lost(now, is_final=self._cluster_member.leader is None)
            self._clients.publishing.on_incarnation_lost(now)
            return self._data.on_incarnation_lost(now)
        self._loss.on_joined()
        if self._data.registrations.is_member and incarnation == self._data.incarnation:
            return []
        # Clients have to publish again what the former incarnation answered for. And a client that
        # was greeted before there was a membership got a Welcome without a cluster: it would take
        # its next session for one of another cluster, and its view could go back.
        self._clients.ask_all(now)
        return self._data.on_incarnation(incarnation)

    # --- the end of a turn, and time ----------------------------------------------------------

    def settle(self, now: float) -> Sequence[Effect]:
        """Send the registrations of this turn, push what it changed, join the answers."""
        effects = self._data.settle(now)
        for followed in self._data.followed.take_changed(now):
            self._clients.subscriptions.pusher.wake(followed, now)
            effects += self._pages.on_moved(followed)
        effects += self._clients.settle(now)
        self._is_due_known = self._is_due_known and not effects
        self._is_settled = True
        return effects

    def tick(self, now: float) -> Sequence[Effect]:
        """Judge leases, and send again what was not answered in time."""
        self._is_due_known = self._is_settled = False
        self._cluster_member.counts.clients = self._clients.table.connected_count
        effects = self._act_on(self._cluster_member.tick(now), now)
        effects += self._data.links.connections.tick(now)
        # Clients expire before the data nodes are told, so their removals leave at once.
        effects += self._clients.tick(now) + self._instances.tick(now)
        effects += self._data.tick(now)
        effects += self._questions.tick(now) + self._pages.tick(now)
        effects += self._act_on(self._isolation.check(now), now)
        if self._loss.take_due(now, self.membership):
            effects += self._clients.send_away()
        return effects

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due.

        A turn of pings, as there are many where clients are idle, asks no part of the session.
        """
        if not self._is_due_known:
            self._due_at = self._earliest_deadline()
            self._is_due_known = self._is_settled
        return self._due_at

    def _earliest_deadline(self) -> float:
        due = min(self._data.next_tick_at(), self._clients.next_tick_at())
        for at in (
            self._cluster_member.next_tick_at(),
            self._questions.next_tick_at(),
            self._loss.next_tick_at(),
            self._pages.next_tick_at(),
        ):
            if at is not None and at < due:
                due = at
        return due

    # --- for people ---------------------------------------------------------------------------

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        return {
            **self._cluster_member.statistics(),
            **self._clients.statistics(),
            **self._data.statistics(),
            **self._pages.statistics(),
        }

    def health(self, now: float) -> Health:
        """Return the problems that this core knows of."""
        return health_of(
            self._cluster_member,
            self._data.links,
            now,
            is_full=self._clients.table.is_full,
            is_sending_away=self._loss.is_lasting(now),
        )
