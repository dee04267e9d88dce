"""Raft's requests and replies between meta nodes, and the entries inside them.

Each request has one reply, which repeats its `sequence`. A node has at most one request per peer
in flight, and takes a reply only for that request. Late, duplicate or replayed replies have an
older sequence and change nothing, but a higher term in them still counts.
"""

from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import NodeId
from zreg.wire.record import Message

# SQLite stores integers below 2**63; the bound is lower so that the sum of two fits, too.
Number: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
RaftData: TypeAlias = Annotated[bytes, Meta(max_length=Limits.raft_data_bytes_max)]

ENTRY_OVERHEAD_BYTES: Final = 32


class EntryKind(IntEnum):
    """What an entry contains."""

    NOOP = 0  # nothing: the first entry of a new leader's term
    COMMAND = 1  # a command of the application
    CONFIGURATION = 2  # the members of meta


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log. `data` is a command, which Raft does not read, or a configuration."""

    index: Number
    term: Number
    kind: EntryKind
    data: RaftData

    @property
    def size_bytes(self) -> int:
        """The size of the entry that is compared with limits in bytes."""
        return len(self.data) + ENTRY_OVERHEAD_BYTES


class RaftRecord(Message, frozen=True, array_like=True, gc=False):
    """The first fields of every Raft record: sender, receiver, term and number of the request."""

    sender: NodeId
    receiver: NodeId
    term: Number
    sequence: Number


class RequestVote(RaftRecord, tag=60, frozen=True, array_like=True, gc=False):
    """Candidate to meta node: asks for a vote (§5.2).

    A pre-vote (thesis §9.6) has the term that the election would have. `is_transfer`: the leader
    asked for the election, so a voter does not refuse because it hears from a leader.
    """

    last_index: Number
    last_term: Number
    is_pre_vote: bool
    is_transfer: bool


class RequestVoteReply(RaftRecord, tag=61, frozen=True, array_like=True, gc=False):
    """Answer to `RequestVote`: the vote is granted or denied.

    The term of a granted pre-vote is the requested one, in any other reply the voter's own.
    """

    is_pre_vote: bool
    is_granted: bool


class AppendEntries(RaftRecord, tag=62, frozen=True, array_like=True, gc=False):
    """Leader to meta node: append `entries` after `prev_index` (§5.3). No entries: a heartbeat."""

    prev_index: Number
    prev_term: Number
    commit_index: Number
    entries: Annotated[tuple[Entry, ...], Meta(max_length=Limits.raft_entries_per_record_max)]


class AppendEntriesReply(RaftRecord, tag=63, frozen=True, array_like=True, gc=False):
    """Answer to `AppendEntries`: the logs of both nodes agree up to `match_index`.

    Without success, `hint_index` and `hint_term` say which entry the leader tries next.
    """

    is_success: bool
    match_index: Number
    hint_index: Number
    hint_term: Number


class InstallSnapshot(RaftRecord, tag=64, frozen=True, array_like=True, gc=False):
    """Leader to meta node: a chunk of a snapshot (§7). `checksum`: the CRC-32 of the snapshot."""

    snapshot_index: Number
    snapshot_term: Number
    configuration: RaftData
    total_bytes: Number
    checksum: Number
    offset: Number
    data: RaftData


class InstallSnapshotReply(RaftRecord, tag=65, frozen=True, array_like=True, gc=False):
    """Answer to `InstallSnapshot`: the leader sends the chunk at `next_offset` next.

    `match_index` is 0 until the receiver has installed the snapshot.
    """

    next_offset: Number
    match_index: Number


class TransferLeader(RaftRecord, tag=66, frozen=True, array_like=True, gc=False):
    """Leader to meta node with the whole log: start an election now (TimeoutNow, thesis §3.10)."""


class TransferLeaderReply(RaftRecord, tag=67, frozen=True, array_like=True, gc=False):
    """Answer to `TransferLeader`: says whether the receiver started the election."""

    is_accepted: bool


Request: TypeAlias = RequestVote | AppendEntries | InstallSnapshot | TransferLeader
Reply: TypeAlias = (
    RequestVoteReply | AppendEntriesReply | InstallSnapshotReply | TransferLeaderReply
)
RaftMessage: TypeAlias = Request | Reply
