"""What a follower does with the entries and snapshots of the leader of its term.

This module knows nothing of roles: `Responder` has checked the sender and its term before.
"""

from typing import NamedTuple
from zlib import crc32

from zreg.effects import Snapshot
from zreg.raft.configuration import decode_configuration
from zreg.raft.errors import ConfigurationError
from zreg.raft.log import RaftLog
from zreg.wire.records.raft_messages import AppendEntries, EntryKind, InstallSnapshot


class Appended(NamedTuple):
    """What a follower answers to an AppendEntries: the fields of the reply."""

    is_success: bool
    match_index: int
    hint_index: int
    hint_term: int


class Installed(NamedTuple):
    """What a follower answers to a chunk of a snapshot: the fields of the reply."""

    next_offset: int
    match_index: int


REFUSED_APPEND = Appended(is_success=False, match_index=0, hint_index=0, hint_term=0)
REFUSED_CHUNK = Installed(next_offset=0, match_index=0)


def is_sound_append(request: AppendEntries) -> bool:
    """Return whether a correct leader could have sent this; any other request is refused."""
    index, term = request.prev_index, request.prev_term
    for entry in request.entries:
        if entry.index != index + 1 or entry.term < term:
            return False
        if entry.kind is EntryKind.CONFIGURATION and not _is_configuration(entry.data):
            return False
        index, term = entry.index, entry.term
    return request.prev_index >= 0 and term <= request.term


def _is_configuration(data: bytes) -> bool:
    try:
        decode_configuration(data)
    except ConfigurationError:
        return False
    return True


def is_sound_chunk(request: InstallSnapshot) -> bool:
    """Return whether a correct leader could have sent this chunk."""
    is_placed = 0 <= request.offset <= request.total_bytes - len(request.data)
    is_named = 0 < request.snapshot_term <= request.term and request.snapshot_index > 0
    return is_placed and is_named and _is_configuration(request.configuration)


class Follower:
    """Writes a leader's entries and snapshots to one log.

    The chunks of one snapshot are collected in order; a chunk of another snapshot discards them.
    """

    def __init__(self, log: RaftLog, *, snapshot_bytes_max: int) -> None:
        self._log = log
        self._snapshot_bytes_max = snapshot_bytes_max
        self._chunks = bytearray()
        self._chunks_of: tuple[int, int, int, int] | None = None

    def append(self, request: AppendEntries) -> Appended:
        """Append the entries if the logs agree before them (§5.3, receiver rules 2 to 5)."""
        log = self._log
        match_index = request.prev_index + len(request.entries)
        if match_index <= log.commit_index:
            # All these entries are committed here, so every leader's log holds the same.
            return Appended(is_success=True, match_index=match_index, hint_index=0, hint_term=0)
        covered = max(0, log.commit_index - request.prev_index)
        if covered == 0 and log.term_at(request.prev_index) != request.prev_term:
            return self._reject(request)
        log.merge(request.entries[covered:])
        # This request shows agreement up to `match_index`; entries after it may still differ.
        log.commit_to(min(request.commit_index, match_index))
        return Appended(is_success=True, match_index=match_index, hint_index=0, hint_term=0)

    def _reject(self, request: AppendEntries) -> Appended:
        hint_index = self._log.index_not_above(request.prev_index, request.prev_term)
        hint_term = self._log.term_at(hint_index)
        assert hint_term is not None
        return Appended(is_success=False, match_index=0, hint_index=hint_index, hint_term=hint_term)

    def install(self, request: InstallSnapshot) -> tuple[Installed, Snapshot | None]:
        """Take a chunk; with the last one also return the snapshot, which replaces the state."""
        if request.snapshot_index <= self._log.commit_index:
            # It is older than what is committed here: installing it would lose entries (§7).
            self._discard_chunks()
            return Installed(request.total_bytes, request.snapshot_index), None
        if self._log.term_at(request.snapshot_index) == request.snapshot_term:
            # The log has all its entries: the snapshot only tells that they are committed (§7, 6).
            self._discard_chunks()
            self._log.commit_to(request.snapshot_index)
            return Installed(request.total_bytes, request.snapshot_index), None
        if request.total_bytes > self._snapshot_bytes_max:
            return REFUSED_CHUNK, None
        return self._take_chunk(request)

    def _take_chunk(self, request: InstallSnapshot) -> tuple[Installed, Snapshot | None]:
        key = (
            request.snapshot_index,
            request.snapshot_term,
            request.total_bytes,
            request.checksum,
        )
        if key != self._chunks_of:
            self._discard_chunks()
            self._chunks_of = key
        if request.offset == len(self._chunks):
            self._chunks += request.data
        if len(self._chunks) < request.total_bytes:
            return Installed(next_offset=len(self._chunks), match_index=0), None
        return self._install_whole(request, bytes(self._chunks))

    def _install_whole(
        self, request: InstallSnapshot, data: bytes
    ) -> tuple[Installed, Snapshot | None]:
        self._discard_chunks()
        if crc32(data) != request.checksum:
            return REFUSED_CHUNK, None
        snapshot = Snapshot(
            request.snapshot_index, request.snapshot_term, request.configuration, data
        )
        self._log.install(snapshot)
        return Installed(next_offset=len(data), match_index=snapshot.index), snapshot

    def _discard_chunks(self) -> None:
        self._chunks = bytearray()
        self._chunks_of = None
