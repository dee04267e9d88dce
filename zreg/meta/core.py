"""Meta's decisions: what the leader agrees to, what every node of meta announces.

Members and settings are Raft's (`state`, `agreement`); the leader deals with nodes (`seats`).
Followers serve the membership that they have applied, announce it, and send all else to the leader.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from zreg.config import Config
from zreg.effects import (
    INFO,
    MEMBERSHIP_TOPIC,
    Broadcast,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    Log,
    Peer,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.errors import (
    LimitError,
    NotReadyError,
    UnknownMessageError,
)
from zreg.health import Health
from zreg.meta.group.bootstrap import term_to_lead
from zreg.meta.group.meta_peers import Identity
from zreg.meta.group.quorum_alarm import QuorumAlarm
from zreg.meta.group.raft_driver import RaftDriver, Waiter
from zreg.meta.group.voters import Voters
from zreg.meta.health import health_of
from zreg.meta.members.member_registrar import MemberRegistrar
from zreg.meta.refusals import not_leader, refused
from zreg.meta.setting_requests import SettingRequests
from zreg.meta.state.meta_state import MetaState
from zreg.model import EMPTY_MEMBERSHIP, Member, Membership, RingParameters, Role, Status
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import CommandTooLargeError, OverloadedError, RaftError
from zreg.wire.common_messages import Ping, Pong, Refused
from zreg.wire.log_commands import AnyCommand, Found
from zreg.wire.membership_messages import (
    FetchMembership,
    Join,
    Leave,
    MembershipChanged,
    MembershipReply,
    Renew,
    ReportGone,
)
from zreg.wire.messages import Message
from zreg.wire.meta_messages import AddMeta, FetchMetaNodes, RemoveMeta
from zreg.wire.settings_messages import FetchSettings, SetSetting

# A meta node that the membership does not show says so to the leader this often.
_ADMIT_SECONDS: Final = 0.5
# Every session and data node fetches what is announced: for each of many settings that change in a
# row that would be most of what the cluster does.
_ANNOUNCE_SECONDS: Final = 0.05
# A node that stops waits so long for another one to lead.
_HAND_OVER_SECONDS: Final = 1.0


class HandOver(Local, frozen=True):
    """Stop to lead: the process is to end. Answered by `HandedOver`, within about a second."""


class HandedOver(msgspec.Struct, frozen=True):
    """This node does not lead (any more), or nobody takes over: it may end."""


# What only the leader answers.
_FOR_LEADERS: Final = (
    Renew,
    Join,
    Leave,
    SetSetting,
    FetchSettings,
    AddMeta,
    RemoveMeta,
    FetchMetaNodes,
)


class MetaCore:
    """The agreed list of members and settings, and the leases that keep members on it."""

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
        self._member = member
        self._config = config
        self.state = MetaState()
        self.raft_driver = RaftDriver(raft, self.state, identity)
        self._registrar = MemberRegistrar(self.state, config, self._propose, raft, now=now)
        self._settings = SettingRequests(
            self.state, self.raft_driver, self._propose, self._elsewhere
        )
        self._voters = Voters(member, self.state, self.raft_driver, self._propose, self._elsewhere)
        self._quorum_alarm = QuorumAlarm(self.raft_driver, member.node_id)
        self._own_cluster_id = cluster_id
        self._announced = EMPTY_MEMBERSHIP
        self._announced_at = now
        self._led_term = 0
        self._now = self._beat_at = self._admit_at = now
        # Messages that have no place where they came.
        self._strange_count = 0
        # Since when the lead is being handed over, because this node is to stop.
        self._stopping_at: float | None = None

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
        return self._led_term > 0 and self.raft_driver.is_leading

    def start(self, now: float) -> Sequence[Effect]:
        """Look for the other meta nodes; nodes come by themselves. A lone node leads at once."""
        effects = self.raft_driver.start(now)
        return [*effects, *self.settle(now)]

    # --- the door -----------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take a request, or what happened to a connection."""
        self._now = now
        if isinstance(message, Local):
            return self._happened(message, now)
        if link is Link.RAFT_ANSWER and isinstance(message, Join):
            return self._receive_from_meta(peer, message)
        if link in (Link.RAFT_ASK, Link.RAFT_ANSWER):
            return self.raft_driver.receive(link, peer, message, now)
        match message:
            case FetchMembership():
                return [self._membership_answer(link, peer, message)]
            case Ping():
                return [Send(link, peer, Pong())]
            case Pong():
                return []
            case _ if isinstance(message, _FOR_LEADERS) and not self.is_leading:
                return [self._elsewhere(peer, message.request_id)]
            case ReportGone() if not self.is_leading:
                # Another lead began: the reporter's next renewal takes it there.
                return []
            case _:
                return self._decide(link, peer, message, now)

    def _decide(self, link: Link, peer: Peer, message: Message, now: float) -> list[Effect]:
        """Take what only a leader can answer."""
        match message:
            case Renew() | Join():
                return self._registrar.take(peer, message, now)
            case Leave():
                return self._registrar.leave(peer, message)
            case ReportGone():
                return self._registrar.hear_report(peer, message, now)
            case SetSetting():
                return self._settings.change(peer, message)
            case FetchSettings():
                return self._settings.fetch(peer, message)
            case AddMeta():
                return self._voters.add(peer, message)
            case RemoveMeta():
                return self._voters.remove(peer, message)
            case FetchMetaNodes():
                return self._voters.fetch(peer, message)
            case _:
                return [self._misdirected(link, peer, message)]

    def _happened(self, event: Local, now: float) -> list[Effect]:
        match event:
            case PeerLost(link=Link.NODES):
                return self._registrar.lose(event.peer, now) if self.is_leading else []
            case PeerUp(link=Link.CHECKS) | PeerLost(link=Link.CHECKS):
                return self._registrar.hear_check(event, now) if self.is_leading else []
            case HandOver():
                return self._hand_over(now)
            case PeerSlow(link=Link.NODES):
                self._registrar.holders.lose(event.peer)
                return [Disconnect(Link.NODES, event.peer)]
            case _:
                return self.raft_driver.happened(event, now)

    def tick(self, now: float) -> Sequence[Effect]:
        """Count Raft's time; as the leader, that of the nodes; announce."""
        self._now = now
        effects = self.raft_driver.tick(now)
        if self.is_leading:
            effects += [*self._registrar.tick(now), *self._voters.tick()]
        elif now >= self._admit_at:
            self._admit_at = now + _ADMIT_SECONDS
            effects += self._voters.show_myself()
        effects += [*self._quorum_alarm.look(), *self._see_handed_over(now)]
        if now >= self._beat_at:
            self._beat_at = now + self._config.beat_seconds
            effects += self._announcement(now)
        return effects

    def settle(self, now: float) -> Iterator[Effect]:
        """Carry out what Raft wants, and announce an epoch that nobody was told of."""
        self._now = now
        yield from self.raft_driver.pump(now)
        led_term = term_to_lead(self.raft_driver, self.state)
        if led_term != self._led_term:
            yield from self._change_lead(led_term, now)
        announce_at = self._announce_at()
        if announce_at is not None and now >= announce_at:
            yield from self._announcement(now)

    def next_tick_at(self) -> float | None:
        """When Raft counts, leases are looked at, or the beat is due."""
        is_leading = self.is_leading
        due_at = self._registrar.holders.leases.next_look_at() if is_leading else self._admit_at
        for at in (self._beat_at, self.raft_driver.next_tick_at(), self._announce_at()):
            if at is not None and at < due_at:
                due_at = at
        return due_at

    def statistics(self) -> dict[str, int | float | str]:
        """Counters and sizes."""
        members, raft = self.membership.members, self.raft_driver.raft.status()
        return {
            "epoch": self.epoch,
            "ring_epoch": self.membership.ring_epoch,
            "sessions": len(self.membership.of(Role.SESSION)),
            "data_nodes": len(self.membership.of(Role.DATA)),
            "departed": sum(m.status is Status.DEPARTED for m in members),
            "settings": len(self.state.settings),
            "leases": len(self._registrar.holders.leases),
            "stalls": self._registrar.holders.leases.stall_count,
            "raft_role": raft.role.value,
            "raft_term": raft.term,
            "raft_leader": raft.leader or "-",
            "raft_commit_index": raft.commit_index,
            "raft_last_index": raft.last_index,
            "raft_peers_up": self.raft_driver.peers.up_count,
            "strange_messages": self._strange_count + self.raft_driver.strange_count,
        }

    def health(self, now: float) -> Health:
        """Return what is the matter, as far as this core knows."""
        del now
        return health_of(self.raft_driver, self._quorum_alarm, self._member.node_id)

    def _hand_over(self, now: float) -> list[Effect]:
        if not self.is_leading or not self._voters.hand_over():
            return [Emit(HandedOver())]
        self._stopping_at = now
        return []

    def _see_handed_over(self, now: float) -> list[Effect]:
        if self._stopping_at is None:
            return []
        if self.is_leading and now - self._stopping_at < _HAND_OVER_SECONDS:
            return []
        self._stopping_at = None
        return [Emit(HandedOver())]

    # --- Raft ---------------------------------------------------------------------------------

    def _change_lead(self, led_term: int, now: float) -> Iterator[Effect]:
        """Begin or end to lead, and carry out what Raft wants then."""
        while led_term != self._led_term:
            self._led_term = led_term
            if led_term:
                fields: dict[str, str | int | float] = {"term": led_term, "epoch": self.epoch}
                yield Log(INFO, "raft.leading", fields)
                yield from self._begin_to_lead(now)
            yield from self.raft_driver.pump(now)
            led_term = term_to_lead(self.raft_driver, self.state)

    def _begin_to_lead(self, now: float) -> list[Effect]:
        if not self.state.is_founded:
            ring = RingParameters(
                self._config.ring_hash, self._config.virtual_node_count, self._config.replica_count
            )
            first = Membership(self._own_cluster_id, 1, 0, ring, (self._member,))
            return self._propose(Found(first), "", 0, lambda _applied, now: self._seated(now))
        return [*self._seated(now), *self._voters.begin()]

    def _seated(self, now: float) -> list[Effect]:
        self._registrar.begin(now)
        return []

    def _receive_from_meta(self, peer: Peer, join: Join) -> list[Effect]:
        if join.member.role is not Role.META:
            self._strange_count += 1
            return []
        return self._voters.shown(peer, join) if self.is_leading else []

    def _propose(
        self, command: AnyCommand, peer: Peer, request_id: int, waiter: Waiter
    ) -> list[Effect]:
        """Propose, or say no to whoever asked; where nobody did, whoever waits hears of it."""
        try:
            self.raft_driver.propose(command, waiter)
        except (OverloadedError, CommandTooLargeError) as error:
            no = refused(peer, request_id, LimitError.code, f"meta: {error}")
        except RaftError:
            no = self._elsewhere(peer, request_id)
        else:
            return []
        return [no] if request_id else list(waiter(None, self._now))

    def _elsewhere(self, peer: Peer, request_id: int) -> Send:
        leader = self.raft_driver.raft.leader
        member = self.membership.living(leader) if leader is not None else None
        is_me = leader == self._member.node_id
        address = member.address if member is not None and not is_me else ""
        usual = "another meta node leads" if address else "the meta nodes are electing a leader"
        detail = self._quorum_alarm.sentence() or usual
        return not_leader(peer, request_id, address, detail)

    def _membership_answer(self, link: Link, peer: Peer, request: FetchMembership) -> Send:
        if not self.state.is_founded:
            detail = (
                self._quorum_alarm.sentence() or "this meta node knows no members yet: ask again"
            )
            return Send(link, peer, Refused(request.request_id, NotReadyError.code, detail))
        changes = self.state.history.answer(request, self.membership)
        if changes is not None:
            return Send(link, peer, changes)
        trouble = self._quorum_alarm.sentence()
        reply = MembershipReply(request.request_id, self.membership, trouble=trouble)
        return Send(link, peer, reply)

    # --- announcing ---------------------------------------------------------------------------

    def _announce_at(self) -> float | None:
        """When to announce: a change of members at once, one of settings together with others."""
        announced, membership = self._announced, self.state.membership
        if announced is membership or announced.epoch == membership.epoch:
            return None
        are_members_new = announced.members is not membership.members
        return self._announced_at + (0.0 if are_members_new else _ANNOUNCE_SECONDS)

    def _announcement(self, now: float) -> list[Effect]:
        self._announced, self._announced_at = self.membership, now
        if not self.state.is_founded:
            return []
        message = MembershipChanged(self.membership.cluster_id, self.epoch)
        return [Broadcast(Link.MEMBERSHIP, MEMBERSHIP_TOPIC, message)]

    # --- strangers ----------------------------------------------------------------------------

    def _misdirected(self, link: Link, peer: Peer, message: Message) -> Send:
        self._strange_count += 1
        name = type(message).__name__
        detail = f"meta does not take {name}: connect to a session node instead"
        return Send(link, peer, Refused(0, UnknownMessageError.code, detail))
