"""The SQLite database of a journal: opened, checked for damage outside its rows, and locked.

WAL mode with `synchronous=FULL` writes each transaction with one fdatasync, so a transaction is on
disk wholly or not at all. The lock is exclusive: a second process over the same file is refused.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zreg.storage.failures import JournalError
from zreg.storage.journal_rows import promise_checksum
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
WRITE_PROMISE: Final = "INSERT OR REPLACE INTO promise VALUES (1, ?, ?, ?, ?)"

_FILE_BYTES_MIN: Final = 512
# A step changes two pages, and SQLite writes and sums whole pages. With its default of 4,096 bytes
# a save takes a tenth longer; only a large snapshot, which is rare, would be faster. A journal
# keeps the page size with which it was made.
_PAGE_BYTES: Final = 1024

_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: "another process uses it, so stop that one first",
    sqlite3.SQLITE_FULL: "free space on its disk, then start this node again",
    sqlite3.SQLITE_IOERR: "look at its disk, then start this node again",
    sqlite3.SQLITE_CANTOPEN: "look at its directory and permissions, then start this node again",
    sqlite3.SQLITE_READONLY: "look at its permissions, then start this node again",
}


class JournalDatabase:
    """One open database. Every error is a `JournalError` that says what to do."""

    def __init__(self, path: Path, *, page_count_max: int | None = None) -> None:
        self.path = path
        with self.explaining("opened"):
            if path.exists() and path.stat().st_size < _FILE_BYTES_MIN:
                # SQLite would take so short a file for a new database.
                raise self.damaged("the file is cut off")
            # Checked before SQLite opens it: SQLite drops everything after a bad frame, and tidies
            # up.
            damage = find_wal_damage(_wal(path))
            if damage is not None:
                raise self.damaged(f"{damage} is not as it was written")
        with self.explaining("opened"):
            # Only the reactor's thread uses it. Timeout 0 reports a second process at once.
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=0)
            self.connection.text_factory = _text
        try:
            with self.explaining("opened"):
                self._prepare(page_count_max)
                self._files = {each: each.stat() for each in self._paths() if each.exists()}
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, page_count_max: int | None) -> None:
        run = self.connection.execute
        run(f"PRAGMA page_size = {_PAGE_BYTES}")
        # The lock is made exclusive before WAL is switched on: then there is no shared memory file,
        # and no second connection.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        if page_count_max is not None:
            run(f"PRAGMA max_page_count = {page_count_max:d}")
        with self.transaction():
            found = run("PRAGMA user_version").fetchone()[0]
            if found == 0 and not run("SELECT 1 FROM sqlite_schema").fetchone():
                for statement in _SCHEMA.split(";"):
                    run(statement)
                run(WRITE_PROMISE, (0, None, 0, promise_checksum(0, None, 0)))
                run(f"PRAGMA user_version = {FORMAT}")
            elif found != FORMAT:
                raise JournalError(
                    f"The journal {self.path} has format {found}, not {FORMAT}: start the zreg"
                    " version that wrote it."
                )

    def check_files(self) -> None:
        """Raise `JournalError` if a file was removed or replaced since the journal was opened.

        SQLite would go on to write to the removed file, which ends with this process.
        """
        for path in self._paths():
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                if path in self._files:
                    raise self._removed(path) from None
            except OSError:
                # It cannot be looked at: that proves nothing.
                continue
            else:
                if not os.path.samestat(found, self._files.setdefault(path, found)):
                    raise self._removed(path)

    def _paths(self) -> tuple[Path, Path]:
        """Return the file, and its write-ahead log, which SQLite makes with the first write."""
        return self.path, _wal(self.path)

    def _removed(self, path: Path) -> JournalError:
        advice = (
            f"if other meta nodes run, take this node out with `zreg meta rm`, empty {path.parent},"
            " take it in with `zreg meta add` and start it with --join; a lone meta node founds a"
            " new cluster when it is started again."
        )
        if path != self.path:
            # SQLite still has the removed file, and moves its content into the other at the end.
            advice = "start this node again; it goes on from what it had."
        return JournalError(
            f"The journal {path} was removed or replaced while this node ran, and what it promises"
            f" would be lost with its process: {advice}"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """Undo the open transaction, unless a full disk has rolled it back already."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    @contextmanager
    def explaining(self, what: str) -> Iterator[None]:
        """Turn an error of SQLite or of its disk into a `JournalError`: it could not be `what`."""
        try:
            yield
        except sqlite3.Error as error:
            raise self.explained(error, what) from error
        except OSError as error:
            raise JournalError(
                f"The journal {self.path} cannot be {what} ({error.strerror}): "
                f"{_ADVICE[sqlite3.SQLITE_CANTOPEN]}."
            ) from error

    def explained(self, error: sqlite3.Error, what: str) -> JournalError:
        """Return the error for people: the journal could not be `what`."""
        advice = _ADVICE.get(error.sqlite_errorcode & 0xFF)
        if advice is None:
            return self.damaged(str(error))
        return JournalError(
            f"The journal {self.path} cannot be {what} ({error}): {advice}; nothing of this"
            " step was acknowledged."
        )

    def damaged(self, why: str) -> JournalError:
        """Return the error of a damaged journal, with the way out."""
        return JournalError(
            f"The journal {self.path} is damaged ({why}); never copy or repair the file, because"
            " other nodes rely on the votes and entries in it. If other meta nodes run, take this"
            f" node out with `zreg meta rm`, move the directory {self.path.parent} away, take the"
            " node in with `zreg meta add` and start it with --join, so that it rejoins as a new"
            " node. If it is the only meta node, move the directory away and start the node as"
            " before: it founds a new cluster, without the settings of the old one; then start the"
            " sessions and data nodes again, and clients publish again by themselves."
        )


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _text(raw: bytes) -> str:
    # A damaged text must get as far as its checksum, and not fail in the decoder.
    return raw.decode(errors="replace")
