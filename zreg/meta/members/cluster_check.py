"""Whether a node that asks the leader has seen this cluster, and how far ahead of meta it is."""

from typing import Final

from zreg.model import Membership
from zreg.wire.membership_messages import Join, Renew

# A node may have seen an epoch that the leader has not: one that was applied elsewhere and lost in
# a recovery. A node that claims to be further ahead than this is refused.
_EPOCH_JUMP_MAX: Final = 1 << 40


def is_foreign(request: Join | Renew, membership: Membership) -> bool:
    """Return whether a node belongs to another cluster, or claims an epoch that is out of reach.

    A node that names no cluster has seen none yet, and is not foreign.
    """
    if not request.cluster_id:
        return False
    if request.cluster_id != membership.cluster_id:
        return True
    return request.epoch > membership.epoch + _EPOCH_JUMP_MAX


def is_ahead(request: Join | Renew, membership: Membership) -> bool:
    """Return whether a node of this cluster has seen an epoch that the leader has not.

    The epoch then has to go above it, or the node would ignore what changes next.
    """
    return request.cluster_id == membership.cluster_id and request.epoch > membership.epoch
