"""A simulated disk with a journal: a crash loses what was written but not synced."""

from zreg.effects import Save, Snapshot
from zreg.raft.ready import Persisted
from zreg.storage.failures import JournalError
from zreg.wire.records.raft_messages import Entry


class SimDisk:
    """One node's disk, which outlives the node; `save` is `write` and `sync`, like the journal's.

    A simulator calls `write` and `sync` separately, to crash between them. After `fail_next` the
    next write raises `JournalError` and writes nothing, like a full disk.
    """

    def __init__(self, *first: Save, journal_id: str = "") -> None:
        self.journal_id = journal_id
        self.facts: dict[str, str] = {}
        self.term = 0
        self.vote: str | None = None
        self.snapshot: Snapshot | None = None
        self.rows: dict[int, Entry] = {}
        self.last_index = 0
        self._written: list[Save] = []
        self._is_failing = False
        for step in first:
            self.save(step)

    def save(self, step: Save) -> None:
        """Make `step` durable."""
        self.write(step)
        self.sync()

    def write(self, step: Save) -> None:
        """Write `step`, lost in a crash before `sync`; raises `JournalError` if told to fail."""
        if self._is_failing:
            self._is_failing = False
            raise JournalError(
                "The simulated disk is full: free space, then start this node again."
            )
        self._written.append(step)

    def sync(self) -> None:
        """Make all writes durable."""
        for step in self._written:
            self._apply(step)
        self._written.clear()

    def crash(self) -> None:
        """Lose what was not synced."""
        self._written.clear()
        self._is_failing = False

    def fail_next(self) -> None:
        """Make the next write raise."""
        self._is_failing = True

    def holds(self, entry: Entry) -> bool:
        """Return whether `entry`, or a snapshot that includes it, is durable."""
        if self.snapshot is not None and self.snapshot.index >= entry.index:
            return True
        stored = self.rows.get(entry.index)
        return stored is not None and stored.term == entry.term

    def load(self) -> Persisted:
        """Return what is durable; its entries have no gaps."""
        entries = tuple(self.rows[index] for index in sorted(self.rows))
        reach = self.snapshot.index if self.snapshot else 0
        if entries:
            assert entries[0].index <= reach + 1 <= entries[-1].index + 1
            assert entries[-1].index - entries[0].index + 1 == len(entries)
        return Persisted(term=self.term, vote=self.vote, snapshot=self.snapshot, entries=entries)

    def _apply(self, step: Save) -> None:
        if step.snapshot is not None:
            self.snapshot = step.snapshot
        if step.truncate_from is not None:
            self._drop([index for index in self.rows if index >= step.truncate_from])
        if step.compact_to is not None:
            self._drop([index for index in self.rows if index <= step.compact_to])
        for entry in step.entries:
            assert entry.index not in self.rows, "SQLite would refuse the row"
            self.rows[entry.index] = entry
        self.facts |= step.facts
        self.term, self.vote = step.term, step.vote
        reach = self.snapshot.index if self.snapshot else 0
        self.last_index = max(self.rows, default=reach)

    def _drop(self, indexes: list[int]) -> None:
        for index in indexes:
            del self.rows[index]
