"""What meta nodes say to each other: Raft's requests and replies, and the entries inside them.

Each request has one reply, which repeats its `sequence`. A node has at most one request per peer
under way, and takes a reply only for the request that it still waits for: replies that are late,
doubled or replayed carry an older sequence and change nothing (a higher term in them still counts).
`messages` holds the union of all records; tags only grow.
"""

from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import NodeId
from zreg.wire.record import Message

# SQLite holds no larger numbers, and sums of two must not overflow either.
Number: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
Command: TypeAlias = Annotated[bytes, Meta(max_length=Limits.raft_data_bytes_max)]

ENTRY_OVERHEAD_BYTES: Final = 32


class EntryKind(IntEnum):
    """What an entry is for: a new leader's no-op, the application's command, the members."""

    NOOP = 0
    COMMAND = 1
    CONFIGURATION = 2


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log; `data` is the command, opaque to Raft, or an encoded configuration."""

    index: Number
    term: Number
    kind: EntryKind
    data: Command

    @property
    def size_bytes(self) -> int:
        """What the entry counts against limits in bytes."""
        return len(self.data) + ENTRY_OVERHEAD_BYTES


class RaftRecord(Message, frozen=True, array_like=True, gc=False):
    """What every message says first: who, to whom, in which term, and which request it is."""

    sender: NodeId
    receiver: NodeId
    term: Number
    sequence: Number


class RequestVote(RaftRecord, tag=60, frozen=True, array_like=True, gc=False):
    """Ask for a vote (§5.2); as a pre-vote, with the term an election would have (thesis §9.6).

    `is_transfer` says that the leader itself asked for the election: stickiness does not apply.
    """

    last_index: Number
    last_term: Number
    is_pre_vote: bool
    is_transfer: bool


class RequestVoteReply(RaftRecord, tag=61, frozen=True, array_like=True, gc=False):
    """Grant or deny; the term of a granted pre-vote is the one asked for, else the voter's own."""

    is_pre_vote: bool
    is_granted: bool


class AppendEntries(RaftRecord, tag=62, frozen=True, array_like=True, gc=False):
    """Append `entries` after `prev_index` (§5.3); without entries, a heartbeat."""

    prev_index: Number
    prev_term: Number
    commit_index: Number
    entries: Annotated[tuple[Entry, ...], Meta(max_length=Limits.raft_entries_per_record_max)]


class AppendEntriesReply(RaftRecord, tag=63, frozen=True, array_like=True, gc=False):
    """Up to `match_index` the logs agree; refused, the hint is the next place worth trying."""

    is_success: bool
    match_index: Number
    hint_index: Number
    hint_term: Number


class InstallSnapshot(RaftRecord, tag=64, frozen=True, array_like=True, gc=False):
    """One chunk of a snapshot (§7); `checksum` is the CRC-32 of all `total_bytes`."""

    snapshot_index: Number
    snapshot_term: Number
    configuration: Command
    total_bytes: Number
    checksum: Number
    offset: Number
    data: Command


class InstallSnapshotReply(RaftRecord, tag=65, frozen=True, array_like=True, gc=False):
    """Go on at `next_offset`; `match_index` is 0 until the snapshot is in place."""

    next_offset: Number
    match_index: Number


class TransferLeader(RaftRecord, tag=66, frozen=True, array_like=True, gc=False):
    """Stand for election at once (TimeoutNow, thesis §3.10); you have the whole log."""


class TransferLeaderReply(RaftRecord, tag=67, frozen=True, array_like=True, gc=False):
    """Whether the election was started."""

    is_accepted: bool


Request: TypeAlias = RequestVote | AppendEntries | InstallSnapshot | TransferLeader
Reply: TypeAlias = (
    RequestVoteReply | AppendEntriesReply | InstallSnapshotReply | TransferLeaderReply
)
RaftMessage: TypeAlias = Request | Reply
