"""Meta's decisions: every meta node serves the membership, and the leader decides who is a member.

Members and settings are agreed on by Raft (`group`, `state`). A follower announces and serves the
membership as far as it has applied it, and sends all other requests to the leader.
"""

from collections.abc import Iterator, Sequence

from zreg.config import Config
from zreg.discovery.announcement import Announcement, Wanted
from zreg.discovery.sightings import Sighted
from zreg.effects import (
    INFO,
    Disconnect,
    Effect,
    HandOver,
    HostChanged,
    Link,
    Local,
    Log,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.errors import UnknownMessageError
from zreg.health import Health
from zreg.membership.gone_nodes import gone_problems
from zreg.meta.announcer import MembershipAnnouncer
from zreg.meta.founding.candidates import is_candidate
from zreg.meta.founding.gathering import Gathering
from zreg.meta.group.proposals import Proposals
from zreg.meta.group.quorum_alarm import QuorumAlarm
from zreg.meta.group.raft_driver import RaftDriver
from zreg.meta.health import health_of
from zreg.meta.leader import REQUESTS, Leader
from zreg.meta.led_term import LedTerm
from zreg.meta.loss_watch import LossWatch
from zreg.meta.peers.identity import Identity
from zreg.meta.state.meta_state import MetaState
from zreg.model import Member, Membership, Role, Status
from zreg.primitives.reports.event_ring import EventRing
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.reports.host_search import HostSearch
from zreg.primitives.reports.own_answers import NodeQuestion, OwnAnswers
from zreg.raft.consensus import RaftCore
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Pong, Refused
from zreg.wire.records.membership_messages import FetchMembership, Join, ReportGone
from zreg.wire.records.meta_messages import AskFounding, FoundingReply


class MetaCore:
    """One meta node: hands messages to Raft and the announcer and, while it leads, to `Leader`."""

    def __init__(
        self,
        member: Member,
        config: Config,
        *,
        raft: RaftCore,
        identity: Identity,
        cluster_id: bytes,
        now: float,
    ) -> None:
        assert member.role is Role.META
        assert member.node_id == identity.node_id
        self.events = EventRing(member.node_id, member.process_id)
        self._own_answers = OwnAnswers(self.events, self.statistics, HopRings(), HostSearch())
        self._node_id = member.node_id
        self._cluster = config.cluster
        self.state = MetaState()
        self.raft_driver = RaftDriver(raft, self.state, identity)
        self.gathering = Gathering(self.raft_driver, config.cluster, now=now)
        self._quorum_alarm = QuorumAlarm(self.raft_driver, member.node_id, self.gathering.sentence)
        self._proposals = Proposals(
            self.raft_driver, self.state, self._quorum_alarm, member.node_id
        )
        self._loss_watch = LossWatch(self.state, config.gone_seconds)
        self._leader = Leader(
            member,
            config,
            self.state,
            self.raft_driver,
            self._proposals,
            loss_watch=self._loss_watch,
            cluster_id=cluster_id,
            now=now,
        )
        self._led_term = LedTerm(self.state, self.raft_driver, self._leader.voter_upkeep)
        self._announcer = MembershipAnnouncer(
            self.state, self._quorum_alarm, config.beat_seconds, now=now
        )
        # Messages that do not belong on the link over which they came.
        self._unexpected_count = 0

    def __repr__(self) -> str:
        """Show epoch, size and part in Raft."""
        members = len(self.membership.members)
        return f"<MetaCore epoch={self.epoch} members={members} {self.raft_driver.raft!r}>"

    @property
    def epoch(self) -> int:
        """The membership's epoch."""
        return self.state.membership.epoch

    @property
    def membership(self) -> Membership:
        """The members, as far as this node has applied."""
        return self.state.membership

    @property
    def is_leading(self) -> bool:
        """Whether this node may decide."""
        return self._led_term.is_leading

    def start(self, now: float) -> Sequence[Effect]:
        """Connect to the other meta nodes; a lone node leads at once."""
        effects = [*self.gathering.start(), *self.raft_driver.start(now)]
        return [*effects, *self.settle(now)]

    # --- inputs -------------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take a message, or a local event."""
        if isinstance(message, Local):
            return self._on_event(message, now)
        if link is Link.RAFT_ANSWER and isinstance(message, Join):
            return self._on_meta_join(peer, message, now)
        if link in (Link.RAFT_ASK, Link.RAFT_ANSWER):
            if isinstance(message, AskFounding) or is_candidate(peer):
                return self._gathering_receive(peer, message, now)
            return self.raft_driver.receive(link, peer, message, now)
        match message:
            case FetchMembership():
                return [self._announcer.on_fetch_membership(link, peer, message)]
            case Ping():
                return [Send(link, peer, Pong())]
            case Pong():
                return []
            case _ if isinstance(message, NodeQuestion):
                return [Send(link, peer, self._own_answers.answer(message, now))]
            case _ if not self._led_term.is_leading:
                return self._refuse_as_follower(link, peer, message)
            case _:
                answer = self._leader.on_request(peer, message, now)
                return [self._misdirected(link, peer, message)] if answer is None else answer

    def _gathering_receive(self, peer: Peer, message: Message, now: float) -> Sequence[Effect]:
        match message:
            case AskFounding():
                return self.gathering.on_ask_founding(peer, message, now)
            case FoundingReply():
                return self.gathering.on_founding_reply(peer, message, now)
            case Refused():
                return self.gathering.on_refused(peer, message.detail, now)
            case _:
                self._unexpected_count += 1
                return []

    def _refuse_as_follower(self, link: Link, peer: Peer, message: Message) -> list[Effect]:
        if isinstance(message, REQUESTS):
            return [self._proposals.not_leading(peer, message.request_id)]
        if isinstance(message, ReportGone):
            # Nothing to answer: the reporter's next renewal takes it to the leader.
            return []
        return [self._misdirected(link, peer, message)]

    def _misdirected(self, link: Link, peer: Peer, message: Message) -> Send:
        self._unexpected_count += 1
        name = type(message).__name__
        detail = f"meta does not take {name}: ask a session (--url, by default port 9600)"
        return Send(link, peer, Refused(0, UnknownMessageError.code, detail))

    def _on_meta_join(self, peer: Peer, join: Join, now: float) -> list[Effect]:
        if join.member.role is not Role.META:
            self._unexpected_count += 1
            return []
        return self._leader.meta_members.on_join(peer, join, now) if self.is_leading else []

    def _on_event(self, event: Local, now: float) -> Sequence[Effect]:
        match event:
            case PeerLost(link=Link.NODES) | PeerUp(link=Link.CHECKS) | PeerLost(link=Link.CHECKS):
                return self._leader.on_event(event, now) if self.is_leading else []
            case HandOver():
                handover = self._leader.handover
                return handover.on_hand_over(now, is_leading=self.is_leading)
            case PeerSlow(link=Link.NODES):
                self._leader.lease_holders.on_peer_lost(event.peer)
                return [Disconnect(Link.NODES, event.peer)]
            case HostChanged():
                effects = self.raft_driver.peers.change_host(event.host, now)
                members = self._leader.meta_members
                return effects + members.change_host(event, now, is_leading=self.is_leading)
            case Sighted():
                return self._on_sighted(event.announcement, now)
            case PeerUp() | PeerLost() | PeerIncompatible() if is_candidate(event.peer):
                return self.gathering.on_event(event, now)
            case _:
                return self.raft_driver.on_event(event, now)

    def _on_sighted(self, announcement: Announcement, now: float) -> Sequence[Effect]:
        """Take an announcement: of a founder perhaps, or of a member that has moved."""
        peers = self.raft_driver.peers
        wanted = Wanted(
            role=Role.META, cluster=self._cluster, cluster_id=peers.introductions.cluster_id
        )
        if wanted.objection(announcement) is None and announcement.raft_address:
            peers.on_announced(
                announcement.node_id, announcement.raft_address, announcement.journal_id
            )
        return self.gathering.on_sighted(announcement, now)

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> Sequence[Effect]:
        """Count Raft's time and, as the leader, that of the nodes; announce."""
        effects = self.raft_driver.tick(now)
        if self.is_leading:
            effects += self._leader.tick(now)
        else:
            effects += self._leader.meta_members.tick_as_follower(now)
        effects += self.gathering.tick(now)
        effects += self._quorum_alarm.tick()
        effects += self._leader.handover.tick(now, is_leading=self.is_leading)
        effects += self._announcer.tick(now)
        return effects

    def settle(self, now: float) -> Iterator[Effect]:
        """Carry out what Raft wants, begin or end to lead, and announce what has changed."""
        yield from self.raft_driver.pump(now)
        while (term := self._led_term.take_next()) is not None:
            if term:
                fields: dict[str, str | int | float] = {"term": term, "epoch": self.epoch}
                yield Log(INFO, "raft.leading", fields)
                yield from self._leader.begin(now)
            yield from self.raft_driver.pump(now)
        yield from self._follow_losses(now)
        yield from self._announcer.settle(now)

    def _follow_losses(self, now: float) -> list[Effect]:
        """Note since when nodes are lost; the leader says which of them are back or replaced."""
        ended = self._loss_watch.follow(now)
        if not self.is_leading:
            return []
        return [
            Log(INFO, "member.replaced", {"incarnation": str(loss.incarnation)}) for loss in ended
        ]

    def next_tick_at(self) -> float | None:
        """When Raft counts, leases are looked at, or an announcement is due."""
        leases, meta_members = self._leader.lease_holders.leases, self._leader.meta_members
        due_at = leases.next_look_at() if self.is_leading else meta_members.show_at
        parts = self.raft_driver, self._announcer, self.gathering
        for at in [part.next_tick_at() for part in parts]:
            if at is not None and at < due_at:
                due_at = at
        return due_at

    # --- for people ---------------------------------------------------------------------------

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        members, raft = self.membership.members, self.raft_driver.raft.status()
        lease_holders = self._leader.lease_holders
        return {
            "epoch": self.epoch,
            "ring_epoch": self.membership.ring_epoch,
            "sessions": len(self.membership.of(Role.SESSION)),
            "data_nodes": len(self.membership.of(Role.DATA)),
            "departed": sum(m.status is Status.DEPARTED for m in members),
            "settings": len(self.state.settings),
            "leases": len(lease_holders.leases),
            "renewals": lease_holders.renewed_count,
            "stalls": lease_holders.leases.stall_count,
            "raft_role": raft.role.value,
            "raft_term": raft.term,
            "raft_leader": raft.leader or "-",
            "raft_commit_index": raft.commit_index,
            "raft_last_index": raft.last_index,
            "raft_peers_up": self.raft_driver.peers.up_count,
            "strange_messages": self._unexpected_count + self.raft_driver.unexpected_count,
        }

    def health(self, now: float) -> Health:
        """Return the problems that this core knows of."""
        health = health_of(self.raft_driver, self._quorum_alarm, self.gathering, self._node_id)
        gone = gone_problems(self._loss_watch.gone(now), self.membership)
        return Health((*health.problems, *gone))
