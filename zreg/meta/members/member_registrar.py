"""The leader's answers to session and data nodes that join, renew their lease, or leave.

Leases are in the leader's memory only, and begin anew with each leader. A change of the membership
is proposed, and answered when it is applied.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from zreg.config import LABEL, Limits
from zreg.effects import INFO, WARNING, Effect, Link, Log, Peer, Probe, Send
from zreg.errors import (
    DeniedError,
    ForeignClusterError,
    LimitError,
    MalformedError,
    NodeIdInUseError,
    UnknownNodeError,
)
from zreg.meta.group.proposals import Proposals, refused
from zreg.meta.loss_watch import LossWatch
from zreg.meta.members.cluster_check import (
    FOREIGN,
    is_ahead,
    is_foreign,
    member_of,
    unknown_detail,
)
from zreg.meta.members.departures.departures import LEFT, Departures, Fields, member_fields
from zreg.meta.members.memory.node_memory import NodeMemory
from zreg.meta.state.applied import Applied
from zreg.meta.state.member_commands import FULL, in_use_detail
from zreg.meta.state.meta_state import MetaState
from zreg.model import NO_INCARNATION, NODE_ID, Member, Role, Status
from zreg.names import refused_name
from zreg.primitives.timing.log_pause import LogPause
from zreg.raft.consensus import RaftCore
from zreg.tcp_address import why_no_address
from zreg.wire.log_commands import Admit, Depart, Raise
from zreg.wire.parts import member_size
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import (
    GONE_MAX,
    Join,
    Leave,
    MembershipReply,
    Renew,
    Renewed,
)

_LARGE: Final = (
    f"id, addresses and labels of a node take at most {Limits.member_bytes_max} bytes together: "
    "give this node shorter ones"
)


class MemberRegistrar:
    """Admits session and data nodes, renews their leases, and removes those that leave."""

    def __init__(
        self,
        state: MetaState,
        raft: RaftCore,
        proposals: Proposals,
        departures: Departures,
        memory: NodeMemory,
        loss_watch: LossWatch,
    ) -> None:
        self._state = state
        # Its configuration lists all meta nodes, also those that never ran.
        self._raft = raft
        self._proposals = proposals
        self._departures = departures
        self._loss_watch = loss_watch
        self._log_pause = LogPause()
        self._lease_holders = memory.lease_holders
        self._failure_evidence = memory.failure_evidence
        self._flap_damping = memory.flap_damping
        self._session_graces = memory.session_graces
        self._copy_progress = memory.copy_progress
        self._client_counts = memory.client_counts

    # --- joining and renewing ----------------------------------------------------------------

    def on_join_or_renew(self, peer: Peer, request: Join | Renew, now: float) -> list[Effect]:
        """Admit a node, or extend its lease, if it is of this cluster.

        If it has seen an epoch that this node has not, the epoch goes above it first.
        """
        membership = self._state.membership
        if is_foreign(request, membership):
            refusal = refused(peer, request.request_id, ForeignClusterError.code, FOREIGN)
            return [*self._log_refusal(request, refusal, now), refusal]
        if not is_ahead(request, membership):
            return self._admit_or_renew(peer, request, now)

        def on_applied(_applied: Applied | None, now: float) -> Sequence[Effect]:
            return self._admit_or_renew(peer, request, now)

        raise_epoch = Raise(request.epoch)
        return self._proposals.propose_for(peer, request.request_id, raise_epoch, on_applied)

    def _admit_or_renew(self, peer: Peer, request: Join | Renew, now: float) -> list[Effect]:
        if isinstance(request, Join):
            return self._admit(peer, request, now)
        return self._renew(peer, request, now)

    def _renew(self, peer: Peer, renew: Renew, now: float) -> list[Effect]:
        """Extend a lease, if the incarnation is a member and stays one."""
        membership, incarnation = self._state.membership, renew.incarnation
        member = member_of(renew, membership)
        if member is None:
            detail = unknown_detail(incarnation)
            return [refused(peer, renew.request_id, UnknownNodeError.code, detail)]
        if self._departures.is_under_way(incarnation):
            # No answer: the node asks again, and then hears whether it departed.
            return []
        self._lease_holders.renew(incarnation, peer, now)
        self._failure_evidence.clear(incarnation)
        if member.role is Role.SESSION:
            self._session_graces.on_session_renewed(now)
            self._client_counts.note(renew)
        else:
            self._copy_progress.note(renew)
        loads = None if renew.client_count is None else self._client_counts.loads(now)
        gone = self._loss_watch.gone(now)[:GONE_MAX]
        renewed = Renewed(renew.request_id, self._state.epoch, loads, gone)
        return [Send(Link.NODES, peer, renewed)]

    def _admit(self, peer: Peer, join: Join, now: float) -> list[Effect]:
        """Admit a node, unless another living process has its id."""
        if (refusal := self._refusal(peer, join)) is not None:
            return [*self._log_refusal(join, refusal, now), refusal]
        present = self._state.membership.living(join.member.node_id)
        if present is not None and present.process_id == join.member.process_id:
            return self._admitted(peer, join, present, now)
        if present is not None and (holder := self._lease_holders.peer_of(present.incarnation)):
            refusal = _in_use(peer, join, in_use_detail(present))
            logs = self._log_refusal(join, refusal, now)
            return [*logs, Probe(Link.NODES, holder), refusal]

        def on_applied(applied: Applied | None, now: float) -> Sequence[Effect]:
            if applied is None:
                return [_in_use(peer, join, "the leader of meta changed: ask again")]
            if applied.code or applied.member is None:
                return [refused(peer, join.request_id, applied.code, applied.detail)]
            logs = self._on_joined(applied.member, present, wait, now) if applied.is_changed else []
            return [*logs, *self._admitted(peer, join, applied.member, now)]

        is_needed = self._is_needed(join.member)
        wait = 0.0 if is_needed else self._wait_seconds(join.member, present, now)
        must_report = join.reports_ready and join.member.role is Role.DATA and not is_needed
        status = Status.INITIAL if wait or must_report else Status.WORKING
        replaces = NO_INCARNATION if present is None else present.incarnation
        admit = Admit(join.member, replaces, status, must_report)
        return self._proposals.propose_for(peer, join.request_id, admit, on_applied)

    def _log_refusal(self, request: Join | Renew, refusal: Send, now: float) -> list[Effect]:
        """Log once in a while that a node is refused, which asks again and again."""
        if isinstance(request, Join):
            node_id, address = request.member.node_id, request.member.address
        else:
            node_id, address = request.incarnation.node_id, ""
        message = refusal.message
        assert isinstance(message, Refused)
        if not self._log_pause.take(f"{node_id} {message.code}", now):
            return []
        # A process that returns before the loss of its predecessor is noticed waits for that only.
        level = INFO if message.code == NodeIdInUseError.code else WARNING
        fields: Fields = {
            "node_id": node_id,
            "code": message.code,
            "address": address,
            "detail": message.detail,
        }
        return [Log(level, "member.refused", fields)]

    def _refusal(self, peer: Peer, join: Join) -> Send | None:
        """Return the refusal of a node that cannot be a member at all."""
        if join.member.role is Role.META or not join.member.process_id:
            detail = "only session and data nodes join, and each process with an id of its own"
            return refused(peer, join.request_id, MalformedError.code, detail)
        present = self._state.membership.living(join.member.node_id)
        if present is not None and present.role is Role.META:
            # A meta node renews no lease: its id is taken as long as the membership shows it.
            return _in_use(peer, join, in_use_detail(present))
        if present is None and (why := _refused_name(join.member)) is not None:
            return refused(peer, join.request_id, DeniedError.code, why)
        address = self._raft.configuration.addresses.get(join.member.node_id)
        if address is not None:
            added = replace(join.member, role=Role.META, address=address)
            return _in_use(peer, join, in_use_detail(added))
        if len(self._state.membership.members) >= Limits.members_max:
            return refused(peer, join.request_id, LimitError.code, FULL)
        if member_size(join.member) > Limits.member_bytes_max:
            return refused(peer, join.request_id, LimitError.code, _LARGE)
        return None

    def _is_needed(self, newcomer: Member) -> bool:
        """Return whether no other node of its role works."""
        working = self._state.membership.of(newcomer.role)
        return all(member.node_id == newcomer.node_id for member in working)

    def _wait_seconds(self, newcomer: Member, present: Member | None, now: float) -> float:
        """Return how long a node must wait because it departed too often."""
        more = int(present is not None)
        return self._flap_damping.wait_seconds(newcomer.node_id, now, more=more)

    def _admitted(self, peer: Peer, join: Join, member: Member, now: float) -> list[Effect]:
        self._lease_holders.renew(member.incarnation, peer, now)
        self._failure_evidence.clear(member.incarnation)
        reply = MembershipReply(join.request_id, self._state.membership, member.incarnation)
        return [Send(Link.NODES, peer, reply)]

    def _on_joined(
        self, member: Member, replaced: Member | None, wait: float, now: float
    ) -> list[Effect]:
        if replaced is not None:
            # The node came back before its loss was noticed: that counts as a departure.
            self._flap_damping.note_departure(replaced.node_id, now)
            self._failure_evidence.clear(replaced.incarnation)
        fields: Fields = {**member_fields(member, self._state.epoch), "address": member.address}
        if replaced is not None:
            fields["replaces"] = str(replaced.incarnation)
        effects: list[Effect] = [Log(INFO, "member.joined", fields)]
        if member.status is Status.INITIAL:
            self._flap_damping.begin_wait(member.incarnation, now + wait)
        if wait:
            fields = {**member_fields(member, self._state.epoch), "seconds": wait}
            effects.append(Log(WARNING, "member.waiting", fields))
        return effects

    # --- leaving -----------------------------------------------------------------------------

    def on_leave(self, peer: Peer, leave: Leave) -> list[Effect]:
        """Remove a node that says goodbye."""
        incarnation = leave.incarnation
        accepted = Send(Link.NODES, peer, Accepted((leave.request_id,)))

        def on_applied(applied: Applied | None, now: float) -> Sequence[Effect]:
            logs = self._departures.on_departed(incarnation, LEFT, applied, now)
            return [*logs, accepted]

        depart = Depart(incarnation, LEFT)
        return self._proposals.propose_for(peer, leave.request_id, depart, on_applied)


def _refused_name(member: Member) -> str | None:
    """Return why an id, label or address of a new member is not allowed; None if all are."""
    for address in filter(None, (member.address, member.changes_address)):
        if (why := why_no_address(address)) is not None:
            return f"{address!r} is no address of a node: {why}"
    return refused_name(
        (NODE_ID, "node id", member.node_id),
        (LABEL, "zone", member.zone),
        (LABEL, "data_center", member.data_center),
    )


def _in_use(peer: Peer, join: Join, detail: str) -> Send:
    return refused(peer, join.request_id, NodeIdInUseError.code, detail)
