"""The leader's dealings with nodes: they join, renew and leave; the silent and the gone depart.

Leases are in the leader's memory only and begin whole with a new leader. Whatever changes the
membership is proposed, and answered when it is applied.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from zreg.config import Config, Limits
from zreg.effects import (
    INFO,
    REFUSED,
    WARNING,
    Connect,
    Effect,
    Link,
    Log,
    Peer,
    PeerLost,
    PeerUp,
    Probe,
    Send,
)
from zreg.errors import (
    ForeignClusterError,
    LimitError,
    MalformedError,
    NodeIdInUseError,
    UnknownNodeError,
)
from zreg.meta.group.raft_driver import Waiter
from zreg.meta.members.cluster_check import is_ahead, is_foreign
from zreg.meta.members.eviction_limiter import EvictionLimiter
from zreg.meta.members.failure_evidence import FailureEvidence
from zreg.meta.members.flap_damping import FlapDamping
from zreg.meta.members.lease_holders import LeaseHolders
from zreg.meta.refusals import refused
from zreg.meta.state.applied import Applied
from zreg.meta.state.member_commands import FULL, in_use_detail
from zreg.meta.state.meta_state import MetaState
from zreg.model import NO_INCARNATION, Incarnation, Member, Role, Status
from zreg.raft.consensus import RaftCore
from zreg.wire.common_messages import Accepted
from zreg.wire.log_commands import Admit, AnyCommand, Depart, Forget, Raise, SetStatus
from zreg.wire.membership_messages import Join, Leave, MembershipReply, Renew, Renewed, ReportGone

_FOREIGN: Final = (
    "this node has been a member of another cluster: give it the addresses of its own "
    "meta nodes, or restart it to join this cluster as a new node"
)

Fields = dict[str, str | int | float]
# Proposes a command for a request (0: nobody asked), and says no to it at once where that fails.
Propose = Callable[[AnyCommand, Peer, int, Waiter], list[Effect]]


class MemberRegistrar:
    """The nodes of one leadership."""

    def __init__(
        self,
        state: MetaState,
        config: Config,
        propose: Propose,
        raft: RaftCore,
        *,
        now: float,
    ) -> None:
        self._state = state
        # Knows all nodes that meta has, also those that have never been up.
        self._raft = raft
        self._config = config
        self.propose = propose
        self.holders = LeaseHolders(config.lease_seconds, now=now)
        self.departures = EvictionLimiter(config)
        self.evidence = FailureEvidence(config.lease_seconds)
        self.waiting = FlapDamping()
        # What was proposed and is not applied yet.
        self._leaving: dict[Incarnation, None] = {}
        self._starting: dict[Incarnation, None] = {}

    def begin(self, now: float) -> None:
        """Begin to lead: everybody has a whole lease, and departed sessions their grace."""
        self.holders.forget_peers()
        self.holders.give_all(self._state.membership, now)
        self.evidence.begin(self.holders.leases, now)
        self.waiting.forget_waits()
        self._leaving.clear()
        self._starting.clear()
        self.follow(now)

    def follow(self, now: float) -> None:
        """Look at the membership as it is now."""
        self.departures.follow(self._state.membership, now)
        self.waiting.follow(self._state.membership, now)

    # --- requests ----------------------------------------------------------------------------

    def take(self, peer: Peer, request: Join | Renew, now: float) -> list[Effect]:
        """Let a node of this cluster in, or extend its lease."""
        if is_foreign(request, self._state.membership):
            return [refused(peer, request.request_id, ForeignClusterError.code, _FOREIGN)]
        if not is_ahead(request, self._state.membership):
            return self._take_known(peer, request, now)

        def go_on(_applied: Applied | None, now: float) -> Sequence[Effect]:
            return self._take_known(peer, request, now)

        return self.propose(Raise(request.epoch), peer, request.request_id, go_on)

    def _take_known(self, peer: Peer, request: Join | Renew, now: float) -> list[Effect]:
        if isinstance(request, Join):
            return self.join(peer, request, now)
        return self.renew(peer, request, now)

    def renew(self, peer: Peer, renew: Renew, now: float) -> list[Effect]:
        """Extend a lease, if the incarnation is a member and stays one."""
        membership, incarnation = self._state.membership, renew.incarnation
        member = membership.living(incarnation.node_id)
        # An incarnation of a cluster that was given up may look like one of this cluster.
        is_stranger = renew.cluster_id != membership.cluster_id
        if is_stranger or member is None or member.incarnation != incarnation:
            detail = f"{incarnation} is not a member (any more): join again"
            return [refused(peer, renew.request_id, UnknownNodeError.code, detail)]
        if incarnation in self._leaving:
            # Its lease ran out and that is on its way: asked again, it hears what became of it.
            return []
        self.holders.keep(incarnation, peer, now)
        self.evidence.clear(incarnation)
        return [Send(Link.NODES, peer, Renewed(renew.request_id, self._state.epoch))]

    def join(self, peer: Peer, join: Join, now: float) -> list[Effect]:
        """Let a node in, unless its id is held by another process that lives."""
        if (refusal := self._refuse_member(peer, join)) is not None:
            return [refusal]
        present = self._state.membership.living(join.member.node_id)
        if present is not None and present.process_id == join.member.process_id:
            return self._let_in(peer, join, present, now)
        if present is not None and (holder := self.holders.peer_of(present.incarnation)):
            return [Probe(Link.NODES, holder), self._in_use(peer, join, in_use_detail(present))]

        def answer(applied: Applied | None, now: float) -> Sequence[Effect]:
            if applied is None:
                return [self._in_use(peer, join, "the leader of meta changed: ask again")]
            if applied.code or applied.member is None:
                return [refused(peer, join.request_id, applied.code, applied.detail)]
            log = self._joined(applied.member, present, wait, now) if applied.is_changed else []
            return [*log, *self._let_in(peer, join, applied.member, now)]

        wait = self._wait_seconds(join.member, present, now)
        replaces = NO_INCARNATION if present is None else present.incarnation
        admit = Admit(join.member, replaces, Status.INITIAL if wait else Status.WORKING)
        return self.propose(admit, peer, join.request_id, answer)

    def leave(self, peer: Peer, leave: Leave) -> list[Effect]:
        """Let a node go that says so."""
        accepted = Send(Link.NODES, peer, Accepted((leave.request_id,)))

        def answer(applied: Applied | None, now: float) -> Sequence[Effect]:
            return [*self._departed(leave.incarnation, "left", applied, now), accepted]

        return self.propose(Depart(leave.incarnation, "left"), peer, leave.request_id, answer)

    def _refuse_member(self, peer: Peer, join: Join) -> Effect | None:
        """Return the refusal of whoever cannot be a member at all."""
        if join.member.role is Role.META or not join.member.process_id:
            detail = "only session and data nodes join, and each process with an id of its own"
            return refused(peer, join.request_id, MalformedError.code, detail)
        present = self._state.membership.living(join.member.node_id)
        if present is not None and present.role is Role.META:
            # It needs no connection to this process: both live.
            return self._in_use(peer, join, in_use_detail(present))
        address = self._raft.configuration.addresses.get(join.member.node_id)
        if address is not None:
            added = replace(join.member, role=Role.META, address=address)
            return self._in_use(peer, join, in_use_detail(added))
        if len(self._state.membership.members) >= Limits.members_max:
            return refused(peer, join.request_id, LimitError.code, FULL)
        return None

    def _let_in(self, peer: Peer, join: Join, member: Member, now: float) -> list[Effect]:
        self.holders.keep(member.incarnation, peer, now)
        self.evidence.clear(member.incarnation)
        reply = MembershipReply(join.request_id, self._state.membership, member.incarnation)
        return [Send(Link.NODES, peer, reply)]

    def _in_use(self, peer: Peer, join: Join, detail: str) -> Effect:
        return refused(peer, join.request_id, NodeIdInUseError.code, detail)

    def _wait_seconds(self, newcomer: Member, present: Member | None, now: float) -> float:
        """Return how long a node has to wait until it may work: not where it is the only one."""
        working = self._state.membership.of(newcomer.role)
        if not any(member.node_id != newcomer.node_id for member in working):
            return 0.0
        more = int(present is not None)
        return self.waiting.wait_seconds(newcomer.node_id, now, more=more)

    def _joined(
        self, member: Member, replaced: Member | None, wait: float, now: float
    ) -> list[Effect]:
        if replaced is not None:
            # It came back before anybody had noticed that it was gone.
            self.waiting.note_departure(replaced.node_id, now)
            self.evidence.clear(replaced.incarnation)
        fields: Fields = {**self._fields(member), "address": member.address}
        effects: list[Effect] = [Log(INFO, "member.joined", fields)]
        if member.status is Status.INITIAL:
            self.waiting.begin(member.incarnation, now + wait)
            fields = {**self._fields(member), "seconds": wait}
            effects.append(Log(WARNING, "member.waiting", fields))
        return effects

    def _fields(self, member: Member) -> Fields:
        return {
            "incarnation": str(member.incarnation),
            "role": member.role.name.lower(),
            "epoch": self._state.epoch,
        }

    # --- evidence that a node is gone ---------------------------------------------------------

    def lose(self, peer: Peer, now: float) -> list[Effect]:
        """Act on the end of a connection."""
        incarnation = self.holders.lose(peer)
        if incarnation is None:
            return []
        self.evidence.close(incarnation, now)
        return self._check(now)

    def hear_report(self, peer: Peer, report: ReportGone, now: float) -> list[Effect]:
        """Take what a node reports of another one, both members now."""
        membership, gone = self._state.membership, report.gone
        member = membership.living(gone.node_id)
        is_member = member is not None and member.incarnation == gone
        is_reporter = self.holders.holder_of(peer) == report.reporter != gone
        if not is_member or not is_reporter or report.cluster_id != membership.cluster_id:
            return []
        self.evidence.report(gone, now)
        return self._check(now)

    def hear_check(self, event: PeerUp | PeerLost, now: float) -> list[Effect]:
        """Take what meta's own look at a node's address found."""
        is_refused = isinstance(event, PeerLost) and event.reason == REFUSED
        gone = self.evidence.conclude(str(event.peer), now, is_refused=is_refused)
        effects: list[Effect] = []
        if gone is not None and gone not in self._leaving and self._may_go(gone):
            effects += self._propose_departure(gone, "gone")
        return [*effects, *self._check(now)]

    def _check(self, now: float) -> list[Effect]:
        return [
            Connect(Link.CHECKS, name, member.address)
            for name, member in self.evidence.take_checks(self._state.membership, now)
        ]

    def _may_go(self, gone: Incarnation) -> bool:
        """Return whether somebody else of its role works, or will at once: the last one stays."""
        membership = self._state.membership
        member = membership.living(gone.node_id)
        return member is not None and any(
            other.incarnation != gone and other.incarnation not in self._leaving
            for other in membership.of(member.role, Status.INITIAL, Status.WORKING)
        )

    # --- time --------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Let the silent depart, within the brake, and forget those whose grace is over."""
        effects: list[Effect] = []
        membership = self._state.membership
        for incarnation in self.holders.leases.expired(now):
            member = membership.living(incarnation.node_id)
            if member is None or member.incarnation != incarnation:
                self.holders.leases.drop(incarnation)
            elif incarnation in self._leaving:
                continue
            elif self._may_depart(member.role, now):
                effects += self._propose_departure(incarnation, "silent")
            else:
                # It stays, but its id is free: a successor need not wait for the others.
                self.holders.forget_peer(incarnation)
        self.follow(now)
        for incarnation in self.departures.over(now):
            if incarnation not in self._leaving:
                effects += self._propose_forgetting(incarnation)
        for incarnation in self.waiting.over(membership, now):
            if incarnation not in self._starting:
                effects += self._propose_working(incarnation)
        return [*effects, *self._check(now)]

    def _may_depart(self, role: Role, now: float) -> bool:
        membership = self._state.membership
        leaving = [membership.living(incarnation.node_id) for incarnation in self._leaving]
        count = sum(member is not None and member.role is role for member in leaving)
        return self.departures.may_depart(membership, role, now, leaving_count=count)

    def _propose_departure(self, incarnation: Incarnation, reason: str) -> list[Effect]:
        def answer(applied: Applied | None, now: float) -> Sequence[Effect]:
            self._leaving.pop(incarnation, None)
            if reason == "silent" and applied is not None and applied.member is not None:
                self.departures.note_silent(applied.member.role, now)
            return self._departed(incarnation, reason, applied, now)

        self._leaving[incarnation] = None
        return self.propose(Depart(incarnation, reason), "", 0, answer)

    def _propose_forgetting(self, incarnation: Incarnation) -> list[Effect]:
        def answer(applied: Applied | None, now: float) -> Sequence[Effect]:
            self._leaving.pop(incarnation, None)
            self.follow(now)
            if applied is None or not applied.is_changed:
                return []
            fields: Fields = {"incarnation": str(incarnation), "epoch": self._state.epoch}
            return [Log(INFO, "member.forgotten", fields)]

        self._leaving[incarnation] = None
        return self.propose(Forget(incarnation), "", 0, answer)

    def _propose_working(self, incarnation: Incarnation) -> list[Effect]:
        def answer(applied: Applied | None, now: float) -> Sequence[Effect]:
            self._starting.pop(incarnation, None)
            self.follow(now)
            if applied is None or not applied.is_changed or applied.member is None:
                return []
            return [Log(INFO, "member.working", self._fields(applied.member))]

        self._starting[incarnation] = None
        return self.propose(SetStatus(incarnation, Status.WORKING), "", 0, answer)

    def _departed(
        self, incarnation: Incarnation, reason: str, applied: Applied | None, now: float
    ) -> list[Effect]:
        if applied is None or applied.member is None:
            return []
        self.holders.drop(incarnation)
        self.evidence.clear(incarnation)
        if reason != "left":
            self.waiting.note_departure(incarnation.node_id, now)
        self.follow(now)
        fields: Fields = {**self._fields(applied.member), "reason": reason}
        return [Log(WARNING, "member.departed", fields)]
