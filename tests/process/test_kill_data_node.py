"""No view changes when a data node dies, comes back, is added, hangs or leaves."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from conftest import StartCluster
from watching import Watcher, Worker

from zreg.testing.processes import RunningCluster, zreg_command

IDS = [f"service-{number}" for number in range(5)]


class Crowd:
    """500 publishers of five ids on two sessions, and a subscriber of each id on each session."""

    def __init__(self, cluster: RunningCluster, stack: ExitStack) -> None:
        self.cluster = cluster
        sessions = [node.node_id for node in cluster.of("session")]
        for number, data_id in enumerate(IDS):
            url = cluster.url_of(sessions[number % 2])
            stack.enter_context(Worker("publish", url, data_id, "100", data_id))
        self.watchers = [
            stack.enter_context(Watcher(cluster.url_of(session), data_id))
            for data_id in IDS
            for session in sessions
        ]
        cluster.wait_until(self.is_complete, timeout_seconds=30.0)

    def is_complete(self) -> bool:
        return all(len(watcher.values) == 100 for watcher in self.watchers)

    def wait_reconciled(self) -> None:
        """Wait until every data node has compared with every session under the newest ring."""

        def is_reconciled() -> bool:
            ring_epoch = self.cluster.statistics("meta-1")["ring_epoch"]
            living = [node.node_id for node in self.cluster.of("data") if node.is_alive]
            figures = [self.cluster.statistics(node_id) for node_id in living]
            return (
                all(f["unreconciled"] == 0 and f["ring_epoch"] == ring_epoch for f in figures)
                and sum(int(f["publishers"]) for f in figures) == 500
            )

        self.cluster.wait_until(is_reconciled, timeout_seconds=30.0)

    def assert_undisturbed(self) -> None:
        assert self.is_complete(), self.cluster.describe()
        assert [watcher.removed for watcher in self.watchers] == [[]] * len(self.watchers)


@pytest.fixture
def crowd(start_cluster: StartCluster) -> Iterator[Crowd]:
    with ExitStack() as stack:
        yield Crowd(start_cluster(sessions=2, data=3), stack)


def test_no_subscriber_sees_a_removal_when_a_data_node_is_killed_and_comes_back(
    crowd: Crowd,
) -> None:
    cluster = crowd.cluster
    cluster.kill("data-1")
    cluster.wait_until(
        lambda: "member.departed incarnation=data-1" in cluster.log("meta-1"),
        timeout_seconds=15.0,
    )
    crowd.wait_reconciled()
    crowd.assert_undisturbed()

    cluster.restart("data-1")
    cluster.wait_until(lambda: cluster.log("meta-1").count("incarnation=data-1@") >= 3)
    crowd.wait_reconciled()
    crowd.assert_undisturbed()


def test_no_subscriber_sees_a_removal_when_a_data_node_is_restarted_at_once(crowd: Crowd) -> None:
    cluster = crowd.cluster
    cluster.kill("data-2")
    cluster.restart("data-2")

    cluster.wait_until(lambda: cluster.log("meta-1").count("joined incarnation=data-2@") == 2)
    crowd.wait_reconciled()
    crowd.assert_undisturbed()


def test_no_subscriber_sees_a_removal_when_a_data_node_is_added(crowd: Crowd) -> None:
    cluster = crowd.cluster
    cluster.add("data", "data-4")

    cluster.wait_until(lambda: "joined incarnation=data-4@" in cluster.log("meta-1"))
    crowd.wait_reconciled()
    crowd.assert_undisturbed()


def test_publishes_and_removals_while_a_data_node_is_away_are_right_afterwards(
    crowd: Crowd,
) -> None:
    cluster = crowd.cluster
    cluster.kill("data-3")
    with Worker("publish", cluster.url, IDS[0], "10", "late") as late:
        cluster.wait_until(
            lambda: all(len(w.values) == 110 for w in crowd.watchers[:2]), timeout_seconds=15.0
        )
        late.kill()
        cluster.wait_until(lambda: all(len(w.values) == 100 for w in crowd.watchers[:2]))
    cluster.restart("data-3")
    cluster.wait_until(lambda: cluster.log("meta-1").count("joined incarnation=data-3@") == 2)
    crowd.wait_reconciled()

    assert crowd.is_complete()
    for watcher in crowd.watchers:
        assert all(value.startswith("late") for value in watcher.removed)


def test_a_restarted_meta_continues_above_the_highest_epoch_and_expires_no_member(
    crowd: Crowd,
) -> None:
    cluster = crowd.cluster
    before = cluster.statistics("data-1")
    cluster.kill("meta-1")
    cluster.restart("meta-1")

    cluster.wait_until(
        lambda: int(cluster.statistics("data-1")["epoch"]) > int(before["epoch"]),
        timeout_seconds=15.0,
    )
    after = cluster.statistics("data-1")
    assert after["incarnation"] == before["incarnation"]
    assert cluster.log("meta-1").count("member.departed") == 0
    crowd.assert_undisturbed()


def is_working(cluster: RunningCluster, node_id: str) -> bool:
    return cluster.nodes[node_id].is_alive and cluster.health(node_id).ready


def test_data_nodes_that_are_killed_one_after_the_other_lose_nothing(crowd: Crowd) -> None:
    cluster = crowd.cluster
    for node_id in ("data-1", "data-2", "data-3"):
        cluster.kill(node_id)
        cluster.wait_until(
            lambda gone=node_id: f"member.departed incarnation={gone}" in cluster.log("meta-1"),
            timeout_seconds=15.0,
        )
        with Worker("publish", cluster.url, IDS[0], "1", f"after {node_id}") as late:
            cluster.wait_until(
                lambda: all(len(w.values) == 101 for w in crowd.watchers[:2]), timeout_seconds=15.0
            )
            late.kill()
            cluster.wait_until(lambda: all(len(w.values) == 100 for w in crowd.watchers[:2]))
        cluster.restart(node_id)
        cluster.wait_until(lambda back=node_id: is_working(cluster, back), timeout_seconds=20.0)
    crowd.wait_reconciled()

    assert crowd.is_complete()
    for watcher in crowd.watchers:
        assert all(value.startswith("after") for value in watcher.removed)


def test_a_rolling_restart_of_all_data_nodes_shows_no_subscriber_anything(crowd: Crowd) -> None:
    """SIGTERM, as systemd sends it: the node hands over before it ends."""
    cluster = crowd.cluster
    for node_id in ("data-1", "data-2", "data-3"):
        cluster.nodes[node_id].signal(signal.SIGTERM)
        cluster.wait_until(
            lambda gone=node_id: not cluster.nodes[gone].is_alive, timeout_seconds=20.0
        )
        assert "data.handed_over" in cluster.log(node_id)
        cluster.restart(node_id)
        cluster.wait_until(lambda back=node_id: is_working(cluster, back), timeout_seconds=20.0)
    crowd.wait_reconciled()

    crowd.assert_undisturbed()


def test_a_data_node_that_hangs_for_long_shows_no_subscriber_anything(crowd: Crowd) -> None:
    cluster = crowd.cluster
    cluster.nodes["data-2"].signal(signal.SIGSTOP)
    cluster.wait_until(
        lambda: "member.departed incarnation=data-2@" in cluster.log("meta-1"),
        timeout_seconds=15.0,
    )
    cluster.nodes["data-2"].signal(signal.SIGCONT)
    cluster.wait_until(
        lambda: cluster.log("meta-1").count("joined incarnation=data-2@") == 2,
        timeout_seconds=20.0,
    )
    crowd.wait_reconciled()

    crowd.assert_undisturbed()


def test_a_session_and_a_data_node_that_die_together_lose_nothing(crowd: Crowd) -> None:
    cluster = crowd.cluster
    cluster.kill("session-1")
    cluster.kill("data-1")
    cluster.restart("session-1")
    cluster.wait_until(
        lambda: "member.departed incarnation=data-1" in cluster.log("meta-1"),
        timeout_seconds=15.0,
    )
    crowd.wait_reconciled()

    cluster.wait_until(crowd.is_complete, timeout_seconds=30.0)
    crowd.assert_undisturbed()


def test_an_operator_drains_a_data_node(crowd: Crowd) -> None:
    cluster = crowd.cluster
    drain = subprocess.run(
        zreg_command("data", "drain", "data-3", "--url", cluster.url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (drain.returncode, drain.stderr) == (0, ""), drain.stdout
    cluster.wait_until(lambda: not cluster.nodes["data-3"].is_alive, timeout_seconds=20.0)
    crowd.wait_reconciled()

    crowd.assert_undisturbed()
