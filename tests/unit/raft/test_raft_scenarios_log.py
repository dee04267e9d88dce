"""Scenarios of faults with logs, disks and snapshots (17 to 32).

The numbers are those of our list of forty scenarios. In each step of a `Cluster` the `RaftChecker`
also checks the promises that must always hold.
"""

from zlib import crc32

import msgspec
import pytest
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
    lead_alone,
    log_of,
    make_core,
    members,
    settle_leader,
    step,
    tick,
)

from zreg.effects import Snapshot
from zreg.raft.configuration import encode_configuration
from zreg.raft.errors import (
    CommandTooLargeError,
    OverloadedError,
)
from zreg.raft.status import Role
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
)

# 17 to 24: replication


@pytest.mark.parametrize(
    ("terms", "prev", "new", "is_success", "kept"),
    [
        ((1,), (1, 1), (2,), True, [1, 2]),
        ((1, 1, 1), (1, 1), (1,), True, [1, 1, 1]),
        ((1, 1, 1), (1, 1), (2,), True, [1, 2]),
        ((1, 1, 1), (1, 1), (1, 2), True, [1, 1, 2]),
        ((1, 1, 1), (3, 2), (), False, [1, 1, 1]),
        ((1, 1, 1), (5, 2), (), False, [1, 1, 1]),
        ((1, 1, 1), (3, 1), (), True, [1, 1, 1]),
        ((1, 1, 1), (0, 0), (), True, [1, 1, 1]),
    ],
)
def test_17_the_consistency_check(
    terms: tuple[int, ...],
    prev: tuple[int, int],
    new: tuple[int, ...],
    *,
    is_success: bool,
    kept: list[int],
) -> None:
    core = make_core(log=log_of(*terms), term=2)

    request = append_request(term=2, prev=prev, entries=commands(prev[0] + 1, *new))
    reply = step(core, request).reply

    assert isinstance(reply, AppendEntriesReply)
    assert reply.is_success is is_success
    assert [entry.term for entry in core.log.entries_between(0, core.log.last_index)] == kept


def test_18_a_late_append_truncates_no_acknowledged_entry() -> None:
    core = make_core(log=log_of(1), term=2)
    early = append_request(term=2, entries=commands(2, 2))
    step(core, append_request(term=2, entries=commands(2, 2, 2, 2)))

    outcome = step(core, early)
    beat = step(core, append_request(term=2))

    assert outcome.saves == beat.saves == []
    assert core.log.last_index == 4


def test_18_a_late_append_behind_the_commit_is_acknowledged_and_changes_nothing() -> None:
    core = make_core(log=log_of(1, 1, 1), term=2)
    step(core, append_request(term=2, prev=(3, 1), commit=3))

    covered = step(core, append_request(term=2, prev=(1, 1), entries=commands(2, 1)))
    ahead = step(core, append_request(term=2, prev=(2, 1), entries=commands(3, 1, 2)))

    assert isinstance(covered.reply, AppendEntriesReply)
    assert (covered.reply.is_success, covered.reply.match_index) == (True, 2)
    assert isinstance(ahead.reply, AppendEntriesReply)
    assert (ahead.reply.is_success, ahead.reply.match_index, core.log.last_index) == (True, 4, 4)


@pytest.mark.parametrize(
    "terms",
    [
        (1, 1, 1, 4, 4, 5, 5, 6, 6),
        (1, 1, 1, 4),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
        (1, 1, 1, 4, 4, 4, 4),
        (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
    ],
)
def test_20_all_followers_of_figure_7_converge(terms: tuple[int, ...]) -> None:
    leader = make_core("n1", log=log_of(1, 1, 1, 4, 4, 5, 5, 6, 6, 6), term=7)
    follower = make_core("n2", log=log_of(*terms), term=7)
    waiting = [each for each in elect(leader).appends if each.receiver == "n2"]
    round_trips = 0
    while waiting:
        replies = step(follower, waiting.pop(0)).messages
        for reply in replies:
            waiting += [each for each in step(leader, reply).appends if each.receiver == "n2"]
        round_trips += 1

    assert leader.log.entries_between(0, 11) == follower.log.entries_between(0, 11)
    assert round_trips <= 5


def test_21_a_refusal_skips_a_whole_term() -> None:
    leader = make_core("n1", log=log_of(*([1] * 500), *([9] * 500)), term=9)
    follower = make_core("n2", log=log_of(*([1] * 500), *([2] * 400)), term=9)
    waiting = [each for each in elect(leader).appends if each.receiver == "n2"]
    refused = 0
    while waiting:
        for reply in step(follower, waiting.pop(0)).messages:
            assert isinstance(reply, AppendEntriesReply)
            refused += not reply.is_success
            waiting += [each for each in step(leader, reply).appends if each.receiver == "n2"]

    assert refused <= 2
    assert follower.log.last_index == 1001


def test_22_figure_8_an_entry_of_an_old_term_may_still_be_overwritten() -> None:
    cluster = figure_8()

    assert len(cluster.leaders()) == 1
    entries = cluster.core("n3").log.entries_between(2, 3)
    assert [entry.term for entry in entries] == [3]


def figure_8() -> Cluster:
    """Play the paper's figure 8 to (d): an entry on three of five disks is overwritten.

    The entry is of term 2 and reached the third disk in term 4, so it must not be committed.
    """
    cluster = Cluster(FIVE, election_ticks=5, append_bytes_max=1)
    cluster.elect("n1")
    cluster.isolate("n1", "n2")
    cluster.propose("n1", 20)
    cluster.deliver()
    cluster.crash("n1")
    lead_alone(cluster, "n5", without=("n2",))
    cluster.crash("n5")
    cluster.start("n1")
    cluster.heal()
    lead_alone(cluster, "n1")
    give_old_entries(cluster, "n1", ("n2", "n3"))
    cluster.crash("n1")
    cluster.crash("n2")
    cluster.start("n5")
    cluster.mail.clear()
    cluster.elect("n5")
    cluster.start("n1")
    cluster.start("n2")
    cluster.run(60)
    return cluster


def give_old_entries(cluster: Cluster, leader: str, followers: tuple[str, ...]) -> None:
    """Deliver the leader's appends to `followers`, without entries of the leader's own term."""
    term = cluster.core(leader).term
    for _ in range(10):
        batch, cluster.mail[:] = list(cluster.mail), []
        for message in batch:
            if message.receiver in followers and isinstance(message, AppendEntries):
                old = tuple(entry for entry in message.entries if entry.term < term)
                cluster.give(msgspec.structs.replace(message, entries=old))
            elif message.receiver in followers or message.sender in followers:
                cluster.give(message)


def test_23_a_late_reply_of_an_earlier_leadership_moves_nothing() -> None:
    core = make_core(log=log_of(1, 1, 1), request_ticks=1)
    first = elect(core).appends[0]
    step(core, append_request("n3", term=3, prev=(1, 1), entries=commands(2, 3)))
    elect(core)

    outcome = step(core, append_reply(first, match=4))

    assert outcome.committed == []
    assert core.status().peers["n2"].match_index == 0


def test_24_a_leader_counts_its_own_entries_when_they_are_saved() -> None:
    core = make_core(log=log_of(1, configuration=members(("n1",))))
    elect_alone(core)
    entry = core.propose(b"x")

    unsaved = core.ready()
    assert unsaved is not None
    assert unsaved.committed == ()
    core.advance()

    saved = core.ready()
    assert saved is not None
    assert saved.committed == (entry,)
    core.advance()


def test_24_a_single_voter_counts_only_its_saved_entries_and_no_learner() -> None:
    core = make_core(log=log_of(1, configuration=members(("n1",), ("n2",))))
    elect_alone(core)
    (beat, *_) = tick(core, 10).appends
    core.propose(b"x")

    core.step(append_reply(beat))

    assert core.log.commit_index == 2


def test_24_a_leader_of_three_needs_its_own_disk_or_both_others() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    core.propose(b"x")
    unsaved = core.ready()
    assert unsaved is not None

    assert core.log.commit_index == 2
    core.advance()
    step(core, append_reply(unsaved.appends[0]))
    assert core.log.commit_index == 3


# 25 to 32: disks and snapshots


@pytest.mark.parametrize("point", ["before", "unsaved", "unsynced", "unsent", "sent"])
def test_25_a_crash_at_any_point_loses_nothing_acknowledged(point: str) -> None:
    cluster = Cluster()
    cluster.elect("n1")
    cluster.propose("n1", 1)
    cluster.deliver()
    node = cluster.nodes["n1"]
    cluster.core("n1").propose(b"a=2")

    class Dead(Exception):  # noqa: N818
        pass

    def die(where: str) -> None:
        if where == point:
            raise Dead

    with pytest.raises(Dead):
        node.settle(cluster.mail.append, cluster, die)
    cluster.crash("n1")
    cluster.deliver()
    cluster.start("n1")
    cluster.run(60)

    assert len(cluster.leaders()) == 1
    assert len(set(cluster.values())) == 1
    assert cluster.values()[0] in ((2,) if point == "sent" else (1, 2))


def test_26_committed_entries_come_in_pages_and_once() -> None:
    log = log_of(*([1] * 10), configuration=members(("n1",)))
    core = make_core(log=log, apply_count_max=3)
    tick(core, 25)
    again = make_core(log=log, apply_count_max=3)
    pages = []
    while again.role is not Role.LEADER:
        again.tick()
        while (ready := again.ready()) is not None:
            pages.append([entry.index for entry in ready.committed])
            again.advance()

    assert [page for page in pages if page] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11]]


def test_27_proposals_are_bounded_while_there_is_no_majority() -> None:
    core = make_core(uncommitted_bytes_max=200)
    settle_leader(core, elect(core))
    core.propose(b"x" * 100)
    with pytest.raises(OverloadedError):
        core.propose(b"x" * 100)
    with pytest.raises(CommandTooLargeError):
        core.propose(b"x" * 300_000)

    settle_leader(core, drive(core))

    assert core.propose(b"x" * 100).index == 4


def test_28_a_slow_follower_gets_the_snapshot_and_then_the_entries() -> None:
    cluster = Cluster(compact_entry_count=5, keep_entry_count=2, chunk_bytes_max=10)
    cluster.elect("n1")
    cluster.isolate("n3")
    for value in range(1, 20):
        cluster.propose("n1", value)
        cluster.deliver()
    assert cluster.core("n1").log.anchor_index > cluster.core("n3").log.last_index
    cluster.heal()

    cluster.run(20)

    assert cluster.values() == [19, 19, 19]
    assert cluster.core("n3").log.snapshot is not None


def test_29_an_old_snapshot_is_ignored() -> None:
    core = make_core(log=log_of(1, 1, 1), term=2)
    step(core, append_request(term=2, prev=(3, 1), commit=3))
    old = Snapshot(2, 1, encode_configuration(members(FIVE)), b"old")

    outcome = step(core, chunk_request(old, term=2, checksum=crc32(b"old")))

    assert outcome.restored == outcome.saves == []
    assert core.configuration == members()
    assert isinstance(outcome.reply, InstallSnapshotReply)
    assert outcome.reply.match_index == 2


def test_30_an_interrupted_snapshot_goes_on_under_the_next_leader() -> None:
    core = make_core()
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"0123456789")
    crc = crc32(snapshot.data)
    step(core, chunk_request(snapshot, term=3, size=4, checksum=crc))

    resumed = step(core, chunk_request(snapshot, term=4, size=4, checksum=crc))
    done = step(core, chunk_request(snapshot, term=4, offset=4, checksum=crc))

    assert isinstance(resumed.reply, InstallSnapshotReply)
    assert resumed.reply.next_offset == 4
    assert done.restored == [snapshot]


def test_30_chunks_of_two_snapshots_are_not_mixed() -> None:
    core = make_core()
    configuration = encode_configuration(members())
    one = Snapshot(5, 2, configuration, b"0123456789")
    two = Snapshot(6, 2, configuration, b"abcdefghij")
    step(core, chunk_request(one, term=3, size=4, checksum=crc32(one.data)))

    mixed = step(core, chunk_request(two, term=3, offset=4, checksum=crc32(two.data)))
    damaged = step(core, chunk_request(two, term=3, checksum=1))

    assert isinstance(mixed.reply, InstallSnapshotReply)
    assert mixed.reply.next_offset == 0
    assert isinstance(damaged.reply, InstallSnapshotReply)
    assert (damaged.reply.next_offset, damaged.reply.match_index) == (0, 0)
    assert damaged.restored == []


def test_30_a_leader_resumes_a_transfer_where_the_follower_is() -> None:
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"0123456789")
    core = make_core(log=(), snapshot=snapshot, chunk_bytes_max=4)
    first = elect(core).appends[0]
    (chunk,) = step(core, append_reply(first, is_success=False, hint=(1, 1))).appends
    assert isinstance(chunk, InstallSnapshot)

    (second,) = step(core, chunk_reply(chunk, next_offset=4)).appends
    assert isinstance(second, InstallSnapshot)
    assert (second.offset, second.data) == (4, b"4567")

    lost = step(core, chunk_reply(second, next_offset=0))
    assert lost.appends == []
    restarted = [each for each in tick(core).appends if each.receiver == "n2"]
    assert isinstance(restarted[0], InstallSnapshot)
    assert restarted[0].offset == 0

    done = step(core, chunk_reply(restarted[0], next_offset=10, match=5))
    assert isinstance(done.appends[0], AppendEntries)
    assert done.appends[0].prev_index == 5


def chunk_reply(
    chunk: InstallSnapshot, *, next_offset: int, match: int = 0
) -> InstallSnapshotReply:
    return InstallSnapshotReply(
        sender=chunk.receiver,
        receiver=chunk.sender,
        term=chunk.term,
        sequence=chunk.sequence,
        next_offset=next_offset,
        match_index=match,
    )


def test_30_a_transfer_survives_a_compaction_at_the_leader() -> None:
    cluster = Cluster(compact_entry_count=3, keep_entry_count=0, chunk_bytes_max=2)
    cluster.elect("n1")
    cluster.isolate("n3")
    for value in range(1, 10):
        cluster.propose("n1", value)
        cluster.deliver()
    cluster.heal()
    for value in range(10, 20):
        cluster.propose("n1", value)
        cluster.tick()
        for message in [cluster.mail.pop(0) for _ in range(min(3, len(cluster.mail)))]:
            cluster.give(message)

    cluster.run(20)

    assert cluster.values() == [19, 19, 19]


def test_31_the_entry_right_after_the_snapshot_is_accepted() -> None:
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"state")
    core = make_core(log=(), snapshot=snapshot)

    reply = step(core, append_request(term=2, prev=(5, 2), entries=commands(6, 2))).reply

    assert isinstance(reply, AppendEntriesReply)
    assert (reply.is_success, reply.match_index) == (True, 6)


def test_32_an_old_leader_with_a_tail_applies_nothing_unmatched_during_a_snapshot() -> None:
    cluster = Cluster(compact_entry_count=4, keep_entry_count=0, chunk_bytes_max=3)
    cluster.elect("n1")
    cluster.propose("n1", 1)
    cluster.deliver()
    cluster.isolate("n1")
    cluster.propose("n1", 91)
    cluster.propose("n1", 92)
    cluster.elect("n2")
    for value in range(2, 20):
        cluster.propose("n2", value)
        cluster.deliver()
    cluster.heal()

    cluster.run(40)

    assert cluster.values() == [19, 19, 19]
