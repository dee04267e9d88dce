"""How long ago each lost node was lost: measured by each meta node itself, and agreed by none.

No clock goes through Raft. Each meta node, leader or not, notes on its own clock when it applies a
loss. So the next leader knows how long ago it was, and a loss is not shown longer because the
leader changed. A node that has restarted, or took over a snapshot, begins to measure then: it tells
that the time is at least so long, and a loss is shown for longer, never for less.
"""

from typing import TYPE_CHECKING, NamedTuple

from zreg.meta.state.meta_state import MetaState
from zreg.model import EMPTY_MEMBERSHIP, Incarnation, Membership, Status
from zreg.wire.log_commands import Loss
from zreg.wire.records.membership_messages import GoneNode

if TYPE_CHECKING:
    from zreg.meta.state.losses import Losses


class _Since(NamedTuple):
    """When something was noted; `is_at_least`: it had happened before this node could note it."""

    at: float
    is_at_least: bool


class _Times(NamedTuple):
    """When a node was lost, and for how long it was a member."""

    lost: _Since
    lived_seconds: float
    is_at_least: bool


class LossWatch:
    """The times of the losses and of the members, as far as this meta node knows them.

    Invariant after `follow`: there are times for each loss, and for each member that may be lost.
    """

    def __init__(self, state: MetaState, gone_seconds: float) -> None:
        self._state = state
        self._gone_seconds = gone_seconds
        self._membership: Membership = EMPTY_MEMBERSHIP
        self._losses: Losses = ()
        self._joined: dict[Incarnation, _Since] = {}
        self._times: dict[Incarnation, _Times] = {}

    def follow(self, now: float) -> list[Loss]:
        """Note what is new; return the losses that are over since the last call."""
        state = self._state
        if state.losses is self._losses and state.membership.members is self._membership.members:
            return []
        if state.membership.members is not self._membership.members:
            self._note_members(now)
        ended: list[Loss] = []
        if state.losses is not self._losses:
            open_ones = {loss.incarnation for loss in self._losses if not loss.is_over}
            ended = [
                each for each in state.losses if each.is_over and each.incarnation in open_ones
            ]
            self._note_losses(now)
        self._membership, self._losses = state.membership, state.losses
        return ended

    def _note_members(self, now: float) -> None:
        former, joined = self._joined, {}
        inherited = self._state.inherited_epoch
        for member in self._state.membership.members:
            if member.status is not Status.DEPARTED:
                since = _Since(now, member.incarnation_epoch <= inherited)
                joined[member.incarnation] = former.get(member.incarnation, since)
        for loss in self._state.losses:
            # A member that is lost with this change is known from the one before.
            if loss.incarnation in former:
                joined[loss.incarnation] = former[loss.incarnation]
        self._joined = joined

    def _note_losses(self, now: float) -> None:
        times = {}
        for loss in self._state.losses:
            known = self._times.get(loss.incarnation)
            if known is None:
                lost = _Since(now, loss.epoch <= self._state.inherited_epoch)
                joined = self._joined.pop(loss.incarnation, _Since(now, is_at_least=True))
                is_at_least = lost.is_at_least or joined.is_at_least
                known = _Times(lost, now - joined.at, is_at_least)
            times[loss.incarnation] = known
        self._times = times

    def gone(self, now: float) -> tuple[GoneNode, ...]:
        """Return the lost nodes that are not back or replaced, the last one first."""
        return tuple(
            self._told(loss, now)
            for loss in reversed(self._losses)
            if not loss.is_over and not self._is_old(loss, now)
        )

    def old(self, now: float) -> list[Incarnation]:
        """Return the losses that are remembered for long enough."""
        return [loss.incarnation for loss in self._losses if self._is_old(loss, now)]

    def _is_old(self, loss: Loss, now: float) -> bool:
        return now - self._times[loss.incarnation].lost.at >= self._gone_seconds

    def _told(self, loss: Loss, now: float) -> GoneNode:
        times = self._times[loss.incarnation]
        return GoneNode(
            loss.incarnation,
            loss.role,
            loss.address,
            loss.reason,
            loss.epoch,
            loss.members_before,
            loss.count,
            int((now - times.lost.at) * 1000),
            int(times.lived_seconds * 1000),
            times.is_at_least,
        )
