"""How the membership goes from one epoch to a later one without being sent whole.

Meta sends the changes since an epoch (`zreg/meta/state/membership_history.py`), and the node
applies them to its copy. Both compare the result by its digest. A node with another digest has
a copy with another history, and fetches the whole membership.
"""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec
from msgspec.structs import replace

from zreg.config import Limits
from zreg.model import Member, Membership, in_order
from zreg.wire.records.membership_messages import MembershipChanges

_encoder: Final = msgspec.msgpack.Encoder()


def members_digest(members: Sequence[Member]) -> int:
    """Return the CRC-32 of the members as they travel, in their order."""
    return crc32(_encoder.encode(members))


def changed(membership: Membership, changes: MembershipChanges) -> Membership | None:
    """Return the membership after these changes; None if they do not lead on from this one."""
    if changes.cluster_id != membership.cluster_id or changes.source_epoch != membership.epoch:
        return None
    if changes.epoch <= membership.epoch:
        return None
    content = {member.incarnation: member for member in membership.members}
    for gone in changes.removals:
        content.pop(gone, None)
    content.update((member.incarnation, member) for member in changes.upserts)
    members = in_order(content.values())
    if len(members) > Limits.members_max or members_digest(members) != changes.digest:
        return None
    return replace(membership, epoch=changes.epoch, ring_epoch=changes.ring_epoch, members=members)
