"""What a change costs on the wire, and what it costs when nothing changes, by the counters."""

from conftest import StartCluster
from watching import Watcher, Worker

import zreg


def test_one_change_among_a_thousand_publishers_is_pushed_in_less_than_a_kilobyte(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=1)
    first, second = (node.node_id for node in cluster.of("session"))
    with (
        Worker("publish", cluster.url_of(first), "pay", "1000", "many"),
        zreg.Client(cluster.url_of(first)) as client,
        Watcher(cluster.url_of(second), "pay") as watcher,
    ):
        publication = client.publish("pay", "one").wait_registered()
        cluster.wait_until(lambda: len(watcher.values) == 1001, timeout_seconds=30.0)
        before = watcher.client.statistics()

        publication.republish("two")

        cluster.wait_until(lambda: "two" in watcher.values)
        after = watcher.client.statistics()
        received = int(after["bytes_in"]) - int(before["bytes_in"])
        assert 0 < received < 1000
        assert len(watcher.values) == 1001


def test_without_changes_session_and_data_node_exchange_one_beat_a_second_and_compare_nothing(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=1)
    with (
        Worker("publish", cluster.url, "pay", "50", "resting"),
        Watcher(cluster.url, "pay") as watcher,
    ):
        cluster.wait_until(lambda: len(watcher.values) == 50)
        sessions = [node.node_id for node in cluster.of("session")]
        before = {node_id: cluster.statistics(node_id) for node_id in [*sessions, "data-1"]}

        def beats() -> int:
            return int(cluster.statistics("data-1")["beats"]) - int(before["data-1"]["beats"])

        seconds = cluster.wait_until(lambda: beats() >= 5, timeout_seconds=20.0)

        after = {node_id: cluster.statistics(node_id) for node_id in [*sessions, "data-1"]}
        # One beat a second; counting may begin and end anywhere within a second.
        assert beats() <= seconds + 2
        for node_id in sessions:
            assert after[node_id]["fetches"] == before[node_id]["fetches"]
            assert after[node_id]["gaps"] == before[node_id]["gaps"]
            assert after[node_id]["compares"] == before[node_id]["compares"]
            assert after[node_id]["pushes"] == before[node_id]["pushes"]
        assert after["data-1"]["hints"] == before["data-1"]["hints"]
