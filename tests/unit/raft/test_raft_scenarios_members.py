"""Scenarios of faults with reads, members, leadership transfers and restarts (33 to 40).

The numbers are those of our list of forty scenarios. In each step of a `Cluster` the `RaftChecker`
also checks the promises that must always hold.
"""

from random import Random

import pytest
from raft_helpers import (
    FIVE,
    THREE,
    Cluster,
    append_reply,
    append_request,
    commands,
    drive,
    elect,
    lead_alone,
    log_of,
    make_core,
    members,
    settle_leader,
    step,
    tick,
    transfer_request,
)

from zreg.raft.config import RaftConfig
from zreg.raft.configuration import encode_configuration
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import (
    ConfigurationError,
    NotLeaderError,
    TransferringError,
)
from zreg.raft.leader.progress import CatchUpState
from zreg.raft.ready import Persisted
from zreg.raft.status import Role
from zreg.testing.raft.raft_node import SimNode
from zreg.testing.sim.disk import SimDisk
from zreg.wire.records.raft_messages import (
    Entry,
    EntryKind,
    RequestVote,
    TransferLeader,
    TransferLeaderReply,
)

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
    """Return a cluster in which n1 still leads an old term, while n2 has committed a write."""
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


def test_35_a_learner_counts_from_when_its_journal_is_known() -> None:
    """The former journal may be lost, so what it held does not count towards a vote."""
    cluster = Cluster(spares=("n4",))
    cluster.elect("n1")
    cluster.do("n1", lambda core: core.change_configuration(members().with_learner("n4", "at n4")))
    cluster.run(8)
    leader = cluster.core("n1")
    assert leader.catch_up_state("n4") is CatchUpState.READY
    cluster.crash("n4")
    cluster.nodes["n4"] = SimNode(cluster.nodes["n4"].config, SimDisk())
    cluster.start("n4")

    cluster.do(
        "n1", lambda core: core.change_configuration(core.configuration.with_journal("n4", "b"))
    )

    assert leader.catch_up_state("n4") is CatchUpState.RUNNING
    cluster.run(8)
    assert leader.catch_up_state("n4") is CatchUpState.READY
    assert cluster.core("n4").log.last_index == leader.log.last_index


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
    """Play Ongaro's counterexample of 2015; without the guard a committed entry is lost.

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


def test_38_a_removed_node_disturbs_no_leader() -> None:
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


@pytest.mark.parametrize("target", ["n1", "n4", "unknown"])
def test_39_a_transfer_needs_another_voter(target: str) -> None:
    cluster = Cluster(spares=("n4",))
    cluster.elect("n1")
    cluster.do("n1", lambda core: core.change_configuration(members().with_learner("n4", "at n4")))
    cluster.run(2)

    with pytest.raises(ConfigurationError):
        cluster.core("n1").transfer_leader(target)


def test_39_a_refused_transfer_ends_at_once() -> None:
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


def test_40_a_node_that_never_ran_waits_for_a_leader() -> None:
    core = RaftCore(RaftConfig(node_id="n9"), Persisted(), Random(1))

    outcome = tick(core, 100)

    assert outcome.messages == []
    with pytest.raises(NotLeaderError):
        core.propose(b"x")
