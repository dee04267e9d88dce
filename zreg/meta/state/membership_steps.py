"""The membership as a state machine: one pure function per step, each raises the epoch by one.

The leader decides when a step is taken. This module defines what the step does.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from zreg.model import Incarnation, Member, Membership, Role, Status, in_order


def joined(membership: Membership, newcomer: Member, status: Status = Status.WORKING) -> Membership:
    """Return the membership with a new incarnation, which joined at the new epoch.

    With status INITIAL it waits until it may work. A living predecessor with the same id is
    removed; a session's predecessor stays as DEPARTED, so that the publishers it registered have
    their grace.
    """
    epoch = membership.epoch + 1
    member = replace(newcomer, incarnation_epoch=epoch, status=status)
    others: list[Member] = []
    touches_ring = _is_on_ring(member)
    for present in membership.members:
        if present.node_id != newcomer.node_id:
            others.append(present)
        elif present.role is Role.SESSION:
            others.append(replace(present, status=Status.DEPARTED))
        else:
            touches_ring = touches_ring or _is_on_ring(present)
    return _next(membership, [*others, member], touches_ring=touches_ring)


def departed(membership: Membership, incarnation: Incarnation) -> Membership:
    """Return the membership without a node; a session stays as DEPARTED until it is forgotten."""
    members: list[Member] = []
    touches_ring = False
    for member in membership.members:
        if member.incarnation != incarnation:
            members.append(member)
        elif member.role is Role.SESSION:
            members.append(replace(member, status=Status.DEPARTED))
        else:
            touches_ring = _is_on_ring(member)
    return _next(membership, members, touches_ring=touches_ring)


def with_status(membership: Membership, incarnation: Incarnation, status: Status) -> Membership:
    """Return the membership with another status of a living member.

    A data node is on the ring while it is WORKING.
    """
    members: list[Member] = []
    touches_ring = False
    for member in membership.members:
        if member.incarnation != incarnation:
            members.append(member)
            continue
        changed = replace(member, status=status)
        members.append(changed)
        touches_ring = _is_on_ring(member) != _is_on_ring(changed)
    return _next(membership, members, touches_ring=touches_ring)


def with_replica_count(membership: Membership, replica_count: int) -> Membership:
    """Return the membership with another number of copies of each datum.

    The placements of a smaller number are parts of those of a larger one, so no copy that stays is
    moved.
    """
    ring = replace(membership.ring, replica_count=replica_count)
    return _next(replace(membership, ring=ring), membership.members, touches_ring=True)


def forgotten(membership: Membership, incarnation: Incarnation) -> Membership:
    """Return the membership without a departed session.

    At this epoch data nodes remove the publishers that are still registered by it.
    """
    members = [m for m in membership.members if m.incarnation != incarnation]
    return _next(membership, members, touches_ring=False)


def adopted(mine: Membership, theirs: Membership) -> Membership:
    """Return a membership that a node remembered, with an epoch above both.

    Only journals of earlier versions ask for this. Members of `mine` are kept if both are of the
    same cluster. If a node has an incarnation in each, the one with the higher epoch stays.
    """
    remembered = [m for m in theirs.members if m.role is not Role.META]
    rings = [theirs.of(Role.DATA)]
    joined_since: list[Member] = []
    if mine.cluster_id == theirs.cluster_id:
        known = {m.incarnation for m in theirs.members}
        joined_since = [
            m for m in mine.members if m.role is not Role.META and m.incarnation not in known
        ]
        rings.append(mine.of(Role.DATA))
    members = in_order([*_newest_lives([*remembered, *joined_since]), *mine.of(Role.META)])
    epoch = max(mine.epoch, theirs.epoch) + 1
    # Equal ring epochs must mean equal rings, for the followers of either membership.
    ring = [m for m in members if _is_on_ring(m)]
    touches_ring = any(ring != former for former in rings)
    return replace(
        theirs,
        epoch=epoch,
        ring_epoch=epoch if touches_ring else theirs.ring_epoch,
        members=members,
    )


def raised(membership: Membership, epoch: int) -> Membership:
    """Return the membership with an epoch above one that a node has seen."""
    return replace(membership, epoch=max(membership.epoch, epoch) + 1)


def _is_on_ring(member: Member) -> bool:
    return member.role is Role.DATA and member.status is Status.WORKING


def _next(membership: Membership, members: Iterable[Member], *, touches_ring: bool) -> Membership:
    epoch = membership.epoch + 1
    return replace(
        membership,
        epoch=epoch,
        ring_epoch=epoch if touches_ring else membership.ring_epoch,
        members=in_order(members),
    )


def _newest_lives(members: Iterable[Member]) -> list[Member]:
    """Return the members with one living incarnation of each node: its newest."""
    all_members = list(members)
    living = [m for m in all_members if m.status is not Status.DEPARTED]
    newest = {m.node_id: m.incarnation for m in sorted(living, key=lambda m: m.incarnation_epoch)}
    remaining: list[Member] = []
    for member in all_members:
        if member.status is Status.DEPARTED or newest[member.node_id] == member.incarnation:
            remaining.append(member)
        elif member.role is Role.SESSION:
            remaining.append(replace(member, status=Status.DEPARTED))
    return remaining
