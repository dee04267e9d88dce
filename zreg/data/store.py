"""The datums of one data node: the merge rule, versions and revisions, op logs, tombstones.

A `DatumStore` merges publishers and removals. They get a version when `commit` makes everything
that was merged into one datum since its last commit one change with one revision. The store knows
no messages, no ring and no addresses.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from zreg.config import Config
from zreg.data.datum import Datum
from zreg.data.expiries import Expiries
from zreg.data.session_index import SessionIndex
from zreg.data.unchecked_datums import OwnerTest, UncheckedDatums
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

# How far an op log may grow above its length before it is cut back.
_LOG_SLACK: Final = 1.25


class DatumStore:
    """Datums by name, and publishers by session. Times are monotonic seconds.

    Invariants: no two contents of this process, of one datum or of several, have the same version.
    `_datums` has no datum that its node does not own; one that is found is not in `_unchecked`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._datums: dict[DataInfoId, Datum] = {}
        self._counter = 0
        self._dirty: dict[DataInfoId, Datum] = {}
        self.by_session = SessionIndex()
        self._unchecked = UncheckedDatums()
        # Whether datums that this node does not own are still in memory and in `by_session`.
        self.is_checking = False
        self._expiries = Expiries()
        # The highest version of any datum that was dropped here.
        self.dropped_version: Version = ZERO
        self.publisher_count = 0

    def __len__(self) -> int:
        """Return how many datums there are."""
        return len(self._datums) + len(self._unchecked)

    def __iter__(self) -> Iterator[Datum]:
        """Iterate over all datums."""
        return chain(self._datums.values(), self._unchecked)

    def find(self, name: DataInfoId) -> Datum | None:
        """Return the datum of that name."""
        datum = self._datums.get(name)
        if datum is None and self.is_checking:
            found, is_owned = self._unchecked.take(name)
            return None if found is None else self._check(found, is_owned=is_owned)
        return datum

    def publisher(self, name: DataInfoId, publisher_id: bytes) -> Publisher | None:
        """Return a publisher of the datum of that name."""
        datum = self._datums.get(name)
        if datum is None and self.is_checking:
            datum = self.find(name)
        return None if datum is None else datum.publishers.get(publisher_id)

    # --- merging ------------------------------------------------------------------------------

    def put(self, name: DataInfoId, publisher: Publisher) -> bool:
        """Merge one publisher; return False if the stored state wins, or is the same."""
        datum = self._datums.get(name)
        if datum is None and self.is_checking:
            datum = self.find(name)
        if datum is None:
            datum = self._datums[name] = Datum(name)
        publisher_id = publisher.publisher_id
        tombstone = datum.tombstones.get(publisher_id)
        if tombstone is not None:
            if tombstone[0].version >= publisher.version:
                return False
            del datum.tombstones[publisher_id]
        old = datum.publishers.get(publisher_id)
        if old is None:
            self.publisher_count += 1
            datum.is_quiet = False
            self.by_session.add(publisher, datum)
        elif not publisher_wins(publisher, old):
            return False
        else:
            self.by_session.replace(old, publisher, datum)
            if not same_to_subscribers(publisher, old):
                datum.is_quiet = False
        datum.publishers[publisher_id] = publisher
        datum.upserts[publisher_id] = publisher
        if datum.removals:
            datum.removals.pop(publisher_id, None)
        self._dirty[name] = datum
        return True

    def remove(self, name: DataInfoId, removal: Removal, now: float) -> bool:
        """Merge one removal and keep a tombstone, also of a publisher that is not stored.

        That removal is visible too: a follower may hold a copy from a former primary.
        Return False if the stored state is newer.
        """
        datum = self._datums.get(name)
        if datum is None and self.is_checking:
            datum = self.find(name)
        if datum is None:
            datum = self._datums[name] = Datum(name)
        publisher_id = removal.publisher_id
        old = datum.publishers.get(publisher_id)
        tombstone = datum.tombstones.get(publisher_id)
        if tombstone is not None and tombstone[0].version >= removal.version:
            return False
        if old is not None:
            if old.version > removal.version:
                return False
            self._take_out(datum, old)
        ends_at = now + self._config.tombstone_seconds
        datum.tombstones[publisher_id] = (removal, ends_at)
        self._expiries.add_tombstone(ends_at, name, publisher_id)
        self._note_removal(datum, removal)
        return True

    def evict(self, session: Incarnation, count_max: int) -> int:
        """Drop publishers of a session that is gone, without tombstones; return how many.

        Commit before anything else is merged: without a tombstone an older copy could come in, and
        a change with only that copy would leave followers with the evicted publisher.
        """
        evicted = self.by_session.of(session).first(count_max)
        for publisher, datum in evicted:
            self._take_out(datum, publisher)
            self._note_removal(datum, _eviction(publisher))
        if len(evicted) < count_max:
            self.by_session.forget(session)
        return len(evicted)

    def _take_out(self, datum: Datum, publisher: Publisher) -> None:
        del datum.publishers[publisher.publisher_id]
        self.publisher_count -= 1
        self.by_session.discard(publisher)

    def _note_removal(self, datum: Datum, removal: Removal) -> None:
        datum.upserts.pop(removal.publisher_id, None)
        datum.removals[removal.publisher_id] = removal
        datum.is_quiet = False
        self._dirty[datum.name] = datum

    # --- versions -----------------------------------------------------------------------------

    def next_version(self, epoch: int) -> Version:
        """Return a version that no content of this process has had."""
        self._counter += 1
        return Version(epoch, self._counter)

    def present_version(self, epoch: int) -> Version:
        """Return the version for the answer that a datum does not exist."""
        return Version(epoch, self._counter)

    def dirty(self) -> list[Datum]:
        """Return the datums that wait for a commit, in the order in which they changed."""
        return list(self._dirty.values())

    def commit(self, datum: Datum, epoch: int, now: float) -> Change | None:
        """Make what was merged into a datum one change; return it if subscribers can see it.

        The returned change leads from version to version, and skips quiet changes.
        """
        del self._dirty[datum.name]
        source_version = datum.version
        change = self._append(datum, epoch, now)
        if datum.removals and not datum.publishers and not datum.tombstones:
            self._expiries.add_emptied(datum)
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
        datum.restamped_version = datum.version
        return Change(source_version, datum.version, (), ())

    def changes_since(self, datum: Datum, version: Version) -> list[Change] | None:
        """Return the visible changes after a version, chained by version; None if some are gone."""
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
        # The sweep drops old changes. Here a log that is too long is cut, in larger steps.
        length = len(datum.log)
        if length > self._config.op_log_length_min * _LOG_SLACK:
            self._trim(datum, now)
        if length > 1 and not datum.is_log_noted:
            self._expiries.add_log(datum, datum.log.oldest_at() + self._config.op_log_seconds)
        datum.revision = change.version
        if not datum.is_quiet:
            datum.version = change.version
        return change

    def _trim(self, datum: Datum, now: float) -> None:
        length_max = max(self._config.op_log_length_min, len(datum.publishers) // 4)
        datum.log.trim(now, length_max=length_max, seconds_max=self._config.op_log_seconds)

    # --- ownership ----------------------------------------------------------------------------

    def recheck(self, owns: OwnerTest) -> None:
        """Drop the datums that this node does not own under a new ring; no change is logged.

        Nothing may wait for a commit. A datum counts as dropped at once. `check_some` has to be
        called until `is_checking` is False.
        """
        assert not self._dirty
        self._unchecked.add(self._datums, owns)
        self._datums = {}
        self.is_checking = True

    def check_some(self, count_max: int) -> None:
        """Keep or drop datums from before the ring changed, with about so many publishers."""
        while count_max > 0 and (taken := self._unchecked.take_next()) is not None:
            datum, is_owned = taken
            count_max -= 1 if is_owned else 1 + len(datum.publishers)
            self._check(datum, is_owned=is_owned)
        self.is_checking = bool(self._unchecked)

    def _check(self, datum: Datum, *, is_owned: bool) -> Datum | None:
        """Keep a datum if this node owns it, else drop it; return it if it is kept."""
        if is_owned:
            self._datums[datum.name] = datum
            return datum
        for publisher in list(datum.publishers.values()):
            self._take_out(datum, publisher)
        self.dropped_version = max(self.dropped_version, datum.version)
        return None

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
                datum.tombstones.pop(publisher_id, None)
                expiries.add_emptied(datum)
        for datum in expiries.take_logs(now, count_max):
            self._trim(datum, now)
            if len(datum.log) > 1:
                expiries.add_log(datum, datum.log.oldest_at() + self._config.op_log_seconds)
        for name in expiries.take_emptied(count_max):
            datum = self.find(name)
            if datum is not None and datum.is_empty:
                self._drop(datum)
        return not expiries.is_due(now)

    def _drop(self, datum: Datum) -> None:
        del self._datums[datum.name]
        self.dropped_version = max(self.dropped_version, datum.version)


def _eviction(publisher: Publisher) -> Removal:
    return Removal(publisher.publisher_id, publisher.version, Cause.EVICTED, publisher.session)
