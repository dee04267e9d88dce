"""All publishers of one data info id, their versions, and the changes that led there."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from zreg.config import Limits
from zreg.model import ZERO, Cause, Change, DataInfoId, Publisher, Removal, Version
from zreg.primitives.digest import DigestSum
from zreg.primitives.ring import bucket_of

if TYPE_CHECKING:
    from zreg.primitives.op_log import OpLog

Tombstones = Mapping[bytes, tuple[Removal, float]]
# A record takes no tombstone that ends at once, as one may that came in the same turn.
_TOMBSTONE_SECONDS_MIN: Final = 0.001
# Most datums have none, and an empty dict takes 64 bytes.
_NO_TOMBSTONES: Final[Tombstones] = MappingProxyType({})


class Pending:
    """What was merged into a datum and waits for a commit, which makes it one change."""

    __slots__ = ("is_quiet", "removals", "upserts")

    def __init__(self) -> None:
        self.upserts: dict[bytes, Publisher] = {}
        self.removals: dict[bytes, Removal] = {}
        # Whether subscribers can see nothing of it.
        self.is_quiet = True


class Datum:
    """One datum: a map from publisher id to publisher or tombstone, with versions and an op log.

    `version` is that of the last visible change, `revision` that of the last change of any kind.
    """

    __slots__ = (
        "_tombstones",
        "bucket",
        "is_indexed",
        "is_unsure",
        "log",
        "name",
        "pending",
        "publishers",
        "restamped_version",
        "revision",
        "version",
    )

    def __init__(self, name: DataInfoId) -> None:
        self.name = name
        self.bucket = bucket_of(name)
        self.publishers: dict[bytes, Publisher] = {}
        self._tombstones: dict[bytes, tuple[Removal, float]] | None = None
        self.version = ZERO
        self.revision = ZERO
        # The version of the last change that was empty, made for followers with unsure copies.
        self.restamped_version = ZERO
        # The last changes (`OpLogs`); None: there are none, or they are too old.
        self.log: OpLog[Change] | None = None
        # Whether its publishers are in the index by session: those of a primary are.
        self.is_indexed = True
        # Whether the content of a copy may be another one than that of its version.
        self.is_unsure = False
        # What waits for a commit; None: nothing does.
        self.pending: Pending | None = None

    def __repr__(self) -> str:
        """Show name, version and size."""
        return f"<Datum {self.name} {self.version} publishers={len(self.publishers)}>"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that this datum has to be kept for."""
        return not (self.publishers or self._tombstones or self.pending)

    @property
    def is_dirty(self) -> bool:
        """Whether something waits for a commit."""
        return self.pending is not None

    def restart(self, version: Version) -> None:
        """Let this version stand for the content; the changes that led to it are not known."""
        self.version = self.revision = version
        self.log = None
        self.is_unsure = False

    @property
    def tombstones(self) -> Tombstones:
        """The removals to be remembered, by publisher id, each with when that ends."""
        return self._tombstones or _NO_TOMBSTONES

    def add_tombstone(self, removal: Removal, ends_at: float) -> None:
        """Remember a removal until that time."""
        if self._tombstones is None:
            self._tombstones = {}
        self._tombstones[removal.publisher_id] = (removal, ends_at)

    def drop_tombstone(self, publisher_id: bytes) -> None:
        """Forget a removal, if it is remembered."""
        if self._tombstones is not None:
            self._tombstones.pop(publisher_id, None)
            if not self._tombstones:
                self._tombstones = None

    def drop_tombstones(self) -> None:
        """Forget all removals."""
        self._tombstones = None

    def remaining_tombstones(self, now: float) -> list[tuple[Removal, float]]:
        """Return the removals to be remembered still, with the seconds for which they have to be.

        A record takes at most `Limits.seconds_max`, which a sum and a difference of floats exceed.
        """
        return [
            (removal, min(ends_at - now, Limits.seconds_max))
            for removal, ends_at in self.tombstones.values()
            if ends_at > now
        ]

    def tombstone_seconds(self, removals: Iterable[Removal], now: float) -> tuple[float, ...]:
        """Return for how many seconds each of these removals is still remembered.

        Evictions leave no tombstone and have no entry.
        """
        tombstones, gone = self.tombstones, (None, now)
        remaining = (
            tombstones.get(removal.publisher_id, gone)[1] - now
            for removal in removals
            if removal.cause is not Cause.EVICTED
        )
        return tuple(min(max(s, _TOMBSTONE_SECONDS_MIN), Limits.seconds_max) for s in remaining)

    def digest(self) -> DigestSum:
        """Return the digest of the publishers; it takes time in proportion to their number."""
        digest = DigestSum()
        for publisher in self.publishers.values():
            digest.add(publisher.publisher_id, publisher.version)
        return digest
