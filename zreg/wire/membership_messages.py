"""How the membership went from one epoch to another, for nodes that follow it."""

from typing import Annotated

from msgspec import Meta

from zreg.config import Limits
from zreg.model import Count, Incarnation, Member
from zreg.wire.record import Message


class MembershipChanges(Message, tag=43, frozen=True, array_like=True, gc=False):
    """Meta, answer to FetchMembership: what came after the epoch that you have.

    `digest` is that of all members at `epoch`: whoever comes to another one, fetches the whole.
    """

    request_id: Count
    cluster_id: Annotated[bytes, Meta(max_length=16)]
    source_epoch: Count
    epoch: Count
    ring_epoch: Count
    upserts: Annotated[tuple[Member, ...], Meta(max_length=Limits.members_max)]
    removals: Annotated[tuple[Incarnation, ...], Meta(max_length=Limits.members_max)]
    digest: Annotated[int, Meta(ge=0, le=2**32 - 1)]
