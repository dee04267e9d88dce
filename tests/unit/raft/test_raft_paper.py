"""The rules of section 5 of the Raft paper, one test per sentence; § and figures are the paper's.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version), 2014.
"""

import pytest
from raft_helpers import (
    FIVE,
    append_reply,
    append_request,
    campaign,
    commands,
    drive,
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

from zreg.raft.errors import NotLeaderError
from zreg.raft.status import Role
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    RequestVote,
    RequestVoteReply,
)

# §5.1 Raft basics


def test_servers_start_up_as_followers() -> None:
    """§5.2: "When servers start up, they begin as followers." """
    assert make_core().role is Role.FOLLOWER


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE, Role.LEADER])
def test_a_higher_term_makes_a_follower_of_any_role(role: Role) -> None:
    """Figure 2, all servers: if a reply or append has term T > currentTerm, set it, convert."""
    core = make_core()
    if role is not Role.FOLLOWER:
        asked = campaign(core)
        if role is not Role.PRE_CANDIDATE:
            asked = step(core, vote_reply(asked.requests[0]))
        if role is Role.LEADER:
            step(core, vote_reply(asked.requests[0]))
    assert core.role is role

    step(core, append_request(term=9, sender="n3"))

    assert (core.role, core.term, core.leader) == (Role.FOLLOWER, 9, "n3")


def test_a_stale_term_in_a_request_is_rejected() -> None:
    """§5.1: "If a server receives a request with a stale term number, it rejects the request." """
    core = make_core(term=5)

    append = step(core, append_request(term=4)).reply
    vote = step(core, vote_request(term=4, last=(9, 4))).reply

    assert isinstance(append, AppendEntriesReply)
    assert (append.is_success, append.term) == (False, 5)
    assert isinstance(vote, RequestVoteReply)
    assert (vote.is_granted, vote.term) == (False, 5)
    assert core.leader is None


def test_a_stale_leader_steps_down_when_it_hears_of_a_newer_term() -> None:
    """§5.1: "If a candidate or leader discovers that its term is out of date, it reverts." """
    core = make_core()
    first = elect(core)

    step(core, append_reply(first.appends[0], is_success=False, term=7))

    assert (core.role, core.term, core.leader) == (Role.FOLLOWER, 7, None)


def test_terms_and_votes_are_saved_before_the_answer() -> None:
    """Figure 2, state: currentTerm and votedFor are updated on disk before responding."""
    core = make_core()
    core.step(vote_request(term=4))

    ready = core.ready()

    assert ready is not None
    assert ready.save is not None
    assert (ready.save.term, ready.save.vote) == (4, "n2")
    assert [type(message) for message in ready.messages] == [RequestVoteReply]


# §5.2 Leader election


def test_a_follower_stays_one_while_it_hears_from_a_leader() -> None:
    """§5.2: a server remains a follower as long as it receives valid RPCs."""
    core = make_core()
    for _ in range(100):
        tick(core, 5)
        step(core, append_request(term=1))

    assert (core.role, core.term) == (Role.FOLLOWER, 1)


def test_heartbeats_are_appends_without_entries() -> None:
    """§5.2: leaders send periodic heartbeats, AppendEntries that carry no log entries."""
    core = make_core()
    settle_leader(core, elect(core))

    beats = tick(core).appends

    assert [beat.receiver for beat in beats] == ["n2", "n3"]
    assert all(isinstance(beat, AppendEntries) and not beat.entries for beat in beats)


def test_a_follower_that_hears_nothing_begins_an_election() -> None:
    """§5.2: "If a follower receives no communication over [the] election timeout [it] begins." """
    core = make_core(election_ticks=10)
    assert tick(core, 9).messages == []

    asked = campaign(core)

    assert [type(request) for request in asked.requests] == [RequestVote, RequestVote]
    assert core.role is Role.PRE_CANDIDATE


def test_an_election_increments_the_term_votes_for_itself_and_asks_all() -> None:
    """Figure 2, candidates: on conversion increment the term, vote for self, reset the timer."""
    core = make_core()
    asked = step(core, vote_reply(campaign(core).requests[0]))

    assert (core.role, core.term, core.vote) == (Role.CANDIDATE, 2, "n1")
    assert (asked.saves[0].term, asked.saves[0].vote) == (2, "n1")
    requests = [request for request in asked.messages if isinstance(request, RequestVote)]
    assert [(each.receiver, each.term, each.is_pre_vote) for each in requests] == [
        ("n2", 2, False),
        ("n3", 2, False),
    ]
    assert [(each.last_index, each.last_term) for each in requests] == [(1, 1), (1, 1)]


def test_a_candidate_wins_with_votes_of_a_majority() -> None:
    """§5.2: "A candidate wins an election if it receives votes from a majority" of the cluster."""
    core = make_core(log=log_of(1, configuration=members(FIVE)))
    first, second, *_ = campaign(core).requests
    step(core, vote_reply(first))
    assert core.role is Role.PRE_CANDIDATE
    first, second, *_ = step(core, vote_reply(second)).requests

    step(core, vote_reply(first))
    assert core.role is Role.CANDIDATE
    step(core, vote_reply(second))
    assert core.role is Role.LEADER


def test_a_server_votes_once_per_term_first_come_first_served() -> None:
    """§5.2: each server will vote for at most one candidate in a given term."""
    core = make_core()

    first = step(core, vote_request("n2", term=2)).reply
    second = step(core, vote_request("n3", term=2)).reply
    again = step(core, vote_request("n2", term=2)).reply

    answers = [reply.is_granted for reply in (first, second, again) if hasattr(reply, "is_granted")]
    assert answers == [True, False, True]


def test_a_new_leader_sends_heartbeats_to_all_at_once() -> None:
    """§5.2: once a candidate wins, it sends heartbeats to all of the others."""
    core = make_core()

    first = elect(core)

    assert [(each.receiver, each.term) for each in first.appends] == [("n2", 2), ("n3", 2)]


def test_a_candidate_concedes_to_a_leader_of_its_term() -> None:
    """§5.2: if the leader's term is at least as large as the candidate's, it returns to follow."""
    core = make_core()
    step(core, vote_reply(campaign(core).requests[0]))

    step(core, append_request("n3", term=2))

    assert (core.role, core.leader, core.vote) == (Role.FOLLOWER, "n3", "n1")


def test_a_candidate_refuses_a_leader_of_an_older_term() -> None:
    """§5.2: if the term in the RPC is smaller, the candidate rejects it and continues."""
    core = make_core()
    step(core, vote_reply(campaign(core).requests[0]))

    reply = step(core, append_request("n3", term=1)).reply

    assert isinstance(reply, AppendEntriesReply)
    assert (reply.is_success, reply.term, core.role) == (False, 2, Role.CANDIDATE)


def test_a_candidate_that_times_out_begins_again_in_a_new_term() -> None:
    """§5.2: with a split vote each candidate times out and starts a new election."""
    core = make_core()
    step(core, vote_reply(campaign(core).requests[0]))

    asked = campaign(core)
    step(core, vote_reply(asked.requests[0]))

    assert (core.role, core.term) == (Role.CANDIDATE, 3)


def test_election_timeouts_are_random_between_one_and_two_times() -> None:
    """§5.2: election timeouts are chosen randomly from a fixed interval."""
    waits = []
    for seed in range(60):
        core = make_core(seed=seed, election_ticks=10)
        count = 0
        while core.role is Role.FOLLOWER:
            core.tick()
            count += 1
        waits.append(count)

    assert set(waits) == set(range(10, 20))


# §5.3 Log replication


def test_a_leader_appends_a_command_and_replicates_it() -> None:
    """§5.3: the leader appends the command to its log, then issues AppendEntries in parallel."""
    core = make_core()
    settle_leader(core, elect(core))

    entry = core.propose(b"x")
    outcome = drive(core)

    assert (entry.index, entry.term) == (3, 2)
    assert outcome.saves[0].entries == (entry,)
    assert [
        (each.receiver, each.entries) for each in outcome.appends if hasattr(each, "entries")
    ] == [
        ("n2", (entry,)),
        ("n3", (entry,)),
    ]


def test_only_the_leader_takes_commands() -> None:
    """§5.1: the leader handles all client requests; a follower names the leader."""
    core = make_core()
    step(core, append_request("n3", term=1))

    with pytest.raises(NotLeaderError) as caught:
        core.propose(b"x")

    assert caught.value.leader == "n3"


def test_an_entry_is_committed_and_applied_when_a_majority_has_it() -> None:
    """§5.3: committed once the leader that created the entry has replicated it on a majority."""
    core = make_core()
    settle_leader(core, elect(core))
    entry = core.propose(b"x")
    sent = drive(core)
    assert sent.committed == []

    outcome = step(core, append_reply(sent.appends[0]))

    assert outcome.committed == [entry]


def test_a_leader_retries_until_all_followers_have_the_entry() -> None:
    """§5.3: if followers crash or packets are lost, the leader retries indefinitely."""
    core = make_core(request_ticks=3, election_ticks=100)
    settle_leader(core, elect(core))
    entry = core.propose(b"x")
    step(core, append_reply(drive(core).appends[0]))

    sent = [each for each in tick(core, 30).appends if each.receiver == "n3"]

    assert len(sent) == 10
    assert all(isinstance(each, AppendEntries) and each.entries == (entry,) for each in sent)


def test_followers_learn_the_commit_index_from_later_appends() -> None:
    """§5.3: the leader includes the highest committed index in future AppendEntries."""
    core = make_core(log=log_of(1, 1))

    outcome = step(core, append_request(term=1, prev=(2, 1), commit=2))

    assert [entry.index for entry in outcome.committed] == [1, 2]


def test_an_append_without_the_previous_entry_is_refused() -> None:
    """Figure 2, AppendEntries 2: false if the log has no entry at prevLogIndex with its term."""
    core = make_core(log=log_of(1, 1), term=2)

    missing = step(core, append_request(term=2, prev=(3, 2))).reply
    differing = step(core, append_request(term=2, prev=(2, 2))).reply

    assert isinstance(missing, AppendEntriesReply)
    assert isinstance(differing, AppendEntriesReply)
    assert (missing.is_success, missing.hint_index, missing.hint_term) == (False, 2, 1)
    assert (differing.is_success, differing.hint_index, differing.hint_term) == (False, 2, 1)


def test_a_conflicting_entry_and_all_after_it_are_deleted() -> None:
    """Figure 2, AppendEntries 3: delete the existing entry and all that follow it."""
    core = make_core(log=log_of(1, 1, 1, 1), term=2)

    outcome = step(core, append_request(term=2, prev=(2, 1), entries=commands(3, 2)))

    assert outcome.saves[0].truncate_from == 3
    assert [core.log.term_at(index) for index in range(1, 5)] == [1, 1, 2, None]


def test_entries_not_in_the_log_are_appended() -> None:
    """Figure 2, AppendEntries 4: append any new entries not already in the log."""
    core = make_core(log=log_of(1, 1), term=2)

    outcome = step(core, append_request(term=2, prev=(1, 1), entries=commands(2, 1, 2, 2)))

    assert outcome.saves[0].truncate_from is None
    assert [entry.index for entry in outcome.saves[0].entries] == [3, 4]
    reply = outcome.reply
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.is_success, reply.match_index) == (True, 4)


def test_commit_is_bounded_by_the_last_new_entry() -> None:
    """Figure 2, AppendEntries 5: commitIndex = min(leaderCommit, index of last new entry)."""
    core = make_core(log=log_of(1, 1, 1, 1), term=2)

    outcome = step(core, append_request(term=2, prev=(2, 1), commit=4))

    assert [entry.index for entry in outcome.committed] == [1, 2]


def test_a_leader_never_overwrites_its_own_log() -> None:
    """§5.3, leader append-only: a leader never overwrites or deletes entries in its log."""
    core = make_core(log=log_of(1, 1))
    settle_leader(core, elect(core))
    last_index = core.log.last_index

    reply = step(core, append_request("n3", term=core.term, prev=(1, 1), entries=commands(2, 2)))

    assert isinstance(reply.reply, AppendEntriesReply)
    assert not reply.reply.is_success
    assert core.role is Role.LEADER
    assert core.log.last_index == last_index


def test_a_refused_append_moves_the_leader_back_to_agreement() -> None:
    """§5.3: after a rejection the leader decrements nextIndex and retries, by terms at once."""
    core = make_core(log=log_of(1, 1, 1, 4, 4, 5, 5, 6, 6, 6))
    first = elect(core).appends[0]

    outcome = step(core, append_reply(first, is_success=False, hint=(3, 1)))

    (again,) = outcome.appends
    assert isinstance(again, AppendEntries)
    assert (again.prev_index, again.prev_term) == (3, 1)
    assert len(again.entries) == 8


# §5.4 Safety


@pytest.mark.parametrize(
    ("last", "is_granted"),
    [
        ((3, 2), True),
        ((2, 3), True),
        ((4, 2), True),
        ((2, 2), False),
        ((9, 1), False),
    ],
)
def test_a_vote_needs_a_log_at_least_as_up_to_date(
    last: tuple[int, int], *, is_granted: bool
) -> None:
    """§5.4.1: later last term wins; with the same term the longer log is more up-to-date."""
    core = make_core(log=log_of(1, 1, 2))

    reply = step(core, vote_request(term=5, last=last)).reply

    assert isinstance(reply, RequestVoteReply)
    assert reply.is_granted is is_granted
    assert core.term == 5


def test_entries_of_earlier_terms_are_not_committed_by_counting() -> None:
    """§5.4.2: only entries from the leader's current term are committed by counting replicas."""
    core = make_core(log=log_of(1, 1, 2), append_bytes_max=1)
    first = elect(core).appends[0]
    (probe,) = step(core, append_reply(first, is_success=False, hint=(1, 1))).appends
    assert isinstance(probe, AppendEntries)
    assert [entry.term for entry in probe.entries] == [1]

    old = step(core, append_reply(probe))
    older = step(core, append_reply(old.appends[0]))
    assert old.committed == []
    assert older.committed == []

    own = step(core, append_reply(older.appends[0]))
    assert [entry.index for entry in own.committed] == [1, 2, 3, 4]


# §5.5 Follower and candidate crashes


def test_a_repeated_append_has_no_effect() -> None:
    """§5.5: Raft RPCs are idempotent; a request for entries already present is ignored."""
    core = make_core(log=log_of(1))
    request = append_request(term=1, prev=(1, 1), entries=commands(2, 1, 1))
    first = step(core, request)

    again = step(core, request)

    assert first.saves
    assert again.saves == []
    assert again.reply == first.reply
