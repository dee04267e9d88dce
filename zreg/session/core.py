"""A session's decisions: its clients on one side, data nodes and meta on the other.

The parts decide each for themselves: `reception` what clients are answered, `vouching` what data
nodes have to be told, `following` what is known of a datum, `push` what a subscriber is told. This
module is the door through which every message comes, and joins them.
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
from zreg.session.proxy.listings import Listings
from zreg.session.proxy.meta_proxy import Answer, MetaProxy
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed_datums import FollowedDatums
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
from zreg.wire.membership_messages import MembershipReply
from zreg.wire.messages import Message

if TYPE_CHECKING:
    from random import Random

_TRANSIENT: Final = (NotPrimaryError.code, NotReadyError.code, SessionGoneError.code)
# A session that lost its membership and does not get it back in this time is of no use to clients.
_NOBODY_SECONDS_MAX: Final = 2.0


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
        # The epoch that each data node was shown last, when it was behind.
        self._handed_over: dict[str, int] = {}
        self._incarnation: Incarnation | None = None
        self._links = DataLinks(config, rng=rng)
        self._registrations = Registrations(config, self._links, rng=rng)
        self._followed = FollowedDatums(
            config, self._links, rng=rng, keeps=self._registrations.keeps
        )
        self._listings = Listings(self._links, lambda: self._cluster_member.outage_sentence)
        self._meta_proxy = MetaProxy(self._cluster_member, self._listings)
        self._client_handler = ClientHandler(
            config,
            self._cluster_member,
            self._registrations,
            self._followed,
            self._meta_proxy,
            now=now,
        )
        self._nobody_since: float | None = None
        self._send_away_at: float | None = None

    def __repr__(self) -> str:
        """Show epoch and sizes."""
        return (
            f"<SessionCore {self._incarnation} epoch={self.epoch} "
            f"clients={len(self._client_handler.clients)} "
            f"pending={self._registrations.pending_count}>"
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

    # --- the door -----------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take one message; clients' and data nodes' come first, they are the most."""
        if link is Link.CLIENTS:
            return self._client_handler.receive(peer, message, now)
        if link is Link.DATA:
            return self._receive_from_data(str(peer), message, now)
        match message:
            case Changed():
                return self._followed.hinted(str(peer), message, now)
            case Beat():
                return self._followed.beaten(str(peer), message, now)
            case Local():
                return self._happened(message, now)
            case _:
                return self._receive_from_meta(link, peer, message, now)

    def _receive_from_meta(
        self, link: Link, peer: Peer, message: Message, now: float
    ) -> Sequence[Effect]:
        if link is Link.META and isinstance(message, Answer):
            answer = self._meta_proxy.answered(peer, message)
            if answer is not None:
                return answer
        return self._act_on(self._cluster_member.receive(link, peer, message, now), now)

    def _receive_from_data(
        self, peer: str, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        match message:
            case Accepted():
                self._client_handler.acknowledge(
                    self._registrations.accepted(peer, message.request_ids)
                )
                return ()
            case Changes():
                return self._followed.changes_came(peer, message, now)
            case Snapshot():
                return self._followed.snapshot_came(peer, message, now)
            case Versions():
                return self._followed.compared(peer, message, now)
            case DigestCompared():
                return self._registrations.digest_compared(peer, message)
            case PublishersCompared():
                return self._registrations.publishers_compared(peer, message)
            case DatumsListed():
                return self._listings.listed(peer, message)
            case Refused():
                return self._refused_by_data(peer, message, now)
            case Ping():
                return [Send(Link.DATA, peer, Pong())]
            case _:
                return ()

    def _happened(self, event: Local, now: float) -> Sequence[Effect]:
        """Act on what happened in this process."""
        match event:
            case PeerLost(link=Link.CLIENTS):
                self._closed(event.peer, now)
                return ()
            case PeerSlow(link=Link.CLIENTS):
                # It takes nothing: without its connection it comes back and gets the newest state.
                self._closed(event.peer, now)
                return [Disconnect(Link.CLIENTS, event.peer)]
            case PeerUp(link=Link.DATA | Link.CHANGES):
                if self._links.came_up(event):
                    return self._data_node_up(str(event.peer), now)
                return ()
            case PeerLost(link=Link.DATA | Link.CHANGES):
                if self._links.went_down(event, now):
                    self._registrations.node_lost(str(event.peer))
                    self._followed.node_lost(str(event.peer), now)
                    return self._report(event)
                return ()
            case Stop():
                return self._client_handler.send_away() + self._cluster_member.leave()
            case _:
                return self._act_on(self._cluster_member.receive(Link.LOCAL, "", event, now), now)

    def _closed(self, peer: Peer, now: float) -> None:
        self._meta_proxy.drop(peer)
        self._client_handler.closed(peer, now)

    def tick(self, now: float) -> Sequence[Effect]:
        """Judge leases, send again what was not answered."""
        effects = self._act_on(self._cluster_member.tick(now), now)
        effects += self._links.tick(now)
        effects += self._client_handler.tick(now)
        effects += self._registrations.tick(now)
        effects += self._followed.tick(now)
        effects += self._listings.tick(now)
        effects += self._meta_proxy.tick(now)
        if self._send_away_at is not None and now >= self._send_away_at:
            self._send_away_at = now + _NOBODY_SECONDS_MAX
            effects += self._client_handler.send_away()
        return effects

    def settle(self, now: float) -> Sequence[Effect]:
        """Send what this turn put on records, push what it changed, join the answers."""
        effects: list[Effect] = self._registrations.settle(now) + self._followed.settle(now)
        for interest in self._followed.take_changed():
            difference = interest.mirror.take_difference()
            if difference.version > difference.source_version:
                interest.log.append(difference, now)
                self._followed.trim(interest, now)
            self._client_handler.subscriptions.pusher.wake(interest)
        return effects + self._client_handler.settle(now)

    def next_tick_at(self) -> float | None:
        """When something is due."""
        due = (
            self._cluster_member.next_tick_at(),
            self._links.next_tick_at(),
            self._client_handler.next_tick_at(),
            self._registrations.next_tick_at(),
            self._followed.next_tick_at(),
            self._listings.next_tick_at(),
            self._meta_proxy.next_tick_at(),
            self._send_away_at,
        )
        return min(at for at in due if at is not None)

    def statistics(self) -> dict[str, int | float | str]:
        """Counters and sizes."""
        return {
            **self._cluster_member.statistics(),
            "clients": len(self._client_handler.clients),
            "publishers": len(self._registrations),
            "pending": self._registrations.pending_count,
            "subscribers": len(self._client_handler.subscriptions.pusher),
            "interests": len(self._followed),
            "pushes": self._client_handler.subscriptions.pusher.push_count,
            "fetches": self._followed.fetch_count,
            "gaps": self._followed.gap_count,
            "compares": self._followed.compare_count,
            "clients_off": self._client_handler.off_count,
            "stalls": self._client_handler.clients.stall_count,
        }

    def health(self, now: float) -> Health:
        """Return what is the matter, as far as this core knows."""
        nobody = self._nobody_since
        return health_of(
            self._cluster_member,
            self._links,
            now,
            is_full=self._client_handler.clients.is_full,
            is_sending_away=nobody is not None and now - nobody >= _NOBODY_SECONDS_MAX,
        )

    # --- data nodes and meta ------------------------------------------------------------------

    def _refused_by_data(self, peer: str, refused: Refused, now: float) -> Sequence[Effect]:
        effects: list[Effect] = []
        if refused.epoch > self.epoch:
            seen = EpochSeen(refused.epoch)
            effects += self._act_on(self._cluster_member.receive(Link.LOCAL, "", seen, now), now)
        effects += self._hand_over_membership(peer, refused)
        is_final = refused.code not in _TRANSIENT
        if self._followed.refused(peer, refused.request_id, now):
            return effects
        effects += self._listings.refused(peer, refused)
        record = self._registrations.refused(peer, refused.request_id, now, is_final=is_final)
        if record is None:
            return effects
        if is_final:
            effects += self._client_handler.refuse(record, refused)
        # Of an incarnation that I am no more, it is no news.
        is_mine = record.publisher.session == self._cluster_member.incarnation
        if refused.code == SessionGoneError.code and is_mine and refused.epoch >= self.epoch:
            effects += self._act_on(self._cluster_member.lose_incarnation(now), now)
        return effects

    def _hand_over_membership(self, peer: str, refused: Refused) -> list[Effect]:
        """Show a data node that is behind what this node follows; meta may be out of its reach."""
        is_behind = 0 < refused.epoch < self.epoch and refused.code in _TRANSIENT
        if not is_behind or self._handed_over.get(peer) == self.epoch:
            return []
        self._handed_over[peer] = self.epoch
        return [Send(Link.DATA, peer, MembershipReply(0, self._cluster_member.membership))]

    def _data_node_up(self, peer: str, now: float) -> list[Effect]:
        self._handed_over.pop(peer, None)
        effects: list[Effect] = []
        if self._incarnation is not None:
            effects.append(Send(Link.DATA, peer, NodeHello(self._incarnation)))
        self._registrations.node_up(peer)
        return effects + self._followed.node_up(peer, now)

    def _report(self, lost: PeerLost) -> list[Effect]:
        meta = self._cluster_member.leader
        gone = self._links.unreported(lost, meta)
        if gone is None or meta is None:
            return []
        effects = self._cluster_member.report_gone(gone)
        if effects:
            self._links.note_reported(str(lost.peer), meta)
        return effects

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
        effects += self._client_handler.subscriptions.epoch_came(now)
        if has_new_ring:
            self._registrations.ring_changed()
            effects += self._followed.ring_changed(now)
        return effects

    def _on_incarnation(self, incarnation: Incarnation | None, now: float) -> list[Effect]:
        if incarnation is None:
            if self._nobody_since is None:
                self._nobody_since, self._send_away_at = now, now + _NOBODY_SECONDS_MAX
            return []
        self._nobody_since = self._send_away_at = None
        return self._become(incarnation) if incarnation != self._incarnation else []

    def _become(self, incarnation: Incarnation) -> list[Effect]:
        """Go on as a new incarnation; whoever was vouched for by the last one says it again."""
        self._incarnation = incarnation
        effects: list[Effect] = [
            Send(Link.DATA, peer, NodeHello(incarnation))
            for peer in self._links.peers()
            if self._links.is_up(peer)
        ]
        self._registrations.new_voucher(incarnation)
        # Who was greeted before there was a membership was told of no cluster, and would take the
        # next session for one of another: its view could go back.
        self._client_handler.ask_all()
        return effects
