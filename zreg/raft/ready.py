"""What a Raft node reads from its journal, and what it asks its driver to do.

The requests and replies are in `zreg.wire.records.raft_messages`.
"""

from collections.abc import Iterable, Sequence

import msgspec

from zreg.effects import Save, Snapshot
from zreg.raft.configuration import Configuration, decode_configuration, encode_configuration
from zreg.wire.records.raft_messages import (
    Entry,
    EntryKind,
    RaftMessage,
    Reply,
    Request,
    RequestVoteReply,
)


class Persisted(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal holds at start; the defaults describe a node that never ran."""

    term: int = 0
    vote: str | None = None
    snapshot: Snapshot | None = None
    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, contents: object) -> "Persisted":
        """Return it from an object with the same fields, such as a journal's contents.

        Raises `msgspec.ValidationError` when a field is of another type.
        """
        return msgspec.convert(contents, cls, from_attributes=True)


class ReadState(msgspec.Struct, frozen=True):
    """The read `token` may be answered by a state machine that has applied `index`."""

    token: int
    index: int


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver must do now, in the order of the fields; then it calls `advance()`.

    `appends` are sent first: the leader writes to disk while its followers do. Then `save` is made
    durable. Only then `messages` are sent: votes and acknowledgements promise what is on disk.
    Then the state machine loads `restore`, if any, and applies `committed`; `reads` are answered
    from that state. `refused_reads` are the tokens of reads to repeat at the next leader.
    """

    appends: Sequence[Request]
    save: Save | None
    messages: tuple[RaftMessage, ...]
    restore: Snapshot | None
    committed: tuple[Entry, ...]
    reads: tuple[ReadState, ...]
    refused_reads: tuple[int, ...]


def bootstrap(configuration: Configuration) -> Save:
    """Return what the first voters of a new cluster save before their first start.

    All must save the same configuration: it becomes entry 1 of term 1, a term without a leader.
    """
    data = encode_configuration(configuration)
    first = Entry(1, 1, EntryKind.CONFIGURATION, data)
    return Save(
        snapshot=None, truncate_from=None, compact_to=None, entries=(first,), term=1, vote=None
    )


def configuration_of(persisted: Persisted) -> Configuration:
    """Return the members in the last configuration, committed or not."""
    encoded = [e.data for e in persisted.entries if e.kind is EntryKind.CONFIGURATION]
    if not encoded and persisted.snapshot is not None:
        encoded = [persisted.snapshot.configuration]
    return decode_configuration(encoded[-1]) if encoded else Configuration()


def is_gapless(prev_index: int, prev_term: int, entries: Iterable[Entry]) -> bool:
    """Return whether `entries` continue `prev_index` without gaps, with terms that never fall."""
    index, term = prev_index, prev_term
    for entry in entries:
        if entry.index != index + 1 or entry.term < term:
            return False
        index, term = entry.index, entry.term
    return True


def is_granted_pre_vote(reply: Reply) -> bool:
    """Return whether `reply` grants a pre-vote: its term is then only the term asked for."""
    return isinstance(reply, RequestVoteReply) and reply.is_pre_vote and reply.is_granted
