"""When a session dies, no registration of a living client is lost."""

import time

from conftest import StartCluster
from watching import Watcher, Worker

from zreg.testing.processes import RunningCluster


def _session_of(cluster: RunningCluster, worker_count: int) -> str:
    """Return the session to which all workers are connected."""
    for node in cluster.of("session"):
        if cluster.statistics(node.node_id)["publishers"] == worker_count:
            return node.node_id
    raise AssertionError(cluster.describe())


def test_the_clients_of_a_killed_session_reconnect_and_no_subscriber_sees_a_change(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=2, options=["--session-grace-seconds=6"])
    first, second = (node.node_id for node in cluster.of("session"))
    # A client tries its sessions in random order. So the worker is given one session only, from
    # which it learns the other.
    with (
        Worker("publish", cluster.url_of(first), "pay", "50", "steady"),
        Watcher(cluster.url_of(first), "pay") as here,
        Watcher(cluster.url_of(second), "pay") as there,
    ):
        cluster.wait_until(lambda: len(here.values) == len(there.values) == 50)
        assert _session_of(cluster, 50) == first

        cluster.kill(first)

        cluster.wait_until(lambda: cluster.statistics(second)["publishers"] == 50)
        cluster.wait_until(lambda: cluster.statistics(second)["pending"] == 0)
        # After the grace meta forgets the dead session; what only it registered is then removed.
        cluster.wait_until(
            lambda: "member.forgotten" in cluster.log("meta-1"), timeout_seconds=20.0
        )
        cluster.wait_until(
            lambda: all(
                cluster.statistics(node.node_id)["epoch"] == cluster.statistics("meta-1")["epoch"]
                for node in cluster.of("data")
            )
        )
        assert len(here.values) == len(there.values) == 50
        assert here.removed == there.removed == []


def test_if_a_client_dies_with_its_session_its_registrations_are_removed_after_the_grace(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=1, options=["--session-grace-seconds=4"])
    first, second = (node.node_id for node in cluster.of("session"))
    with (
        Worker("publish", cluster.url_of(first), "pay", "5", "mortal") as mortal,
        Watcher(cluster.url_of(second), "pay") as watcher,
    ):
        cluster.wait_until(lambda: len(watcher.values) == 5)
        killed_at = time.monotonic()
        cluster.kill(first)
        mortal.kill()

        cluster.wait_until(lambda: not watcher.values, timeout_seconds=20.0)
        assert time.monotonic() - killed_at > 4.0


def test_a_session_that_stops_in_good_order_sends_its_clients_to_another(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=1)
    first, second = (node.node_id for node in cluster.of("session"))
    with (
        Worker("publish", cluster.url_of(first), "pay", "5", "steady"),
        Watcher(cluster.url_of(second), "pay") as watcher,
    ):
        cluster.wait_until(lambda: len(watcher.values) == 5)
        cluster.terminate(first)

        cluster.wait_until(lambda: cluster.statistics(second)["publishers"] == 5)
        assert watcher.removed == []


def test_a_frozen_session_that_continues_removes_no_registration(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=1)
    first, second = (node.node_id for node in cluster.of("session"))
    with (
        Worker("publish", cluster.url_of(first), "pay", "5", "steady"),
        Watcher(cluster.url_of(second), "pay") as watcher,
    ):
        cluster.wait_until(lambda: len(watcher.values) == 5)
        cluster.stop(first)
        cluster.wait_until(lambda: cluster.statistics(second)["publishers"] == 5)
        cluster.wait_until(
            lambda: f"member.departed incarnation={first}" in cluster.log("meta-1"),
            timeout_seconds=15.0,
        )
        cluster.cont(first)

        cluster.wait_until(lambda: "node.incarnation.gone" in cluster.log(first))
        # A session that was stopped keeps clients that left it for the grace of a session: 20 s.
        cluster.wait_until(lambda: cluster.statistics(first)["clients"] == 0, timeout_seconds=60.0)
        assert len(watcher.values) == 5
        assert watcher.removed == []
