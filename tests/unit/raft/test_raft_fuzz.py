"""No well-formed message makes `step` raise, and each request gets one reply."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from raft_helpers import campaign, drive, elect, log_of, make_core, members, settle_leader

from zreg.effects import Snapshot
from zreg.raft.configuration import encode_configuration
from zreg.raft.consensus import RaftCore
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    InstallSnapshot,
    InstallSnapshotReply,
    RaftMessage,
    Reply,
    Request,
    RequestVote,
    RequestVoteReply,
    TransferLeader,
    TransferLeaderReply,
)

NUMBER = st.one_of(st.integers(0, 8), st.integers(0, 2**62))
NAME = st.sampled_from(["n1", "n2", "n3", "n4"])
DATA = st.sampled_from(
    [
        b"",
        b"a=1",
        b"garbage",
        encode_configuration(members(("n2",))),
        encode_configuration(members()),
    ]
)
ENTRY = st.builds(
    Entry, index=NUMBER, term=NUMBER, kind=st.sampled_from(list(EntryKind)), data=DATA
)
HEADER = {
    "sender": NAME,
    "receiver": st.sampled_from(["n1", "n1", "n1", "n2"]),
    "term": st.one_of(st.integers(0, 5), NUMBER),
    "sequence": NUMBER,
}
FLAG = st.booleans()


@st.composite
def growing_entries(draw: st.DrawFn) -> tuple[int, tuple[Entry, ...]]:
    """Return an index and entries that continue it, as a leader's do."""
    prev_index = draw(st.integers(0, 6))
    terms = sorted(draw(st.lists(st.integers(0, 5), max_size=4)))
    kinds = st.sampled_from(list(EntryKind))
    entries = [
        Entry(index, term, draw(kinds), draw(DATA))
        for index, term in enumerate(terms, start=prev_index + 1)
    ]
    return prev_index, tuple(entries)


@st.composite
def sound_append(draw: st.DrawFn) -> AppendEntries:
    prev_index, entries = draw(growing_entries())
    return AppendEntries(
        sender=draw(st.sampled_from(["n2", "n3"])),
        receiver="n1",
        term=draw(st.integers(0, 6)),
        sequence=1,
        prev_index=prev_index,
        prev_term=draw(st.integers(0, 3)),
        commit_index=draw(NUMBER),
        entries=entries,
    )


REQUEST = st.one_of(
    sound_append(),
    st.builds(
        RequestVote,
        last_index=NUMBER,
        last_term=NUMBER,
        is_pre_vote=FLAG,
        is_transfer=FLAG,
        **HEADER,
    ),
    st.builds(
        AppendEntries,
        prev_index=NUMBER,
        prev_term=NUMBER,
        commit_index=NUMBER,
        entries=st.lists(ENTRY, max_size=3).map(tuple),
        **HEADER,
    ),
    st.builds(
        InstallSnapshot,
        snapshot_index=NUMBER,
        snapshot_term=NUMBER,
        configuration=DATA,
        total_bytes=st.integers(0, 6),
        checksum=st.sampled_from([0, 1]),
        offset=st.integers(0, 6),
        data=st.sampled_from([b"", b"abc"]),
        **HEADER,
    ),
    st.builds(TransferLeader, **HEADER),
)
REPLY = st.one_of(
    st.builds(RequestVoteReply, is_pre_vote=FLAG, is_granted=FLAG, **HEADER),
    st.builds(
        AppendEntriesReply,
        is_success=FLAG,
        match_index=NUMBER,
        hint_index=NUMBER,
        hint_term=NUMBER,
        **HEADER,
    ),
    st.builds(InstallSnapshotReply, next_offset=NUMBER, match_index=NUMBER, **HEADER),
    st.builds(TransferLeaderReply, is_accepted=FLAG, **HEADER),
)
ROLES = st.sampled_from(["follower", "candidate", "leader", "leader with snapshot"])


def core_in(role: str) -> tuple[RaftCore, list[Request]]:
    """Return a core, and the requests that wait for a reply."""
    snapshot = Snapshot(3, 1, encode_configuration(members()), b"0123456789")
    core = make_core(log=log_of(1, 1, 1, 1), apply_count_max=2)
    if role == "leader with snapshot":
        core = make_core(log=(), snapshot=snapshot, chunk_bytes_max=4)
    if role == "candidate":
        return core, campaign(core).requests
    if role == "leader":
        settle_leader(core, elect(core))
        core.propose(b"a=1")
        core.read_index(1)
        return core, drive(core).requests
    return core, elect(core).requests if role == "leader with snapshot" else []


@settings(max_examples=150, deadline=None)
@given(ROLES, st.lists(st.one_of(REQUEST, REPLY), max_size=8), st.data())
def test_no_message_of_a_peer_raises(
    role: str, messages: list[RaftMessage], data: st.DataObject
) -> None:
    core, waiting = core_in(role)
    for message in messages:
        if isinstance(message, Reply) and waiting and data.draw(FLAG):
            # With the sequence of a real request the reply is not simply ignored.
            asked = data.draw(st.sampled_from(waiting))
            message = msgspec.structs.replace(  # noqa: PLW2901 - the same message, with that sequence
                message,
                sender=asked.receiver,
                receiver="n1",
                sequence=asked.sequence,
                term=data.draw(st.sampled_from([asked.term, message.term])),
            )
        core.step(message)
        outcome = drive(core)
        replies = [each for each in outcome.messages if isinstance(each, Reply)]
        assert len(replies) == isinstance(message, Request)
        waiting += outcome.requests
        core.tick()
        waiting += drive(core).requests
