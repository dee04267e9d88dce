"""Keep Raft's promises on disk: term, vote, log and snapshot, one durable transaction a step.

SQLite in WAL mode with `synchronous=FULL` writes each transaction with one fdatasync, so a step is
on disk wholly or not at all: no gap between snapshot and log, no entries without their term.
SQLite checks no content, so each row carries a CRC-32, and `wal` looks at what is not in the main
file yet. The lock is exclusive: a second process over the same directory is refused.

A storage error is never survived: after a failed write nobody knows what is on disk, so the node
must end. A damaged file is never repaired: a row cut off here may be one that this node has
acknowledged, and a majority may have counted on it.

The journal knows rows, not Raft: any step of the shape of `JournalStep` will do.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol
from zlib import crc32

import msgspec

from zreg.storage.failures import NodeEndError
from zreg.storage.wal import find_wal_damage

FORMAT: Final = 1

_SCHEMA: Final = """
CREATE TABLE facts(name TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE promise(
    id INTEGER PRIMARY KEY CHECK(id = 1), term INTEGER NOT NULL, vote TEXT,
    last_index INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE log(
    idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL, data BLOB NOT NULL,
    crc INTEGER NOT NULL);
CREATE TABLE snapshot(
    id INTEGER PRIMARY KEY CHECK(id = 1), idx INTEGER NOT NULL, term INTEGER NOT NULL,
    configuration BLOB NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL);
"""

_FILE_BYTES_MIN: Final = 512
# A step changes two pages, and each is written and summed whole: with SQLite's usual 4,096 bytes a
# save takes a tenth longer, and only a large snapshot, which is rare, takes less. A journal keeps
# the size that it was made with.
_PAGE_BYTES: Final = 1024

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another process uses it, so stop that one first",
    sqlite3.SQLITE_FULL: "free space on its disk, then start this node again",
    sqlite3.SQLITE_IOERR: "look at its disk, then start this node again",
    sqlite3.SQLITE_CANTOPEN: "look at its directory and permissions, then start this node again",
    sqlite3.SQLITE_READONLY: "look at its permissions, then start this node again",
}


class JournalError(NodeEndError):
    """The journal cannot be used; the message is a sentence that says what to do. End the node."""


class EntryRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log as a row."""

    index: int
    term: int
    kind: int
    data: bytes


class SnapshotRow(msgspec.Struct, frozen=True, array_like=True):
    """The snapshot as a row."""

    index: int
    term: int
    configuration: bytes
    data: bytes


class JournalContents(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal held when it was opened; a new one holds the defaults."""

    term: int = 0
    vote: str | None = None
    snapshot: SnapshotRow | None = None
    entries: tuple[EntryRow, ...] = ()


class _EntryLike(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class _SnapshotLike(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def configuration(self) -> bytes: ...
    @property
    def data(self) -> bytes: ...


class JournalStep(Protocol):
    """What `Journal.save` writes: the snapshot, the cuts, the entries, then term and vote."""

    @property
    def snapshot(self) -> _SnapshotLike | None:
        """Replace the stored snapshot."""
        ...

    @property
    def truncate_from(self) -> int | None:
        """Drop the entries from this index on."""
        ...

    @property
    def compact_to(self) -> int | None:
        """Drop the entries up to this index."""
        ...

    @property
    def entries(self) -> Sequence[_EntryLike]:
        """Append these, which follow on what is left."""
        ...

    @property
    def term(self) -> int:
        """The current term."""
        ...

    @property
    def vote(self) -> str | None:
        """The vote in the current term."""
        ...


class Journal:
    """One open journal; `contents` is what it held at the start.

    `identity` names whose journal it is, as {"node_id": ..., "cluster": ...}: a name that is new is
    written, one that is stored with another value is refused. Raises `JournalError`.
    """

    def __init__(
        self, path: Path, *, identity: Mapping[str, str], page_count_max: int | None = None
    ) -> None:
        self._path = path
        self._is_broken = False
        self._last_index = 0
        if path.exists() and path.stat().st_size < _FILE_BYTES_MIN:
            # SQLite takes so short a file for a new database.
            raise self._damaged("the file is cut off")
        # Before SQLite sees it, which would drop what follows a bad frame and tidy up.
        damage = find_wal_damage(path.with_name(f"{path.name}-wal"))
        if damage is not None:
            raise self._damaged(f"{damage} is not as it was written")
        with self._speaking_plainly("opened"):
            # The reactor's thread is the only user; timeout 0 reports a second process at once.
            self._database = sqlite3.connect(path, isolation_level=None, timeout=0)
            self._database.text_factory = _text
            # One for all saves: each `execute` of the database itself makes another.
            self._cursor = self._database.cursor()
        try:
            with self._speaking_plainly("opened"):
                self._prepare(page_count_max)
                self.facts = self._load_facts()
                self._compare(identity)
                self.contents = self._load()
        except BaseException:
            self._database.close()
            raise

    def keep_fact(self, name: str, value: str) -> str:
        """Return the fact `name`; the first time it is `value`, and stays that for ever."""
        if name not in self.facts:
            with self._speaking_plainly("written"), self._transaction():
                self._write_fact(name, value)
        return self.facts[name]

    def replace_fact(self, name: str, value: str) -> None:
        """Give the fact `name` another value: what relied on the former one is given up."""
        with self._speaking_plainly("written"), self._transaction():
            self._database.execute("DELETE FROM facts WHERE name = ?", (name,))
            self._write_fact(name, value)

    def save(self, step: JournalStep) -> None:
        """Make `step` durable, wholly or not at all; raises `JournalError`."""
        if self._is_broken:
            raise JournalError(f"The journal {self._path} failed before: end this node.")
        self._is_broken = True
        # Without the context managers below, which cost a commit as much as its statements.
        try:
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
                self._write(step)
                self._cursor.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        except sqlite3.Error as error:
            raise self._explained(error, "written") from error
        self._is_broken = False

    def close(self) -> None:
        """Release the file; what was saved stays."""
        self._cursor.close()
        self._database.close()

    # Writing.

    def _write(self, step: JournalStep) -> None:
        run = self._cursor.execute
        if step.snapshot is not None:
            row = step.snapshot
            values = (row.index, row.term, bytes(row.configuration), bytes(row.data))
            run(
                "INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?, ?)",
                (*values, _checksum(*values)),
            )
        if step.truncate_from is not None:
            run("DELETE FROM log WHERE idx >= ?", (step.truncate_from,))
        if step.compact_to is not None:
            run("DELETE FROM log WHERE idx <= ?", (step.compact_to,))
        if step.truncate_from is not None or step.compact_to is not None:
            self._last_index = run("SELECT coalesce(max(idx), 0) FROM log").fetchone()[0]
        for entry in step.entries:
            run("INSERT INTO log VALUES (?, ?, ?, ?, ?)", _log_values(entry))
            self._last_index = entry.index
        self._write_promise(step.term, step.vote)

    def _write_promise(self, term: int, vote: str | None) -> None:
        # The last index stands here too: a lost last row would leave no gap.
        self._cursor.execute(
            "INSERT OR REPLACE INTO promise VALUES (1, ?, ?, ?, ?)",
            (term, vote, self._last_index, _promise_checksum(term, vote, self._last_index)),
        )

    # Opening.

    def _prepare(self, page_count_max: int | None) -> None:
        run = self._database.execute
        run(f"PRAGMA page_size = {_PAGE_BYTES}")
        # Exclusive before WAL: then there is no shared memory file, and no second connection.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        if page_count_max is not None:
            run(f"PRAGMA max_page_count = {page_count_max:d}")
        with self._transaction():
            found = run("PRAGMA user_version").fetchone()[0]
            if found == 0 and not run("SELECT 1 FROM sqlite_schema").fetchone():
                for statement in _SCHEMA.split(";"):
                    run(statement)
                self._write_promise(0, None)
                run(f"PRAGMA user_version = {FORMAT}")
            elif found != FORMAT:
                raise JournalError(
                    f"The journal {self._path} has format {found}, not {FORMAT}: start the zreg"
                    " version that wrote it."
                )

    def _load_facts(self) -> dict[str, str]:
        rows = self._database.execute("SELECT name, value, crc FROM facts").fetchall()
        for name, value, crc in rows:
            self._check(crc == _checksum(name, value), f"the fact {name}")
        return {name: value for name, value, _ in rows}

    def _compare(self, identity: Mapping[str, str]) -> None:
        for name, value in sorted(identity.items()):
            if self.facts.get(name, value) != value:
                raise JournalError(
                    f"The journal {self._path} belongs to {name} {self.facts[name]}, not {value}:"
                    " start this node with its own directory."
                )
            if name not in self.facts:
                with self._transaction():
                    self._write_fact(name, value)

    def _write_fact(self, name: str, value: str) -> None:
        self._database.execute(
            "INSERT INTO facts VALUES (?, ?, ?)", (name, value, _checksum(name, value))
        )
        self.facts[name] = value

    def _load(self) -> JournalContents:
        verdict = self._database.execute("PRAGMA quick_check").fetchone()[0]
        self._check(verdict == "ok", "the database")
        term, vote, last_index = self._load_promise()
        snapshot = self._load_snapshot()
        entries = tuple(self._load_entries())
        start = entries[0].index if entries else last_index + 1
        reach = snapshot.index if snapshot else 0
        end = entries[-1].index if entries else 0
        self._check(end == last_index, f"the log up to row {last_index}")
        self._check(start <= reach + 1, f"the log between rows {reach} and {start}")
        self._check(not entries or end >= reach, f"the log up to the snapshot {reach}")
        self._last_index = last_index
        last_term = entries[-1].term if entries else snapshot.term if snapshot else 0
        self._check(last_term <= term, "the term")
        return JournalContents(term=term, vote=vote, snapshot=snapshot, entries=entries)

    def _load_promise(self) -> tuple[int, str | None, int]:
        row = self._database.execute("SELECT term, vote, last_index, crc FROM promise").fetchone()
        self._check(row is not None and row[3] == _promise_checksum(*row[:3]), "the term and vote")
        return row[0], row[1], row[2]

    def _load_snapshot(self) -> SnapshotRow | None:
        row = self._database.execute(
            "SELECT idx, term, configuration, data, crc FROM snapshot"
        ).fetchone()
        if row is None:
            return None
        self._check(row[4] == _checksum(*row[:4]), "the snapshot")
        return SnapshotRow(*row[:4])

    def _load_entries(self) -> Iterator[EntryRow]:
        expected: int | None = None
        rows = self._database.execute("SELECT idx, term, kind, data, crc FROM log ORDER BY idx")
        for index, term, kind, data, crc in rows:
            self._check(crc == _checksum(index, term, kind, data), f"row {index} of the log")
            self._check(expected in (None, index), f"row {expected} of the log")
            expected = index + 1
            yield EntryRow(index, term, kind, data)

    # Errors.

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # A full disk may have rolled back already.
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    @contextmanager
    def _speaking_plainly(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._explained(error, what) from error

    def _explained(self, error: sqlite3.Error, what: str) -> JournalError:
        advice = _ADVICE.get(error.sqlite_errorcode & 0xFF)
        if advice is None:
            return self._damaged(str(error))
        return JournalError(
            f"The journal {self._path} cannot be {what} ({error}): {advice}; nothing of this"
            " step was acknowledged."
        )

    def _check(self, is_sound: bool, what: str) -> None:  # noqa: FBT001 - reads like an assert
        if not is_sound:
            raise self._damaged(f"{what} is not as it was written")

    def _damaged(self, why: str) -> JournalError:
        return JournalError(
            f"The journal {self._path} is damaged ({why}): take this node out with `zreg meta rm`,"
            f" move the directory {self._path.parent} away, take it in with `zreg meta add` and"
            " start it with --join, so that it rejoins as a new node; never copy or repair the"
            " file, it holds promises to the others."
        )


def _log_values(entry: _EntryLike) -> tuple[int, int, int, bytes, int]:
    index, term, kind, data = entry.index, entry.term, int(entry.kind), entry.data
    return index, term, kind, data, crc32(data, crc32(b"%d %d %d" % (index, term, kind)))


def _promise_checksum(term: int, vote: str | None, last_index: int) -> int:
    return crc32(f"{term} {vote} {last_index}".encode())


def _checksum(*values: int | str | bytes | None) -> int:
    """Return the CRC-32 of a row; numbers and texts first, blobs last."""
    crc = crc32(" ".join(str(value) for value in values if not isinstance(value, bytes)).encode())
    for value in values:
        if isinstance(value, bytes):
            crc = crc32(value, crc)
    return crc


def _text(raw: bytes) -> str:
    # A damaged text must reach its checksum, not fail in the decoder.
    return raw.decode(errors="replace")
