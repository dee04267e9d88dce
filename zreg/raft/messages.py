"""What a Raft node keeps and what it says: entries, snapshots, requests, replies, and `Ready`.

Each request has one reply, which repeats its `sequence`. A node has at most one request per peer
under way, and takes a reply only for the request that it still waits for: replies that are late,
doubled or replayed carry an older sequence and change nothing (a higher term in them still counts).
Tags are part of the protocol and only grow.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec

from zreg.raft.configuration import Configuration, encode_configuration

# Checked where bytes become messages: SQLite holds no larger numbers.
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
NodeId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]

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
    data: bytes

    @property
    def size_bytes(self) -> int:
        """What the entry counts against limits in bytes."""
        return len(self.data) + ENTRY_OVERHEAD_BYTES


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The state machine after the entry `index` of `term`, and the encoded members then."""

    index: int
    term: int
    configuration: bytes
    data: bytes


class _Message(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What every message says first: who, to whom, in which term, and which request it is."""

    sender: NodeId
    receiver: NodeId
    term: Number
    sequence: Number


class RequestVote(_Message, frozen=True, tag=1):
    """Ask for a vote (§5.2); as a pre-vote, with the term an election would have (thesis §9.6).

    `is_transfer` says that the leader itself asked for the election: stickiness does not apply.
    """

    last_index: Number
    last_term: Number
    is_pre_vote: bool
    is_transfer: bool


class RequestVoteReply(_Message, frozen=True, tag=2):
    """Grant or deny; the term of a granted pre-vote is the one asked for, else the voter's own."""

    is_pre_vote: bool
    is_granted: bool


class AppendEntries(_Message, frozen=True, tag=3):
    """Append `entries` after `prev_index` (§5.3); without entries, a heartbeat."""

    prev_index: Number
    prev_term: Number
    commit_index: Number
    entries: tuple[Entry, ...]


class AppendEntriesReply(_Message, frozen=True, tag=4):
    """Up to `match_index` the logs agree; refused, the hint is the next place worth trying."""

    is_success: bool
    match_index: Number
    hint_index: Number
    hint_term: Number


class InstallSnapshot(_Message, frozen=True, tag=5):
    """One chunk of a snapshot (§7); `checksum` is the CRC-32 of all `total_bytes`."""

    snapshot_index: Number
    snapshot_term: Number
    configuration: bytes
    total_bytes: Number
    checksum: Number
    offset: Number
    data: bytes


class InstallSnapshotReply(_Message, frozen=True, tag=6):
    """Go on at `next_offset`; `match_index` is 0 until the snapshot is in place."""

    next_offset: Number
    match_index: Number


class TransferLeader(_Message, frozen=True, tag=7):
    """Stand for election at once (TimeoutNow, thesis §3.10); you have the whole log."""


class TransferLeaderReply(_Message, frozen=True, tag=8):
    """Whether the election was started."""

    is_accepted: bool


Request: TypeAlias = RequestVote | AppendEntries | InstallSnapshot | TransferLeader
Reply: TypeAlias = (
    RequestVoteReply | AppendEntriesReply | InstallSnapshotReply | TransferLeaderReply
)
Message: TypeAlias = Request | Reply


class Persisted(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal gives back at start; the defaults are a node that never ran."""

    term: int = 0
    vote: str | None = None
    snapshot: Snapshot | None = None
    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, contents: object) -> "Persisted":
        """Take it from an object with the same fields, as a journal's contents.

        Raises `msgspec.ValidationError` when a field is of another type.
        """
        return msgspec.convert(contents, cls, from_attributes=True)


class Save(msgspec.Struct, frozen=True, kw_only=True):
    """What must be on disk before anything after it leaves; one transaction, in field order.

    `truncate_from`: drop the entries from this index on. `compact_to`: drop those up to this one.
    """

    snapshot: Snapshot | None
    truncate_from: int | None
    compact_to: int | None
    entries: tuple[Entry, ...]
    term: int
    vote: str | None


class ReadState(msgspec.Struct, frozen=True):
    """The read `token` may be answered from a state machine that has applied `index`."""

    token: int
    index: int


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done now, in field order; then `RaftCore.advance()` is called.

    `appends` leave first: the leader writes its disk while its followers write theirs. Then `save`
    is made durable. Only then `messages` leave: votes and acknowledgements promise what is on disk.
    Then the state machine takes `restore`, if any, and applies `committed`; the answers to `reads`
    come from that state. `refused_reads` are tokens to be asked again at the next leader.
    """

    appends: tuple[Request, ...]
    save: Save | None
    messages: tuple[Message, ...]
    restore: Snapshot | None
    committed: tuple[Entry, ...]
    reads: tuple[ReadState, ...]
    refused_reads: tuple[int, ...]


def bootstrap(configuration: Configuration) -> Save:
    """Return what the first voters of a new cluster save before they start for the first time.

    All must save the same configuration: it becomes entry 1 of term 1, which nobody led.
    """
    data = encode_configuration(configuration)
    first = Entry(1, 1, EntryKind.CONFIGURATION, data)
    return Save(
        snapshot=None, truncate_from=None, compact_to=None, entries=(first,), term=1, vote=None
    )


def is_gapless(prev_index: int, prev_term: int, entries: Iterable[Entry]) -> bool:
    """Say whether `entries` follow on `prev_index`, by ones, with terms that never fall."""
    index, term = prev_index, prev_term
    for entry in entries:
        if entry.index != index + 1 or entry.term < term:
            return False
        index, term = entry.index, entry.term
    return True


def is_promise(reply: Reply) -> bool:
    """Say whether `reply` grants a pre-vote: its term is the one asked for, and nobody's yet."""
    return isinstance(reply, RequestVoteReply) and reply.is_pre_vote and reply.is_granted
