"""The walk of docs/http.md, the script in examples/, and programs over HTTP when sessions die."""

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import StartCluster
from page_blocks import blocks_of
from watching import Watcher

import zreg
from zreg.testing.processes import Running, RunningCluster, wait_until

ROOT = Path(__file__).parents[2]
PATH = "/v1/services/orders/instances/web-1"
LEASE_SECONDS = 2.0

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def put(http: str, value: str = "10.0.0.7:80") -> dict[str, Any] | None:
    """Renew at one session; return its answer, None if it cannot be reached or refuses."""
    request = urllib.request.Request(  # noqa: S310 -- a node of this test
        f"{http}{PATH}?lease_seconds={LEASE_SECONDS:g}",
        json.dumps({"values": [value]}).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- see above
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


def http_of(cluster: RunningCluster, number: int) -> str:
    http = cluster.of("session")[number].http
    assert http
    return f"http://{http}"


def renew_until(cluster: RunningCluster, sessions: list[str], is_over: Any) -> None:
    """Renew at the sessions in turn, as often as they say; a session that fails is passed over."""
    number = 0

    def has_ended() -> bool:
        nonlocal number
        number += 1
        if put(sessions[number % len(sessions)]) is None:
            assert any(put(http) is not None for http in sessions), cluster.describe()
        return bool(is_over(number))

    cluster.wait_until(has_ended, timeout_seconds=60)


def test_a_session_is_killed_and_renewals_alternate_and_no_subscriber_sees_a_removal(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=3, data=2, options=["--session-grace-seconds=4"])
    sessions = [http_of(cluster, number) for number in range(3)]
    nodes = [node.node_id for node in cluster.of("session")]
    assert put(sessions[0]) is not None
    with Watcher(cluster.url_of(nodes[2]), "orders") as watcher:
        cluster.wait_until(lambda: {"10.0.0.7:80"} in watcher.told)
        told = len(watcher.told)
        renew_until(cluster, sessions, lambda number: number >= 12)
        taken = [cluster.statistics(node)["http_instances_taken"] for node in nodes]
        assert all(taken), taken

        cluster.kill(nodes[0])
        renew_until(cluster, sessions, lambda _: "member.forgotten" in cluster.log("meta-1"))
        renew_until(cluster, sessions[1:], lambda number: number >= 12)
        assert watcher.removed == []
        assert all(values == {"10.0.0.7:80"} for values in watcher.told[told:])

        # Nothing renews it any more.
        cluster.wait_until(lambda: watcher.removed == ["10.0.0.7:80"], timeout_seconds=20)
        assert watcher.values == set()


@curl
def test_the_commands_of_the_page_work(start_cluster: StartCluster) -> None:
    http = http_of(start_cluster(), 0)
    walk = [block.text for block in blocks_of(ROOT / "docs" / "http.md", "sh")]
    commands = next(text for text in walk if "-X DELETE" in text)
    results = [
        json.loads(
            subprocess.run(
                ["sh", "-c", f"{line} -sS --fail-with-body"],
                capture_output=True,
                timeout=30,
                check=True,
            ).stdout
        )
        for line in commands.replace("http://127.0.0.1:9603", http).splitlines()
    ]
    registered, shown, withdrawn = results
    assert (registered["outcome"], registered["lease_seconds"]) == ("registered", 60.0)
    assert [each["attributes"] for each in shown["instances"]] == [{"zreg.http": "web-9"}]
    assert withdrawn["was_registered"] is True


@curl
def test_the_script_registers_a_server_as_long_as_it_runs(start_cluster: StartCluster) -> None:
    cluster = start_cluster()
    # Nothing listens at the first one.
    environment = {"ZREG_HTTP": f"http://127.0.0.1:1 {http_of(cluster, 0)}"}
    server = ["sh", "-c", "trap 'kill $!; exit 3' TERM; sleep 60 & wait"]
    script = [str(ROOT / "examples" / "register.sh"), "orders", "10.0.0.7:80", *server]
    with zreg.Client(cluster.url) as client:
        view = client.subscribe("orders", scope=zreg.Scope.GLOBAL)
        with Running(script, environment=environment) as running:
            view.wait_for(1, timeout_seconds=30)
            assert view.view.values == ("10.0.0.7:80",)
            running.send(signal.SIGTERM)
            assert running.wait(20) == 3
        wait_until(lambda: not view.view, timeout_seconds=10)
