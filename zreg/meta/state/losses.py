"""Which members were lost: they departed without a goodbye, and nothing took their place yet.

The losses are agreed by Raft, so that they survive a change of the leader, and no membership has
them. Nothing that is agreed depends on them: meta nodes that were upgraded at different times
remember different losses, and must still have the same membership.
"""

from typing import Final

from msgspec.structs import replace

from zreg.meta.state.applied import Applied
from zreg.model import Member, Membership, Status
from zreg.wire.log_commands import AnyCommand, Depart, Forget, Loss

LOSSES_MAX: Final = 64

Losses = tuple[Loss, ...]


def losses_after(
    losses: Losses,
    former: Membership,
    membership: Membership,
    command: AnyCommand,
    applied: Applied,
) -> Losses:
    """Return the losses after a command that led from one membership to the next."""
    if isinstance(command, Forget) and command.losses:
        forgotten = frozenset(command.losses)
        return tuple(loss for loss in losses if loss.incarnation not in forgotten)
    if isinstance(command, Depart) and command.is_loss and applied.is_changed:
        assert applied.member is not None
        losses = _with(losses, former, membership, applied.member, command.reason)
    if not losses or membership.members is former.members:
        return losses
    return _judged(losses, membership)


def _with(
    losses: Losses, former: Membership, membership: Membership, member: Member, reason: str
) -> Losses:
    """Return the losses with that of a member; an id has one, which counts the earlier ones."""
    node_id = member.node_id
    earlier = [loss.count for loss in losses if loss.incarnation.node_id == node_id]
    loss = Loss(
        member.incarnation,
        member.role,
        member.address,
        membership.epoch,
        reason,
        len(former.of(member.role, Status.INITIAL, Status.WORKING)),
        sum(earlier) + 1,
    )
    others = [each for each in losses if each.incarnation.node_id != node_id]
    if len(others) >= LOSSES_MAX:
        # What is over is forgotten first; of these, and otherwise, the oldest.
        others.remove(min(others, key=lambda each: not each.is_over))
    return (*others, loss)


def _judged(losses: Losses, membership: Membership) -> Losses:
    """Return the losses, of which some are over under this membership."""
    judged = tuple(
        replace(loss, is_over=True) if not loss.is_over and _is_over(loss, membership) else loss
        for loss in losses
    )
    return losses if judged == losses else judged


def _is_over(loss: Loss, membership: Membership) -> bool:
    """Return whether the id is back, or as many nodes of the role work as before."""
    is_back = membership.living(loss.incarnation.node_id) is not None
    return is_back or len(membership.of(loss.role)) >= loss.members_before
