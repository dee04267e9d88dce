"""What a Raft node keeps, and what it hands out to be done: `Persisted` and `Ready`.

The requests and replies that travel are in `zreg.wire.raft_messages`.
"""

from collections.abc import Iterable, Sequence

import msgspec

from zreg.effects import Save, Snapshot
from zreg.raft.configuration import Configuration, decode_configuration, encode_configuration
from zreg.wire.raft_messages import (
    Entry,
    EntryKind,
    RaftMessage,
    Reply,
    Request,
    RequestVoteReply,
)


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

    appends: Sequence[Request]
    save: Save | None
    messages: tuple[RaftMessage, ...]
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


def configuration_of(persisted: Persisted) -> Configuration:
    """Return the members as the last entry says that names them, committed or not."""
    kept = [e.data for e in persisted.entries if e.kind is EntryKind.CONFIGURATION]
    if not kept and persisted.snapshot is not None:
        kept = [persisted.snapshot.configuration]
    return decode_configuration(kept[-1]) if kept else Configuration()


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
