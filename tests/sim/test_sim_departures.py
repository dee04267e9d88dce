"""Whole clusters: a killed node departs at once, a silent one after its lease, a live one never."""

import pytest

from zreg.client.core.commands import Registered
from zreg.model import DataInfoId, Role, Status, data_info_id
from zreg.primitives.ring import ring_of
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog

SEEDS = range(1, 9)
# A report, meta's check, a commit, an announcement: some round trips of a millisecond each.
AT_ONCE_SECONDS = 0.5
# The same after an election; less than an election and a lease take.
WITH_LEADER_SECONDS = 3.0


def make_cluster(seed: int, *, metas: int = 3, data: int = 3, sessions: int = 1) -> SimCluster:
    """Return a cluster whose nodes have all joined."""
    cluster = SimCluster(seed, metas=metas).start(sessions=sessions, data=data)
    cluster.run(2.0)
    return cluster


def departures(cluster: SimCluster) -> list[str]:
    """Return the nodes that departed and why, in order, from meta's log lines."""
    lines = [line for line in cluster.sim.trace if " member.departed " in line]
    found = [dict(word.split("=") for word in line.split(" ")[4:]) for line in lines]
    return [f"{each['incarnation'].partition('@')[0]} {each['reason']}" for each in found]


def living(cluster: SimCluster, role: Role = Role.DATA) -> list[str]:
    leader = cluster.leader()
    assert leader is not None
    return [m.node_id for m in cluster.meta_cores()[leader].membership.of(role)]


def status(cluster: SimCluster, node_id: str) -> Status | None:
    leader = cluster.leader()
    assert leader is not None
    member = cluster.meta_cores()[leader].membership.living(node_id)
    return None if member is None else member.status


def owned_by(cluster: SimCluster, node_id: str) -> DataInfoId:
    """Return an id of which a node is the primary."""
    leader = cluster.leader()
    assert leader is not None
    ring = ring_of(cluster.meta_cores()[leader].membership)
    names = (data_info_id(f"service-{number}") for number in range(1000))
    return next(name for name in names if ring.primary(name) == node_id)


def watched(cluster: SimCluster, name: DataInfoId) -> ViewLog:
    """Let one client publish under an id, and another one subscribe to it."""
    cluster.client("publisher")
    cluster.client("subscriber")
    cluster.publish("publisher", name, "one")
    view = cluster.subscribe("subscriber", name)
    assert cluster.settles(view, ["one"])
    return view


def is_accepted_in_time(cluster: SimCluster, publisher_id: bytes) -> bool:
    """Return whether a data node holds the publisher within `AT_ONCE_SECONDS`."""
    events = cluster.sim.processes["publisher"].events

    def is_registered() -> bool:
        return any(isinstance(e, Registered) and publisher_id in e.publisher_ids for e in events)

    return cluster.sim.run_until(is_registered, AT_ONCE_SECONDS)


@pytest.mark.parametrize("metas", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_ids_of_a_killed_data_node_take_writes_at_once(seed: int, metas: int) -> None:
    cluster = make_cluster(seed, metas=metas)
    name = owned_by(cluster, "data-2")
    view = watched(cluster, name)

    cluster.sim.kill("data-2")
    two = cluster.publish("publisher", name, "two")

    assert is_accepted_in_time(cluster, two)
    assert cluster.settles(view, ["one", "two"])
    assert view.removed == []
    assert departures(cluster) == ["data-2 gone"]
    assert living(cluster) == ["data-1", "data-3"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ids_of_a_data_node_that_dies_with_the_leader_take_writes_in_time(seed: int) -> None:
    """The next leader never had a connection of the node; that counts like a closed one."""
    cluster = make_cluster(seed)
    name = owned_by(cluster, "data-2")
    view = watched(cluster, name)
    leader = cluster.leader()
    assert leader is not None

    cluster.sim.kill("data-2")
    cluster.sim.run(0.0002)
    cluster.sim.kill(leader)
    cluster.publish("publisher", name, "two")
    cluster.run(WITH_LEADER_SECONDS)

    assert cluster.settles(view, ["one", "two"], 0.0)
    assert view.removed == []
    assert departures(cluster) == ["data-2 gone"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_session_departs_when_data_nodes_report_it(seed: int) -> None:
    cluster = make_cluster(seed, sessions=2)
    cluster.sim.kill("session-2")
    cluster.run(AT_ONCE_SECONDS)

    assert departures(cluster) == ["session-2 gone"]
    assert living(cluster, Role.SESSION) == ["session-1"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_frozen_node_keeps_its_lease(seed: int) -> None:
    """Its kernel accepts connections, and it goes on as the same incarnation."""
    cluster = make_cluster(seed)
    cluster.sim.freeze("data-2", 2.0)
    cluster.run(10.0)

    assert departures(cluster) == []
    assert living(cluster) == ["data-1", "data-2", "data-3"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_data_node_that_is_cut_off_departs_after_a_lease_and_not_before(seed: int) -> None:
    cluster = make_cluster(seed)
    others = [name for name in cluster.sim.processes if name != "data-2"]
    for name in others:
        cluster.sim.cut("data-2", name)
    cut_at = cluster.sim.now
    cluster.run(cluster.config.lease_seconds - 0.6)
    assert departures(cluster) == []

    assert cluster.sim.run_until(lambda: bool(departures(cluster)), 2.0)
    assert departures(cluster) == ["data-2 silent"]
    assert cluster.sim.now - cut_at >= cluster.config.lease_seconds - 0.6


@pytest.mark.parametrize("frozen_seconds", [0.0, 2.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_broken_connections_of_a_node_that_lives_prove_nothing(
    seed: int, frozen_seconds: float
) -> None:
    """Both of meta's other sources report it at once; meta's check finds the node listening."""
    cluster = make_cluster(seed)
    cluster.sim.freeze("data-2", frozen_seconds)
    for name in [name for name in cluster.sim.processes if name != "data-2"]:
        cluster.sim.cut("data-2", name)
    cluster.sim.heal()
    cluster.run(10.0)

    # The session, and each other data node as a primary and as a replica.
    assert cluster.sim.record_counts["ReportGone"] == 5
    assert departures(cluster) == []
    assert living(cluster) == ["data-1", "data-2", "data-3"]


@pytest.mark.parametrize("seed", SEEDS)
def test_of_all_data_nodes_killed_at_once_one_stays_a_member(seed: int) -> None:
    cluster = make_cluster(seed)
    for number in (1, 2, 3):
        cluster.sim.kill(f"data-{number}")
    cluster.run(20.0)

    assert len(living(cluster)) == 1
    assert [why.split(" ")[1] for why in departures(cluster)] == ["gone", "gone"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_data_node_that_dies_again_and_again_waits_and_views_do_not_change(seed: int) -> None:
    cluster = make_cluster(seed)
    name = owned_by(cluster, "data-2")
    view = watched(cluster, name)
    for _ in range(3):
        cluster.sim.kill("data-2")
        cluster.run(1.0)
        cluster.data(2)
        cluster.run(1.0)
    assert status(cluster, "data-2") is Status.INITIAL
    assert "seconds=5.0" in next(x for x in cluster.sim.trace if " member.waiting " in x)

    two = cluster.publish("publisher", name, "two")
    assert is_accepted_in_time(cluster, two)
    cluster.run(5.0)

    assert status(cluster, "data-2") is Status.WORKING
    three = cluster.publish("publisher", name, "three")
    assert is_accepted_in_time(cluster, three)
    assert cluster.settles(view, ["one", "three", "two"])
    cluster.run(5.0)
    assert view.removed == []
    assert departures(cluster) == ["data-2 gone"] * 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_session_that_waits_serves_the_clients_that_know_it(seed: int) -> None:
    cluster = make_cluster(seed, sessions=2)
    for _ in range(3):
        cluster.sim.kill("session-2")
        cluster.run(1.0)
        cluster.session(2)
        cluster.run(1.0)
    assert status(cluster, "session-2") is Status.INITIAL

    cluster.client("publisher", [2])
    cluster.client("subscriber", [2])
    name = data_info_id("service")
    cluster.publish("publisher", name, "one")
    view = cluster.subscribe("subscriber", name)
    assert cluster.settles(view, ["one"])
    cluster.run(6.0)

    assert status(cluster, "session-2") is Status.WORKING
    assert view.values() == ["one"]
    assert view.removed == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_leader_ends_the_wait_that_the_former_one_began(seed: int) -> None:
    cluster = make_cluster(seed)
    for _ in range(3):
        cluster.sim.kill("data-2")
        cluster.run(1.0)
        cluster.data(2)
        cluster.run(1.0)
    former = cluster.leader()
    assert former is not None
    cluster.sim.kill(former)
    assert cluster.sim.run_until(lambda: cluster.leader() not in (None, former), 3.0)
    assert status(cluster, "data-2") is Status.INITIAL

    # It reports again a second after the last refusal.
    cluster.run(6.5)

    assert status(cluster, "data-2") is Status.WORKING
