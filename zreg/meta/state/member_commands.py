"""The commands that change the members: each is checked against the membership, then applied.

The functions are pure: they return the new membership, or the same object if nothing changes, and
what the command did.
"""

from collections.abc import Mapping
from typing import Final, assert_never

from zreg.config import Limits
from zreg.errors import DeniedError, LimitError, NodeIdInUseError, NotReadyError
from zreg.meta.state import membership_steps as steps
from zreg.meta.state.applied import Applied
from zreg.model import Incarnation, Member, Membership, Role, Status
from zreg.wire.log_commands import (
    ANY_RING_EPOCH,
    Admit,
    AdmitMeta,
    Adopt,
    ChangeReplicaCount,
    Depart,
    DropMeta,
    Forget,
    Found,
    Raise,
    Recover,
    SetStatus,
)

# More epochs than the meta nodes that were lost can have reached.
RECOVERY_EPOCHS: Final = 1_000_000
FULL: Final = f"this cluster has its {Limits.members_max} members: remove one first"

# A status never goes back. A departure is a command of its own.
_NEXT_STATUSES: Final[Mapping[Status, tuple[Status, ...]]] = {
    Status.INITIAL: (Status.WORKING, Status.LEAVING),
    Status.WORKING: (Status.LEAVING,),
    Status.LEAVING: (),
    Status.DEPARTED: (),
}

MemberCommand = (
    Found
    | AdmitMeta
    | Admit
    | SetStatus
    | Depart
    | Forget
    | Raise
    | Adopt
    | DropMeta
    | Recover
    | ChangeReplicaCount
)
Result = tuple[Membership, Applied]


def apply_to_members(  # noqa: C901 -- a case per command
    membership: Membership, command: MemberCommand
) -> Result:
    """Return the membership after a command, and what the command did."""
    match command:
        case Found():
            return _found(membership, command)
        case AdmitMeta():
            return _admit_meta(membership, command.member)
        case Admit():
            return _admit(membership, command)
        case SetStatus():
            return _set_status(membership, command)
        case Depart():
            return _depart(membership, command.incarnation)
        case Forget():
            return _forget(membership, command.incarnation)
        case Raise():
            return _raise(membership, command.epoch)
        case Adopt():
            return steps.adopted(membership, command.membership), Applied(is_changed=True)
        case DropMeta():
            return _drop_meta(membership, command.node_id)
        case Recover():
            return _recover(membership)
        case ChangeReplicaCount():
            return _change_replica_count(membership, command.replica_count)
        case _:
            assert_never(command)


def in_use_detail(present: Member) -> str:
    """Return the sentence that refuses a process whose node id a living node has."""
    return (
        f"node id {present.node_id!r} is in use by the {present.role.name.lower()} node "
        f"at {present.address}: stop that one, or start this one with another node id"
    )


def status_objection(
    membership: Membership, member: Member, command: SetStatus
) -> tuple[int, str] | None:
    """Return why a member does not get another status: a code and a sentence; None if it does."""
    if command.status not in _NEXT_STATUSES[member.status]:
        detail = (
            f"{member.incarnation} is {member.status.name} and cannot become {command.status.name}"
        )
        return DeniedError.code, detail
    if command.if_ring_epoch not in (ANY_RING_EPOCH, membership.ring_epoch):
        detail = (
            f"the data nodes changed at epoch {membership.ring_epoch}, after the ring of epoch "
            f"{command.if_ring_epoch}: check again what {member.node_id} holds, then report again"
        )
        return NotReadyError.code, detail
    if command.status is Status.LEAVING and _is_last_working(membership, member):
        initial = membership.of(member.role, Status.INITIAL)
        if initial:
            detail = (
                f"{member.node_id} is the last WORKING data node, and {initial[0].node_id} has not "
                "copied its data yet: try again when that one is WORKING"
            )
            return NotReadyError.code, detail
    return None


def _is_last_working(membership: Membership, member: Member) -> bool:
    return [m.incarnation for m in membership.of(member.role)] == [member.incarnation]


def _found(membership: Membership, command: Found) -> Result:
    if membership.epoch:
        return membership, Applied()
    return command.membership, Applied(is_changed=True)


def _admit_meta(membership: Membership, member: Member) -> Result:
    """List a meta node: of two processes with one id the later one is listed."""
    present = membership.living(member.node_id)
    if present is not None and present.process_id == member.process_id:
        return membership, Applied(member=present)
    if present is not None and present.role is not Role.META:
        return membership, _in_use(present)
    after = steps.joined(membership, member)
    return after, Applied(is_changed=True, member=after.living(member.node_id))


def _drop_meta(membership: Membership, node_id: str) -> Result:
    present = membership.living(node_id)
    if present is None or present.role is not Role.META:
        return membership, Applied()
    after = steps.departed(membership, present.incarnation)
    return after, Applied(is_changed=True, member=present)


def _admit(membership: Membership, command: Admit) -> Result:
    node_id = command.member.node_id
    present = membership.living(node_id)
    if present is not None:
        if present.process_id == command.member.process_id:
            return membership, Applied(member=present)
        if present.role is Role.META or present.incarnation != command.replaces:
            return membership, _in_use(present)
    elif len(membership.members) >= Limits.members_max:
        return membership, Applied(code=LimitError.code, detail=FULL)
    after = steps.joined(membership, command.member, command.status)
    return after, Applied(is_changed=True, member=after.living(node_id))


def _set_status(membership: Membership, command: SetStatus) -> Result:
    member = _living(membership, command.incarnation)
    if member is None or member.status is command.status:
        return membership, Applied(member=member)
    if (objection := status_objection(membership, member, command)) is not None:
        code, detail = objection
        return membership, Applied(code=code, detail=detail)
    after = steps.with_status(membership, command.incarnation, command.status)
    return after, Applied(is_changed=True, member=member)


def _depart(membership: Membership, incarnation: Incarnation) -> Result:
    member = _living(membership, incarnation)
    if member is None or member.role is Role.META:
        return membership, Applied()
    after = steps.departed(membership, incarnation)
    return after, Applied(is_changed=True, member=member)


def _forget(membership: Membership, incarnation: Incarnation) -> Result:
    is_departed = any(
        m.incarnation == incarnation and m.status is Status.DEPARTED for m in membership.members
    )
    if not is_departed:
        return membership, Applied()
    return steps.forgotten(membership, incarnation), Applied(is_changed=True)


def _raise(membership: Membership, epoch: int) -> Result:
    if epoch <= membership.epoch:
        return membership, Applied()
    return steps.raised(membership, epoch), Applied(is_changed=True)


def _recover(membership: Membership) -> Result:
    if not membership.epoch:
        # This cluster was never founded. It is founded now, and there is nothing to go above.
        return membership, Applied()
    return _raise(membership, membership.epoch + RECOVERY_EPOCHS - 1)


def _change_replica_count(membership: Membership, replica_count: int) -> Result:
    if replica_count == membership.ring.replica_count or not membership.epoch:
        return membership, Applied()
    return steps.with_replica_count(membership, replica_count), Applied(is_changed=True)


def _living(membership: Membership, incarnation: Incarnation) -> Member | None:
    member = membership.living(incarnation.node_id)
    return member if member is not None and member.incarnation == incarnation else None


def _in_use(present: Member) -> Applied:
    return Applied(code=NodeIdInUseError.code, detail=in_use_detail(present), member=present)
