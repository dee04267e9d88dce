"""Bugs of other Raft implementations do not happen here; the numbers are those of our catalogue.

Numbers 22, 24 and 25 concern the journal (tests/unit/test_journal.py). 2, 7, 12, 14, 15, 17, 19, 23
and others are also tested with whole nodes in `test_raft_scenarios_*.py`.
"""

from zlib import crc32

import msgspec
import pytest
from raft_helpers import (
    FIVE,
    append_reply,
    append_request,
    campaign,
    chunk_request,
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

from zreg.effects import Snapshot
from zreg.raft.configuration import encode_configuration
from zreg.raft.errors import ConfigurationError, OverloadedError
from zreg.raft.ready import Ready
from zreg.raft.status import Role
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    RaftMessage,
    Request,
    RequestVoteReply,
)


def first_ready(core_and_message: tuple[object, RaftMessage]) -> Ready:
    core, message = core_and_message
    core.step(message)  # type: ignore[attr-defined]
    ready = core.ready()  # type: ignore[attr-defined]
    assert ready is not None
    return ready


def test_bug_01_the_vote_is_in_the_step_that_answers() -> None:
    """PySyncObj 84: a vote that is not on disk when it is given can be given twice."""
    ready = first_ready((make_core(), vote_request(term=2)))

    assert ready.save is not None
    assert ready.save.vote == "n2"
    assert len(ready.messages) == 1


def test_bug_02_a_vote_outlives_stepping_down_in_the_term() -> None:
    """Redpanda 14, 19: the vote was erased with the role."""
    core = make_core()
    step(core, vote_reply(campaign(core).requests[0]))
    denied = [vote_reply(request, is_granted=False) for request in drive(core).requests]
    assert denied == []

    step(core, append_request("n3", term=2))

    assert core.vote == "n1"


def test_bug_03_entries_are_in_the_step_that_acknowledges_them() -> None:
    """PySyncObj 84: entries were acknowledged that were only in the page cache."""
    request = append_request(term=1, entries=commands(2, 1, 1))

    ready = first_ready((make_core(), request))

    assert ready.save is not None
    assert ready.save.entries == request.entries
    assert isinstance(ready.messages[0], AppendEntriesReply)


def test_bug_04_a_leader_does_not_count_entries_before_its_disk_has_them() -> None:
    """Etcd 14370: a lone leader acknowledged what a crash then lost."""
    core = make_core(log=log_of(1, 1, configuration=members(FIVE)))
    first = elect(core)
    settle_leader(core, first)
    core.propose(b"x")
    ready = core.ready()
    assert ready is not None
    assert core.log.saved_index < core.log.last_index
    core.advance()

    step(core, append_reply(ready.appends[0]))

    assert core.log.commit_index == 3


def test_bug_05_an_old_term_is_not_committed_by_counting() -> None:
    """PySyncObj 169; the paper's figure 8."""
    core = make_core(log=log_of(1, 1, 1), append_bytes_max=1)
    first = elect(core).appends[0]
    outcome = step(core, append_reply(first, is_success=False, hint=(2, 1)))

    after = step(core, append_reply(outcome.appends[0]))

    assert core.status().peers["n2"].match_index == 3
    assert after.committed == []


def test_bug_06_a_stale_append_truncates_nothing() -> None:
    """Akka-entity-replication 152: everything after prev_index was truncated."""
    core = make_core(log=log_of(1, 1, 1, 1))

    outcome = step(core, append_request(term=1, prev=(1, 1), entries=commands(2, 1)))

    assert outcome.saves == []
    assert core.log.last_index == 4


def test_bug_07_a_conflicting_tail_is_truncated_as_a_whole() -> None:
    """Mofa 1151: entries after the conflict stayed."""
    core = make_core(log=log_of(1, 1, 1, 1), term=2)

    outcome = step(core, append_request(term=2, prev=(1, 1), entries=commands(2, 2)))

    assert core.log.last_index == 2
    assert outcome.saves[0].truncate_from == 2


def test_bug_08_the_commit_index_stays_within_the_matched_entries() -> None:
    """PySyncObj: an unmatched tail was committed, applied and acknowledged."""
    core = make_core(log=log_of(1, 1, 1), term=2)

    outcome = step(core, append_request(term=2, prev=(1, 1), commit=3))

    assert [entry.index for entry in outcome.committed] == [1]


def test_bug_09_a_reply_to_an_older_request_is_ignored() -> None:
    """PySyncObj 167: match_index went back and forth."""
    core = make_core(request_ticks=1)
    first = elect(core).appends[0]
    later = next(each for each in tick(core).appends if each.receiver == "n2")
    assert later.sequence != first.sequence

    assert step(core, append_reply(first)).committed == []
    assert step(core, append_reply(later)).committed != []


def test_bug_10_a_duplicated_vote_counts_once() -> None:
    """PySyncObj: two leaders in a term, as a duplicated reply counted twice."""
    core = make_core(log=log_of(1, configuration=members(FIVE)))
    asked = campaign(core).requests

    for _ in range(4):
        step(core, vote_reply(asked[0]))

    assert core.role is Role.PRE_CANDIDATE


def test_bug_11_a_refusal_never_moves_next_below_match() -> None:
    """Etcd-io/raft 149: a reordered refusal made the leader send again what was acknowledged."""
    core = make_core(log=log_of(1, 1, 1), election_ticks=30)
    settle_leader(core, elect(core))
    (beat, _) = tick(core).appends

    refused = step(core, append_reply(beat, is_success=False, hint=(1, 1)))

    assert refused.appends == []
    (again,) = (each for each in tick(core).appends if each.receiver == "n2")
    assert isinstance(again, AppendEntries)
    assert again.prev_index == core.status().peers["n2"].match_index == 4


def test_bug_12_a_second_change_waits_for_the_first() -> None:
    """Two uncommitted changes may have disjoint majorities."""
    core = make_core()
    settle_leader(core, elect(core))
    core.change_configuration(members().with_learner("n4", "at n4"))

    with pytest.raises(ConfigurationError, match="not committed yet"):
        core.change_configuration(core.configuration.with_learner("n5", "at n5"))


def test_bug_13_a_truncated_configuration_is_rolled_back() -> None:
    """Openraft's effective membership: the uncommitted change stayed in force."""
    core = make_core()
    data = encode_configuration(members(FIVE))
    step(core, append_request(term=1, entries=(Entry(2, 1, EntryKind.CONFIGURATION, data),)))

    step(core, append_request("n3", term=2, entries=commands(2, 2)))

    assert core.configuration.voters == ("n1", "n2", "n3")


def test_bug_14_a_learner_votes_when_it_is_asked() -> None:
    """Etcd: the candidate may know of a promotion before the learner does."""
    core = make_core(log=log_of(1, configuration=members(("n2", "n3"), ("n1",))))

    reply = step(core, vote_request(term=2)).reply

    assert isinstance(reply, RequestVoteReply)
    assert reply.is_granted


def test_bug_15_a_removed_leader_does_not_count_itself() -> None:
    """Etcd's confchange_v1_remove_leader: {n2, n3} must both have the entry."""
    core = make_core()
    settle_leader(core, elect(core))
    core.change_configuration(members().without("n1"))
    sent = drive(core).appends

    assert step(core, append_reply(sent[0])).committed == []
    assert [each.index for each in step(core, append_reply(sent[1])).committed] == [3]
    assert core.role is Role.FOLLOWER


def test_bug_16_a_returning_node_raises_no_term() -> None:
    """Cloudflare's outage of 2020: elections without end."""
    core = make_core()

    tick(core, 500)

    assert (core.term, core.vote) == (1, None)


def test_bug_17_a_leader_of_an_older_term_is_told_the_newer_one() -> None:
    """Etcd's TestFreeStuckCandidateWithCheckQuorum: silence would leave both stuck."""
    core = make_core(term=8)

    reply = step(core, append_request(term=3)).reply

    assert reply.term == 8


def test_bug_18_a_read_waits_until_the_term_has_a_commit() -> None:
    """Etcd 7331: a new leader may not know yet what is committed."""
    core = make_core()
    first = elect(core)
    core.read_index(1)
    assert drive(core).reads == []

    outcome = settle_leader(core, first)

    assert [read.token for read in outcome.reads] == [1]


def test_bug_19_an_answer_from_before_the_read_does_not_confirm_it() -> None:
    """Etcd 20418: a reused context confirmed a read that a paused leader should have refused."""
    core = make_core(request_ticks=50)
    settle_leader(core, elect(core))
    before = tick(core).appends
    core.read_index(1)

    assert step(core, append_reply(before[0])).reads == []
    assert step(core, append_reply(before[1])).reads == []


def test_bug_20_no_read_is_confirmed_by_the_clock() -> None:
    """Thesis §6.4.1: leases fail when clocks do; here no time confirms a read."""
    core = make_core(election_ticks=10)
    settle_leader(core, elect(core))
    core.read_index(1)

    assert tick(core, 9).reads == []


def test_bug_21_the_first_entry_after_a_snapshot_is_the_next_one() -> None:
    """Redis-Raft, hashicorp 1.4.0, willemt: off by one at the snapshot's edge."""
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"state")
    core = make_core(log=commands(4, 2, 2, 2), snapshot=snapshot)

    assert (core.log.anchor_index, core.log.anchor_term, core.log.last_index) == (4, 2, 6)
    assert core.log.applied_index == 5
    reply = step(core, append_request(term=2, prev=(6, 2), entries=commands(7, 2), commit=7))
    assert [entry.index for entry in reply.committed] == [6, 7]


def test_bug_23_the_commit_index_is_learnt_again_after_a_restart() -> None:
    """PySyncObj 197: a commit index saved ahead of the log stopped the node from starting."""
    core = make_core(log=log_of(1, 1, 1))

    assert (core.log.commit_index, core.log.applied_index) == (0, 0)


def test_bug_26_replies_for_another_node_are_ignored() -> None:
    """Etcd: ids are never reused, but a reused address gets messages for another node."""
    core = make_core()
    first = elect(core).appends[0]

    stray = msgspec.structs.replace(append_reply(first), receiver="n8")
    outcome = step(core, stray)

    assert outcome.committed == []
    assert core.log.commit_index == 0


@pytest.mark.parametrize(("sender", "receiver"), [("n2", "n8"), ("n1", "n1")])
def test_bug_26_requests_for_another_node_are_refused(sender: str, receiver: str) -> None:
    """Each kind gets its reply, and none changes the core."""
    core = make_core()
    snapshot = Snapshot(5, 2, encode_configuration(members()), b"state")
    requests: list[Request] = [
        vote_request(sender, receiver, term=9),
        append_request(sender, receiver, term=9),
        msgspec.structs.replace(
            chunk_request(snapshot, term=9, checksum=1), sender=sender, receiver=receiver
        ),
    ]

    outcomes = [step(core, request) for request in requests]

    assert all(outcome.saves == [] for outcome in outcomes)
    assert [outcome.reply.sequence for outcome in outcomes] == [7, 8, 9]
    assert (core.term, core.leader) == (1, None)


def test_bug_27_an_older_snapshot_overwrites_nothing() -> None:
    """Etcd's TestRestoreIgnoreSnapshot."""
    core = make_core(log=log_of(1, 1, 1))
    step(core, append_request(term=1, prev=(3, 1), commit=3))
    old = Snapshot(2, 1, encode_configuration(members()), b"old")

    outcome = step(core, chunk_request(old, term=1, checksum=crc32(b"old")))

    assert outcome.restored == []
    assert core.log.last_index == 3


def test_bug_28_a_leader_without_a_majority_fills_no_memory() -> None:
    """Etcd's TestRawNodeBoundedLogGrowthWithPartition."""
    core = make_core(uncommitted_bytes_max=1000)
    settle_leader(core, elect(core))

    def flood() -> None:
        for _ in range(1000):
            core.propose(b"x" * 10)

    with pytest.raises(OverloadedError):
        flood()

    assert core.log.size_bytes < 1500


def test_bug_30_repeated_replies_cause_no_messages() -> None:
    """Our simulation: if replies cause requests, 60 % duplicates put 123,913 messages in flight."""
    core = make_core()
    first = elect(core)
    reply = append_reply(first.appends[0])

    outcomes = [step(core, reply) for _ in range(50)]

    assert sum(len(outcome.appends) for outcome in outcomes) == 0


def test_bug_31_one_tick_after_a_stall_starts_no_election() -> None:
    """The driver steps the messages that waited, then ticks once, however long the stall was."""
    core = make_core(election_ticks=10)
    tick(core, 9)

    step(core, append_request("n3", term=1))
    tick(core)

    assert (core.role, core.leader) == (Role.FOLLOWER, "n3")


def test_bug_32_the_members_are_those_in_the_log() -> None:
    """PySyncObj 133 had a second list of members; here there is only the log."""
    entries = (
        *log_of(1),
        Entry(2, 1, EntryKind.CONFIGURATION, encode_configuration(members(FIVE))),
    )

    assert make_core(log=entries).configuration == members(FIVE)
