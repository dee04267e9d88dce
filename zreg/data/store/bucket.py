"""One bucket of a data node: the datums in it, and what the node is for them."""

import enum
from typing import TYPE_CHECKING

from zreg.primitives.digest import DigestSum

if TYPE_CHECKING:
    from zreg.data.store.datum import Datum
    from zreg.model import DataInfoId


class BucketRole(enum.IntEnum):
    """What a data node is for a bucket."""

    NONE = 0  # it holds nothing of it
    REPLICA = 1  # it keeps a copy of what the primary has
    PRIMARY = 2  # it takes the writes and answers followers


class Bucket:
    """The datums of a bucket, and the digest of their publishers.

    Invariant: a datum is in `datums` or in `dropped`, and in `unchecked` only if it is in `datums`.
    The digest is that of the publishers in `datums`.
    """

    __slots__ = ("datums", "digest", "dropped", "role", "unchecked")

    def __init__(self) -> None:
        self.role = BucketRole.PRIMARY
        self.datums: dict[DataInfoId, Datum] = {}
        self.digest = DigestSum()
        # Datums from before the role changed, of which the index is not right yet.
        self.unchecked: dict[DataInfoId, Datum] = {}
        # Datums that the node held when it lost its role, which are still in memory.
        self.dropped: dict[DataInfoId, Datum] = {}

    @property
    def is_checking(self) -> bool:
        """Whether there is anything left to do after a change of the role."""
        return bool(self.unchecked or self.dropped)

    def take(self, role: BucketRole) -> None:
        """Take another role; the caller checks what is unchecked and dropped then."""
        self.role = role
        if role is BucketRole.NONE:
            self.dropped.update(self.datums)
            self.datums, self.unchecked = {}, {}
            self.digest = DigestSum()
        else:
            # A copy: a datum that comes or goes meanwhile must not change what is gone through.
            self.unchecked = dict(self.datums)
