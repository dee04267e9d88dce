"""The membership as a state machine: one pure function per step, each raises the epoch by one.

Whatever decides that a step is taken (leases, requests) lives in `core`.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from zreg.model import Incarnation, Member, Membership, Role, Status, in_order


def joined(membership: Membership, newcomer: Member, status: Status = Status.WORKING) -> Membership:
    """Let a node in, as an incarnation of the new epoch; INITIAL: it waits until it may work.

    A living predecessor of the same id departs by this; of a session it stays as DEPARTED, so that
    what it vouched for has its grace.
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
    """Let a node go: a session stays as DEPARTED until it is forgotten, any other leaves."""
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
    """Change what a living member may do; data nodes are on the ring while they are WORKING."""
    members = [
        replace(m, status=status) if m.incarnation == incarnation else m for m in membership.members
    ]
    touches_ring = any(
        m.incarnation == incarnation and m.role is Role.DATA for m in membership.members
    )
    return _next(membership, members, touches_ring=touches_ring)


def forgotten(membership: Membership, incarnation: Incarnation) -> Membership:
    """Drop a departed session: from this epoch on nobody holds what it vouched for."""
    members = [m for m in membership.members if m.incarnation != incarnation]
    return _next(membership, members, touches_ring=False)


def adopted(mine: Membership, theirs: Membership) -> Membership:
    """Go on from a membership that a node remembers, above every epoch that was seen.

    Members that joined me are kept if we both speak of the same cluster; else they join again. Of
    two lives of a node, one remembered and one that joined me, the one of the higher epoch stays.
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
    # Whoever followed either of us must not take the ring of this epoch for the one that it had.
    ring = [m for m in members if _is_on_ring(m)]
    touches_ring = any(ring != former for former in rings)
    return replace(
        theirs,
        epoch=epoch,
        ring_epoch=epoch if touches_ring else theirs.ring_epoch,
        members=members,
    )


def raised(membership: Membership, epoch: int) -> Membership:
    """Go above an epoch that somebody has seen."""
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
    """Let only the newest of several living incarnations of a node stay, as if it had joined."""
    given = list(members)
    living = [m for m in given if m.status is not Status.DEPARTED]
    newest = {m.node_id: m.incarnation for m in sorted(living, key=lambda m: m.incarnation_epoch)}
    kept: list[Member] = []
    for member in given:
        if member.status is Status.DEPARTED or newest[member.node_id] == member.incarnation:
            kept.append(member)
        elif member.role is Role.SESSION:
            kept.append(replace(member, status=Status.DEPARTED))
    return kept
