"""Read a journal when it is opened, and verify every row and how the rows fit together.

SQLite checks no content, so each row carries a CRC-32. A missing row shows as a gap in the log, or
by the last index, which is stored with term and vote.
"""

from collections.abc import Iterator

from zreg.storage.journal_database import JournalDatabase
from zreg.storage.journal_rows import (
    EntryRow,
    JournalContents,
    SnapshotRow,
    checksum,
    promise_checksum,
)


class JournalReader:
    """Reads one database; raises `JournalError` if anything in it is damaged."""

    def __init__(self, database: JournalDatabase) -> None:
        self._database = database
        self._run = database.connection.execute

    def facts(self) -> dict[str, str]:
        """Return the facts by name."""
        rows = self._run("SELECT name, value, crc FROM facts").fetchall()
        for name, value, crc in rows:
            self._check(crc == checksum(name, value), f"the fact {name}")
        return {name: value for name, value, _ in rows}

    def contents(self) -> JournalContents:
        """Return term, vote, snapshot and log."""
        verdict = self._run("PRAGMA quick_check").fetchone()[0]
        self._check(verdict == "ok", "the database")
        term, vote, last_index = self._promise()
        snapshot = self._snapshot()
        entries = tuple(self._entries())
        start = entries[0].index if entries else last_index + 1
        reach = snapshot.index if snapshot else 0
        end = entries[-1].index if entries else 0
        self._check(end == last_index, f"the log up to row {last_index}")
        self._check(start <= reach + 1, f"the log between rows {reach} and {start}")
        self._check(not entries or end >= reach, f"the log up to the snapshot {reach}")
        last_term = entries[-1].term if entries else snapshot.term if snapshot else 0
        self._check(last_term <= term, "the term")
        return JournalContents(term=term, vote=vote, snapshot=snapshot, entries=entries)

    def _promise(self) -> tuple[int, str | None, int]:
        row = self._run("SELECT term, vote, last_index, crc FROM promise").fetchone()
        self._check(row is not None and row[3] == promise_checksum(*row[:3]), "the term and vote")
        return row[0], row[1], row[2]

    def _snapshot(self) -> SnapshotRow | None:
        row = self._run("SELECT idx, term, configuration, data, crc FROM snapshot").fetchone()
        if row is None:
            return None
        self._check(row[4] == checksum(*row[:4]), "the snapshot")
        return SnapshotRow(*row[:4])

    def _entries(self) -> Iterator[EntryRow]:
        expected: int | None = None
        rows = self._run("SELECT idx, term, kind, data, crc FROM log ORDER BY idx")
        for index, term, kind, data, crc in rows:
            self._check(crc == checksum(index, term, kind, data), f"row {index} of the log")
            self._check(expected in (None, index), f"row {expected} of the log")
            expected = index + 1
            yield EntryRow(index, term, kind, data)

    def _check(self, is_sound: bool, what: str) -> None:  # noqa: FBT001 - reads like an assert
        if not is_sound:
            raise self._database.damaged(f"{what} is not as it was written")
