"""Forty things that go wrong between Raft nodes, in the order of the project's list.

What must hold at all times is checked by `RaftChecker` in every step of every `Cluster`.
"""

from random import Random
from zlib import crc32

import msgspec
import pytest
from raft_helpers import (
    FIVE,
    THREE,
    Cluster,
    append_reply,
    append_request,
    campaign,
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
    transfer_request,
    vote_reply,
    vote_request,
)

from zreg.raft.config import RaftConfig
from zreg.raft.configuration import encode_configuration
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import (
    CommandTooLargeError,
    ConfigurationError,
    NotLeaderError,
    OverloadedError,
    TransferringError,
)
from zreg.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    InstallSnapshot,
    InstallSnapshotReply,
    Persisted,
    RequestVote,
    RequestVoteReply,
    Snapshot,
    TransferLeader,
    TransferLeaderReply,
)
from zreg.raft.progress import CatchUpState
from zreg.raft.status import Role

SEVEN = ("n1", "n2", "n3", "n4", "n5", "n6", "n7")

# 1 to 16: elections


@pytest.mark.parametrize("voters", [("n1",), THREE, FIVE, SEVEN])
def test_01_a_leader_is_elected_in_one_round(voters: tuple[str, ...]) -> None:
    cluster = Cluster(voters)

    cluster.elect("n1")

    assert cluster.leaders() == ["n1"]
    assert [node.core.term for node in cluster.nodes.values() if node.core] == [2] * len(voters)


def test_01_a_split_vote_resolves() -> None:
    cluster = Cluster(("n1", "n2", "n3", "n4"))
    for node_id in ("n1", "n2"):
        core = cluster.core(node_id)
        while core.role is Role.FOLLOWER:
            cluster.tick(node_id)

    cluster.run(60)

    assert len(cluster.leaders()) == 1


def test_02_dueling_candidates_end_with_one_leader() -> None:
    cluster = Cluster()
    cluster.cut(("n1", "n3"), ("n3", "n1"))
    for node_id in ("n1", "n3"):
        while cluster.core(node_id).role is Role.FOLLOWER:
            cluster.tick(node_id)
    cluster.deliver()
    cluster.heal()

    cluster.run(40)

    assert len(cluster.leaders()) == 1
    assert len({cluster.core(node_id).term for node_id in THREE}) == 1


def test_03_pre_candidates_leave_the_terms_alone() -> None:
    cluster = Cluster()
    cluster.isolate("n1")
    cluster.isolate("n2")
    cluster.isolate("n3")

    cluster.run(200)

    assert [cluster.core(node_id).term for node_id in THREE] == [1, 1, 1]


def test_05_a_vote_is_given_again_to_the_same_candidate_only() -> None:
    core = make_core(term=3, vote="n2")

    same = step(core, vote_request("n2", term=3)).reply
    other = step(core, vote_request("n3", term=3)).reply

    assert isinstance(same, RequestVoteReply)
    assert isinstance(other, RequestVoteReply)
    assert (same.is_granted, other.is_granted) == (True, False)


def test_06_a_vote_survives_a_restart() -> None:
    cluster = Cluster()
    cluster.give(vote_request("n2", "n1", term=2))
    cluster.crash("n1")
    cluster.start("n1")
    cluster.mail.clear()

    cluster.give(vote_request("n3", "n1", term=2))

    (reply,) = cluster.mail
    assert isinstance(reply, RequestVoteReply)
    assert not reply.is_granted


def test_07_a_repeated_vote_counts_once() -> None:
    core = make_core(log=log_of(1, configuration=members(FIVE)))
    first, second, *_ = campaign(core).requests
    step(core, vote_reply(first))
    votes = step(core, vote_reply(second)).requests

    for _ in range(3):
        step(core, vote_reply(votes[0]))

    assert core.role is Role.CANDIDATE


def test_08_a_candidate_does_not_count_pre_votes() -> None:
    core = make_core(log=log_of(1, configuration=members(FIVE)))
    asked = campaign(core).requests
    step(core, vote_reply(asked[0]))
    step(core, vote_reply(asked[1]))
    assert core.role is Role.CANDIDATE

    step(core, vote_reply(asked[2]))
    step(core, vote_reply(asked[3]))

    assert core.role is Role.CANDIDATE


def test_09_stepping_down_in_a_term_keeps_the_vote() -> None:
    core = make_core()
    step(core, vote_reply(campaign(core).requests[0]))

    step(core, append_request("n2", term=2))
    reply = step(core, vote_request("n3", term=2, is_transfer=True)).reply

    assert core.vote == "n1"
    assert isinstance(reply, RequestVoteReply)
    assert not reply.is_granted


def test_10_replies_of_old_terms_are_ignored() -> None:
    core = make_core()
    first = elect(core)

    outcome = step(core, append_reply(first.appends[0], term=1))

    assert outcome.committed == []
    assert core.role is Role.LEADER


def test_11_timeouts_of_a_group_differ() -> None:
    single = 0
    for seed in range(100):
        config = RaftConfig(node_id="n1")
        log = log_of(1)
        cores = [make_core(node_id, log=log, seed=seed * 10 + n) for n, node_id in enumerate(THREE)]
        assert config.election_ticks == 10
        while all(core.role is Role.FOLLOWER for core in cores):
            for core in cores:
                core.tick()
        single += sum(core.role is not Role.FOLLOWER for core in cores) == 1

    assert single > 60


def test_12_a_returning_node_deposes_nobody() -> None:
    cluster = Cluster()
    cluster.elect("n1")
    term = cluster.core("n1").term
    cluster.isolate("n3")
    cluster.run(100)
    assert cluster.core("n3").term == term
    cluster.heal()

    cluster.run(50)

    assert cluster.leaders() == ["n1"]
    assert cluster.core("n3").leader == "n1"
    assert cluster.core("n1").term == term


def test_13_a_transfer_overrides_stickiness() -> None:
    core = make_core()
    step(core, append_request("n3", term=1))

    held = step(core, vote_request("n2", term=2)).reply
    moved = step(core, vote_request("n2", term=2, is_transfer=True)).reply

    assert isinstance(held, RequestVoteReply)
    assert isinstance(moved, RequestVoteReply)
    assert (held.is_granted, moved.is_granted) == (False, True)


def test_13_a_leader_refuses_a_candidate_too() -> None:
    core = make_core()
    settle_leader(core, elect(core))

    reply = step(core, vote_request("n2", term=9, last=(9, 9))).reply

    assert isinstance(reply, RequestVoteReply)
    assert (reply.is_granted, core.role, core.term) == (False, Role.LEADER, 2)


def test_14_a_leader_without_a_majority_steps_down_within_an_election_timeout() -> None:
    core = make_core(election_ticks=10)
    settle_leader(core, elect(core))
    tick(core, 10)
    core.read_index(5)

    outcome = tick(core, 10)

    assert (core.role, core.leader) == (Role.FOLLOWER, None)
    assert outcome.refused_reads == [5]


def test_14_a_leader_with_a_majority_stays() -> None:
    core = make_core(election_ticks=10)
    settle_leader(core, elect(core))

    for _ in range(60):
        for request in tick(core).appends:
            if request.receiver == "n2":
                step(core, append_reply(request))

    assert core.role is Role.LEADER


def test_15_a_node_stuck_in_a_higher_term_is_freed() -> None:
    cluster = Cluster()
    cluster.elect("n1")
    cluster.give(vote_request("n2", "n3", term=9, last=(0, 0), is_transfer=True))
    assert cluster.core("n3").term == 9

    cluster.run(60)

    assert len(cluster.leaders()) == 1
    assert {cluster.core(node_id).term for node_id in THREE} == {cluster.core("n1").term}
    assert cluster.core("n1").term > 9


def test_16_partial_connectivity_keeps_a_stable_leader() -> None:
    """Cloudflare, 2020: one link between leader and follower is cut, all others work."""
    cluster = Cluster(FIVE)
    cluster.elect("n1")
    cluster.cut(("n1", "n5"), ("n5", "n1"))
    term = cluster.core("n1").term

    cluster.run(200)

    assert cluster.leaders() == ["n1"]
    assert cluster.core("n1").term == term


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
    is_success: bool,
    kept: list[int],
) -> None:
    core = make_core(log=log_of(*terms), term=2)

    request = append_request(term=2, prev=prev, entries=commands(prev[0] + 1, *new))
    reply = step(core, request).reply

    assert isinstance(reply, AppendEntriesReply)
    assert reply.is_success is is_success
    assert [entry.term for entry in core.log.entries_between(0, core.log.last_index)] == kept


def test_18_a_late_append_does_not_cut_what_was_acknowledged() -> None:
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

    It is of term 2 and reached the third disk in term 4, so it must not have been committed.
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


def lead_alone(cluster: Cluster, node_id: str, *, without: tuple[str, ...] = ()) -> None:
    """Make `node_id` leader while nothing that it then says reaches anyone."""
    core = cluster.core(node_id)
    up = [each.node_id for each in cluster.nodes.values() if each.core is not None]
    for other in up:
        if other != node_id and other not in without:
            cluster.tick(other, count=cluster.nodes[other].config.election_ticks)
    cluster.mail.clear()
    while core.role is not Role.LEADER:
        cluster.tick(node_id)
        while cluster.mail and core.role is not Role.LEADER:
            message = cluster.mail.pop(0)
            if message.receiver not in without:
                cluster.give(message)


def give_old_entries(cluster: Cluster, leader: str, followers: tuple[str, ...]) -> None:
    """Give `followers` what the leader sends, without entries of the leader's own term."""
    term = cluster.core(leader).term
    for _ in range(10):
        batch, cluster.mail[:] = list(cluster.mail), []
        for message in batch:
            if isinstance(message, AppendEntries):
                old = tuple(entry for entry in message.entries if entry.term < term)
                message = msgspec.structs.replace(message, entries=old)
            if message.receiver in followers or message.sender in followers:
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


def test_24_a_lone_voter_counts_only_what_it_saved_whatever_a_learner_says() -> None:
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


# 33, 34: reads


def test_33_a_read_waits_for_the_no_op() -> None:
    core = make_core()
    first = elect(core)
    core.read_index(5)
    waiting = drive(core)
    assert waiting.reads == []

    outcome = settle_leader(core, first)

    assert [(read.token, read.index) for read in outcome.reads] == [(5, 2)]


def test_33_a_leader_that_was_replaced_answers_no_read() -> None:
    cluster = stale_leader()

    cluster.run(40)

    assert cluster.reads.get("n1", []) == []
    assert cluster.refused_reads["n1"] == [5]


def stale_leader() -> Cluster:
    """Return a cluster whose n1 still thinks that it leads, while n2 has committed a write."""
    cluster = Cluster()
    cluster.elect("n1")
    cluster.isolate("n1")
    cluster.elect("n2")
    cluster.propose("n2", 7)
    cluster.deliver()
    assert cluster.core("n1").role is Role.LEADER
    cluster.do("n1", lambda core: core.read_index(5))
    return cluster


def test_34_a_paused_leader_takes_no_old_reply_for_a_new_read() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    old = tick(core).appends
    core.read_index(1)
    replies = [append_reply(request) for request in old]

    late = [step(core, reply) for reply in replies]
    assert [outcome.reads for outcome in late] == [[], []]

    fresh = [request for outcome in late for request in outcome.appends]
    repeated = step(core, replies[0])
    assert repeated.reads == []
    assert [read.token for read in step(core, append_reply(fresh[0])).reads] == [1]


def test_34_reads_of_one_turn_share_a_round() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    core.read_index(1)
    core.read_index(2)

    (first, _) = drive(core).appends
    outcome = step(core, append_reply(first))

    assert [read.token for read in outcome.reads] == [1, 2]
    assert outcome.appends == []


# 35 to 39: members and leaders


def test_35_a_learner_catches_up_and_is_promoted() -> None:
    cluster = Cluster(spares=("n4",))
    cluster.elect("n1")
    cluster.do("n1", lambda core: core.change_configuration(members().with_learner("n4", "at n4")))
    with pytest.raises(ConfigurationError, match="caught up"):
        promote(cluster, after_commit=False)
    cluster.run(8)
    assert cluster.core("n1").catch_up_state("n4") is CatchUpState.READY

    promote(cluster, after_commit=True)
    cluster.run(3)

    assert cluster.core("n4").configuration.voters == ("n1", "n2", "n3", "n4")
    assert cluster.core("n1").catch_up_state("n4") is None


def promote(cluster: Cluster, *, after_commit: bool) -> None:
    if not after_commit:
        batch = [each for each in cluster.mail if each.receiver != "n4"]
        cluster.mail.clear()
        for message in batch:
            cluster.give(message)
        for message in [each for each in cluster.mail if each.receiver == "n1"]:
            cluster.give(message)
    cluster.do("n1", lambda core: core.change_configuration(core.configuration.with_voter("n4")))


def test_35_a_dead_learner_is_given_up() -> None:
    cluster = Cluster(spares=("n4",), election_ticks=4)
    cluster.elect("n1")
    cluster.crash("n4")
    cluster.do("n1", lambda core: core.change_configuration(members().with_learner("n4", "at n4")))

    cluster.run(60)

    assert cluster.core("n1").catch_up_state("n4") is CatchUpState.FAILED
    cluster.do("n1", lambda core: core.change_configuration(core.configuration.without("n4")))
    cluster.run(3)
    assert cluster.core("n2").configuration == members()


def test_36_a_new_leader_changes_no_members_before_it_committed_in_its_term() -> None:
    core = make_core()
    first = elect(core)

    with pytest.raises(ConfigurationError, match="own term"):
        core.change_configuration(members().with_learner("n4", "at n4"))

    settle_leader(core, first)
    assert core.change_configuration(members().with_learner("n4", "at n4")).index == 3


def test_36_the_single_server_change_bug() -> None:
    with pytest.raises(ConfigurationError, match="own term"):
        single_server_bug()


def single_server_bug() -> None:
    """Play Ongaro's counterexample of 2015; where the guard is gone, a committed entry is lost.

    n1 gives n5 a vote without committing that; n2 leads the next term, removes n1 and commits that
    with two of three; then n1 wins with n4 and n5, three of its five.
    """
    voters = (*THREE, "n4")
    cluster = Cluster(voters, spares=("n5",), election_ticks=5, request_ticks=2)
    cluster.elect("n1")
    with_learner = members(voters).with_learner("n5", "at n5")
    cluster.do("n1", lambda core: core.change_configuration(with_learner))
    cluster.run(3)
    cluster.isolate("n1", "n5")
    cluster.do("n1", lambda core: core.change_configuration(core.configuration.with_voter("n5")))
    cluster.deliver()
    assert cluster.core("n5").configuration.voters == FIVE
    cluster.crash("n1")
    cluster.crash("n5")
    cluster.heal()
    lead_alone(cluster, "n2")
    cluster.do("n2", lambda core: core.change_configuration(core.configuration.without("n1")))
    cluster.isolate("n2", "n3")
    cluster.run(6)
    cluster.crash("n2")
    cluster.start("n1")
    cluster.start("n5")
    cluster.heal()
    cluster.isolate("n1", "n4", "n5")
    cluster.elect("n1")


def test_37_an_uncommitted_configuration_is_rolled_back_with_its_entry() -> None:
    core = make_core()
    data = encode_configuration(members(FIVE))
    step(core, append_request(term=1, entries=(Entry(2, 1, EntryKind.CONFIGURATION, data),)))
    assert core.configuration == members(FIVE)

    step(core, append_request("n3", term=2, entries=commands(2, 2)))

    assert core.configuration == members()


def test_38_a_leader_removes_itself_without_counting_itself() -> None:
    cluster = Cluster()
    cluster.elect("n1")
    cluster.do("n1", lambda core: core.change_configuration(members().without("n1")))
    assert cluster.leaders() == ["n1"]
    half = [each for each in cluster.mail if each.receiver == "n2"]
    cluster.mail.clear()
    for message in half:
        cluster.give(message)
    cluster.deliver()
    assert cluster.core("n1").log.commit_index == 2

    cluster.run(40)

    assert len(cluster.leaders()) == 1
    assert cluster.leaders() != ["n1"]
    assert cluster.core("n2").configuration.voters == ("n2", "n3")


def test_38_a_pair_can_be_reduced_and_the_removed_leader_may_have_to_finish_it() -> None:
    cluster = Cluster(("n1", "n2"))
    cluster.elect("n1")
    cluster.isolate("n1")
    cluster.do("n1", lambda core: core.change_configuration(core.configuration.without("n1")))
    for node_id in ("n1", "n2"):
        cluster.crash(node_id)
    cluster.heal()
    cluster.mail.clear()
    cluster.start("n1")
    cluster.start("n2")

    cluster.run(60)

    assert cluster.leaders() == ["n2"]
    assert cluster.core("n2").configuration.voters == ("n2",)


def test_38_a_removed_node_disturbs_nobody() -> None:
    cluster = Cluster()
    cluster.elect("n1")
    cluster.isolate("n3")
    cluster.do("n1", lambda core: core.change_configuration(members().without("n3")))
    cluster.run(5)
    cluster.heal()
    term = cluster.core("n1").term

    cluster.run(100)

    assert cluster.leaders() == ["n1"]
    assert cluster.core("n1").term == term


def test_39_a_transfer_to_an_up_to_date_node_takes_a_round() -> None:
    cluster = Cluster()
    cluster.elect("n1")

    cluster.do("n1", lambda core: core.transfer_leader("n3"))
    with pytest.raises(TransferringError):
        cluster.core("n1").propose(b"a=1")
    with pytest.raises(TransferringError):
        cluster.core("n1").change_configuration(members().without("n2"))
    cluster.deliver()

    assert cluster.leaders() == ["n3"]


def test_39_a_transfer_brings_a_slow_node_up_to_date_first() -> None:
    cluster = Cluster()
    cluster.elect("n1")
    cluster.isolate("n3")
    cluster.propose("n1", 5)
    cluster.deliver()
    cluster.heal()
    cluster.do("n1", lambda core: core.transfer_leader("n3"))
    assert not any(isinstance(each, TransferLeader) for each in cluster.mail)

    cluster.run(8)

    assert cluster.leaders() == ["n3"]
    assert cluster.values() == [5, 5, 5]


def test_39_a_transfer_to_a_dead_node_is_given_up() -> None:
    cluster = Cluster(election_ticks=6)
    cluster.elect("n1")
    cluster.crash("n3")
    cluster.do("n1", lambda core: core.transfer_leader("n3"))

    cluster.run(6)
    cluster.propose("n1", 5)
    cluster.deliver()

    assert cluster.leaders() == ["n1"]
    assert cluster.nodes["n2"].machine.index == cluster.core("n1").log.commit_index - 1


@pytest.mark.parametrize("target", ["n1", "n4", "stranger"])
def test_39_a_transfer_needs_another_voter(target: str) -> None:
    cluster = Cluster(spares=("n4",))
    cluster.elect("n1")
    cluster.do("n1", lambda core: core.change_configuration(members().with_learner("n4", "at n4")))
    cluster.run(2)

    with pytest.raises(ConfigurationError):
        cluster.core("n1").transfer_leader(target)


def test_39_a_refused_transfer_is_over_at_once() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    core.transfer_leader("n2")
    (request,) = drive(core).appends
    refused = TransferLeaderReply(
        sender="n2", receiver="n1", term=2, sequence=request.sequence, is_accepted=False
    )

    step(core, refused)

    assert core.status().transfer_target is None
    assert core.propose(b"x").index == 3


def test_39_only_the_leader_of_the_term_can_ask_for_an_election() -> None:
    core = make_core(term=3)
    stale = step(core, transfer_request(term=2)).reply
    assert isinstance(stale, TransferLeaderReply)
    assert (stale.is_accepted, stale.term, core.role) == (False, 3, Role.FOLLOWER)

    asked = step(core, transfer_request(term=3))

    assert isinstance(asked.reply, TransferLeaderReply)
    assert asked.reply.is_accepted
    votes = [each for each in asked.messages if isinstance(each, RequestVote)]
    assert [(each.is_pre_vote, each.is_transfer, each.term) for each in votes] == [
        (False, True, 4),
        (False, True, 4),
    ]


def test_39_a_learner_does_not_stand_for_election() -> None:
    core = make_core("n1", log=log_of(1, configuration=members(("n2",), ("n1",))))

    outcome = step(core, transfer_request(term=1))

    assert isinstance(outcome.reply, TransferLeaderReply)
    assert not outcome.reply.is_accepted
    assert core.role is Role.FOLLOWER


# 40: restart


def test_40_a_restart_brings_back_log_members_and_snapshot() -> None:
    cluster = Cluster(compact_entry_count=4, keep_entry_count=1)
    cluster.elect("n1")
    for value in range(1, 8):
        cluster.propose("n1", value)
        cluster.deliver()
    before = cluster.core("n2").log
    known = (before.last_index, before.last_term, before.snapshot, before.history.latest)

    cluster.crash("n2")
    cluster.start("n2")

    after = cluster.core("n2").log
    assert (after.last_index, after.last_term, after.snapshot, after.history.latest) == known
    assert cluster.nodes["n2"].machine.index == (after.snapshot.index if after.snapshot else 0)
    cluster.run(5)
    assert cluster.values() == [7, 7, 7]


def test_40_a_node_that_never_ran_waits_to_be_spoken_to() -> None:
    core = RaftCore(RaftConfig(node_id="n9"), Persisted(), Random(1))

    outcome = tick(core, 100)

    assert outcome.messages == []
    with pytest.raises(NotLeaderError):
        core.propose(b"x")
