"""When an INITIAL member becomes WORKING.

A member that departed too often waits first (`FlapDamping`). A data node that reports when it is
ready has to report, too. Neither counts if no member of its role works.
"""

from collections.abc import Sequence
from typing import Final

from zreg.effects import INFO, Effect, Link, Log, Peer, Send
from zreg.errors import DeniedError, ForeignClusterError, NotReadyError, UnknownNodeError
from zreg.meta.group.proposals import Proposals, refused
from zreg.meta.members.cluster_check import (
    FOREIGN,
    member_of,
    names_other_cluster,
    unknown_detail,
)
from zreg.meta.members.departures.departures import Departures, member_fields
from zreg.meta.members.memory.flap_damping import FlapDamping
from zreg.meta.state.applied import Applied
from zreg.meta.state.member_commands import status_objection
from zreg.meta.state.meta_state import MetaState
from zreg.model import Incarnation, Member, Role, Status
from zreg.wire.log_commands import SetStatus
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import Ready

_LEADER_CHANGED: Final = "the leader of meta changed meanwhile: report again"


class Newcomers:
    """The members whose WORKING this leader itself has proposed, and which is not applied yet."""

    def __init__(
        self,
        state: MetaState,
        proposals: Proposals,
        departures: Departures,
        flap_damping: FlapDamping,
    ) -> None:
        self._state = state
        self._proposals = proposals
        self._departures = departures
        self._flap_damping = flap_damping
        self._starting: dict[Incarnation, None] = {}

    def begin(self) -> None:
        """Begin to lead: proposals of an earlier leadership do not count."""
        self._starting.clear()

    def tick(self, now: float) -> list[Effect]:
        """Let the members work that need not report and have waited, or that their role needs."""
        effects: list[Effect] = []
        for incarnation in self._may_work(now):
            if incarnation not in self._starting:
                effects += self._start(incarnation, now)
        return effects

    def on_ready(self, peer: Peer, ready: Ready, now: float) -> list[Effect]:
        """Let a data node work that holds what it will own, if it need not wait."""
        membership, incarnation = self._state.membership, ready.incarnation
        accepted = Send(Link.NODES, peer, Accepted((ready.request_id,)))
        command = SetStatus(incarnation, Status.WORKING, ready.ring_epoch)
        member = member_of(ready, membership)
        if member is not None and member.status is Status.WORKING:
            return [accepted]
        if (objection := self._objection(ready, member, command, now)) is not None:
            return [refused(peer, ready.request_id, *objection)]

        def on_applied(applied: Applied | None, now: float) -> Sequence[Effect]:
            logs = self._on_started(applied, now)
            if applied is None:
                return [refused(peer, ready.request_id, NotReadyError.code, _LEADER_CHANGED)]
            if applied.code:
                return [refused(peer, ready.request_id, applied.code, applied.detail)]
            if applied.member is None:
                detail = unknown_detail(incarnation)
                return [refused(peer, ready.request_id, UnknownNodeError.code, detail)]
            return [*logs, accepted]

        return self._proposals.propose_for(peer, ready.request_id, command, on_applied)

    def _objection(
        self, ready: Ready, member: Member | None, command: SetStatus, now: float
    ) -> tuple[int, str] | None:
        """Return why a node may not work: a code and a sentence; None if it may."""
        membership = self._state.membership
        if names_other_cluster(ready.cluster_id, membership):
            return ForeignClusterError.code, FOREIGN
        if member is None:
            return UnknownNodeError.code, unknown_detail(ready.incarnation)
        if member.role is not Role.DATA:
            return DeniedError.code, "only a data node reports that it is ready"
        if (objection := status_objection(membership, member, command)) is not None:
            return objection
        if seconds := self._flap_damping.seconds_left(member.incarnation, now):
            detail = (
                f"{member.node_id} waits for {seconds:.1f} s more, because it departed too often "
                "or meta has a new leader: report again then"
            )
            return NotReadyError.code, detail
        return None

    def _may_work(self, now: float) -> list[Incarnation]:
        if not self._flap_damping.has_members:
            return []
        membership, reporters = self._state.membership, self._state.reporters
        needed = [role for role in Role if not membership.of(role)]
        return [
            member.incarnation
            for member in membership.members
            if member.status is Status.INITIAL
            and (
                member.role in needed
                or (
                    member.incarnation not in reporters
                    and not self._flap_damping.seconds_left(member.incarnation, now)
                )
            )
        ]

    def _start(self, incarnation: Incarnation, now: float) -> list[Effect]:
        def on_applied(applied: Applied | None, now: float) -> Sequence[Effect]:
            self._starting.pop(incarnation, None)
            return self._on_started(applied, now)

        self._starting[incarnation] = None
        command = SetStatus(incarnation, Status.WORKING)
        return self._proposals.propose(command, on_applied, now)

    def _on_started(self, applied: Applied | None, now: float) -> list[Effect]:
        self._departures.follow_membership(now)
        if applied is None or not applied.is_changed or applied.member is None:
            return []
        return [Log(INFO, "member.working", member_fields(applied.member, self._state.epoch))]
