"""A node as a member of the cluster: it joins, renews its lease, and follows the membership.

Session and data nodes each hold one `ClusterMember`. It tells its core what it learned by what it
returns (`Learned`). While meta is away, the last membership stays. A node that has a disk starts
with the membership from there; which incarnation it is, it learns from meta alone.
"""

from typing import TYPE_CHECKING

import msgspec

from zreg.config import Config
from zreg.discovery.sightings import Sighted, Withdrawn
from zreg.effects import (
    INFO,
    MEMBERSHIP_TOPIC,
    WARNING,
    Effect,
    Emit,
    EpochSeen,
    HostChanged,
    Link,
    Listen,
    Local,
    Log,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
)
from zreg.errors import (
    ForeignClusterError,
    NodeIdInUseError,
    NotLeaderError,
    UnknownMessageError,
    UnknownNodeError,
)
from zreg.membership.following.membership_copy import MembershipCopy
from zreg.membership.following.membership_follower import why_not_followed
from zreg.membership.leader_link.leader_connection import LeaderConnection
from zreg.membership.node_id_wait import NodeIdWait
from zreg.membership.own_member import Counts, OwnMember
from zreg.model import Incarnation, Member, Membership
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import (
    Leave,
    MembershipChanged,
    MembershipChanges,
    MembershipReply,
    Renewed,
)

if TYPE_CHECKING:
    from random import Random


class NodeFailed(msgspec.Struct, frozen=True):
    """An event: the node cannot go on; `reason` is for the person who started it."""

    reason: str


class Learned(msgspec.Struct):
    """What one step taught this node, and the effects of the step.

    The core acts on it in the order of the fields.
    """

    effects: list[Effect]
    # The connection to the leader of meta was made, or ended.
    has_new_leader: bool = False
    # `ClusterMember.membership` was replaced.
    has_new_membership: bool = False
    # `ClusterMember.incarnation` was given by meta, or was lost.
    has_new_incarnation: bool = False


class ClusterMember:
    """Joins the connection to the leader and the copy of the membership; holds the incarnation.

    Invariant: the incarnation is the one that meta gave this node last, or None; it is never one
    that the copy shows as departed. `cached` is the membership on the node's disk, empty if there
    is none yet; None: it has no disk. `reports_ready`: the node is a data node that meta admits as
    INITIAL, until `report_ready`.
    """

    def __init__(
        self,
        member: Member,
        config: Config,
        *,
        rng: "Random",
        now: float,
        cached: Membership | None = None,
        reports_ready: bool = False,
    ) -> None:
        self.incarnation: Incarnation | None = None
        # What this node tells meta with its renewals, and what it learns from the answers.
        self.counts = Counts()
        self._own = OwnMember(member, reports_ready=reports_ready)
        self._connection = LeaderConnection(config, rng=rng, now=now)
        # Why the leader is not reached.
        self.outage = self._connection.outage
        self._copy = MembershipCopy(cached, self._connection)
        self._id_wait = NodeIdWait(config)
        self._learned = Learned([])

    @property
    def membership(self) -> Membership:
        """The membership that this node follows."""
        return self._copy.membership

    @property
    def is_membership_cached(self) -> bool:
        """Whether the membership is from the disk: meta has sent none since the start."""
        return self._copy.is_cached

    @property
    def leader(self) -> str | None:
        """The meta node that has answered, over this connection, that this node is a member."""
        return self._connection.leader

    @property
    def outage_sentence(self) -> str:
        """Why no change of members or settings is possible, for people; empty if it is."""
        return self.outage.sentence(
            self._own.member.node_id, is_membership_cached=self.is_membership_cached
        )

    @property
    def is_behind(self) -> bool:
        """Whether a higher epoch than that of the membership is known to exist."""
        return self._copy.is_behind

    # --- messages, time -----------------------------------------------------------------------

    def start(self) -> Learned:
        """Listen to announcements; the first tick connects."""
        effects: list[Effect] = [Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)]
        if self.is_membership_cached:
            self._learned.has_new_membership = True
            effects.append(_cached_log(self.membership))
        return self._finish(effects)

    def receive(self, link: Link, peer: Peer, message: Message | Local, now: float) -> Learned:
        """Take a message of the META and MEMBERSHIP links, or an event of this process."""
        if isinstance(message, Sighted | Withdrawn):
            return self._finish(self._connection.on_announcement(message, now))
        return self._finish(self._receive(link, peer, message, now))

    def tick(self, now: float) -> Learned:
        """Connect, renew, or give up on a meta node that does not answer."""
        connection = self._connection
        if connection.is_dial_due(now):
            return self._finish(connection.dial(self.membership, now))
        if connection.is_search_due(now):
            return self._finish(connection.search(now))
        connection.note_stall(now)
        if connection.is_silent(now):
            return self._finish(self._on_lost(connection.on_silence(now)))
        return self._finish(self._ask(now) if connection.is_ask_due(now) else [])

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due; None while an attempt at a known address is under way."""
        return self._connection.next_tick_at()

    def lose_incarnation(self, now: float) -> Learned:
        """Act on a refusal that says that this incarnation is gone: join again, as a new one."""
        if self.incarnation is None:
            return self._finish([])
        self._set_incarnation(None)
        self._connection.ask_soon(now)
        return self._finish(self._ask(now) if self._connection.is_up else [])

    def resume(self, incarnation: Incarnation, now: float) -> Learned:
        """Take up an incarnation that this node gave up; leave as it if the address has changed."""
        if not self._own.is_shown(self.membership):
            return self._finish(self._give_up(incarnation, now))
        if self.membership.has_living(incarnation):
            self._set_incarnation(incarnation)
        return self._finish([])

    def statistics(self) -> dict[str, int | float | str]:
        """Return epoch, incarnation and leader, for people."""
        return {
            "epoch": self.membership.epoch,
            "incarnation": str(self.incarnation or "-"),
            **self._connection.statistics(),
        }

    def _finish(self, effects: list[Effect]) -> Learned:
        learned, self._learned = self._learned, Learned([])
        learned.effects = effects
        return learned

    # --- what this node tells meta ------------------------------------------------------------

    def next_request_id(self) -> int:
        """Return a request id that no request of this node to meta has used."""
        return self._connection.next_request_id()

    def leave(self) -> list[Effect]:
        """Say that this node stops."""
        connection, leaving = self._connection, self.incarnation or self._own.former
        if not connection.is_up or leaving is None:
            return []
        return [connection.send(Leave(connection.next_request_id(), leaving))]

    def _ask(self, now: float) -> list[Effect]:
        """Renew the lease, or join if there is none; leave before, with a former address."""
        connection = self._connection
        connection.note_asked(now)
        known = (self.incarnation, self.membership, self.counts)
        request = self._own.lease_request(connection.next_request_id(), *known)
        return [connection.send(request), *self._copy.on_lease_asked()]

    # --- what meta says -----------------------------------------------------------------------

    def _receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> list[Effect]:
        connection = self._connection
        match message:
            case PeerUp(link=Link.META) | PeerLost(link=Link.META) if connection.is_dialled(
                message.peer
            ):
                return self._on_dial_ended(message, now)
            case PeerLost(link=Link.META) if message.peer == connection.address:
                return self._on_lost(connection.on_lost(message.reason, now))
            case PeerSlow(link=Link.META) if message.peer == connection.address:
                return self._on_lost(connection.hang_up("it does not read", now))
            case PeerIncompatible(link=Link.META) if message.peer == connection.address:
                return self._on_lost(connection.hang_up(message.detail, now))
            case PeerLost(link=Link.MEMBERSHIP):
                self._copy.on_announcer_lost(message.peer)
                return []
            case EpochSeen():
                return self.see_epoch(message.epoch)
            case HostChanged():
                self._own.change_host(message)
                return self._give_up(self.incarnation, now)
            case MembershipChanged() if message.cluster_id == self.membership.cluster_id:
                return self.see_epoch(message.epoch)
            case Message() if link is Link.META and connection.is_up and peer == connection.address:
                connection.on_heard(now)
                return self._on_answer(message, now)
            case _:
                return []

    def _on_dial_ended(self, event: PeerUp | PeerLost, now: float) -> list[Effect]:
        address = str(event.peer)
        if isinstance(event, PeerUp):
            return [*self._connection.on_up(address, now), *self._ask(now)]
        return self._on_lost(self._connection.on_dial_failed(address, event.reason, now))

    def _on_answer(self, message: Message, now: float) -> list[Effect]:
        match message:
            case Renewed():
                self._connection.on_renewed()
                self.counts.take(message, now)
                return [*self._on_admitted(), *self.see_epoch(message.epoch)]
            case MembershipReply():
                self._connection.on_answer()
                return self._on_membership(message, now)
            case MembershipChanges():
                self._connection.on_answer()
                membership, effects = self._copy.changed(message)
                if membership is None:
                    return effects
                return self._on_membership(MembershipReply(message.request_id, membership), now)
            case Refused():
                return self._on_refused(message, now)
            case Accepted() if self._own.is_goodbye(message):
                self._own.former = None
                return self._ask(now)
            case _:
                return []

    def _on_refused(self, refused: Refused, now: float) -> list[Effect]:
        detail = refused.detail
        match refused.code:
            case UnknownNodeError.code:
                self._set_incarnation(None)
                self._connection.ask_soon(now)
                return [Log(WARNING, "node.incarnation.gone", {"detail": detail})]
            case NotLeaderError.code:
                return self._on_lost(self._connection.on_not_leader(refused, now))
            case NodeIdInUseError.code:
                self._id_wait.on_in_use(now)
                return [Emit(NodeFailed(detail))] if self._id_wait.is_over(now) else []
            case ForeignClusterError.code:
                return [*self._copy.forget_cluster(), Emit(NodeFailed(detail))]
            case _ if self.leader is not None:
                return [Log(INFO, "meta.refused", {"code": refused.code, "detail": detail})]
            case UnknownMessageError.code if not refused.request_id:
                return self._on_lost(self._connection.on_not_meta(refused, now))
            case _:
                return self._connection.on_refused(refused, now)

    def _on_admitted(self) -> list[Effect]:
        if self.leader is None:
            self._learned.has_new_leader = True
        return self._connection.on_admitted()

    def _on_lost(self, effects: list[Effect]) -> list[Effect]:
        """Note that the connection has ended; return `effects`, which its end caused."""
        self._learned.has_new_leader = True
        self.counts.loads = None
        if not self._connection.is_dialling:
            self._id_wait.end()
        return effects

    def _give_up(self, former: Incarnation | None, now: float) -> list[Effect]:
        """Leave as the incarnation at a former address, then join as a new one."""
        if former is None:
            return []
        self._own.former = former
        if self.incarnation is not None:
            self._set_incarnation(None)
        self._connection.ask_soon(now)
        return self._ask(now) if self._connection.is_up else []

    # --- the membership -----------------------------------------------------------------------

    def see_epoch(self, epoch: int) -> list[Effect]:
        """Fetch the membership if a higher epoch than the copy's exists."""
        return self._copy.see_epoch(epoch)

    def _on_membership(self, reply: MembershipReply, now: float) -> list[Effect]:
        """Take a membership, and the incarnation that it may give or take away."""
        copy, membership = self._copy, reply.membership
        former_epoch = copy.membership.epoch
        if reason := why_not_followed(membership):
            return _failed(self._connection, reason, reply.incarnation)
        is_join = reply.incarnation.epoch > 0
        effects = copy.take(membership, reply.request_id, may_change_cluster=is_join)
        if effects is None:
            return []
        self._learned.has_new_membership = True
        if is_join and not self._own.is_shown(membership):
            # The answer to a request from before the address changed.
            effects += self._give_up(reply.incarnation, now)
        elif is_join:
            effects += self._on_joined(reply.incarnation, membership.epoch)
        elif self.incarnation is not None and not membership.has_living(self.incarnation):
            # The leader would refuse the next renewal. A successor may live already, so act now.
            self._set_incarnation(None)
            self._connection.ask_soon(now)
            effects += [Log(WARNING, "node.incarnation.gone", {"epoch": membership.epoch})]
        return effects + copy.fetch_if_behind(former_epoch)

    def take_from_member(self, membership: Membership, now: float, *, is_answer: bool) -> Learned:
        """Take the membership that another member sent, which may know more while meta is away.

        Only an answer to this node's own question may show that this node has departed. Anything
        else that comes on a data link changes neither its cluster nor its incarnation or status.
        """
        if membership.cluster_id != self.membership.cluster_id:
            return self._finish([])
        is_in = self.incarnation is not None and membership.has_living(self.incarnation)
        if self._connection.is_overdue(now) and (is_in or is_answer):
            return self._finish(self._on_membership(MembershipReply(0, membership), now))
        return self._finish(self.see_epoch(membership.epoch))

    def _on_joined(self, incarnation: Incarnation, epoch: int) -> list[Effect]:
        # A join that was sent twice is answered twice.
        is_logged = incarnation == self.incarnation
        self._set_incarnation(incarnation)
        self._id_wait.end()
        effects = self._on_admitted()
        if not is_logged:
            effects += [Log(INFO, "node.joined", {"incarnation": str(incarnation), "epoch": epoch})]
        return effects

    def _set_incarnation(self, incarnation: Incarnation | None) -> None:
        self.incarnation = incarnation
        self._learned.has_new_incarnation = True


def _failed(connection: LeaderConnection, reason: str, joined: Incarnation) -> list[Effect]:
    """End a node, and take back the join that meta has accepted, if it has."""
    failed = Emit(NodeFailed(reason))
    leave = Leave(connection.next_request_id(), joined)
    return [connection.send(leave), failed] if joined.epoch else [failed]


def _cached_log(membership: Membership) -> Log:
    fields: dict[str, str | int | float] = {
        "epoch": membership.epoch,
        "members": len(membership.members),
    }
    return Log(INFO, "membership.remembered", fields)
