"""Keep Raft's promises on disk: term, vote, log and snapshot, one durable transaction a step.

A step is on disk wholly or not at all: there is no gap between snapshot and log, and no entry
without its term.

A node does not survive a storage error: after a failed write it is unknown what is on disk, so the
node must end. A damaged file is never repaired: a row that a repair cuts off may be one that this
node has acknowledged, and a majority may have counted on it.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from zreg.storage.failures import JournalError
from zreg.storage.journal_database import WRITE_PROMISE, JournalDatabase
from zreg.storage.journal_reader import JournalReader
from zreg.storage.journal_rows import JournalStep, checksum, log_values, promise_checksum


class Journal:
    """One open journal; `contents` is what it held at the start, `facts` are texts by name.

    `identity` names the node that the journal belongs to, as {"node_id": ..., "cluster": ...}. Each
    of its names is a fact: a new one is written, one with another value is refused. Raises
    `JournalError`.
    """

    def __init__(
        self, path: Path, *, identity: Mapping[str, str], page_count_max: int | None = None
    ) -> None:
        self._path = path
        # Set while a step is written: it stays set if that fails.
        self._is_broken = False
        self._database = JournalDatabase(path, page_count_max=page_count_max)
        # One cursor for all saves: each `execute` of the connection itself would make another.
        self._cursor = self._database.connection.cursor()
        reader = JournalReader(self._database)
        try:
            with self._database.explaining("opened"):
                self.facts = reader.facts()
                self._check_identity(identity)
                self.contents = reader.contents()
        except BaseException:
            self._database.connection.close()
            raise
        entries = self.contents.entries
        self._last_index = entries[-1].index if entries else 0

    def keep_fact(self, name: str, value: str) -> str:
        """Return the fact `name`. If there is none it becomes `value`, and keeps that value."""
        if name not in self.facts:
            with self._database.explaining("written"), self._database.transaction():
                self._write_fact(name, value)
        return self.facts[name]

    def replace_fact(self, name: str, value: str) -> None:
        """Give the fact `name` another value; what relied on the former one becomes invalid."""
        with self._database.explaining("written"), self._database.transaction():
            self._replace_fact(name, value)

    def save(self, step: JournalStep) -> None:
        """Make `step` durable, wholly or not at all; raises `JournalError`."""
        if self._is_broken:
            raise JournalError(f"The journal {self._path} failed before: end this node.")
        self._is_broken = True
        self._database.check_files()
        # Without the database's context managers, which cost a commit as much as its statements.
        try:
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
                self._write(step)
                self._cursor.execute("COMMIT")
            except BaseException:
                self._database.roll_back()
                raise
        except sqlite3.Error as error:
            raise self._database.explained(error, "written") from error
        self._is_broken = False

    def check_files(self) -> None:
        """Raise `JournalError` if a file of the journal was removed or replaced."""
        self._database.check_files()

    def close(self) -> None:
        """Release the file; what was saved stays."""
        self._cursor.close()
        self._database.connection.close()

    def _write(self, step: JournalStep) -> None:
        run = self._cursor.execute
        if step.snapshot is not None:
            row = step.snapshot
            values = (row.index, row.term, bytes(row.configuration), bytes(row.data))
            run(
                "INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?, ?)",
                (*values, checksum(*values)),
            )
        if step.truncate_from is not None:
            run("DELETE FROM log WHERE idx >= ?", (step.truncate_from,))
        if step.compact_to is not None:
            run("DELETE FROM log WHERE idx <= ?", (step.compact_to,))
        if step.truncate_from is not None or step.compact_to is not None:
            self._last_index = run("SELECT coalesce(max(idx), 0) FROM log").fetchone()[0]
        for entry in step.entries:
            run("INSERT INTO log VALUES (?, ?, ?, ?, ?)", log_values(entry))
            self._last_index = entry.index
        for name, value in step.facts.items():
            self._replace_fact(name, value)
        # The last index is stored with term and vote, because a lost last row leaves no gap.
        last_index = self._last_index
        crc = promise_checksum(step.term, step.vote, last_index)
        run(WRITE_PROMISE, (step.term, step.vote, last_index, crc))

    def _check_identity(self, identity: Mapping[str, str]) -> None:
        """Refuse the journal of another node; write the names that are new."""
        for name, value in sorted(identity.items()):
            if self.facts.get(name, value) != value:
                raise JournalError(
                    f"The journal {self._path} belongs to {name} {self.facts[name]}, not {value}:"
                    " start this node with its own directory."
                )
            if name not in self.facts:
                with self._database.transaction():
                    self._write_fact(name, value)

    def _replace_fact(self, name: str, value: str) -> None:
        self._cursor.execute("DELETE FROM facts WHERE name = ?", (name,))
        self._write_fact(name, value)

    def _write_fact(self, name: str, value: str) -> None:
        self._cursor.execute(
            "INSERT INTO facts VALUES (?, ?, ?)", (name, value, checksum(name, value))
        )
        self.facts[name] = value
