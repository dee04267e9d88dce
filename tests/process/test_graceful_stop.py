"""How one node starts and stops: signals, systemd, log lines, and reasons not to start."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import StartCluster

import zreg
from zreg.testing.processes import Running, RunningCluster, clean_environment, zreg_command

SHORT_LEASE = ("--lease-seconds=1", "--renew-seconds=0.2", "--ping-seconds=0.2")
RESTORED = "meta.connection.restored"


@pytest.fixture
def meta_address(tmp_path: Path) -> Iterator[str]:
    with node("meta", f"--dir={tmp_path / 'meta'}") as meta:
        yield json.loads(meta.line())["address"]


def node(role: str, *options: str, **environment: str) -> Running:
    command = zreg_command(role, "--port=0", "-o", "json", *SHORT_LEASE, *options)
    return Running(command, environment=environment)


# --- stopping -----------------------------------------------------------------------------------


def test_a_session_that_stops_sends_its_clients_to_another(
    start_cluster: StartCluster,
) -> None:
    """No subscriber sees a change."""
    cluster = start_cluster(sessions=2)
    with zreg.Client(cluster.url) as watcher, zreg.Client(cluster.url) as publisher:
        publication = publisher.publish("x", "v").wait_registered(5)
        subscription = watcher.subscribe("x").wait_for(1, 5)
        removed: list[object] = []
        subscription(lambda change: removed.extend(change.removed))
        for node_id in ("session-1", "session-2"):
            cluster.terminate(node_id)
            watcher.wait_connected(5)
            publication.wait_registered(5)
            assert not subscription.view.is_stale or cluster.wait_until(
                lambda: not subscription.view.is_stale
            )
            cluster.restart(node_id)
        assert removed == []


def test_a_node_that_stops_leaves_the_membership_at_once(cluster: RunningCluster) -> None:
    cluster.add("data", "data-2")
    command = zreg_command("nodes", "--meta", cluster.meta_address, "-o", "json")

    def members() -> list[str]:
        result = subprocess.run(command, capture_output=True, check=True, timeout=30)
        return [each["node_id"] for each in json.loads(result.stdout)]

    cluster.wait_until(lambda: "data-2" in members())
    cluster.terminate("data-2")
    # It says goodbye and ends; meta has taken it for a member for the lease otherwise.
    cluster.wait_until(lambda: "data-2" not in members(), timeout_seconds=2.0)


def test_the_second_signal_ends_it_at_once(meta_address: str) -> None:
    with node("data", f"--meta={meta_address}") as data:
        while "node.joined" not in data.error_line():
            pass
        # Both signals are pending while the node is frozen, so that it gets them together.
        data.send(signal.SIGSTOP)
        data.send(signal.SIGTERM)
        data.send(signal.SIGINT)
        data.send(signal.SIGCONT)
        assert data.wait(5) in {128 + signal.SIGINT, 128 + signal.SIGTERM}


# --- systemd ------------------------------------------------------------------------------------


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return a notification socket, as systemd has one, and its path."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(10)
        yield path, receiver


def test_a_node_notifies_systemd_when_it_is_ready_alive_and_stopping(
    notified: tuple[str, socket.socket], tmp_path: Path
) -> None:
    """It is ready once meta has admitted it; it is alive twice in each watchdog interval."""
    path, receiver = notified
    environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
    log = tmp_path / "log"
    with log.open("w") as stderr, socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
        reserved.close()
        command = zreg_command("session", "--port=0", f"--meta=127.0.0.1:{port}", *SHORT_LEASE)
        session = subprocess.Popen(command, env=clean_environment(environment), stderr=stderr)
        try:
            # Without meta it is alive, but not ready.
            assert [receiver.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
            place = [f"--port={port}", "--http-port=0", f"--dir={tmp_path / 'meta'}"]
            with Running(zreg_command("meta", *place, *SHORT_LEASE)):
                while (state := receiver.recv(100)) == b"WATCHDOG=1":
                    pass
                assert state == b"READY=1"
                session.terminate()
                while (state := receiver.recv(100)) == b"WATCHDOG=1":
                    pass
                assert state == b"STOPPING=1"
                assert session.wait(10) == 0
        finally:
            session.kill()
            session.wait()


def test_the_journal_gets_the_level_of_each_line(tmp_path: Path, meta_address: str) -> None:
    """`<N>` begins every line if stderr is the stream that JOURNAL_STREAM names."""
    path = tmp_path / "journal"
    with path.open("w") as stderr:
        status = os.fstat(stderr.fileno())
        environment = clean_environment({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        command = zreg_command("data", "--port=0", "-o", "json", f"--meta={meta_address}")
        data = subprocess.Popen(command, env=environment, stderr=stderr, stdout=subprocess.PIPE)
        assert data.stdout is not None
        with data:
            data.stdout.readline()
            while "node.joined" not in path.read_text():
                assert data.poll() is None
            data.terminate()
    lines = path.read_text().splitlines()
    assert lines[0].startswith("<6>node.started ")
    assert re.fullmatch(r"<6>node\.joined incarnation=\S+ epoch=\d+", lines[1])
    assert "<6>node.stopping signal=SIGTERM" in lines[2:]
    assert all(re.match(r"<[0-7]>[a-z]", line) for line in lines)


# --- starting -----------------------------------------------------------------------------------


def test_without_meta_a_node_waits_and_reports_it_once(tmp_path: Path) -> None:
    """One line when meta is lost and one when it is back, however many attempts are made."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with node("data", f"--meta=127.0.0.1:{port}", "--reconnect-seconds-max=0.1") as data:
        data_id = json.loads(data.line())["node_id"]
        assert "node.started" in data.error_line()
        line = data.error_line()
        assert f"WARNING {data_id} meta.connection.lost" in line
        assert f"reason='127.0.0.1:{port}: refused' detail='start meta, or correct --meta" in line
        # A node that meta has admitted keeps its incarnation: it joins only once.
        for expected in ({"node.joined", "data.took_over", RESTORED}, {RESTORED}):
            place = [f"--port={port}", "--http-port=0", f"--dir={tmp_path}"]
            meta = Running(zreg_command("meta", *place, *SHORT_LEASE))
            with meta:
                events = {data.error_line().split()[3] for _ in expected}
                assert events == expected
                meta.send(signal.SIGKILL)
                meta.wait()
                assert "meta.connection.lost" in data.error_line()
            # After many more attempts there is no other line.
            with pytest.raises(AssertionError, match="no line within"):
                data.error_line(timeout_seconds=1.0)


def test_a_second_node_with_the_same_id_does_not_start(meta_address: str) -> None:
    first = node("data", f"--meta={meta_address}", "--id=twin")
    with first:
        address = json.loads(first.line())["address"]
        while "node.joined" not in first.error_line():
            pass
        with node("data", f"--meta={meta_address}", "--id=twin") as second:
            assert second.wait(10) == 1
            lines = [second.error_line()]
            while lines[-1]:
                lines.append(second.error_line())
            assert lines[-2] == (
                f"zreg: node id 'twin' is in use by the data node at tcp://{address}: stop that "
                "one, or start this one with another node id"
            )
        assert first.process.poll() is None


def test_a_node_advertises_an_address_that_other_machines_can_use(tmp_path: Path) -> None:
    wide_open = ("--host=0.0.0.0", "--insecure", "--id=m1", f"--dir={tmp_path}")
    with node("meta", *wide_open) as meta:
        assert re.match(r"(?!0\.0\.0\.0)[\d.]+:\d+", json.loads(meta.line())["address"])
    with node("meta", *wide_open, "--advertise-host=registry.example") as meta:
        assert json.loads(meta.line())["address"].startswith("registry.example:")


def test_sigusr1_writes_the_statistics_to_the_log(cluster: RunningCluster) -> None:
    cluster.wait_until(lambda: all(cluster.statistics(n)["epoch"] == 3 for n in cluster.nodes))
    for node_id in cluster.nodes:
        found = cluster.statistics(node_id)
        assert found["node_id"] == node_id
        assert int(found["turns"]) > 0
