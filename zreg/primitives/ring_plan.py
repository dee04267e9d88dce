"""The share of each data node in the ring, and what a planned change of the ring would cost.

A plan is another membership: the ring is a pure function of the membership, so the ring of the plan
is the one that all nodes will compute once the change is made.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from zreg.config import LABEL, Limits
from zreg.errors import UsageError
from zreg.model import Member, Membership, Role, Status, checked_node_id
from zreg.primitives.ring import Ring, ring_of

_ON_RING: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING)


class Share(msgspec.Struct, frozen=True):
    """How many buckets are on one data node, or on several together.

    `primary_buckets` are among the `held_buckets`; those that a node holds as a guest are not.
    """

    primary_buckets: int = 0
    held_buckets: int = 0
    guest_buckets: int = 0


class PlannedNode(msgspec.Struct, frozen=True):
    """A data node to add. Raises `UsageError` if no node can be like this."""

    node_id: str
    weight: int = 1
    zone: str = ""

    def __post_init__(self) -> None:
        """Check id, weight and zone."""
        checked_node_id(self.node_id)
        _check_weight(self.node_id, self.weight)
        LABEL.check("zone", self.zone)


class RingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A planned change. Raises `UsageError` if its parts contradict each other.

    `removed` has node ids, and `weights` the new weights by node id. `replica_count` is None where
    it stays.
    """

    added: tuple[PlannedNode, ...] = ()
    removed: tuple[str, ...] = ()
    weights: tuple[tuple[str, int], ...] = ()
    replica_count: int | None = None

    def __post_init__(self) -> None:
        """Check what needs no membership."""
        for node_id, weight in self.weights:
            _check_weight(node_id, weight)
        named = Counter(
            [
                *(node.node_id for node in self.added),
                *self.removed,
                *(node_id for node_id, _ in self.weights),
            ]
        )
        for node_id, count in named.items():
            if count > 1:
                raise UsageError(
                    f"{node_id} is named {count} times: name each node once, to add it, to remove "
                    "it, or to change its weight"
                )
        if self.replica_count is not None and not (
            1 <= self.replica_count <= Limits.replica_count_max
        ):
            raise UsageError(
                f"replica_count {self.replica_count} cannot be used: give a whole number from 1 to "
                f"{Limits.replica_count_max}"
            )


class Cost(msgspec.Struct, frozen=True):
    """What a change of the ring costs, in buckets.

    `copies_made` are the copies on nodes that did not hold the bucket before, `copies_after` all
    copies under the new ring. The copies of guests count in both.
    """

    other_primary_buckets: int
    copies_made: int
    copies_after: int


def ring_members(membership: Membership) -> list[Member]:
    """Return the data nodes that have points on the ring, guests included, in order."""
    return membership.of(Role.DATA, *_ON_RING)


def shares_of(membership: Membership) -> Mapping[str, Share]:
    """Return the share of each data node on the ring, by node id."""
    ring = ring_of(membership)
    primaries = Counter(placement[0] for placement in ring.placements if placement)
    holders = Counter(node_id for placement in ring.placements for node_id in placement)
    guests = Counter(node_id for each in ring.guests for node_id in each)
    return {
        member.node_id: Share(
            primaries[member.node_id], holders[member.node_id], guests[member.node_id]
        )
        for member in ring_members(membership)
    }


def total_of(shares: Mapping[str, Share]) -> Share:
    """Return the sum of the shares."""
    each = shares.values()
    return Share(
        sum(share.primary_buckets for share in each),
        sum(share.held_buckets for share in each),
        sum(share.guest_buckets for share in each),
    )


def planned_membership(membership: Membership, change: RingChange) -> Membership:
    """Return the membership after a change: a node that is added is WORKING then.

    Raises `UsageError` if the change does not fit this membership.
    """
    on_ring = {member.node_id for member in ring_members(membership)}
    for node_id in change.removed:
        _check_known(f"{node_id} cannot be removed", node_id, on_ring)
    for node_id, _ in change.weights:
        _check_known(f"the weight of {node_id} cannot be changed", node_id, on_ring)
    for node in change.added:
        _check_unused(node.node_id, membership)
    weights = dict(change.weights)
    members = [
        msgspec.structs.replace(member, weight=weights[member.node_id])
        if member.node_id in weights
        else member
        for member in membership.members
        if member.node_id not in change.removed
    ]
    members += [
        Member(
            *(node.node_id, Role.DATA, membership.epoch + 1, Status.WORKING, ""),
            zone=node.zone,
            weight=node.weight,
        )
        for node in change.added
    ]
    ring = membership.ring
    if change.replica_count is not None:
        ring = msgspec.structs.replace(ring, replica_count=change.replica_count)
    planned = msgspec.structs.replace(membership, ring=ring, members=tuple(members))
    if membership.of(Role.DATA) and not planned.of(Role.DATA):
        raise UsageError(
            "no data node would be WORKING after this change: leave one, or add one as well"
        )
    return planned


def cost_of(before: Ring, after: Ring) -> Cost:
    """Return what it costs to go from one ring to the other."""
    held_before, held_after = _holders(before), _holders(after)
    buckets = range(Limits.bucket_count)
    return Cost(
        sum(before.primary_of(bucket) != after.primary_of(bucket) for bucket in buckets),
        sum(len(held_after[bucket] - held_before[bucket]) for bucket in buckets),
        sum(map(len, held_after)),
    )


def _holders(ring: Ring) -> list[set[str]]:
    """Return the nodes of each bucket, guests included."""
    return [
        {*placement, *guests}
        for placement, guests in zip(ring.placements, ring.guests, strict=True)
    ]


def _check_weight(node_id: str, weight: int) -> None:
    if not 1 <= weight <= Limits.weight_max:
        raise UsageError(
            f"weight {weight} of {node_id} cannot be used: give a whole number from 1 to "
            f"{Limits.weight_max}"
        )


def _check_known(what: str, node_id: str, on_ring: set[str]) -> None:
    if node_id not in on_ring:
        known = f"name one of {', '.join(sorted(on_ring))}" if on_ring else "there are none"
        raise UsageError(f"{what}, because it is not among the data nodes: {known}")


def _check_unused(node_id: str, membership: Membership) -> None:
    member = membership.living(node_id)
    if member is not None:
        raise UsageError(
            f"{node_id} cannot be added, because a {member.role.name.lower()} node has this id: "
            "give the new node another id"
        )
