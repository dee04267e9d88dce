"""The datums of one data node: the merge rule, versions and revisions, op logs, tombstones.

A `DatumStore` merges what comes in; nothing of it has a version until `commit` gives everything
that was merged into one datum since the last commit one revision. It knows no messages, no ring,
and nobody's address.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from zreg.config import Config
from zreg.model import (
    ZERO,
    Cause,
    Change,
    DataInfoId,
    Incarnation,
    Publisher,
    Removal,
    Version,
    publisher_wins,
    same_to_subscribers,
)
from zreg.primitives.digest import DigestSum
from zreg.primitives.op_log import OpLog
from zreg.primitives.ring import bucket_of

# How far an op log may grow above its length before it is cut back.
_LOG_SLACK: Final = 1.25


class Datum:
    """All publishers of one id, and how they came to be."""

    __slots__ = (
        "bucket",
        "is_quiet",
        "log",
        "name",
        "publishers",
        "removals",
        "revision",
        "tombstones",
        "upserts",
        "version",
    )

    def __init__(self, name: DataInfoId) -> None:
        self.name = name
        self.bucket = bucket_of(name)
        self.publishers: dict[bytes, Publisher] = {}
        # Removals, each with the time when it may be forgotten.
        self.tombstones: dict[bytes, tuple[Removal, float]] = {}
        # The last visible change, and the last change of any kind.
        self.version = ZERO
        self.revision = ZERO
        self.log: OpLog[Change] = OpLog()
        # What was merged and not committed yet.
        self.upserts: dict[bytes, Publisher] = {}
        self.removals: dict[bytes, Removal] = {}
        self.is_quiet = True

    def __repr__(self) -> str:
        """Show name, version and size."""
        return f"<Datum {self.name} {self.version} publishers={len(self.publishers)}>"

    @property
    def is_dirty(self) -> bool:
        """Return whether something waits for a commit."""
        return bool(self.upserts or self.removals)


class DatumStore:
    """Datums by name, and digests by voucher. Times are monotonic seconds."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._datums: dict[DataInfoId, Datum] = {}
        self._counter = 0
        self._dirty: dict[DataInfoId, Datum] = {}
        self._digests: dict[Incarnation, DigestSum] = {}
        # When each tombstone may go, oldest first: they all live equally long.
        self._tombstone_ends: deque[tuple[float, DataInfoId, bytes]] = deque()
        # No datum that was dropped here had a version above this.
        self.dropped_version: Version = ZERO
        self.publisher_count = 0

    def __len__(self) -> int:
        """Return how many datums there are."""
        return len(self._datums)

    def __iter__(self) -> Iterator[Datum]:
        """Go through all datums, in the order in which they came."""
        return iter(self._datums.values())

    def find(self, name: DataInfoId) -> Datum | None:
        """Return the datum of that name."""
        return self._datums.get(name)

    def digest(self, voucher: Incarnation) -> DigestSum:
        """Return count and digest of the publishers that this voucher answers for."""
        return self._digests.get(voucher) or DigestSum()

    def vouchers(self) -> list[Incarnation]:
        """Return everybody who answers for something here."""
        return sorted(voucher for voucher, digest in self._digests.items() if digest.count)

    # --- merging ------------------------------------------------------------------------------

    def put(self, name: DataInfoId, publisher: Publisher) -> bool:
        """Merge one publisher; False if what is here wins, or is the same."""
        datum = self._datums.get(name)
        if datum is None:
            datum = self._datums[name] = Datum(name)
        key = publisher.publisher_id
        tombstone = datum.tombstones.get(key)
        if tombstone is not None:
            if tombstone[0].version >= publisher.version:
                return False
            del datum.tombstones[key]
        old = datum.publishers.get(key)
        if old is None:
            self.publisher_count += 1
            datum.is_quiet = False
            self._digest_of(publisher.session).add(key, publisher.version)
        elif not publisher_wins(publisher, old):
            return False
        else:
            self._recount(old, publisher)
            if not same_to_subscribers(publisher, old):
                datum.is_quiet = False
        datum.publishers[key] = publisher
        datum.upserts[key] = publisher
        if datum.removals:
            datum.removals.pop(key, None)
        self._dirty[name] = datum
        return True

    def _digest_of(self, voucher: Incarnation) -> DigestSum:
        digest = self._digests.get(voucher)
        if digest is None:
            digest = self._digests[voucher] = DigestSum()
        return digest

    def _recount(self, old: Publisher, new: Publisher) -> None:
        """Move a publisher from one version, and maybe voucher, to another in the digests."""
        key, voucher = new.publisher_id, new.session
        if voucher == old.session:
            self._digests[voucher].replace(key, old.version, new.version)
        else:
            self._digests[old.session].discard(key, old.version)
            self._digest_of(voucher).add(key, new.version)

    def remove(self, name: DataInfoId, removal: Removal, now: float) -> bool:
        """Merge one removal and keep a tombstone, also of a publisher that was never here.

        That one is visible too: somebody may follow a copy of it that was never here.
        """
        datum = self._datums.get(name)
        if datum is None:
            datum = self._datums[name] = Datum(name)
        key = removal.publisher_id
        old = datum.publishers.get(key)
        tombstone = datum.tombstones.get(key)
        if tombstone is not None and tombstone[0].version >= removal.version:
            return False
        if old is not None:
            if old.version > removal.version:
                return False
            self._take_out(datum, old)
        ends_at = now + self._config.tombstone_seconds
        datum.tombstones[key] = (removal, ends_at)
        self._tombstone_ends.append((ends_at, name, key))
        self._note_removal(datum, removal)
        return True

    def evict(self, voucher: Incarnation) -> int:
        """Drop every publisher of a voucher that is gone, without tombstones; return how many.

        Commit before anything else is merged: an older copy could come in unhindered, and a change
        that holds only that one would leave followers with what was evicted.
        """
        if not self.digest(voucher).count:
            self._digests.pop(voucher, None)
            return 0
        count = 0
        for datum in self._datums.values():
            for publisher in [p for p in datum.publishers.values() if p.session == voucher]:
                self._take_out(datum, publisher)
                self._note_removal(datum, _eviction(publisher))
                count += 1
        del self._digests[voucher]
        return count

    def _take_out(self, datum: Datum, publisher: Publisher) -> None:
        del datum.publishers[publisher.publisher_id]
        self.publisher_count -= 1
        self._digests[publisher.session].discard(publisher.publisher_id, publisher.version)

    def _note_removal(self, datum: Datum, removal: Removal) -> None:
        datum.upserts.pop(removal.publisher_id, None)
        datum.removals[removal.publisher_id] = removal
        datum.is_quiet = False
        self._dirty[datum.name] = datum

    # --- versions -----------------------------------------------------------------------------

    def next_version(self, epoch: int) -> Version:
        """Return a version that no content of this process has ever had."""
        self._counter += 1
        return Version(epoch, self._counter)

    def present_version(self, epoch: int) -> Version:
        """Return the version at which a datum that is not here is not here."""
        return Version(epoch, self._counter)

    def dirty(self) -> list[Datum]:
        """Return the datums that wait for a commit, in the order in which they changed."""
        return list(self._dirty.values())

    def commit(self, datum: Datum, epoch: int, now: float) -> Change | None:
        """Give what was merged into a datum a revision; return it if subscribers can see it.

        The returned change leads from version to version: quiet ones are skipped.
        """
        del self._dirty[datum.name]
        source_version = datum.version
        change = self._append(datum, epoch, now)
        datum.upserts, datum.removals, datum.is_quiet = {}, {}, True
        if change.is_quiet:
            return None
        if change.source_version == source_version:
            return change
        return Change(source_version, change.version, change.publishers, change.removals)

    def restamp(self, datum: Datum, epoch: int, now: float) -> Change:
        """Give an unchanged datum a new version; return the empty change that leads there."""
        assert not datum.is_dirty
        source_version = datum.version
        datum.is_quiet = False
        self._append(datum, epoch, now)
        datum.is_quiet = True
        return Change(source_version, datum.version, (), ())

    def changes_since(self, datum: Datum, version: Version) -> list[Change] | None:
        """Return the visible changes after a version, chained by versions; None: ask for all."""
        logged = datum.log.since(version)
        if logged is None:
            return None
        chained: list[Change] = []
        for change in logged:
            if not change.is_quiet:
                chained.append(Change(version, change.version, change.publishers, change.removals))
                version = change.version
        return chained

    def _append(self, datum: Datum, epoch: int, now: float) -> Change:
        change = Change(
            datum.revision,
            self.next_version(epoch),
            tuple(datum.upserts.values()),
            tuple(datum.removals.values()),
            datum.is_quiet,
        )
        datum.log.append(change, now)
        # What is too old goes with the sweep; here what is too much, with room for more at once.
        if len(datum.log) > self._config.op_log_length_min * _LOG_SLACK:
            self._trim(datum, now)
        datum.revision = change.version
        if not datum.is_quiet:
            datum.version = change.version
        return change

    def _trim(self, datum: Datum, now: float) -> None:
        length_max = max(self._config.op_log_length_min, len(datum.publishers) // 4)
        datum.log.trim(now, length_max=length_max, seconds_max=self._config.op_log_seconds)

    # --- housekeeping -------------------------------------------------------------------------

    def drop_all_but(self, owned: Iterable[DataInfoId]) -> int:
        """Drop every datum that is not named; return how many went. Nothing is told to anybody."""
        keep = set(owned)
        dropped = [datum for name, datum in self._datums.items() if name not in keep]
        for datum in dropped:
            for publisher in list(datum.publishers.values()):
                self._take_out(datum, publisher)
            self._dirty.pop(datum.name, None)
            self._drop(datum)
        return len(dropped)

    def sweep(self, now: float) -> None:
        """Let go of tombstones and log entries whose time is over, and of what is empty then."""
        ends = self._tombstone_ends
        while ends and ends[0][0] <= now:
            _, name, key = ends.popleft()
            datum = self._datums.get(name)
            # A newer removal of the same publisher has an end of its own.
            if datum is not None and datum.tombstones.get(key, (None, 0.0))[1] <= now:
                datum.tombstones.pop(key, None)
        for datum in list(self._datums.values()):
            self._trim(datum, now)
            if not (datum.publishers or datum.tombstones or datum.is_dirty):
                self._drop(datum)

    def _drop(self, datum: Datum) -> None:
        del self._datums[datum.name]
        self.dropped_version = max(self.dropped_version, datum.version)


_EVICTED: Final = Cause.EVICTED


def _eviction(publisher: Publisher) -> Removal:
    return Removal(publisher.publisher_id, publisher.version, _EVICTED, publisher.session)
