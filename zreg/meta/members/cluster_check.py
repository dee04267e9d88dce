"""Whether a node that asks the leader has seen this cluster, and how far ahead of meta it is."""

from typing import Final

from zreg.model import Incarnation, Member, Membership
from zreg.wire.records.membership_messages import Join, Ready, Renew

# A node may have seen an epoch that the leader has not: one that was applied elsewhere and lost in
# a recovery. A node that claims to be further ahead than this is refused.
_EPOCH_JUMP_MAX: Final = 1 << 40

FOREIGN: Final = (
    "this node has been a member of another cluster: give it the addresses of its own "
    "meta nodes, or restart it to join this cluster as a new node"
)


def is_foreign(request: Join | Renew, membership: Membership) -> bool:
    """Return whether a node belongs to another cluster, or claims an epoch that is out of reach.

    A node that names no cluster has seen none yet, and is not foreign.
    """
    if names_other_cluster(request.cluster_id, membership):
        return True
    is_ours = request.cluster_id == membership.cluster_id
    return is_ours and request.epoch > membership.epoch + _EPOCH_JUMP_MAX


def member_of(request: Renew | Ready, membership: Membership) -> Member | None:
    """Return the living member whose incarnation a request names; None if there is none.

    An incarnation of another cluster may look like one of this cluster.
    """
    member = membership.living(request.incarnation.node_id)
    is_ours = request.cluster_id == membership.cluster_id
    if not is_ours or member is None or member.incarnation != request.incarnation:
        return None
    return member


def unknown_detail(incarnation: Incarnation) -> str:
    """Return the sentence that refuses an incarnation which is no living member."""
    return f"{incarnation} is not a member (any more): join again"


def names_other_cluster(cluster_id: bytes, membership: Membership) -> bool:
    """Return whether a request names a cluster, and it is not this one."""
    return cluster_id not in (b"", membership.cluster_id)


def is_ahead(request: Join | Renew, membership: Membership) -> bool:
    """Return whether a node of this cluster has seen an epoch that the leader has not.

    The epoch then has to go above it, or the node would ignore what changes next.
    """
    return request.cluster_id == membership.cluster_id and request.epoch > membership.epoch
