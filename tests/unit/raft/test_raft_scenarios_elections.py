"""Scenarios of faults with elections (1 to 16).

The numbers are those of our list of forty scenarios. In each step of a `Cluster` the `RaftChecker`
also checks the promises that must always hold.
"""

import pytest
from raft_helpers import (
    FIVE,
    THREE,
    Cluster,
    append_reply,
    append_request,
    campaign,
    elect,
    log_of,
    make_core,
    members,
    settle_leader,
    step,
    tick,
    vote_reply,
    vote_request,
)

from zreg.raft.config import RaftConfig
from zreg.raft.status import Role
from zreg.wire.records.raft_messages import RequestVoteReply

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


def test_12_a_returning_node_deposes_no_leader() -> None:
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
