"""The merge rule of a data node's datums, their versions and revisions, op logs, tombstones.

A `DatumStore` merges publishers and removals. They get a version when `commit` makes everything
that was merged into one datum since its last commit one change with one revision. A copy takes the
changes of its primary instead, with their revisions. The store knows no messages, no ring and no
addresses.
"""

import enum
from collections.abc import Iterable, Sequence

from zreg.config import Config
from zreg.data.store.datum import Datum, Pending
from zreg.data.store.datum_buckets import DatumBuckets
from zreg.data.store.expiries import Expiries
from zreg.data.store.op_logs import OpLogs
from zreg.data.store.version_counter import VersionCounter
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
from zreg.primitives.shared_values import shared_publisher


class Merged(enum.Enum):
    """What merging a publisher or a removal did."""

    NOTHING = enum.auto()  # what is stored wins, or is the same
    QUIET = enum.auto()  # subscribers see no difference
    VISIBLE = enum.auto()


class DatumStore:
    """Merges into the datums of `buckets`, and gives them versions. Times are monotonic seconds.

    Invariants: no two contents of this process, of one datum or of several, have the same version.
    Only datums of which this node is the primary wait for a commit.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._counter = VersionCounter()
        self.buckets = DatumBuckets(self._counter)
        self._dirty: dict[DataInfoId, Datum] = {}
        self._expiries = Expiries()
        self._logs = OpLogs(config)

    def __len__(self) -> int:
        """Return how many datums there are."""
        return len(self.buckets)

    def find(self, name: DataInfoId) -> Datum | None:
        """Return the datum of that name."""
        return self.buckets.find(name)

    def publisher(self, name: DataInfoId, publisher_id: bytes) -> Publisher | None:
        """Return a publisher of the datum of that name."""
        datum = self.buckets.find(name)
        return None if datum is None else datum.publishers.get(publisher_id)

    # --- merging ------------------------------------------------------------------------------

    def put(self, name: DataInfoId, publisher: Publisher) -> bool:
        """Merge one publisher; return False if the stored state wins, or is the same."""
        datum = self.buckets.find(name) or self.buckets.add(name)
        merged = self._merge(datum, publisher)
        if merged is Merged.NOTHING:
            return False
        publisher_id = publisher.publisher_id
        pending = self._pending(datum)
        if merged is Merged.VISIBLE:
            pending.is_quiet = False
        pending.upserts[publisher_id] = datum.publishers[publisher_id]
        pending.removals.pop(publisher_id, None)
        return True

    def remove(self, name: DataInfoId, removal: Removal, now: float) -> bool:
        """Merge one removal and keep a tombstone, also of a publisher that is not stored.

        That removal is visible too: a follower may hold a copy from a former primary.
        Return False if the stored state is newer.
        """
        return self.remove_until(name, removal, now + self._config.tombstone_seconds)

    def remove_until(self, name: DataInfoId, removal: Removal, ends_at: float) -> bool:
        """Merge one removal whose tombstone ends at that time."""
        datum = self.buckets.find(name) or self.buckets.add(name)
        if self._merge_removal(datum, removal, ends_at) is Merged.NOTHING:
            return False
        self._note_removal(datum, removal)
        return True

    def evict(self, session: Incarnation, count_max: int) -> int:
        """Drop publishers of a session that is gone, without tombstones; return how many.

        Commit before anything else is merged: without a tombstone an older copy could come in, and
        a change with only that copy would leave followers with the evicted publisher.
        """
        by_session = self.buckets.by_session
        evicted = by_session.of(session).first(count_max)
        for publisher, datum in evicted:
            self.buckets.take_out(datum, publisher)
            self._note_removal(datum, _eviction(publisher))
        if len(evicted) < count_max:
            by_session.forget(session)
        return len(evicted)

    def _merge(self, datum: Datum, publisher: Publisher) -> Merged:
        publisher_id = publisher.publisher_id
        tombstone = datum.tombstones.get(publisher_id)
        if tombstone is not None:
            if tombstone[0].version >= publisher.version:
                return Merged.NOTHING
            datum.drop_tombstone(publisher_id)
        old = datum.publishers.get(publisher_id)
        if old is None:
            self.buckets.put(datum, shared_publisher(publisher, None), None)
            return Merged.VISIBLE
        if not publisher_wins(publisher, old):
            return Merged.NOTHING
        self.buckets.put(datum, shared_publisher(publisher, old), old)
        return Merged.QUIET if same_to_subscribers(publisher, old) else Merged.VISIBLE

    def _merge_removal(self, datum: Datum, removal: Removal, ends_at: float) -> Merged:
        publisher_id = removal.publisher_id
        old = datum.publishers.get(publisher_id)
        if removal.cause is Cause.EVICTED:
            # It removes only what that session registered, and leaves no tombstone.
            if old is None or old.version > removal.version or old.session != removal.session:
                return Merged.NOTHING
            self.buckets.take_out(datum, old)
            return Merged.VISIBLE
        tombstone = datum.tombstones.get(publisher_id)
        if tombstone is not None and tombstone[0].version >= removal.version:
            return Merged.NOTHING
        if old is not None:
            if old.version > removal.version:
                return Merged.NOTHING
            self.buckets.take_out(datum, old)
        datum.add_tombstone(removal, ends_at)
        self._expiries.add_tombstone(ends_at, datum.name, publisher_id)
        return Merged.VISIBLE

    def _note_removal(self, datum: Datum, removal: Removal) -> None:
        pending = self._pending(datum)
        pending.upserts.pop(removal.publisher_id, None)
        pending.removals[removal.publisher_id] = removal
        pending.is_quiet = False

    def _pending(self, datum: Datum) -> Pending:
        if datum.pending is None:
            datum.pending = Pending()
            self._dirty[datum.name] = datum
        return datum.pending

    # --- copies -------------------------------------------------------------------------------

    def apply(
        self,
        name: DataInfoId,
        change: Change,
        now: float,
        tombstone_seconds: Sequence[float] = (),
    ) -> None:
        """Take a change of the primary of a datum of which this node keeps a copy.

        `tombstone_seconds` is what `Datum.tombstone_seconds` returned at the primary; a removal
        without an entry is remembered for as long as a new one.

        A change that does not follow the copy's own revision is merged all the same, in any order
        and any number of times: then the version of the copy does not stand for its content.
        """
        datum = self.buckets.find(name) or self.buckets.add(name)
        is_new = change.source_version == ZERO and not datum.publishers
        follows = change.source_version == datum.revision and not datum.is_unsure
        has_merged = self.merge_copy(datum, change.publishers, (), now)
        has_merged |= self._merge_removals(datum, change.removals, now, tombstone_seconds)
        if change.version > datum.revision and (is_new or follows):
            datum.is_unsure = not _has_taken(datum, change)
            self._log(datum, change, now)
        elif change.version == datum.revision and not datum.is_unsure:
            datum.is_unsure = not _has_taken(datum, change)
            if has_merged:
                # A further piece of the last change, which the log does not have as a whole.
                datum.log = None
        elif has_merged or change.version > datum.revision:
            datum.is_unsure = True
        if not datum.publishers and not datum.tombstones:
            self._expiries.add_emptied(datum)

    def _merge_removals(
        self,
        datum: Datum,
        removals: Iterable[Removal],
        now: float,
        tombstone_seconds: Sequence[float],
    ) -> bool:
        has_merged = False
        seconds, seconds_max = iter(tombstone_seconds), self._config.tombstone_seconds
        for removal in removals:
            is_eviction = removal.cause is Cause.EVICTED
            remaining = seconds_max if is_eviction else next(seconds, seconds_max)
            merged = self._merge_removal(datum, removal, now + min(remaining, seconds_max))
            has_merged |= merged is not Merged.NOTHING
        return has_merged

    def merge_copy(
        self,
        datum: Datum,
        publishers: Iterable[Publisher],
        tombstones: Iterable[tuple[Removal, float]],
        now: float,
    ) -> bool:
        """Merge what another node has of a datum; return whether that changed anything.

        Tombstones have their remaining seconds.
        """
        has_merged = False
        for publisher in publishers:
            has_merged |= self._merge(datum, publisher) is not Merged.NOTHING
        for removal, seconds in tombstones:
            merged = self._merge_removal(datum, removal, now + seconds)
            has_merged |= merged is not Merged.NOTHING
        return has_merged

    def replace_copy(self, datum: Datum) -> None:
        """Drop the content of a copy that was away for too long to be merged; it is taken anew."""
        for publisher in list(datum.publishers.values()):
            self.buckets.take_out(datum, publisher)
        datum.drop_tombstones()
        datum.is_unsure = True
        self._expiries.add_emptied(datum)

    def take_copy(self, datum: Datum, version: Version, revision: Version) -> None:
        """Note that a copy has exactly the content of the primary at this version and revision."""
        datum.restart(version)
        datum.revision = revision
        if not datum.publishers and not datum.tombstones:
            self._expiries.add_emptied(datum)

    # --- versions -----------------------------------------------------------------------------

    def next_version(self, epoch: int) -> Version:
        """Return a version that no content of this process has had."""
        return self._counter.next(epoch)

    def present_version(self, epoch: int) -> Version:
        """Return the version for the answer that a datum does not exist."""
        return self._counter.present(epoch)

    def dirty(self) -> list[Datum]:
        """Return the datums that wait for a commit, in the order in which they changed."""
        return list(self._dirty.values())

    def commit(self, datum: Datum, epoch: int, now: float) -> Change:
        """Make what was merged into a datum one change of its revision, and return it."""
        del self._dirty[datum.name]
        pending, datum.pending = datum.pending, None
        assert pending is not None
        change = Change(
            datum.revision,
            self.next_version(epoch),
            tuple(pending.upserts.values()),
            tuple(pending.removals.values()),
            pending.is_quiet,
        )
        self._log(datum, change, now)
        if change.removals and not datum.publishers and not datum.tombstones:
            self._expiries.add_emptied(datum)
        return change

    def restamp(self, datum: Datum, epoch: int, now: float) -> Change:
        """Give an unchanged datum a new version; return the empty change that leads there."""
        assert not datum.is_dirty
        change = Change(datum.revision, self.next_version(epoch), (), ())
        self._log(datum, change, now)
        datum.restamped_version = datum.version
        return change

    def changes_since(self, datum: Datum, version: Version) -> list[Change] | None:
        """Return the visible changes after a version, chained by version; None if some are gone."""
        if version == datum.version:
            return []
        logged = None if datum.log is None else datum.log.since(version)
        if logged is None:
            return None
        chained: list[Change] = []
        for change in logged:
            if not change.is_quiet:
                chained.append(Change(version, change.version, change.publishers, change.removals))
                version = change.version
        return chained

    def _log(self, datum: Datum, change: Change, now: float) -> None:
        self._logs.append(datum, change, now)
        datum.revision = change.version
        if not change.is_quiet:
            datum.version = change.version

    # --- housekeeping -------------------------------------------------------------------------

    def sweep(self, now: float, count_max: int) -> bool:
        """Drop expired tombstones and log entries, and the datums that are empty then.

        Look at no more than so many of each kind; return whether that was all.
        """
        expiries = self._expiries
        for name, publisher_id in expiries.take_tombstones(now, count_max):
            datum = self.find(name)
            # A newer removal of the same publisher expires at its own time.
            if datum is not None and datum.tombstones.get(publisher_id, (None, 0.0))[1] <= now:
                datum.drop_tombstone(publisher_id)
                expiries.add_emptied(datum)
        self._logs.expire(now, count_max)
        for name in expiries.take_emptied(count_max):
            datum = self.find(name)
            if datum is not None and datum.is_empty:
                self.buckets.remove(datum)
        return not (expiries.is_due(now) or self._logs.is_due(now))


def _has_taken(datum: Datum, change: Change) -> bool:
    """Return whether nothing that a copy had before won over a change."""
    return all(
        datum.publishers.get(each.publisher_id) == each for each in change.publishers
    ) and not any(each.publisher_id in datum.publishers for each in change.removals)


def _eviction(publisher: Publisher) -> Removal:
    return Removal(publisher.publisher_id, publisher.version, Cause.EVICTED, publisher.session)
