"""When an INITIAL member becomes WORKING.

A member that departed too often waits first (`FlapDamping`). A data node that reports when it is
ready has to report, too. Neither counts if no member of its role works.
"""

from collections.abc import Sequence

from zreg.effects import INFO, Effect, Log
from zreg.meta.group.proposals import Proposals
from zreg.meta.members.departures import Departures, member_fields
from zreg.meta.members.flap_damping import FlapDamping
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import Incarnation, Role, Status
from zreg.wire.log_commands import SetStatus


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
