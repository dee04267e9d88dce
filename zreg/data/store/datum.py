"""All publishers of one data info id, their versions, and the changes that led there."""

from zreg.config import Limits
from zreg.model import ZERO, Change, DataInfoId, Publisher, Removal, Version
from zreg.primitives.digest import DigestSum
from zreg.primitives.op_log import OpLog
from zreg.primitives.ring import bucket_of


class Datum:
    """One datum: a map from publisher id to publisher or tombstone, with versions and an op log.

    `version` is that of the last visible change, `revision` that of the last change of any kind.
    `upserts` and `removals` are merged already and wait for a commit, which makes them one change.
    """

    __slots__ = (
        "bucket",
        "is_indexed",
        "is_log_noted",
        "is_quiet",
        "is_unsure",
        "log",
        "name",
        "publishers",
        "removals",
        "restamped_version",
        "revision",
        "tombstones",
        "upserts",
        "version",
    )

    def __init__(self, name: DataInfoId) -> None:
        self.name = name
        self.bucket = bucket_of(name)
        self.publishers: dict[bytes, Publisher] = {}
        # Each removal with the time, in monotonic seconds, when it may be forgotten.
        self.tombstones: dict[bytes, tuple[Removal, float]] = {}
        self.version = ZERO
        self.revision = ZERO
        # The version of the last change that was empty, made for followers with unsure copies.
        self.restamped_version = ZERO
        self.log: OpLog[Change] = OpLog()
        # Whether its publishers are in the index by session: those of a primary are.
        self.is_indexed = True
        # Whether the content of a copy may be another one than that of its version.
        self.is_unsure = False
        # Whether `Expiries` knows that the log has more than one change.
        self.is_log_noted = False
        self.upserts: dict[bytes, Publisher] = {}
        self.removals: dict[bytes, Removal] = {}
        # Whether subscribers can see nothing of what waits for a commit.
        self.is_quiet = True

    def __repr__(self) -> str:
        """Show name, version and size."""
        return f"<Datum {self.name} {self.version} publishers={len(self.publishers)}>"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that this datum has to be kept for."""
        return not (self.publishers or self.tombstones or self.is_dirty)

    @property
    def is_dirty(self) -> bool:
        """Whether something waits for a commit."""
        return bool(self.upserts or self.removals)

    def restart(self, version: Version) -> None:
        """Let this version stand for the content; the changes that led to it are not known."""
        self.version = self.revision = version
        self.log.clear()
        self.is_unsure = False

    def remaining_tombstones(self, now: float) -> list[tuple[Removal, float]]:
        """Return the removals to be remembered still, with the seconds for which they have to be.

        A record takes at most `Limits.seconds_max`, which a sum and a difference of floats exceed.
        """
        return [
            (removal, min(ends_at - now, Limits.seconds_max))
            for removal, ends_at in self.tombstones.values()
            if ends_at > now
        ]

    def digest(self) -> DigestSum:
        """Return the digest of the publishers; it takes time in proportion to their number."""
        digest = DigestSum()
        for publisher in self.publishers.values():
            digest.add(publisher.publisher_id, publisher.version)
        return digest
