"""What a Raft node shows to health, metrics and the command line."""

from raft_helpers import (
    elect,
    log_of,
    make_core,
    members,
    settle_leader,
    tick,
)

from zreg.raft.leader.progress import CatchUpState
from zreg.raft.status import Role


def test_the_status_of_a_leader_shows_its_peers() -> None:
    core = make_core(log=log_of(1, configuration=members(("n1", "n2"), ("n3",))))
    settle_leader(core, elect(core))
    tick(core, 2)

    status = core.status()

    assert (status.role, status.leader, status.term, status.node_id) == (Role.LEADER, "n1", 2, "n1")
    assert (status.commit_index, status.applied_index, status.last_index) == (2, 2, 2)
    assert status.peers["n2"].match_index == 2
    assert status.peers["n2"].silent_ticks == 2
    assert status.peers["n3"].catch_up is CatchUpState.READY
    assert "leader term=2" in repr(core)


def test_the_status_of_a_follower_shows_no_peers() -> None:
    status = make_core().status()

    assert status.peers == {}
    assert status.transfer_target is None
    assert make_core().catch_up_state("n2") is None
