"""Meta's decisions: who joins, who departs, when a departed session is forgotten.

One lone node for now; its state is in memory. After a restart it adopts the membership that its
nodes remember (they show an epoch above its own), and judges nobody for one lease.
"""

from collections.abc import Sequence
from typing import Final

from zreg.config import Config, Limits
from zreg.effects import (
    INFO,
    MEMBERSHIP_TOPIC,
    WARNING,
    Broadcast,
    Disconnect,
    Effect,
    Link,
    Local,
    Log,
    Peer,
    PeerLost,
    PeerSlow,
    Probe,
    Send,
)
from zreg.errors import (
    ForeignClusterError,
    LimitError,
    MalformedError,
    NodeIdInUseError,
    UnknownMessageError,
    UnknownNodeError,
)
from zreg.lease import LeaseTable
from zreg.meta import membership as steps
from zreg.meta.departures import Departures
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status
from zreg.wire.messages import (
    Accepted,
    FetchMembership,
    Join,
    Leave,
    MembershipChanged,
    MembershipReply,
    Message,
    Ping,
    Pong,
    Refused,
    Renew,
    Renewed,
)

# A node may have seen epochs that this process has not, but never this many: that is a forgery.
_EPOCH_JUMP_MAX: Final = 1 << 40


class MetaCore:
    """The agreed list of members, and the leases that keep them on it."""

    def __init__(self, member: Member, config: Config, *, cluster_id: bytes, now: float) -> None:
        assert member.role is Role.META
        self._config = config
        self.membership = Membership(
            cluster_id,
            1,
            0,
            RingParameters(config.ring_hash, config.virtual_node_count, config.replica_count),
            (member,),
        )
        # A cluster id made by this process is given up when a node remembers an older cluster.
        self._own_cluster_id = cluster_id
        self._announced_epoch = 0
        self._leases: LeaseTable[Incarnation] = LeaseTable(config.lease_seconds, now=now)
        self._departures = Departures(config)
        self._peers: dict[Incarnation, Peer] = {}
        self._incarnations: dict[Peer, Incarnation] = {}
        self._started_at = now
        self._beat_at = now
        self._request_id = 0

    def __repr__(self) -> str:
        """Show epoch and size."""
        return f"<MetaCore epoch={self.epoch} members={len(self.membership.members)}>"

    @property
    def epoch(self) -> int:
        """The membership's epoch."""
        return self.membership.epoch

    def start(self, now: float) -> Sequence[Effect]:
        """Nothing to begin with: nodes come to meta."""
        del now
        return []

    # --- the door -----------------------------------------------------------------------------

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take a node's request, or what happened to its connection."""
        match message:
            case Renew():
                return self._renew(peer, message, now)
            case Join():
                return self._join(peer, message, now)
            case Leave():
                return self._leave(peer, message)
            case FetchMembership():
                return [Send(link, peer, MembershipReply(message.request_id, self.membership))]
            case MembershipReply():
                return self._adopt(message.membership, now)
            case Ping():
                return [Send(link, peer, Pong())]
            case PeerLost() | PeerSlow():
                return self._lose_peer(message)
            case Pong() | Local():
                return []
            case _:
                name = type(message).__name__
                detail = f"meta does not take {name}: connect to a session node instead"
                return [Send(link, peer, Refused(0, UnknownMessageError.code, detail))]

    def tick(self, now: float) -> Sequence[Effect]:
        """Let the silent depart, forget departed sessions, announce."""
        effects = self._expire(now)
        effects += self._forget(now)
        if now >= self._beat_at:
            self._beat_at = now + self._config.beat_seconds
            effects.append(self._announcement())
        return effects

    def settle(self, now: float) -> Sequence[Effect]:
        """Announce an epoch that nobody was told of."""
        del now
        if self._announced_epoch == self.epoch:
            return []
        return [self._announcement()]

    def next_tick_at(self) -> float | None:
        """When leases are looked at, or the beat is due."""
        return min(self._beat_at, self._leases.next_look_at())

    def statistics(self) -> dict[str, int | float | str]:
        """Counters and sizes."""
        members = self.membership.members
        return {
            "epoch": self.epoch,
            "ring_epoch": self.membership.ring_epoch,
            "sessions": len(self.membership.of(Role.SESSION)),
            "data_nodes": len(self.membership.of(Role.DATA)),
            "departed": sum(m.status is Status.DEPARTED for m in members),
            "leases": len(self._leases),
            "stalls": self._leases.stall_count,
        }

    # --- requests -----------------------------------------------------------------------------

    def _renew(self, peer: Peer, renew: Renew, now: float) -> list[Effect]:
        if remembered := self._ask_or_refuse(peer, renew, now):
            return remembered
        incarnation = renew.incarnation
        member = self.membership.living(incarnation.node_id)
        # An incarnation of a cluster that was given up may look like one of this cluster.
        is_stranger = renew.cluster_id != self.membership.cluster_id
        if is_stranger or member is None or member.incarnation != incarnation:
            detail = f"{incarnation} is not a member (any more): join again"
            return [_refused(peer, renew.request_id, UnknownNodeError.code, detail)]
        self._keep(incarnation, peer, now)
        return [Send(Link.NODES, peer, Renewed(renew.request_id, self.epoch))]

    def _join(self, peer: Peer, join: Join, now: float) -> list[Effect]:
        if remembered := self._ask_or_refuse(peer, join, now):
            return remembered
        if (refused := self._refuse_member(peer, join)) is not None:
            return [refused]
        present = self.membership.living(join.member.node_id)
        if present is not None and present.role is Role.META:
            # That is this process, or one that needs no connection to it: both live.
            return [_id_in_use(peer, join, present)]
        if present is not None and present.process_id == join.member.process_id:
            return self._let_in(peer, join, present, now)
        if present is not None and (holder := self._peers.get(present.incarnation)) is not None:
            return [Probe(Link.NODES, holder), _id_in_use(peer, join, present)]
        before = self.epoch
        self._change(steps.joined(self.membership, join.member), now)
        member = self.membership.living(join.member.node_id)
        assert member is not None
        fields: dict[str, str | int | float] = {
            "incarnation": str(member.incarnation),
            "role": member.role.name.lower(),
            "address": member.address,
            "epoch": before + 1,
        }
        return [
            Log(INFO, "member.joined", fields),
            *self._let_in(peer, join, member, now),
        ]

    def _refuse_member(self, peer: Peer, join: Join) -> Effect | None:
        """Return the refusal of whoever cannot be a member at all."""
        if join.member.role is Role.META or not join.member.process_id:
            detail = "only session and data nodes join, and each process with an id of its own"
            return _refused(peer, join.request_id, MalformedError.code, detail)
        if len(self.membership.members) >= Limits.members_max:
            detail = f"this cluster has its {Limits.members_max} members: remove one first"
            return _refused(peer, join.request_id, LimitError.code, detail)
        return None

    def _let_in(self, peer: Peer, join: Join, member: Member, now: float) -> list[Effect]:
        self._keep(member.incarnation, peer, now)
        reply = MembershipReply(join.request_id, self.membership, member.incarnation)
        return [Send(Link.NODES, peer, reply)]

    def _leave(self, peer: Peer, leave: Leave) -> list[Effect]:
        effects = self._depart(leave.incarnation, "left")
        return [*effects, Send(Link.NODES, peer, Accepted((leave.request_id,)))]

    def _ask_or_refuse(self, peer: Peer, request: Join | Renew, now: float) -> list[Effect]:
        """Look at which cluster a node has seen, and up to which epoch; [] if it is ours."""
        is_ours = request.cluster_id == self.membership.cluster_id
        # A newcomer has seen none, and one that joined this process before it adopted, no other.
        if not is_ours and request.cluster_id in (b"", self._own_cluster_id):
            return []
        if self._is_young(now) and request.epoch > (self.epoch if is_ours else 0):
            self._request_id += 1
            return [Send(Link.NODES, peer, FetchMembership(self._request_id))]
        if is_ours and request.epoch <= self.epoch + _EPOCH_JUMP_MAX:
            self._rise_above(request.epoch, now)
            return []
        detail = (
            "this node has been a member of another cluster: give it the addresses of its own "
            "meta nodes, or restart it to join this cluster as a new node"
        )
        return [_refused(peer, request.request_id, ForeignClusterError.code, detail)]

    def _is_young(self, now: float) -> bool:
        """Return whether somebody may remember what this process has forgotten.

        For one lease, and on until the first node has come: this process may have been away.
        """
        return now - self._started_at < self._config.lease_seconds or not self._leases

    def _rise_above(self, epoch: int, now: float) -> None:
        """Go above an epoch of this cluster that somebody has seen and I have not."""
        if epoch > self.epoch:
            self._change(steps.raised(self.membership, epoch), now)

    def _adopt(self, theirs: Membership, now: float) -> list[Effect]:
        """Go on from what a node remembers, if this process is young enough to have forgotten."""
        is_known = theirs.cluster_id == self.membership.cluster_id
        is_fresh = self.membership.cluster_id == self._own_cluster_id
        if not self._is_young(now) or not (is_known or is_fresh) or theirs.epoch == 0:
            return []
        if is_known and theirs.epoch <= self.epoch:
            return []
        if not is_known:
            # Incarnations of the cluster that is given up may look like some of this one.
            self._peers.clear()
            self._incarnations.clear()
        self._change(steps.adopted(self.membership, theirs), now)
        self._leases.restart_all(now)
        for member in self.membership.members:
            if member.role is not Role.META and member.status is not Status.DEPARTED:
                self._leases.renew(member.incarnation, now)
        fields: dict[str, str | int | float] = {"epoch": self.epoch, "from_epoch": theirs.epoch}
        return [Log(WARNING, "membership.adopted", fields)]

    # --- leases and connections ---------------------------------------------------------------

    def _keep(self, incarnation: Incarnation, peer: Peer, now: float) -> None:
        """Extend a lease, and remember over which connection the node renews."""
        self._leases.renew(incarnation, now)
        if self._peers.get(incarnation) != peer:
            self._forget_peer(incarnation)
            if (former := self._incarnations.get(peer)) is not None:
                self._forget_peer(former)
            self._peers[incarnation] = peer
            self._incarnations[peer] = incarnation

    def _forget_peer(self, incarnation: Incarnation) -> None:
        peer = self._peers.pop(incarnation, None)
        if peer is not None:
            self._incarnations.pop(peer, None)

    def _lose_peer(self, event: PeerLost | PeerSlow) -> list[Effect]:
        """Note that a connection is gone; the lease goes on, a successor may come at once."""
        incarnation = self._incarnations.get(event.peer)
        if incarnation is not None:
            self._forget_peer(incarnation)
        if isinstance(event, PeerSlow):
            return [Disconnect(Link.NODES, event.peer)]
        return []

    def _expire(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for incarnation in self._leases.expired(now):
            member = self.membership.living(incarnation.node_id)
            if member is None or member.incarnation != incarnation:
                self._leases.drop(incarnation)
            elif self._departures.may_depart(self.membership, member.role, now):
                self._departures.note_silent(member.role, now)
                effects += self._depart(incarnation, "silent")
            else:
                # It stays, but its id is free: a successor need not wait for the others.
                self._forget_peer(incarnation)
        return effects

    def _depart(self, incarnation: Incarnation, reason: str) -> list[Effect]:
        member = self.membership.living(incarnation.node_id)
        if member is None or member.incarnation != incarnation or member.role is Role.META:
            return []
        self.membership = steps.departed(self.membership, incarnation)
        self._leases.drop(incarnation)
        self._forget_peer(incarnation)
        fields: dict[str, str | int | float] = {
            "incarnation": str(incarnation),
            "role": member.role.name.lower(),
            "reason": reason,
            "epoch": self.epoch,
        }
        return [Log(WARNING, "member.departed", fields)]

    def _forget(self, now: float) -> list[Effect]:
        self._departures.follow(self.membership, now)
        effects: list[Effect] = []
        for incarnation in self._departures.over(now):
            self._change(steps.forgotten(self.membership, incarnation), now)
            fields: dict[str, str | int | float] = {
                "incarnation": str(incarnation),
                "epoch": self.epoch,
            }
            effects.append(Log(INFO, "member.forgotten", fields))
        return effects

    def _change(self, membership: Membership, now: float) -> None:
        self.membership = membership
        self._departures.follow(membership, now)

    def _announcement(self) -> Effect:
        self._announced_epoch = self.epoch
        message = MembershipChanged(self.membership.cluster_id, self.epoch)
        return Broadcast(Link.MEMBERSHIP, MEMBERSHIP_TOPIC, message)


def _id_in_use(peer: Peer, join: Join, present: Member) -> Effect:
    detail = (
        f"node id {present.node_id!r} is in use by the {present.role.name.lower()} node "
        f"at {present.address}: stop that one, or start this one with another node id"
    )
    return _refused(peer, join.request_id, NodeIdInUseError.code, detail)


def _refused(peer: Peer, request_id: int, code: int, detail: str) -> Effect:
    return Send(Link.NODES, peer, Refused(request_id, code, detail))
