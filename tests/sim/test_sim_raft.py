"""Whole Raft clusters in a virtual world: 300 seeds, determinism, and the mutations.

A bug that a seed found gets a scenario in tests/unit/raft, since a change of the simulator changes
what a seed does. (An example is `test_38_a_pair_can_be_reduced_...`: a node that campaigned only
under its latest or its last known committed members could not finish its own removal after a
restart.)
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zreg.raft.consensus import RaftCore
from zreg.testing.raft import raft_sim
from zreg.testing.raft.mutations import mutated
from zreg.testing.raft.raft_sim import RaftSim, main, run_seed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(1, 301, 20))
def test_twenty_seeds_are_safe_and_converge(first: int) -> None:
    for seed in range(first, first + 20):
        try:
            run_seed(seed)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")


def test_the_seeds_cause_the_faults_that_they_are_for() -> None:
    """Faults that never happen prove nothing."""
    counts = sum((run_seed(seed).counts for seed in range(1, 21)), start=raft_sim.Counter())

    assert counts["elections"] > 100
    assert counts["commits"] > 1_000
    assert counts["crashes"] > 200
    assert counts["snapshots"] > 50
    assert counts["changes"] > 50
    assert counts["reads"] > 500


def test_the_same_seed_gives_the_same_trace() -> None:
    assert run_seed(7).digest() == run_seed(7).digest()
    assert run_seed(7).digest() != run_seed(8).digest()


@pytest.mark.parametrize("seed", [3, 7, 11, 18, 34])
def test_a_core_that_looks_for_work_only_when_there_may_be_some_misses_none(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Without input `ready` returns at once: a core that always looks for work does the same."""
    digest = run_seed(seed).digest()
    always = property(lambda _core: True, lambda _core, _value: None)
    monkeypatch.setattr(RaftCore, "_may_have_work", always, raising=False)

    assert run_seed(seed).digest() == digest


def trace_under(hash_seed: str) -> str:
    command = [sys.executable, "-m", "zreg.testing.raft.raft_sim", "--seeds", "11", "--trace"]
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, cwd=ROOT
    )
    trace, _, _ = done.stdout.rpartition("seeds=")
    return trace


def test_the_trace_does_not_depend_on_the_hash_seed() -> None:
    one, other = trace_under("1"), trace_under("4242")

    assert "digest" in one
    assert one == other


@pytest.mark.parametrize(
    "name",
    [
        "vote durability",
        "vote kept in the term",
        "sync before answer",
        "own disk counted when saved",
        "own-term commit",
        "conflict-only truncation",
        "commit what was matched",
        "duplicate votes",
        "up-to-date vote",
    ],
)
def test_seeds_notice_a_removed_guard(name: str) -> None:
    """The guards that seeds rarely need have directed scenarios in tests/unit/raft."""
    for seed in range(1, 151):
        with mutated(name):
            try:
                run_seed(seed)
            except AssertionError:
                return
    pytest.fail(f"150 seeds did not notice: {name}")


def test_a_range_of_seeds_reports_its_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3-4"]) == 0
    assert "seeds=3-4 failed=[] " in capsys.readouterr().out

    with mutated("vote kept in the term"):
        assert main(["--seeds", "3"]) == 1
    assert "failed=[3]" in capsys.readouterr().out


def test_a_cluster_that_cannot_agree_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft_sim, "FAULTY_STEPS", 100)
    monkeypatch.setattr(RaftSim, "_has_agreed", lambda _: False)

    with pytest.raises(raft_sim.LivenessError, match="no agreement"):
        RaftSim(1).run()


def test_a_lost_acknowledgement_is_reported() -> None:
    sim = RaftSim(7)
    sim.run()
    index = next(iter(sim.clients.acknowledged))
    sim.clients.acknowledged[index] = "a=999999"

    with pytest.raises(raft_sim.SafetyError, match="acknowledged a=999999"):
        sim._finish()
