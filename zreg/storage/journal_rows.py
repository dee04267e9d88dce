"""The rows of a journal with their checksums, and the shape of a step that is saved.

The journal knows rows, not Raft: any step of the shape of `JournalStep` can be saved.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol
from zlib import crc32

import msgspec


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


class EntryLike(Protocol):
    """An entry that can be saved."""

    @property
    def index(self) -> int:
        """Where it is in the log."""
        ...

    @property
    def term(self) -> int:
        """The term in which it was appended."""
        ...

    @property
    def kind(self) -> int:
        """What its data is."""
        ...

    @property
    def data(self) -> bytes:
        """Its content."""
        ...


class SnapshotLike(Protocol):
    """A snapshot that can be saved."""

    @property
    def index(self) -> int:
        """The index of the last entry that it covers."""
        ...

    @property
    def term(self) -> int:
        """The term of that entry."""
        ...

    @property
    def configuration(self) -> bytes:
        """The encoded members at that entry."""
        ...

    @property
    def data(self) -> bytes:
        """The state of the state machine after that entry."""
        ...


class JournalStep(Protocol):
    """What `Journal.save` writes: snapshot, cuts, entries, facts, then term and vote."""

    @property
    def snapshot(self) -> SnapshotLike | None:
        """The snapshot that replaces the stored one."""
        ...

    @property
    def truncate_from(self) -> int | None:
        """The index from which on entries are dropped."""
        ...

    @property
    def compact_to(self) -> int | None:
        """The index up to which entries are dropped."""
        ...

    @property
    def entries(self) -> Sequence[EntryLike]:
        """The entries to append after the cuts."""
        ...

    @property
    def term(self) -> int:
        """The current term."""
        ...

    @property
    def vote(self) -> str | None:
        """The vote in the current term."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """The texts to keep by name; each replaces the former one of its name."""
        ...


def log_values(entry: EntryLike) -> tuple[int, int, int, bytes, int]:
    """Return the columns of an entry; the last one is its checksum."""
    index, term, kind, data = entry.index, entry.term, int(entry.kind), entry.data
    return index, term, kind, data, crc32(data, crc32(b"%d %d %d" % (index, term, kind)))


def promise_checksum(term: int, vote: str | None, last_index: int) -> int:
    """Return the CRC-32 of the row of term, vote and last index."""
    return crc32(f"{term} {vote} {last_index}".encode())


def checksum(*values: int | str | bytes | None) -> int:
    """Return the CRC-32 of a row; numbers and texts first, blobs last."""
    crc = crc32(" ".join(str(value) for value in values if not isinstance(value, bytes)).encode())
    for value in values:
        if isinstance(value, bytes):
            crc = crc32(value, crc)
    return crc
