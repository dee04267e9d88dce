"""The health that a node reports over HTTP while other nodes fail."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from conftest import first_free_port

import zreg
from zreg.testing.processes import Running, RunningCluster, run_zreg, wait_until, zreg_command

ROLES = ("meta", "session", "data")


def is_healthy(cluster: RunningCluster) -> bool:
    return all(cluster.health(node_id).status == "ok" for node_id in cluster.nodes)


def test_all_living_nodes_report_a_lost_majority_of_meta_and_traffic_goes_on(
    tmp_path: Path,
) -> None:
    """No supervisor restarts a node for it, and load balancers still choose the session."""
    with RunningCluster(tmp_path, metas=3, sessions=1, data=1) as cluster:
        cluster.wait_until(lambda: is_healthy(cluster))
        cluster.kill("meta-1")
        cluster.wait_until(lambda: "meta-node-missing" in cluster.health("meta-3").codes)
        cluster.kill("meta-2")
        living = ("meta-3", "session-1", "data-1")

        def is_reported() -> bool:
            return all(cluster.health(n).codes == ["meta-quorum-missing"] for n in living)

        cluster.wait_until(is_reported, timeout_seconds=20.0)
        for node_id in living:
            health = cluster.health(node_id)
            assert (health.http_status, health.status) == (200, "degraded")
            (problem,) = health.problems
            assert "2 of its 3 nodes must run and reach each other" in problem.detail
            assert "meta-3 has no connection to meta-1" in problem.detail
            assert "start them, or check the network" in problem.detail
        assert cluster.health("meta-3", path="/readyz").http_status == 503
        for node_id in ("session-1", "data-1"):
            assert cluster.health(node_id, path="/readyz").http_status == 200
        with zreg.Client(cluster.url) as client:
            client.publish("pay", "one").wait_registered(5)
            assert client.subscribe("pay").wait_for(1, 5).view.values == ("one",)

        for node_id in ("meta-1", "meta-2"):
            cluster.restart(node_id)
        cluster.wait_until(lambda: is_healthy(cluster), timeout_seconds=20.0)
        for node_id in cluster.nodes:
            assert cluster.health(node_id, path="/readyz").http_status == 200


def test_a_node_reports_that_it_reaches_no_meta_node(tmp_path: Path) -> None:
    with RunningCluster(tmp_path) as cluster:
        cluster.kill("meta-1")

        def is_reported() -> bool:
            return all(
                cluster.health(n).codes == ["meta-unreachable"] for n in ("session-1", "data-1")
            )

        cluster.wait_until(is_reported, timeout_seconds=20.0)
        assert "start meta, correct --meta" in cluster.health("session-1").problems[0].detail
        # A session that starts now knows the membership from its disk, and accepts clients.
        cluster.kill("session-1")
        cluster.restart("session-1")
        health = cluster.health("session-1", path="/readyz")
        assert health.http_status == 200
        assert "not-admitted" in health.codes
        # A data node that starts now holds nothing, so it is not ready.
        cluster.kill("data-1")
        cluster.restart("data-1")
        assert cluster.health("data-1", path="/readyz").http_status == 503
        assert cluster.health("data-1").http_status == 200


def test_a_session_without_its_data_node_reports_it_and_stays_ready(
    tmp_path: Path,
) -> None:
    with RunningCluster(tmp_path) as cluster:
        cluster.kill("data-1")

        cluster.wait_until(lambda: "data-unreachable" in cluster.health("session-1").codes)

        health = cluster.health("session-1", path="/readyz")
        assert (health.http_status, health.ready) == (200, True)


def test_a_node_that_has_ended_does_not_answer(tmp_path: Path) -> None:
    with RunningCluster(tmp_path) as cluster:
        cluster.terminate("session-1")

        with pytest.raises(OSError, match="refused"):
            cluster.health("session-1")


@pytest.mark.parametrize("role", ROLES)
def test_a_given_http_port_is_used_and_one_in_use_is_refused(role: str, tmp_path: Path) -> None:
    port = first_free_port(1)
    options = ["--id=n1", "--port=0", f"--http-port={port}", f"--dir={tmp_path}", "-o", "json"]
    with socket.create_server(("127.0.0.1", port)):
        result = run_zreg(role, *options)
    assert result.returncode == 1
    assert f"http://127.0.0.1:{port} is already in use" in result.stderr
    assert result.stderr.endswith("choose another port with --http-port\n")

    with Running(zreg_command(role, *options)) as node:
        line = json.loads(node.line())
        assert line["http"] == f"127.0.0.1:{port}"
        with urllib.request.urlopen(f"http://{line['http']}/healthz", timeout=5) as response:
            assert json.load(response)["role"] == role


def test_http_can_be_switched_off_and_other_words_are_refused(tmp_path: Path) -> None:
    options = ["--port=0", "--http-port=off", f"--dir={tmp_path}", "-o", "json"]
    with Running(zreg_command("meta", *options)) as node:
        assert json.loads(node.line())["http"] is None
        node.send(signal.SIGTERM)
        assert node.wait() == 0

    result = run_zreg("meta", "--http-port=on")
    assert result.returncode == 2
    assert "write a port from 0 to 65535, or off" in result.stderr


def test_the_default_http_port_is_near_the_port() -> None:
    """A second node of a role on one host therefore has an HTTP port of its own."""
    port = first_free_port(4)
    with Running(zreg_command("session", f"--port={port}", "-o", "json")) as node:
        assert json.loads(node.line())["http"] == f"127.0.0.1:{port + 3}"
    result = run_zreg("data", "--port=65534", "--pub-port=0")
    assert result.returncode == 2
    assert "there is no port 65536 for HTTP: choose one with --http-port" in result.stderr


def test_dev_serves_http_for_each_node_and_prints_where_the_dashboard_is() -> None:
    """Its session serves before it has connected with the data node, which its health names."""

    def is_ok(line: dict[str, str]) -> bool:
        with urllib.request.urlopen(f"http://{line['http']}/readyz", timeout=5) as response:
            health = json.load(response)
        assert health["node_id"] == line["node_id"]
        return health["status"] == "ok"

    with Running(zreg_command("dev", "--port", "0", "-o", "json")) as registry:
        lines = [json.loads(registry.line()) for _ in range(4)][:3]
        assert len({line["http"] for line in lines}) == 3
        wait_until(lambda: all(is_ok(line) for line in lines))
    with Running(zreg_command("dev", "--port", "0")) as registry:
        label, url = [registry.line() for _ in range(5)][-1].split()
        assert label == "Dashboard:"
        with urllib.request.urlopen(f"{url}healthz", timeout=5) as response:  # noqa: S310 -- http
            assert json.load(response)["role"] == "session"


def test_without_the_http_library_a_node_says_what_to_install(tmp_path: Path) -> None:
    """Commands that only ask do not need it."""
    (tmp_path / "aiohttp").mkdir()
    (tmp_path / "aiohttp" / "__init__.py").write_text(
        "raise ModuleNotFoundError('no', name='aiohttp')"
    )
    paths = ":".join([str(tmp_path), str(Path(zreg.__file__).parents[1])])

    result = run_zreg("meta", "--port=0", environment={"PYTHONPATH": paths})

    assert result.returncode == 2
    assert "pip install 'zreg[node]', or say --http-port off" in result.stderr
    assert run_zreg("version", environment={"PYTHONPATH": paths}).returncode == 0


def test_commands_that_only_ask_do_not_load_the_http_library() -> None:
    program = "import sys; import zreg.cli.app; print('aiohttp' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout == "False\n"
