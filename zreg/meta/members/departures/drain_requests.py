"""Requests that a data node leaves after it has handed over its data: by itself, or an operator."""

from collections.abc import Sequence
from typing import Final

from zreg.effects import INFO, Effect, Link, Log, Peer, Send
from zreg.errors import DeniedError, ForeignClusterError, NotReadyError, UnknownNodeError
from zreg.meta.group.proposals import Proposals, refused
from zreg.meta.members.cluster_check import names_other_cluster
from zreg.meta.members.departures.departures import member_fields
from zreg.meta.state.applied import Applied
from zreg.meta.state.member_commands import status_objection
from zreg.meta.state.meta_state import MetaState
from zreg.model import Member, Role, Status
from zreg.wire.log_commands import SetStatus
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import Drain

_LEADER_CHANGED: Final = "the leader of meta changed meanwhile: ask again"


class DrainRequests:
    """Makes a data node LEAVING; `Departures` removes it in the end."""

    def __init__(self, state: MetaState, proposals: Proposals) -> None:
        self._state = state
        self._proposals = proposals

    def on_drain(self, peer: Peer, drain: Drain) -> list[Effect]:
        """Begin to drain a data node; answer when it is LEAVING."""
        accepted = Send(Link.NODES, peer, Accepted((drain.request_id,)))
        member = self._member_of(drain)
        if (objection := self._objection(drain, member)) is not None:
            return [refused(peer, drain.request_id, *objection)]
        assert member is not None
        if member.status is Status.LEAVING:
            return [accepted]
        command = SetStatus(member.incarnation, Status.LEAVING)
        if (objection := status_objection(self._state.membership, member, command)) is not None:
            return [refused(peer, drain.request_id, *objection)]

        def on_applied(applied: Applied | None, _now: float) -> Sequence[Effect]:
            if applied is None:
                return [refused(peer, drain.request_id, NotReadyError.code, _LEADER_CHANGED)]
            if applied.code:
                return [refused(peer, drain.request_id, applied.code, applied.detail)]
            if applied.member is None:
                detail = _unknown_detail(drain)
                return [refused(peer, drain.request_id, UnknownNodeError.code, detail)]
            return [*self._logs(applied), accepted]

        return self._proposals.propose_for(peer, drain.request_id, command, on_applied)

    def _member_of(self, drain: Drain) -> Member | None:
        member = self._state.membership.living(drain.node_id)
        if member is None or drain.incarnation_epoch not in (0, member.incarnation_epoch):
            return None
        return member

    def _objection(self, drain: Drain, member: Member | None) -> tuple[int, str] | None:
        """Return why a node cannot be drained at all: a code and a sentence; None if it can."""
        if names_other_cluster(drain.cluster_id, self._state.membership):
            detail = "the node to drain is of another cluster: ask the meta nodes of that cluster"
            return ForeignClusterError.code, detail
        if member is None:
            return UnknownNodeError.code, _unknown_detail(drain)
        if member.role is not Role.DATA:
            role = member.role.name.lower()
            return DeniedError.code, f"{drain.node_id} is a {role} node: only data nodes drain"
        return None

    def _logs(self, applied: Applied) -> list[Effect]:
        if not applied.is_changed or applied.member is None:
            return []
        return [Log(INFO, "member.leaving", member_fields(applied.member, self._state.epoch))]


def _unknown_detail(drain: Drain) -> str:
    epoch = f" that joined at epoch {drain.incarnation_epoch}" if drain.incarnation_epoch else ""
    return f"no node with the id {drain.node_id!r}{epoch} is a member: see `zreg nodes`"
