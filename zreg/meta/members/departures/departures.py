"""How members leave: by goodbye, by silence, by proof that they are gone, or drained.

A departed session is forgotten later.
"""

from collections.abc import Sequence
from typing import Final

from zreg.effects import INFO, WARNING, Effect, Log
from zreg.meta.group.proposals import Proposals
from zreg.meta.members.departures.eviction_limiter import EvictionLimiter
from zreg.meta.members.memory.node_memory import NodeMemory
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.model import Incarnation, Member, Status
from zreg.wire.log_commands import Depart, Forget

# Why a member departs, for people; and whether the departure counts as a failure.
LEFT: Final = "left"
DRAIN_EXPIRED: Final = "drain expired"
SILENT: Final = "silent"
GONE: Final = "gone"
LOSSES: Final = (SILENT, GONE)

Fields = dict[str, str | int | float]


def member_fields(member: Member, epoch: int) -> Fields:
    """Return what each log line of a member shows."""
    return {
        "incarnation": str(member.incarnation),
        "role": member.role.name.lower(),
        "epoch": epoch,
    }


class Departures:
    """The incarnations whose departure or removal is proposed and not applied yet."""

    def __init__(
        self,
        state: MetaState,
        proposals: Proposals,
        memory: NodeMemory,
        eviction_limiter: EvictionLimiter,
    ) -> None:
        self._state = state
        self._proposals = proposals
        self._memory = memory
        self._lease_holders = memory.lease_holders
        self._eviction_limiter = eviction_limiter
        self._under_way: dict[Incarnation, None] = {}
        # The members whose lease has expired, and that stay, as too many would be gone.
        self._silent: dict[Incarnation, None] = {}

    @property
    def silent(self) -> tuple[Incarnation, ...]:
        """The members that are not heard and stay all the same."""
        return tuple(self._silent)

    def begin(self) -> None:
        """Begin to lead: proposals of an earlier leadership do not count."""
        self._under_way.clear()
        self._silent.clear()

    def is_under_way(self, incarnation: Incarnation) -> bool:
        """Return whether a departure is proposed."""
        return incarnation in self._under_way

    def follow_membership(self, now: float) -> None:
        """Take the membership as it is now: who has a grace, waits, or drains."""
        self._memory.follow(self._state.membership, now)

    def tick(self, now: float) -> list[Effect]:
        """Evict silent members, as far as the limiter allows; end drains and graces."""
        effects: list[Effect] = []
        expired = self._lease_holders.leases.expired(now)
        self._silent = {each: None for each in self._silent if each in expired}
        for incarnation in expired:
            effects += self._on_lease_expired(incarnation, now)
        self.follow_membership(now)
        for incarnation in self._memory.drain_times.count(now):
            if incarnation not in self._under_way:
                effects += self.depart(incarnation, DRAIN_EXPIRED, now)
        for incarnation in self._memory.session_graces.count(now):
            if incarnation not in self._under_way:
                effects += self._forget(incarnation, now)
        return effects

    def depart(self, incarnation: Incarnation, reason: str, now: float) -> list[Effect]:
        """Propose that a member departs."""

        def on_applied(applied: Applied | None, now: float) -> Sequence[Effect]:
            self._under_way.pop(incarnation, None)
            if reason == SILENT and applied is not None and applied.member is not None:
                self._eviction_limiter.note_silent(applied.member.role, now)
            return self.on_departed(incarnation, reason, applied, now)

        self._under_way[incarnation] = None
        depart = Depart(incarnation, reason, is_loss=reason in LOSSES)
        return self._proposals.propose(depart, on_applied, now)

    def on_departed(
        self, incarnation: Incarnation, reason: str, applied: Applied | None, now: float
    ) -> list[Effect]:
        """Take the result of a departure."""
        if applied is None or applied.member is None:
            return []
        self._lease_holders.drop(incarnation)
        self._memory.failure_evidence.clear(incarnation)
        if reason in LOSSES:
            self._memory.flap_damping.note_departure(incarnation.node_id, now)
        self.follow_membership(now)
        fields: Fields = {**member_fields(applied.member, self._state.epoch), "reason": reason}
        return [Log(WARNING, "member.departed", fields)]

    def _on_lease_expired(self, incarnation: Incarnation, now: float) -> list[Effect]:
        member = self._state.membership.living(incarnation.node_id)
        if member is None or member.incarnation != incarnation:
            self._lease_holders.leases.drop(incarnation)
            return []
        if incarnation in self._under_way:
            return []
        if self._may_evict(member, now):
            return self.depart(incarnation, SILENT, now)
        # It stays a member, but another process with its id need not wait for the limiter.
        self._lease_holders.forget_peer(incarnation)
        if incarnation in self._silent:
            return []
        self._silent[incarnation] = None
        return [Log(WARNING, "member.silent", member_fields(member, self._state.epoch))]

    def has_other(self, member: Member) -> bool:
        """Return whether another member of its role works or soon will, and is not departing."""
        return any(
            other.incarnation != member.incarnation and other.incarnation not in self._under_way
            for other in self._state.membership.of(member.role, Status.INITIAL, Status.WORKING)
        )

    def _may_evict(self, member: Member, now: float) -> bool:
        membership, role = self._state.membership, member.role
        departing = [membership.living(incarnation.node_id) for incarnation in self._under_way]
        count = sum(each is not None and each.role is role for each in departing)
        return self.has_other(member) and self._eviction_limiter.may_evict(
            membership, role, now, departing_count=count
        )

    def _forget(self, incarnation: Incarnation, now: float) -> list[Effect]:
        def on_applied(applied: Applied | None, now: float) -> Sequence[Effect]:
            self._under_way.pop(incarnation, None)
            self.follow_membership(now)
            if applied is None or not applied.is_changed:
                return []
            fields: Fields = {"incarnation": str(incarnation), "epoch": self._state.epoch}
            return [Log(INFO, "member.forgotten", fields)]

        self._under_way[incarnation] = None
        return self._proposals.propose(Forget(incarnation), on_applied, now)
