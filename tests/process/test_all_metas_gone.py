"""All meta nodes are gone, and other nodes restart: they continue from their directories."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from watching import Watcher

import zreg
from zreg.storage.membership_cache import MembershipFile
from zreg.testing.processes import RunningCluster, run_zreg

RESTARTED, OTHER = "session-1", "session-2"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    with RunningCluster(tmp_path, metas=3, sessions=2, data=2) as cluster:
        nodes = [*cluster.of("session"), *cluster.of("data")]
        files = [
            MembershipFile(tmp_path / node.node_id, cluster="zreg", node_id=node.node_id)
            for node in nodes
        ]
        # A node writes a new membership to its disk a moment after it has received it.
        cluster.wait_until(
            lambda: all(
                file.read().epoch == cluster.statistics("meta-1")["epoch"] for file in files
            )
        )
        yield cluster


def kill_all_metas(cluster: RunningCluster) -> None:
    for node in cluster.of("meta"):
        cluster.kill(node.node_id)


def is_joined(cluster: RunningCluster, *node_ids: str) -> bool:
    return all(cluster.statistics(node_id)["incarnation"] != "-" for node_id in node_ids)


def test_a_restarted_session_serves_reads_and_its_publishes_wait_for_meta(
    cluster: RunningCluster,
) -> None:
    with (
        zreg.Client(cluster.url_of(OTHER)) as publisher,
        Watcher(cluster.url_of(OTHER), "pay") as steady,
    ):
        publisher.publish("pay", "one").wait_registered(5)
        kill_all_metas(cluster)
        cluster.kill(RESTARTED)
        cluster.restart(RESTARTED)

        with (
            Watcher(cluster.url_of(RESTARTED), "pay") as watcher,
            zreg.Client(cluster.url_of(RESTARTED)) as newcomer,
        ):
            assert watcher.values == {"one"}
            publisher.publish("pay", "two").wait_registered(5)
            cluster.wait_until(lambda: watcher.values == {"one", "two"})
            newcomer.wait_connected(10)
            waiting = newcomer.publish("pay", "three")
            with pytest.raises(
                zreg.TimeoutError, match=r"not accepted yet, but stored: .* its disk"
            ):
                waiting.wait_registered(2)
            shown = run_zreg("nodes", "--url", cluster.url_of(RESTARTED))
            assert all(node_id in shown.stdout for node_id in cluster.nodes)
            assert "has not admitted session-1 since it started from its disk" in shown.stderr
            assert "membership.remembered" in cluster.log(RESTARTED)

            for node in cluster.of("meta"):
                cluster.restart(node.node_id)

            waiting.wait_registered(10)
            everything = {"one", "two", "three"}
            cluster.wait_until(lambda: watcher.values == steady.values == everything)
            assert is_joined(cluster, RESTARTED)
            assert watcher.removed == steady.removed == []


def test_a_restarted_data_node_answers_nothing_before_meta_is_back(
    cluster: RunningCluster,
) -> None:
    """Its ids are not reported as empty or gone; the sessions register them again later."""
    with (
        zreg.Client(cluster.url_of(OTHER)) as publisher,
        Watcher(cluster.url_of(OTHER), "id-0") as watcher,
    ):
        names = [f"id-{number}" for number in range(8)]
        for name in names:
            publisher.publish(name, "v").wait_registered(5)
        kill_all_metas(cluster)
        for node_id in ("data-1", "data-2"):
            cluster.kill(node_id)
            cluster.restart(node_id)
        cluster.kill(RESTARTED)
        cluster.restart(RESTARTED)
        with zreg.Client(cluster.url_of(RESTARTED)) as reader:
            subscriptions = [reader.subscribe(name) for name in names]
            with pytest.raises(zreg.TimeoutError):
                subscriptions[0].wait_for(min_count=0, timeout_seconds=1)
            assert not any(subscription.view.is_known for subscription in subscriptions)
            assert run_zreg("ls", "--url", cluster.url_of(RESTARTED)).returncode != 0

            for node in cluster.of("meta"):
                cluster.restart(node.node_id)

            for subscription in subscriptions:
                subscription.wait_for(min_count=1, timeout_seconds=15)
        assert watcher.removed == []


def test_a_node_that_finds_a_new_cluster_at_its_meta_address_is_refused_once(
    tmp_path: Path,
) -> None:
    with RunningCluster(tmp_path, options=["--lease-seconds=2"]) as cluster:
        (meta,) = cluster.of("meta")
        for node in list(cluster.nodes):
            cluster.kill(node)
        (tmp_path / meta.node_id / "raft.db").unlink()
        for rest in (tmp_path / meta.node_id).glob("raft.db*"):
            rest.unlink()
        cluster.restart(meta.node_id)

        cluster.restart(RESTARTED)
        cluster.wait_until(lambda: not cluster.nodes[RESTARTED].is_alive)
        assert "this node has been a member of another cluster" in cluster.log(RESTARTED)

        cluster.restart(RESTARTED)
        cluster.wait_until(lambda: is_joined(cluster, RESTARTED))
        assert cluster.log(RESTARTED).count("node.joined") == 2
