"""Clusters without addresses by seed: what the LAN announces may cost time, and nothing else."""

import pytest

from zreg.config import Config
from zreg.discovery.announced_dials import START_SECONDS
from zreg.discovery.announcement_table import AnnouncementTable
from zreg.model import Role
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.sim_lan import SimLan
from zreg.testing.workloads.lan.lan_life import ID, LanLife


@pytest.mark.parametrize("seed", range(1, 6))
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


def join_seconds(lie_count: int, cluster_id: bytes, seed: int) -> float:
    """Return how long nodes need to join that heard of lies before they heard of meta."""
    cluster = SimCluster(seed, Config(meta_addresses=()))
    lan = SimLan(cluster)
    cluster.session(1)
    cluster.data(1)
    lan.run(2.0)
    lan.announce_black_holes(lie_count, cluster_id)
    # The nodes have a round over the lies before there is a meta node.
    lan.run(seed % 3)
    cluster.metas()
    began_at = cluster.sim.now
    while cluster.member_count() < 2:
        lan.run(0.1)
        assert cluster.sim.now < began_at + 120.0
    return cluster.sim.now - began_at


@pytest.mark.parametrize("cluster_id", [b"", b"?" * 16])
def test_each_lie_delays_a_node_by_the_time_between_two_attempts(cluster_id: bytes) -> None:
    for seed in range(1, 7):
        delay = join_seconds(LIES, cluster_id, seed) - join_seconds(0, cluster_id, seed)
        # The moments at which the LAN tells the nodes are random.
        assert delay <= LIES * START_SECONDS + TOLD_SECONDS_MAX, f"seed {seed}: {delay}"


def view_seconds(lie_count: int, seed: int) -> float:
    """Return how long a client needs for its first view, which heard of lies before a session."""
    cluster = SimCluster(seed, Config(meta_addresses=()))
    lan = SimLan(cluster)
    cluster.metas()
    cluster.session(1)
    cluster.data(1)
    for _ in range(600):
        lan.run(0.1)
        if cluster.member_count() == 2:
            break
    assert cluster.member_count() == 2
    cluster.client("client-1", ())
    view = cluster.subscribe("client-1", ID)
    began_at = cluster.sim.now
    # It browses within a moment, and nothing but the lies is told before `lan.run`.
    cluster.run(0.1)
    assert lan.is_browsing("client-1")
    lan.announce_black_holes(lie_count, b"", role=Role.SESSION)
    while not view.is_known:
        lan.run(0.1)
        assert cluster.sim.now < began_at + 60.0
    return cluster.sim.now - began_at


def test_each_lie_delays_a_client_by_the_time_between_two_attempts() -> None:
    for seed in range(1, 7):
        delay = view_seconds(LIES, seed) - view_seconds(0, seed)
        assert delay <= LIES * START_SECONDS + TOLD_SECONDS_MAX, f"seed {seed}: {delay}"


LIES = 20
TOLD_SECONDS_MAX = 3.0


def test_a_flood_delays_nodes_and_does_not_keep_them_out() -> None:
    assert joins_after_a_flood()


def test_a_flood_keeps_nodes_out_if_what_failed_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AnnouncementTable, "note_failed", lambda _self, _address: None)

    assert not joins_after_a_flood()
