"""Clusters without addresses by seed: what the LAN announces may cost time, and nothing else."""

import pytest

from zreg.discovery.announcement_table import AnnouncementTable
from zreg.testing.workloads.lan_life import LanLife


@pytest.mark.parametrize("seed", range(1, 9))
def test_nodes_and_clients_find_their_cluster_also_among_lies(seed: int) -> None:
    LanLife(seed).run()


def test_lives_notice_a_table_that_a_flood_fills_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a failed announcement keeps its place, some life must fail."""
    monkeypatch.setattr(AnnouncementTable, "note_failed", lambda _self, _address: None)
    monkeypatch.setattr(AnnouncementTable, "forget_stale", lambda _self, _now: None)

    def fails(seed: int) -> bool:
        try:
            LanLife(seed).run()
        except AssertionError:
            return True
        return False

    assert any(fails(seed) for seed in range(1, 40))
