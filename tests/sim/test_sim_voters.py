"""Lives of the meta nodes by seed, and mutations that they must notice."""

import pytest

from zreg.meta.peers.bootstrap import Bootstrap
from zreg.meta.peers.introductions import Introductions
from zreg.meta.peers.meta_peers import MetaPeers
from zreg.testing.workloads.bootstrap_life import BootstrapLife
from zreg.testing.workloads.voters_life import VotersLife
from zreg.wire.records.meta_messages import Introduction


# Seed 4 found that a leader took a replaced node for its predecessor, seed 486 that a late copy of
# a removal removed the node that had been added again.
@pytest.mark.parametrize("seed", [*range(1, 41), 486])
def test_the_voters_of_meta_keep_their_promises_while_they_change(seed: int) -> None:
    VotersLife(seed).run()


@pytest.mark.parametrize("seed", range(1, 21))
def test_the_voters_of_meta_keep_their_promises_while_they_move(seed: int) -> None:
    VotersLife(seed, has_lan=True).run()


def test_lives_notice_that_nobody_follows_a_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no node takes where another one is announced, or says that it is, some life must fail."""
    monkeypatch.setattr(MetaPeers, "suggest", lambda _self, _peer, _address: None)

    def fails(seed: int) -> bool:
        try:
            VotersLife(seed, has_lan=True).run()
        except AssertionError:
            return True
        return False

    assert any(fails(seed) for seed in range(1, 21))


def test_lives_notice_a_node_that_votes_without_its_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If no node compares journals, some life must fail, or these lives prove nothing."""
    objection = Introductions.objection

    def ignore_journals(self: Introductions, them: Introduction) -> tuple[int, str] | None:
        found = objection(self, them)
        return None if found is not None and "comes without the journal" in found[1] else found

    monkeypatch.setattr(Introductions, "objection", ignore_journals)
    monkeypatch.setattr(Bootstrap, "lost_journal", lambda _self, _them: False)
    monkeypatch.setattr(Bootstrap, "may_elect", lambda _self, _last_index: True)

    def fails(seed: int) -> bool:
        try:
            VotersLife(seed).run()
        except AssertionError:
            return True
        return False

    # The seeds that noticed it, and more in case a change of the simulator changes their lives.
    assert any(fails(seed) for seed in (164, 203, 225, *range(230, 330)))


@pytest.mark.parametrize("seed", range(1, 61))
def test_a_cluster_is_founded_once(seed: int) -> None:
    BootstrapLife(seed).run()


def test_lives_notice_a_second_founding(monkeypatch: pytest.MonkeyPatch) -> None:
    """If founders do not wait for each other, some life must fail."""
    monkeypatch.setattr(Bootstrap, "may_elect", lambda _self, _last_index: True)

    def fails(seed: int) -> bool:
        try:
            BootstrapLife(seed).run()
        except AssertionError:
            return True
        return False

    assert any(fails(seed) for seed in range(1, 61))
