"""Clusters without addresses by seed: what the LAN announces may cost time, and nothing else."""

import pytest

from zreg.config import Config
from zreg.discovery.announcement_table import AnnouncementTable
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.sim_lan import SimLan
from zreg.testing.workloads.lan.lan_life import LanLife


@pytest.mark.parametrize("seed", range(1, 9))
def test_nodes_and_clients_find_their_cluster_also_among_lies(seed: int) -> None:
    LanLife(seed).run()


def joins_after_a_flood() -> bool:
    """Return whether nodes join that heard of hundreds of false meta nodes before the right one.

    Each false one costs an attempt to connect, so it takes the nodes some seconds.
    """
    cluster = SimCluster(1, Config(meta_addresses=()))
    lan = SimLan(cluster)
    cluster.session(1)
    cluster.data(1)
    lan.run(2.0)
    for _ in range(5):
        lan.flood()
    cluster.metas()
    lan.run(90.0)
    return cluster.member_count() == 2


def test_a_flood_delays_nodes_and_does_not_keep_them_out() -> None:
    assert joins_after_a_flood()


def test_a_flood_keeps_nodes_out_if_what_failed_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AnnouncementTable, "note_failed", lambda _self, _address: None)

    assert not joins_after_a_flood()
