"""Machines get other addresses while their nodes run: all nodes find each other again."""

from collections.abc import Callable

import pytest

from zreg.config import Config
from zreg.meta.peers.meta_peers import MetaPeers
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.sim_lan import SimLan
from zreg.testing.workloads.lan.lan_life import ID

METAS = ("meta-1", "meta-2", "meta-3")


class World:
    """Three meta nodes, two sessions and two data nodes that know no address, and two clients."""

    def __init__(self, seed: int = 1) -> None:
        self.cluster = SimCluster(seed, Config(meta_addresses=()), metas=3)
        self.lan = SimLan(self.cluster)
        self.cluster.metas()
        for number in (1, 2):
            self.cluster.data(number)
            self.cluster.session(number)
        self.wait(lambda: self.cluster.member_count() == 4)
        for name in ("client-1", "client-2"):
            self.cluster.client(name, ())
        self.view = self.cluster.subscribe("client-1", ID)
        self.cluster.publish("client-2", ID, "here")
        self.wait(lambda: sorted(map(str, self.view.values())) == ["here"])

    def wait(self, condition: Callable[[], bool], seconds_max: float = 60.0) -> float:
        began_at = self.cluster.sim.now
        while not condition():
            self.lan.run(0.1)
            assert self.cluster.sim.now < began_at + seconds_max, self.report()
        return self.cluster.sim.now - began_at

    def report(self) -> str:
        return "\n".join(self.cluster.sim.trace[-60:])

    def is_known_everywhere(self) -> bool:
        """Return whether all meta nodes agree on the present addresses of all nodes."""
        cluster = self.cluster
        cores = cluster.meta_cores()
        expected = {name: f"tcp://{cluster.host_of(name)}:9611" for name in METAS}
        if cluster.leader() is None or cluster.member_count() != 4 or set(cores) != set(METAS):
            return False
        for core in cores.values():
            if core.raft_driver.raft.configuration.addresses != expected:
                return False
            for member in core.membership.members:
                if f"//{cluster.host_of(member.node_id)}:" not in member.address:
                    return False
        return True


@pytest.mark.parametrize("moved", [1, 2, 3])
@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_meta_nodes_whose_addresses_change_find_each_other_again(moved: int, pause: float) -> None:
    world = World()
    for name in METAS[:moved]:
        world.cluster.change_host(name)
        world.lan.run(pause)

    assert world.wait(world.is_known_everywhere) <= 30.0
    world.lan.run(30.0)
    assert world.is_known_everywhere()
    assert list(map(str, world.view.values())) == ["here"]


def test_a_site_gets_other_addresses_all_at_once() -> None:
    world = World()
    for name in [*METAS, "data-1", "data-2", "session-1", "session-2"]:
        world.cluster.change_host(name)

    world.wait(world.is_known_everywhere)
    assert world.cluster.settles(world.view, ["here"], 60.0)


def test_meta_nodes_that_start_again_at_other_addresses_find_each_other() -> None:
    world = World()
    for name in METAS:
        world.cluster.sim.kill(name)
        world.cluster.change_host(name)
    world.lan.run(1.0)
    world.cluster.metas()

    world.wait(world.is_known_everywhere)


def test_without_announcements_a_majority_that_moved_waits_and_suggested_addresses_help() -> None:
    """What an operator does: start each meta node again with --peer and the new addresses."""
    world = World()
    world.lan.lose_share = 1.0
    for name in METAS:
        world.cluster.change_host(name)
    world.lan.run(20.0)
    assert world.cluster.leader() is None
    for core in world.cluster.meta_cores().values():
        for name in METAS:
            address = f"tcp://{world.cluster.host_of(name)}:9611"
            core.raft_driver.peers.suggest(name, address)

    world.wait(lambda: world.cluster.leader() is not None)


def test_no_majority_finds_each_other_if_suggestions_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MetaPeers, "suggest", lambda _self, _peer, _address: None)
    world = World()
    for name in METAS:
        world.cluster.change_host(name)
    world.lan.run(60.0)

    assert world.cluster.leader() is None
