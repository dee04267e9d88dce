"""Records by which nodes join, renew and follow the membership."""

from typing import Annotated

from msgspec import Meta

from zreg.config import Limits
from zreg.model import NO_INCARNATION, Count, Incarnation, Member, Membership
from zreg.wire.fields import ClusterId, Detail, RequestId
from zreg.wire.record import Message


class MembershipChanged(Message, tag=42, frozen=True, array_like=True, gc=False):
    """Meta, on the topic of the membership, at every change and as its beat."""

    cluster_id: ClusterId
    epoch: Count


class MembershipChanges(Message, tag=43, frozen=True, array_like=True, gc=False):
    """Meta, answer to FetchMembership: what came after the epoch that you have.

    `digest` is that of all members at `epoch`: whoever comes to another one, fetches the whole.
    """

    request_id: RequestId
    cluster_id: ClusterId
    source_epoch: Count
    epoch: Count
    ring_epoch: Count
    upserts: Annotated[tuple[Member, ...], Meta(max_length=Limits.members_max)]
    removals: Annotated[tuple[Incarnation, ...], Meta(max_length=Limits.members_max)]
    digest: Annotated[int, Meta(ge=0, le=2**32 - 1)]


class Join(Message, tag=50, frozen=True, array_like=True, gc=False):
    """Node to meta: make me a member; `epoch` is the highest that I have seen, in that cluster."""

    request_id: RequestId
    member: Member
    cluster_id: ClusterId
    epoch: Count


class Renew(Message, tag=51, frozen=True, array_like=True, gc=False):
    """Node to meta: I live, and follow the membership at `epoch`."""

    request_id: RequestId
    incarnation: Incarnation
    cluster_id: ClusterId
    epoch: Count


class Renewed(Message, tag=52, frozen=True, array_like=True, gc=False):
    """Meta: your lease is extended; the membership is at `epoch`."""

    request_id: RequestId
    epoch: Count


class Leave(Message, tag=53, frozen=True, array_like=True, gc=False):
    """Node to meta: I stop."""

    request_id: RequestId
    incarnation: Incarnation


class FetchMembership(Message, tag=54, frozen=True, array_like=True, gc=False):
    """Anybody: give me the membership. Also meta to a node that has seen a higher epoch.

    Whoever names an `epoch` follows it and takes `MembershipChanges` too; 0: give me the whole.
    """

    request_id: RequestId
    cluster_id: ClusterId = b""
    epoch: Count = 0


class MembershipReply(Message, tag=55, frozen=True, array_like=True, gc=False):
    """The whole membership; the answer to Join too, then `incarnation` is the joiner's."""

    request_id: RequestId
    membership: Membership
    incarnation: Incarnation = NO_INCARNATION
    # What stands in the way of a change now, for people: meta has no leader.
    trouble: Detail = ""


class ReportGone(Message, tag=59, frozen=True, array_like=True, gc=False):
    """Node to meta: my connection to this member was closed or refused. Not answered."""

    reporter: Incarnation
    gone: Incarnation
    cluster_id: ClusterId
