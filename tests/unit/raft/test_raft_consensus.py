"""One `RaftCore`: its first start, its snapshots, and a node that only learns."""

from random import Random

import pytest
from raft_helpers import (
    THREE,
    drive,
    elect_alone,
    log_of,
    make_core,
    members,
    tick,
)

from zreg.raft.config import RaftConfig
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import NotLeaderError
from zreg.raft.ready import Persisted, bootstrap
from zreg.raft.status import Role


@pytest.mark.parametrize("limits", [{"compact_entry_count": 5}, {"compact_bytes": 150}])
def test_compaction_is_due_after_entries_or_bytes(limits: dict[str, int]) -> None:
    core = make_core(log=log_of(1, configuration=members(("n1",))), **limits)
    assert not core.is_compaction_due
    elect_alone(core)
    for _ in range(5):
        core.propose(b"0123456789")
        drive(core)
    assert core.is_compaction_due

    core.compact(b"state")

    assert not core.is_compaction_due
    assert drive(core).saves[0].snapshot is not None


def test_a_bootstrapped_node_leads_alone() -> None:
    save = bootstrap(members(("n1",)))
    persisted = Persisted(term=save.term, vote=save.vote, entries=save.entries)
    core = RaftCore(RaftConfig(node_id="n1"), persisted, Random(3))

    elect_alone(core)
    core.read_index(4)

    outcome = drive(core)
    assert [read.token for read in outcome.reads] == [4]
    assert core.configuration == members(("n1",))


def test_a_learner_waits_and_does_not_campaign() -> None:
    core = make_core("n4", log=log_of(1, configuration=members(THREE, ("n4",))))

    assert tick(core, 100).requests == []
    assert core.role is Role.FOLLOWER
    with pytest.raises(NotLeaderError, match="after an election"):
        core.transfer_leader("n1")
