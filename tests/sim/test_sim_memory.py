"""All meta nodes are gone, and whoever is started again starts from the membership on its disk."""

import pytest

from zreg.config import Config
from zreg.model import data_info_id
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.view_log import ViewLog

PAY, SHOP = data_info_id("pay"), data_info_id("shop")
SEEDS = range(1, 9)
seeds = pytest.mark.parametrize("seed", SEEDS)


def make_cluster(seed: int, *, sessions: int = 2, data: int = 2, metas: int = 3) -> SimCluster:
    cluster = SimCluster(seed, metas=metas, has_membership_cache=True).start(
        sessions=sessions, data=data
    )
    cluster.run(1.0)
    return cluster


def kill_metas(cluster: SimCluster) -> None:
    for name in cluster.meta_names:
        cluster.sim.kill(name)


def restart_session(cluster: SimCluster, number: int) -> None:
    cluster.sim.kill(f"session-{number}")
    cluster.run(1.0)
    cluster.session(number)


def restart_data_node(cluster: SimCluster, number: int) -> None:
    cluster.sim.kill(f"data-{number}")
    cluster.run(1.0)
    cluster.data(number)


def subscribe(cluster: SimCluster, client: str, session: int) -> ViewLog:
    cluster.client(client, [session])
    return cluster.subscribe(client, PAY)


def incarnation(cluster: SimCluster, name: str) -> str:
    return str(cluster.sim.processes[name].core.statistics()["incarnation"])


@seeds
def test_a_restarted_session_serves_what_can_be_read_and_its_publishes_wait(seed: int) -> None:
    cluster = make_cluster(seed)
    cluster.client("old", [2])
    cluster.publish("old", PAY, "one")
    before = subscribe(cluster, "before", 1)
    assert cluster.settles(before, ["one"])

    kill_metas(cluster)
    restart_session(cluster, 1)
    after = subscribe(cluster, "after", 1)
    cluster.client("new", [1])
    cluster.publish("new", PAY, "two")

    assert cluster.settles(after, ["one"])
    cluster.publish("old", PAY, "three")
    assert cluster.settles(after, ["one", "three"])
    cluster.run(70.0)
    for view in (before, after):
        assert sorted(map(str, view.values())) == ["one", "three"]
    assert incarnation(cluster, "session-1") == "-"

    cluster.metas()
    for view in (before, after):
        assert cluster.settles(view, ["one", "two", "three"], 15.0)
    cluster.run(cluster.config.session_grace_seconds + 10.0)
    for view in (before, after):
        assert sorted(map(str, view.values())) == ["one", "three", "two"]
        assert view.removed == []


@seeds
def test_a_restarted_data_node_says_nothing_until_it_is_let_in(seed: int) -> None:
    """Its ids wait; nobody takes an empty list for the truth, however long it takes."""
    cluster = make_cluster(seed, data=1)
    cluster.client("old", [2])
    cluster.publish("old", PAY, "one")
    before = subscribe(cluster, "before", 1)
    assert cluster.settles(before, ["one"])

    kill_metas(cluster)
    restart_data_node(cluster, 1)
    restart_session(cluster, 1)
    after = subscribe(cluster, "after", 1)
    cluster.publish("old", PAY, "two")
    cluster.run(70.0)

    assert before.values() == ["one"]
    assert not after.is_known
    cluster.metas()
    for view in (before, after):
        assert cluster.settles(view, ["one", "two"], 15.0)
    assert before.removed == after.removed == []


@seeds
def test_everything_is_restarted_and_meta_comes_last(seed: int) -> None:
    cluster = make_cluster(seed)
    cluster.client("old", [1, 2])
    cluster.publish("old", PAY, "one")
    view = cluster.subscribe("old", SHOP)
    before = subscribe(cluster, "before", 1)
    assert cluster.settles(before, ["one"])
    kill_metas(cluster)
    for name in ("session-1", "session-2", "data-1", "data-2"):
        cluster.sim.kill(name)
    cluster.run(1.0)
    for number in (1, 2):
        cluster.session(number)
        cluster.data(number)
    cluster.publish("old", SHOP, "two")
    cluster.run(70.0)
    assert before.values() == ["one"]

    cluster.metas()

    assert cluster.settles(before, ["one"], 15.0)
    assert cluster.settles(view, ["two"], 15.0)
    cluster.run(cluster.config.session_grace_seconds + 10.0)
    assert before.removed == view.removed == []


@seeds
def test_who_goes_while_meta_is_away_is_gone_at_a_restarted_session_too(seed: int) -> None:
    cluster = make_cluster(seed)
    kill_metas(cluster)
    restart_session(cluster, 1)
    view = subscribe(cluster, "watcher", 2)
    cluster.client("goes", [2])
    gone = cluster.publish("goes", PAY, "one")
    assert cluster.settles(view, ["one"])

    cluster.sim.kill("session-2")
    cluster.run(2.0)
    cluster.unpublish("goes", gone)

    assert cluster.settles(view, [])


@seeds
def test_a_client_that_goes_from_one_waiting_session_to_another_loses_nothing(seed: int) -> None:
    """Neither may take back what it waits to publish: a data node still holds it."""
    cluster = make_cluster(seed)
    cluster.client("goes", [1, 2])
    cluster.publish("goes", PAY, "one")
    view = subscribe(cluster, "watcher", 2)
    assert cluster.settles(view, ["one"])
    kill_metas(cluster)
    for number in (1, 2):
        restart_session(cluster, number)
    assert cluster.sim.run_until(lambda: "session-" in session_of(cluster, "goes"), 5.0)
    former = session_of(cluster, "goes")

    cluster.sim.freeze(former, 6.0)
    cluster.run(10.0)

    assert session_of(cluster, "goes") != former
    assert cluster.sim.processes[former].core.statistics()["clients_off"]
    assert view.values() == ["one"]
    cluster.metas()
    cluster.run(cluster.config.session_grace_seconds + 15.0)
    assert view.values() == ["one"]
    assert view.removed == []


def session_of(cluster: SimCluster, client: str) -> str:
    """Return the session that a client is connected to; empty if to none."""
    statistics = cluster.sim.processes[client].core.statistics()
    address = str(statistics["session"]).removeprefix("tcp://").removesuffix(":9600")
    return address if statistics["state"] == "connected" else ""


def test_a_restarted_node_follows_meta_to_where_it_has_moved() -> None:
    """Only the address of the third meta node is left of what it knew."""
    cluster = make_cluster(1)
    for name in ("meta-1", "meta-2"):
        cluster.sim.kill(name)
    cluster.sim.kill("session-1")
    cluster.config = Config(meta_addresses=("tcp://nowhere:9610",))

    cluster.session(1)
    cluster.config = Config(meta_addresses=tuple(f"tcp://{n}:9610" for n in cluster.meta_names))
    cluster.meta("meta-2")

    assert cluster.sim.run_until(lambda: incarnation(cluster, "session-1") != "-", 20.0)


def test_meta_that_was_founded_anew_refuses_once_and_lets_in_who_is_started_again() -> None:
    cluster = make_cluster(1)
    former = cluster.cached_membership("session-1")
    assert former is not None
    kill_metas(cluster)
    for name in ("session-1", "session-2", "data-1", "data-2"):
        cluster.sim.kill(name)
    cluster.disks.clear()
    cluster.metas()
    cluster.run(5.0)

    cluster.session(1)
    failed = cluster.sim.processes["session-1"]
    assert cluster.sim.run_until(lambda: any(hasattr(e, "reason") for e in failed.events), 10.0)
    assert "restart it to join this cluster" in str(failed.events)
    assert incarnation(cluster, "session-1") == "-"

    cluster.supervise()
    assert cluster.sim.run_until(lambda: incarnation(cluster, "session-1") != "-", 10.0)
    cluster.run(1.0)
    present = cluster.cached_membership("session-1")
    assert present is not None
    assert present.cluster_id not in (b"", former.cluster_id)
