"""Lives of meta's own nodes by seed, and a test that they would notice."""

import pytest

from zreg.meta.peers.bootstrap import Bootstrap
from zreg.meta.peers.introductions import Introductions
from zreg.testing.workloads.voters_workload import BootstrapLife, VotersLife
from zreg.wire.meta_messages import Introduction


# Seed 4 found that a leader knew a replaced node by what its predecessor had said; seed 486 that a
# late copy of a removal removed the node that had been taken in again.
@pytest.mark.parametrize("seed", [*range(1, 41), 486])
def test_nodes_of_meta_come_and_go(seed: int) -> None:
    VotersLife(seed).run()


def test_a_node_without_its_journal_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any look at journals some life must end badly, or these lives prove nothing."""
    objection = Introductions.objection

    def careless(self: Introductions, them: Introduction) -> tuple[int, str] | None:
        found = objection(self, them)
        return None if found is not None and "comes without the journal" in found[1] else found

    monkeypatch.setattr(Introductions, "objection", careless)
    monkeypatch.setattr(Bootstrap, "lost_journal", lambda _self, _them: False)
    monkeypatch.setattr(Bootstrap, "may_elect", lambda _self, _last_index: True)

    def breaks(seed: int) -> bool:
        try:
            VotersLife(seed).run()
        except AssertionError:
            return True
        return False

    # Those that noticed, and more for the day on which they draw other lives.
    assert any(breaks(seed) for seed in (164, 203, 225, *range(230, 330)))


@pytest.mark.parametrize("seed", range(1, 61))
def test_a_cluster_is_founded_once(seed: int) -> None:
    BootstrapLife(seed).run()


def test_a_second_founding_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wait for all founders some life must end badly."""
    monkeypatch.setattr(Bootstrap, "may_elect", lambda _self, _last_index: True)

    def breaks(seed: int) -> bool:
        try:
            BootstrapLife(seed).run()
        except AssertionError:
            return True
        return False

    assert any(breaks(seed) for seed in range(1, 61))
