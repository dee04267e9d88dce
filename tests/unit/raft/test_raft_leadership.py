"""One term of a leader: its requests, its members, and a transfer that is not answered."""

from raft_helpers import (
    THREE,
    append_reply,
    drive,
    elect,
    log_of,
    make_core,
    members,
    settle_leader,
    step,
    tick,
)

from zreg.raft.leader.progress import CatchUpState
from zreg.raft.status import Role
from zreg.wire.records.raft_messages import AppendEntries


def test_a_demoted_leader_steps_down_when_that_is_committed() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    core.change_configuration(core.configuration.with_learner("n1", "at n1"))

    settle_leader(core, drive(core))

    assert core.role is Role.FOLLOWER
    assert core.configuration.learners == ("n1",)


def test_a_learner_keeps_its_progress_when_other_members_change() -> None:
    core = make_core(log=log_of(1, configuration=members(THREE, ("n4",))))
    settle_leader(core, elect(core))
    assert core.catch_up_state("n4") is CatchUpState.READY

    core.change_configuration(core.configuration.with_learner("n5", "at n5"))

    assert core.catch_up_state("n4") is CatchUpState.READY
    assert core.catch_up_state("n5") is CatchUpState.RUNNING


def test_a_transfer_without_an_answer_ends_after_an_election_timeout() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    core.transfer_leader("n2")
    (request,) = drive(core).appends
    assert request.receiver == "n2"

    tick(core, 10)

    assert core.status().transfer_target is None
    assert [each.receiver for each in drive(core).appends] == []


def test_a_heartbeat_carries_the_commit_index() -> None:
    core = make_core()
    settle_leader(core, elect(core))

    (beat, _) = tick(core).appends

    assert isinstance(beat, AppendEntries)
    assert beat.commit_index == 2


def test_a_batch_of_proposals_is_one_request_per_peer() -> None:
    core = make_core()
    settle_leader(core, elect(core))
    entries = [core.propose(b"%d" % number) for number in range(50)]

    outcome = drive(core)

    assert len(outcome.appends) == 2
    assert outcome.saves[0].entries == tuple(entries)
    assert len(step(core, append_reply(outcome.appends[0])).committed) == 50
