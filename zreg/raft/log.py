"""The log of one node, in memory: which entries are appended, saved, committed and applied.

Entries up to and including the *anchor* are compacted away. Of the anchor only index and term are
known, which is enough to check whether another log continues it. The log owns the history of
configurations, since configurations are appended and truncated with their entries. It also collects
what the journal must write, and hands it out as one `Save`.

    anchor_index <= snapshot index <= applied_index <= commit_index <= last_index
    (on a node that never compacted, anchor and snapshot are 0)
"""

from collections.abc import Sequence

from zreg.effects import Save, Snapshot
from zreg.raft.configuration import (
    Configuration,
    ConfigurationHistory,
    decode_configuration,
    encode_configuration,
)
from zreg.raft.ready import Persisted, is_gapless
from zreg.wire.records.raft_messages import Entry, EntryKind


class RaftLog:
    """The entries after the anchor, without gaps; nothing that a peer sends makes it raise."""

    def __init__(self, persisted: Persisted) -> None:
        snapshot, entries = persisted.snapshot, list(persisted.entries)
        self.snapshot = snapshot
        self.anchor_index = snapshot.index if snapshot else 0
        self.anchor_term = snapshot.term if snapshot else 0
        if snapshot and entries and entries[0].index <= snapshot.index:
            # The term before the first stored entry is unknown, so that entry becomes the anchor.
            first = entries.pop(0)
            self.anchor_index, self.anchor_term = first.index, first.term
        assert is_gapless(self.anchor_index, self.anchor_term, entries)
        self._entries = entries
        # The index of the last entry, or of the anchor.
        self.last_index = self.anchor_index + len(entries)
        self.size_bytes = sum(entry.size_bytes for entry in entries)
        self.commit_index = self.applied_index = snapshot.index if snapshot else 0
        assert self.last_index >= self.commit_index
        self.saved_index = self.last_index
        self.history = self._history_of(snapshot)
        self._truncate_from: int | None = None
        self._compact_to: int | None = None
        self._unsaved_snapshot: Snapshot | None = None

    def _history_of(self, snapshot: Snapshot | None) -> ConfigurationHistory:
        start = snapshot.index if snapshot else 0
        base = decode_configuration(snapshot.configuration) if snapshot else Configuration()
        history = ConfigurationHistory(start, base)
        for entry in self._entries:
            if entry.kind is EntryKind.CONFIGURATION and entry.index > start:
                history.append(entry.index, decode_configuration(entry.data))
        return history

    # Queries.

    @property
    def last_term(self) -> int:
        """The term of the last entry, or of the anchor."""
        return self._entries[-1].term if self._entries else self.anchor_term

    @property
    def configuration_position(self) -> tuple[int, int]:
        """Term and index of the latest configuration's entry; of two logs the greater is newer."""
        term = self.term_at(self.history.latest_index)
        # The term is known: compaction keeps it for the configuration of the snapshot.
        assert term is not None
        return term, self.history.latest_index

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry at `index`, None if it is compacted away or past the end."""
        position = index - self.anchor_index - 1
        if 0 <= position < len(self._entries):
            return self._entries[position].term
        return self.anchor_term if index == self.anchor_index else None

    def entries_from(self, index: int, bytes_max: int) -> tuple[Entry, ...]:
        """Return entries from `index` on, up to `bytes_max` bytes, but always the first."""
        assert index > self.anchor_index
        start = stop = index - self.anchor_index - 1
        room = bytes_max
        while stop < len(self._entries):
            room -= self._entries[stop].size_bytes
            if room < 0 and stop > start:
                break
            stop += 1
        return tuple(self._entries[start:stop])

    def entries_between(self, after: int, through: int) -> tuple[Entry, ...]:
        """Return the entries after `after`, up to and including `through`; the log has them."""
        assert self.anchor_index <= after <= through <= self.last_index
        return tuple(self._entries[after - self.anchor_index : through - self.anchor_index])

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Return whether a log that ends so is at least as up to date as this one (§5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def index_not_above(self, index: int, term: int) -> int:
        """Return the highest index up to `index` with a term up to `term`, at least the anchor's.

        With this hint a leader goes back a whole term per round trip, not one entry (§5.3).
        """
        index = max(min(index, self.last_index), self.anchor_index)
        while (
            index > self.anchor_index and self._entries[index - self.anchor_index - 1].term > term
        ):
            index -= 1
        return index

    # Changes.

    def append(self, entries: Sequence[Entry]) -> None:
        """Add `entries`, which continue the last one."""
        for entry in entries:
            assert entry.index == self.last_index + 1
            if entry.kind is EntryKind.CONFIGURATION:
                self.history.append(entry.index, decode_configuration(entry.data))
            self._entries.append(entry)
            self.last_index = entry.index
            self.size_bytes += entry.size_bytes

    def merge(self, entries: Sequence[Entry]) -> None:
        """Append a leader's `entries`; truncate only where an entry has another term (§5.3).

        A late copy of an old request must not truncate entries that were acknowledged after it.
        """
        for position, entry in enumerate(entries):
            if self.term_at(entry.index) != entry.term:
                if entry.index <= self.last_index:
                    self._truncate(entry.index)
                self.append(entries[position:])
                return

    def _truncate(self, index: int) -> None:
        assert index > self.commit_index, "a committed entry would be truncated"
        position = index - self.anchor_index - 1
        self.size_bytes -= sum(entry.size_bytes for entry in self._entries[position:])
        del self._entries[position:]
        self.last_index = index - 1
        self.history.truncate(index)
        if index <= self.saved_index:
            self.saved_index = index - 1
            self._truncate_from = min(index, self._truncate_from or index)

    def commit_to(self, index: int) -> None:
        """Raise the commit index to `index`; it never falls."""
        assert index <= self.last_index
        self.commit_index = max(self.commit_index, index)

    def has_committed(self) -> bool:
        """Return whether some committed entries were not handed out yet."""
        return self.applied_index < self.commit_index

    def take_committed(self, count_max: int) -> tuple[Entry, ...]:
        """Hand out the next committed entries, each once and in order."""
        if self.applied_index == self.commit_index:
            return ()
        through = min(self.commit_index, self.applied_index + count_max)
        entries = self.entries_between(self.applied_index, through)
        self.applied_index = through
        return entries

    def install(self, snapshot: Snapshot) -> None:
        """Replace the whole log by `snapshot`, which is ahead of what is committed here."""
        assert snapshot.index > self.commit_index
        self._entries.clear()
        self.size_bytes = 0
        self.anchor_index, self.anchor_term = snapshot.index, snapshot.term
        self.last_index = snapshot.index
        self.commit_index = self.applied_index = self.saved_index = snapshot.index
        self.snapshot = self._unsaved_snapshot = snapshot
        self.history = self._history_of(snapshot)
        self._truncate_from = 1

    def compact(self, data: bytes, *, keep_count: int, keep_bytes: int) -> None:
        """Make `data`, the state after the last applied entry, the snapshot; drop older entries."""
        index = self.applied_index
        term = self.term_at(index)
        assert term is not None
        assert self.saved_index >= index
        configuration = encode_configuration(self.history.at(index))
        self.snapshot = Snapshot(index, term, configuration, data)
        self._unsaved_snapshot = self.snapshot
        self._drop_through(index, keep_count, keep_bytes)
        # The anchor's row stays on disk: the next start reads the anchor's term from it.
        self._compact_to = self.anchor_index - 1
        self.history.compact(index)

    def _drop_through(self, index: int, keep_count: int, keep_bytes: int) -> None:
        dropped = 0
        for entry in self._entries[: index - self.anchor_index]:
            if index - entry.index < keep_count and self.size_bytes <= keep_bytes:
                break
            self.size_bytes -= entry.size_bytes
            self.anchor_term = entry.term
            dropped += 1
        self.anchor_index += dropped
        del self._entries[:dropped]

    # What the journal must write.

    def has_unsaved(self) -> bool:
        """Return whether the journal lacks something of this log."""
        return (
            self.saved_index < self.last_index
            or self._truncate_from is not None
            or self._unsaved_snapshot is not None
        )

    def take_save(self, term: int, vote: str | None) -> Save:
        """Hand out what the journal must save; call `mark_saved` when that is on disk."""
        save = Save(
            snapshot=self._unsaved_snapshot,
            truncate_from=self._truncate_from,
            compact_to=self._compact_to,
            entries=self.entries_between(self.saved_index, self.last_index),
            term=term,
            vote=vote,
        )
        self._unsaved_snapshot = self._truncate_from = self._compact_to = None
        return save

    def mark_saved(self) -> None:
        """Note that what `take_save` handed out is on disk."""
        self.saved_index = self.last_index
