"""Messages of broken or hostile peers are answered and change nothing, lost ones are repeated."""

from zlib import crc32

import msgspec
import pytest
from raft_helpers import (
    append_reply,
    append_request,
    campaign,
    chunk_request,
    commands,
    drive,
    elect,
    make_core,
    members,
    settle_leader,
    step,
    tick,
)

from zreg.effects import Snapshot
from zreg.raft.configuration import encode_configuration
from zreg.raft.status import Role
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    InstallSnapshot,
    InstallSnapshotReply,
)


@pytest.mark.parametrize(
    "entries",
    [
        commands(3, 2),
        commands(2, 2)[:1] + commands(4, 2),
        commands(2, 2, 1),
        commands(2, 9),
        (Entry(2, 2, EntryKind.CONFIGURATION, b"garbage"),),
    ],
)
def test_unsound_appends_are_refused_and_change_nothing(entries: tuple[Entry, ...]) -> None:
    core = make_core()

    outcome = step(core, append_request(term=2, entries=entries))

    assert isinstance(outcome.reply, AppendEntriesReply)
    assert not outcome.reply.is_success
    assert outcome.saves == []
    assert (core.term, core.log.last_index) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 9},
        {"snapshot_term": 0},
        {"snapshot_term": 9},
        {"snapshot_index": 0},
        {"configuration": b"garbage"},
    ],
)
def test_unsound_chunks_are_refused_and_change_nothing(changes: dict[str, object]) -> None:
    core = make_core()
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"state")
    chunk = chunk_request(snapshot, term=2, checksum=crc32(b"state"))

    outcome = step(core, msgspec.structs.replace(chunk, **changes))

    assert isinstance(outcome.reply, InstallSnapshotReply)
    assert (outcome.reply.match_index, outcome.reply.next_offset) == (0, 0)
    assert outcome.restored == []
    assert core.term == 1


def test_a_snapshot_above_the_limit_is_refused() -> None:
    core = make_core(snapshot_bytes_max=4)
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"state")

    outcome = step(core, chunk_request(snapshot, term=2, checksum=crc32(b"state")))

    assert isinstance(outcome.reply, InstallSnapshotReply)
    assert outcome.reply.match_index == 0
    assert outcome.restored == []


def test_a_second_leader_of_the_term_is_refused() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"state")

    chunk = step(core, chunk_request(snapshot, term=2, checksum=crc32(b"state")))

    assert isinstance(chunk.reply, InstallSnapshotReply)
    assert chunk.reply.match_index == 0
    assert core.role is Role.LEADER


@pytest.mark.parametrize("match", [0, 1, 50])
def test_a_reply_counts_for_no_more_than_was_sent(match: int) -> None:
    core = make_core()
    first = elect(core).appends[0]

    step(core, append_reply(first, match=match))

    assert core.status().peers["n2"].match_index == min(match, 2)


def test_a_reply_of_another_kind_changes_nothing() -> None:
    core = make_core()
    first = elect(core).appends[0]
    assert isinstance(first, AppendEntries)
    other = InstallSnapshotReply(
        sender="n2", receiver="n1", term=2, sequence=first.sequence, next_offset=0, match_index=9
    )

    step(core, other)

    assert core.status().peers["n2"].match_index == 0


def test_a_request_that_could_not_be_sent_is_repeated_after_a_tick() -> None:
    core = make_core(election_ticks=20)
    asked = campaign(core).requests
    core.unreachable("n2", asked[0].sequence)
    core.unreachable("n3", asked[1].sequence + 5)
    core.unreachable("n9", 1)
    assert drive(core).requests == []
    assert [each.receiver for each in tick(core).requests] == ["n2"]

    core = make_core()
    first = elect(core).appends
    core.unreachable("n2", first[0].sequence)
    core.unreachable("n3", 5)
    core.unreachable("n9", 1)
    assert drive(core).requests == []
    assert [each.receiver for each in tick(core).requests] == ["n2"]


def test_a_follower_has_no_request_to_repeat() -> None:
    core = make_core()
    core.unreachable("n2", 1)
    step(core, append_reply(append_request("n1", "n2", term=1)))

    assert drive(core).requests == []
    assert core.role is Role.FOLLOWER


def test_a_chunk_names_its_offset_size_and_checksum() -> None:
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"0123456789")
    core = make_core(log=(), snapshot=snapshot, chunk_bytes_max=4)
    first = elect(core).appends[0]
    (chunk,) = step(core, append_reply(first, is_success=False, hint=(0, 0))).appends

    assert isinstance(chunk, InstallSnapshot)
    assert (chunk.offset, chunk.total_bytes, chunk.checksum) == (0, 10, crc32(b"0123456789"))
