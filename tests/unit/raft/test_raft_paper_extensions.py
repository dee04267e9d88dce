"""The rules of sections 6 to 8 of the Raft paper, one test per sentence: members, snapshots, reads.

§ and figures are the paper's.
"""

from zlib import crc32

from raft_helpers import (
    FIVE,
    Cluster,
    append_reply,
    append_request,
    chunk_request,
    commands,
    drive,
    elect,
    elect_alone,
    log_of,
    make_core,
    members,
    settle_leader,
    step,
    tick,
    vote_request,
)

from zreg.effects import Snapshot
from zreg.raft.configuration import encode_configuration
from zreg.wire.records.raft_messages import (
    EntryKind,
    InstallSnapshot,
    InstallSnapshotReply,
    RequestVoteReply,
)

# §6 Cluster membership changes


def test_a_server_uses_the_latest_configuration_in_its_log_committed_or_not() -> None:
    """§6: a server always uses the latest configuration in its log, regardless of commitment."""
    core = make_core()
    data = encode_configuration(members(("n1", "n2")))
    entry = commands(2, 1)[0]
    changed = type(entry)(2, 1, EntryKind.CONFIGURATION, data)

    step(core, append_request(term=1, entries=(changed,)))

    assert core.configuration == members(("n1", "n2"))
    assert core.log.commit_index == 0


def test_new_servers_join_without_a_vote() -> None:
    """§6: new servers join as non-voting members; they are not counted for majorities."""
    cluster = Cluster(spares=("n4",))
    cluster.elect("n1")
    cluster.isolate("n2", "n3")
    cluster.heal()
    cluster.do("n1", lambda core: core.change_configuration(members().with_learner("n4", "at n4")))
    cluster.deliver()
    cluster.isolate("n2")
    cluster.isolate("n3")

    cluster.propose("n1")
    cluster.deliver()

    assert cluster.core("n4").log.last_index == cluster.core("n1").log.last_index
    assert cluster.core("n1").log.commit_index < cluster.core("n1").log.last_index


def test_servers_disregard_votes_while_a_leader_lives() -> None:
    """§6: within the minimum election timeout of hearing a leader no term or vote is given."""
    core = make_core(election_ticks=10)
    step(core, append_request("n3", term=1))
    tick(core, 9)

    reply = step(core, vote_request("n2", term=9, last=(9, 9))).reply

    assert isinstance(reply, RequestVoteReply)
    assert (reply.is_granted, reply.term, core.term) == (False, 1, 1)


# §7 Log compaction

SNAPSHOT = Snapshot(5, 2, encode_configuration(members()), b"0123456789")


def test_a_snapshot_replaces_the_log_up_to_its_last_entry() -> None:
    """§7: once the snapshot is written, the server may delete all entries through its index."""
    core = make_core("n1", log=log_of(1, configuration=members(("n1",))), keep_entry_count=0)
    elect_alone(core)
    core.compact(b"state")

    outcome = drive(core)

    assert outcome.saves[0].snapshot == Snapshot(
        2, 2, encode_configuration(members(("n1",))), b"state"
    )
    assert outcome.saves[0].compact_to == 1
    assert core.log.entries_between(2, 2) == ()


def test_a_snapshot_is_sent_to_a_follower_whose_next_entry_is_gone() -> None:
    """§7: the leader sends snapshots to followers that lag behind its discarded entries."""
    core = make_core(log=(), snapshot=SNAPSHOT)
    first = elect(core).appends[0]

    (chunk,) = step(core, append_reply(first, is_success=False, hint=(1, 1))).appends

    assert isinstance(chunk, InstallSnapshot)
    assert (chunk.snapshot_index, chunk.snapshot_term, chunk.data) == (5, 2, b"0123456789")


def test_chunks_are_put_together_in_order() -> None:
    """Figure 13, 2 to 4: create the file at the first chunk, write at the offset, wait for more."""
    core = make_core()
    crc = crc32(SNAPSHOT.data)

    first = step(core, chunk_request(SNAPSHOT, term=3, size=4, checksum=crc))
    gap = step(core, chunk_request(SNAPSHOT, term=3, offset=8, checksum=crc))
    last = step(core, chunk_request(SNAPSHOT, term=3, offset=4, checksum=crc))

    replies = [each.reply for each in (first, gap, last)]
    assert all(isinstance(reply, InstallSnapshotReply) for reply in replies)
    assert [(each.next_offset, each.match_index) for each in replies] == [(4, 0), (4, 0), (10, 5)]
    assert last.restored == [SNAPSHOT]
    assert last.saves[0].snapshot == SNAPSHOT
    assert last.saves[0].truncate_from == 1


def test_a_snapshot_of_an_old_term_is_refused() -> None:
    """Figure 13, 1: reply immediately if term < currentTerm."""
    core = make_core(term=4)

    outcome = step(core, chunk_request(SNAPSHOT, term=3, checksum=crc32(SNAPSHOT.data)))

    assert outcome.reply.term == 4
    assert outcome.restored == []


def test_a_snapshot_of_a_prefix_keeps_the_entries_after_it() -> None:
    """Figure 13, 6: if an entry has the snapshot's index and term, retain what follows it."""
    core = make_core(log=log_of(1, 1, 1, 2, 2, 2))

    outcome = step(core, chunk_request(SNAPSHOT, term=3, checksum=crc32(SNAPSHOT.data)))

    assert outcome.restored == []
    assert [entry.index for entry in outcome.committed] == [1, 2, 3, 4, 5]
    assert core.log.last_index == 6


def test_a_snapshot_discards_a_log_that_differs() -> None:
    """Figure 13, 7 and 8: discard the entire log, load the snapshot's configuration."""
    core = make_core(log=log_of(1, 1, 1, 1, 1, 1), term=2)
    snapshot = Snapshot(5, 2, encode_configuration(members(FIVE)), b"state")

    outcome = step(core, chunk_request(snapshot, term=3, checksum=crc32(b"state")))

    assert outcome.restored == [snapshot]
    assert core.configuration == members(FIVE)
    assert (core.log.last_index, core.log.commit_index, core.log.applied_index) == (5, 5, 5)


# §8 Client interaction


def test_a_leader_commits_a_no_op_at_the_start_of_its_term() -> None:
    """§8: each leader commits a blank no-op entry into the log at the start of its term."""
    core = make_core()

    outcome = settle_leader(core, elect(core))

    assert [(entry.kind, entry.term) for entry in outcome.committed][-1] == (EntryKind.NOOP, 2)


def test_a_leader_confirms_its_leadership_before_it_answers_reads() -> None:
    """§8: a leader exchanges heartbeats with a majority before responding to read-only requests."""
    core = make_core()
    settle_leader(core, elect(core))
    core.read_index(17)

    asked = drive(core)
    answered = step(core, append_reply(asked.appends[0]))

    assert asked.reads == []
    assert [(read.token, read.index) for read in answered.reads] == [(17, 2)]
