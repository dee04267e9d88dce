"""Records with which nodes join, renew their lease and follow the membership."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import (
    NO_INCARNATION,
    Address,
    Count,
    Incarnation,
    Label,
    Member,
    Membership,
    ReplicaCount,
    Role,
)
from zreg.wire.record import Message
from zreg.wire.records.fields import ClusterId, Detail, RequestId

# How many sessions with few clients one `Renewed` names.
LIGHTER_MAX: Final = 8
# How many lost nodes one `Renewed` names.
GONE_MAX: Final = 16


class SessionLoad(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many clients are connected to a session, as it told the leader with its last `Renew`."""

    session: Incarnation
    client_count: Count


class SessionLoads(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many clients the WORKING sessions have together, and which of them have few."""

    session_count: Count
    client_count: Count
    # Those with the fewest, the first one with the least: each lacks at least half as many as it.
    lighter: Annotated[tuple[SessionLoad, ...], Meta(max_length=LIGHTER_MAX)] = ()


class GoneNode(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A node that departed without a goodbye, and that is not back or replaced.

    The answering meta node measured the times itself. `is_at_least`: it has begun since then, so
    they may be longer.
    """

    incarnation: Incarnation
    role: Role
    address: Address
    # Why meta took it for dead: "gone", its process has ended; "silent", its lease expired.
    reason: Label
    # At which it departed.
    epoch: Count
    # How many members of its role served or soon would, with it.
    members_before: Count
    # How often its id was lost, as far as meta remembers.
    count: Count
    milliseconds_ago: Count
    # How long it was a member.
    milliseconds_lived: Count
    is_at_least: bool = False


class MembershipChanged(Message, tag=42, frozen=True, array_like=True, gc=False):
    """Meta, broadcast on the membership topic: the present epoch, at every change and as a beat."""

    cluster_id: ClusterId
    epoch: Count


class MembershipChanges(Message, tag=43, frozen=True, array_like=True, gc=False):
    """Meta to node, answer to `FetchMembership`: the changes after the node's epoch.

    `digest` is the digest of all members at `epoch`. A node that computes another one after it
    applied the changes fetches the whole membership.
    """

    request_id: RequestId
    cluster_id: ClusterId
    source_epoch: Count
    epoch: Count
    ring_epoch: Count
    upserts: Annotated[tuple[Member, ...], Meta(max_length=Limits.members_max)]
    removals: Annotated[tuple[Incarnation, ...], Meta(max_length=Limits.members_max)]
    digest: Annotated[int, Meta(ge=0, le=2**32 - 1)]


class Ready(Message, tag=44, frozen=True, array_like=True, gc=False):
    """Data node to meta: the node holds everything that it will own under the ring of `ring_epoch`.

    Meta answers `Accepted` when the node is WORKING. It answers `Refused` with NotReady if the ring
    has another epoch or the node has to wait: the node then checks again, and reports again.
    """

    request_id: RequestId
    incarnation: Incarnation
    cluster_id: ClusterId
    ring_epoch: Count


class Drain(Message, tag=46, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: have this data node leave after it has handed over its data.

    An empty `cluster_id` stands for the receiver's, and `incarnation_epoch` 0 for the living
    incarnation. Meta answers `Accepted` when the node is LEAVING, or `Refused`.
    """

    request_id: RequestId
    node_id: Label
    cluster_id: ClusterId = b""
    # With it, a late copy of the request does not drain a later incarnation.
    incarnation_epoch: Count = 0


class SetReplicaCount(Message, tag=49, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: keep each datum on so many data nodes, its primary included.

    An empty `cluster_id` stands for the receiver's. Meta answers `Accepted` when the membership has
    that count, or `Refused`.
    """

    request_id: RequestId
    replica_count: ReplicaCount
    cluster_id: ClusterId = b""


class DismissLoss(Message, tag=79, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: do not show this lost node any more.

    An empty `cluster_id` stands for the receiver's. Meta answers `Accepted`, also if it shows no
    such node, or `Refused`.
    """

    request_id: RequestId
    node_id: Label
    cluster_id: ClusterId = b""


class Join(Message, tag=50, frozen=True, array_like=True, gc=False):
    """Node to meta: add the node to the membership.

    `epoch` is the highest epoch of that cluster that the node has seen. A data node with
    `reports_ready` is INITIAL until it sends `Ready`, unless no data node is WORKING. Meta answers
    `MembershipReply` or `Refused`.
    """

    request_id: RequestId
    member: Member
    cluster_id: ClusterId
    epoch: Count
    reports_ready: bool = False


class Renew(Message, tag=51, frozen=True, array_like=True, gc=False):
    """Node to meta: renew the lease. The node follows the membership at `epoch`.

    A data node tells of how many buckets it keeps copies, and how many of these were equal to those
    of their primaries; a session tells how many clients are connected. None: it does not tell. Meta
    answers `Renewed` or `Refused`.
    """

    request_id: RequestId
    incarnation: Incarnation
    cluster_id: ClusterId
    epoch: Count
    equal_copy_count: Count = 0
    kept_copy_count: Count | None = None
    client_count: Count | None = None


class Renewed(Message, tag=52, frozen=True, array_like=True, gc=False):
    """Meta to node, answer to `Renew`: the lease is extended. The membership is at `epoch`.

    A session that tells how many clients it has learns the `loads` of all; None: not known yet.
    """

    request_id: RequestId
    epoch: Count
    loads: SessionLoads | None = None
    # The nodes that were lost last; an earlier version tells none.
    gone: Annotated[tuple[GoneNode, ...], Meta(max_length=GONE_MAX)] = ()


class Leave(Message, tag=53, frozen=True, array_like=True, gc=False):
    """Node to meta: the node leaves. Meta answers `Accepted`."""

    request_id: RequestId
    incarnation: Incarnation


class FetchMembership(Message, tag=54, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: send the membership. The answer is `MembershipReply`.

    Meta may answer a node that names its `epoch` with `MembershipChanges` instead; at epoch 0 it
    sends the whole membership.
    """

    request_id: RequestId
    cluster_id: ClusterId = b""
    epoch: Count = 0


class MembershipReply(Message, tag=55, frozen=True, array_like=True, gc=False):
    """Answer to `FetchMembership` and `Join`: the whole membership.

    In the answer to `Join`, `incarnation` is the new incarnation of the node that joined.
    """

    request_id: RequestId
    membership: Membership
    incarnation: Incarnation = NO_INCARNATION
    # Why the membership cannot change now, for people; empty if meta has a leader.
    trouble: Detail = ""


class ReportGone(Message, tag=59, frozen=True, array_like=True, gc=False):
    """Node to meta: its connection to another member was closed or refused. Not answered."""

    reporter: Incarnation
    gone: Incarnation
    cluster_id: ClusterId
