"""`zreg cluster`: once it is ready every session serves, and no node outlives it."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import StartCluster, first_free_port

import zreg
from zreg.testing.processes import NodeProcess, Running, RunningCluster, wait_until, zreg_command


def test_once_ready_every_session_serves(start_cluster: StartCluster) -> None:
    """A value published on one session is seen on the other at once."""
    cluster = start_cluster(sessions=2, data=3)

    assert [(node.role, node.node_id) for node in cluster.nodes.values()] == [
        ("meta", "meta-1"),
        ("session", "session-1"),
        ("session", "session-2"),
        ("data", "data-1"),
        ("data", "data-2"),
        ("data", "data-3"),
    ]
    assert len({cluster.health(node_id).node_id for node_id in cluster.nodes}) == 6
    with (
        zreg.Client(cluster.url_of("session-1")) as one,
        zreg.Client(cluster.url_of("session-2")) as other,
    ):
        for number in range(9):
            one.publish(f"id-{number}", "v").wait_registered(2)
            assert other.subscribe(f"id-{number}").wait_for(1, 2).view.values == ("v",)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_its_nodes(cluster: RunningCluster, number: signal.Signals) -> None:
    cluster.process.send_signal(number)

    assert cluster.process.wait(10) == 0
    assert not any(node.is_alive for node in cluster.nodes.values())
    assert all("node.stopping" in cluster.log(node_id) for node_id in cluster.nodes)


def test_a_signal_ends_a_frozen_node_too(cluster: RunningCluster) -> None:
    cluster.stop("data-1")
    cluster.process.terminate()

    assert cluster.process.wait(10) == 0
    assert not cluster.nodes["data-1"].is_alive


def test_no_node_outlives_it(cluster: RunningCluster) -> None:
    """Not even if it is killed, and not even a frozen node."""
    cluster.stop("data-1")
    cluster.process.kill()
    cluster.process.wait()

    wait_until(lambda: not any(node.is_alive for node in cluster.nodes.values()))


def test_a_node_that_ends_by_itself_is_reported_with_its_code(tmp_path: Path) -> None:
    with Running(zreg_command("cluster", "--json", "--dir", str(tmp_path / "logs"))) as running:
        nodes = {}
        while "ready" not in (line := json.loads(running.line())):
            nodes[line["node_id"]] = NodeProcess(**line)
        nodes["data-1"].signal(signal.SIGKILL)
        assert running.error_line() == (
            f"zreg: data-1 (pid {nodes['data-1'].pid}) ended with exit code -9: killed by SIGKILL"
        )
        nodes["session-1"].signal(signal.SIGTERM)
        assert "session-1" in (error := running.error_line())
        assert "ended with exit code 0" in error
        nodes["meta-1"].signal(signal.SIGTERM)
        running.error_line()
        assert running.error_line() == (
            "zreg: all nodes have ended: read their logs, then start the cluster again"
        )
        assert running.wait() == 1


def test_without_json_it_prints_a_table_and_a_command_to_try() -> None:
    with Running(zreg_command("cluster", "--session", "2")) as running:
        lines = [running.line() for _ in range(7)]
        text = "\n".join(lines)
        for node_id in ("meta-1", "session-1", "session-2", "data-1"):
            assert re.search(rf"{node_id} +\d+ +127\.0\.0\.1:\d+", text)
        last = lines[-1]
        assert last.startswith("The cluster is ready at zreg://127.0.0.1:")
        command = last.rpartition("Try: ")[2].split()
        shown = subprocess.run(
            zreg_command(*command[1:]), capture_output=True, text=True, check=True, timeout=30
        )
        assert "session-2" in shown.stdout
        running.send(signal.SIGINT)
        assert running.wait() == 0


def test_ports_are_counted_up_from_the_base_port(tmp_path: Path) -> None:
    base = first_free_port()
    options = [f"--base-port={base}"]
    with RunningCluster(tmp_path, sessions=2, options=options) as cluster:
        ports = [int(node.address.rpartition(":")[2]) for node in cluster.nodes.values()]
        https = [int(node.http.rpartition(":")[2]) for node in cluster.nodes.values() if node.http]
    # The port on which a node broadcasts stands between the two.
    assert ports == [base, base + 3, base + 5, base + 7]
    assert https == [base + 2, base + 4, base + 6, base + 9]


def test_a_node_that_cannot_start_ends_the_command(tmp_path: Path) -> None:
    """The second of two clusters on one base port reports it."""
    base = first_free_port()
    with RunningCluster(tmp_path / "one", options=[f"--base-port={base}"]):
        result = subprocess.run(
            zreg_command("cluster", f"--base-port={base}", "--dir", str(tmp_path / "two")),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    log = tmp_path / "two" / "meta-1.log"
    assert result.returncode == 1
    assert result.stderr == f"zreg: meta-1 did not start and ended with exit code 1: see {log}\n"
    assert "is already in use" in log.read_text()


def test_settings_are_passed_to_the_nodes(start_cluster: StartCluster) -> None:
    cluster = start_cluster(options=["--lease-seconds=9", "--cluster=mine"])

    assert "--lease-seconds=9.0" in cluster.nodes["data-1"].arguments
    with zreg.Client(cluster.url, cluster="mine") as client:
        client.publish("x", "v").wait_registered(5)


def test_a_node_can_be_killed_restarted_and_added(cluster: RunningCluster) -> None:
    """The fixture itself works, on which all tests of processes rely."""
    with zreg.Client(cluster.url) as client:
        client.publish("x", "v").wait_registered(5)
        former = cluster.nodes["data-1"]
        cluster.kill("data-1")
        restarted = cluster.restart("data-1")
        cluster.add("data", "data-2")
        cluster.wait_until(
            lambda: sum(int(cluster.statistics(n)["publishers"]) for n in ("data-1", "data-2")) == 1
        )
    assert restarted.node_id == former.node_id
    assert restarted.pid != former.pid
    assert os.getpgid(restarted.pid)
