"""Each node is killed, stopped and cut off: `zreg status`, `nodes`, `events` and the log say so.

An operator who knows nothing else finds out what happened, when and why, and what to do.
"""

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from zreg.testing.processes import ProxiedCluster, Running, run_zreg, zreg_command

NODES = ("meta-1", "meta-2", "meta-3", "session-1", "session-2", "data-1", "data-2")
# A lease, an election, and a busy machine.
NOTICED_SECONDS = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedCluster]:
    """Run seven nodes for all tests of this module."""
    directory = tmp_path_factory.mktemp("cluster")
    with ProxiedCluster(directory, metas=3, sessions=2, data=2) as cluster:
        yield cluster


def url_beside(cluster: ProxiedCluster, node_id: str) -> str:
    """Return the URL of a session that is another node than this one."""
    return cluster.url_of("session-2" if node_id == "session-1" else "session-1")


def zreg_json(cluster: ProxiedCluster, node_id: str, *arguments: str) -> list[dict[str, Any]]:
    """Return what a command found by asking beside a node; while no node answers, nothing.

    A session that is cut off would show what it knew before.
    """
    result = run_zreg(*arguments, "-o", "json", "--url", url_beside(cluster, node_id))
    return [] if result.returncode else json.loads(result.stdout)  # type: ignore[no-any-return]


def found(cluster: ProxiedCluster, node_id: str) -> dict[str, Any]:
    """Return how `zreg nodes` shows a node, in its last life."""
    shown = [each for each in zreg_json(cluster, node_id, "nodes") if each["node_id"] == node_id]
    return shown[-1] if shown else {"status": "not listed"}


def told(cluster: ProxiedCluster, kind: str, node_id: str, *details: str) -> list[dict[str, Any]]:
    """Return the events of a kind about a node, whose detail has one of some texts."""
    return [
        each
        for each in zreg_json(cluster, node_id, "events", "--kind", kind, "--since", "10m")
        if each["subject"].partition("@")[0] == node_id
        and any(detail in each["detail"] for detail in details or ("",))
    ]


def codes(cluster: ProxiedCluster, node_id: str) -> list[str]:
    return cluster.health(node_id).codes


def others(node_id: str) -> list[str]:
    return [each for each in NODES if each != node_id]


def cut_off(cluster: ProxiedCluster, node_id: str) -> None:
    for other in others(node_id):
        cluster.cut(node_id, other)


def mend(cluster: ProxiedCluster, node_id: str) -> None:
    for other in others(node_id):
        cluster.mend(node_id, other)


Fault = Callable[[ProxiedCluster, str], object]
FAULTS: dict[str, tuple[Fault, Fault]] = {
    "kill": (ProxiedCluster.kill, ProxiedCluster.restart),
    "stop": (ProxiedCluster.stop, ProxiedCluster.cont),
    "cut": (cut_off, mend),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("node_id", NODES[3:])
def test_a_session_or_data_node_that_is_lost_is_gone_until_it_is_back(
    cluster: ProxiedCluster, node_id: str, fault: str
) -> None:
    begin, end = FAULTS[fault]
    witness = "session-2" if node_id == "session-1" else "session-1"
    reason = "gone" if fault == "kill" else "silent"
    before = len(told(cluster, "member.departed", node_id, f"reason={reason}"))

    begin(cluster, node_id)
    cluster.wait_until(
        lambda: found(cluster, node_id)["status"] == "GONE", timeout_seconds=NOTICED_SECONDS
    )

    assert found(cluster, node_id)["gone"]["reason"] == reason
    url = url_beside(cluster, node_id)
    sentence = run_zreg("nodes", "--url", url).stdout
    assert f"node-gone: {node_id} (" in sentence
    assert f"`zreg nodes dismiss {node_id}`" in sentence
    assert ("copies 1 of 2" in sentence) is node_id.startswith("data-")
    status = run_zreg("status", "--url", url).stdout
    assert f"{node_id} (" in status
    assert " has been gone for " in status
    assert f"zreg nodes dismiss {node_id}" in status
    # A node that answers a question late is left out of that answer.
    cluster.wait_until(
        lambda: len(told(cluster, "member.departed", node_id, f"reason={reason}")) == before + 1
    )
    cluster.wait_until(lambda: "node-gone" in codes(cluster, witness), timeout_seconds=5.0)
    health = cluster.health(witness)
    assert (health.http_status, health.status) == (200, "degraded")
    assert any(f"incarnation={node_id}@" in cluster.log(meta) for meta in NODES[:3])

    end(cluster, node_id)
    cluster.wait_until(
        lambda: found(cluster, node_id)["status"] == "WORKING", timeout_seconds=NOTICED_SECONDS
    )
    cluster.wait_until(lambda: codes(cluster, witness) == [], timeout_seconds=NOTICED_SECONDS)
    cluster.wait_until(lambda: told(cluster, "member.replaced", node_id))
    if fault != "kill":
        # It says itself that it is back.
        cluster.wait_until(lambda: told(cluster, "node.joined", node_id))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("node_id", NODES[:3])
def test_a_meta_node_that_is_lost_is_silent_until_it_is_back(
    cluster: ProxiedCluster, node_id: str, fault: str
) -> None:
    begin, end = FAULTS[fault]
    before = len(told(cluster, "raft.peer.lost", node_id))
    begin(cluster, node_id)
    cluster.wait_until(
        lambda: found(cluster, node_id)["status"] == "SILENT", timeout_seconds=NOTICED_SECONDS
    )
    cluster.wait_until(
        lambda: len(told(cluster, "raft.peer.lost", node_id)) > before,
        timeout_seconds=NOTICED_SECONDS,
    )
    left = [each for each in NODES[:3] if each != node_id]
    cluster.wait_until(
        lambda: any("meta-node-missing" in codes(cluster, each) for each in left),
        timeout_seconds=NOTICED_SECONDS,
    )
    assert f"{node_id} is not heard" in run_zreg("status", "--url", cluster.url).stdout

    end(cluster, node_id)
    cluster.wait_until(
        lambda: found(cluster, node_id)["status"] == "WORKING", timeout_seconds=NOTICED_SECONDS
    )


def test_nodes_that_do_not_answer_are_named(cluster: ProxiedCluster) -> None:
    cluster.stop("data-1")
    result = run_zreg("events", "--url", cluster.url)
    cluster.cont("data-1")

    assert result.returncode == 0
    # It is no member any more if the command took longer to start than its lease to expire.
    assert "the events of data-1 are missing (" in result.stderr
    reasons = ("it is stopped, overloaded or cut off", "it was silent for a lease")
    assert any(reason in result.stderr for reason in reasons)
    cluster.wait_until(
        lambda: found(cluster, "data-1")["status"] == "WORKING", timeout_seconds=NOTICED_SECONDS
    )


def test_a_lost_node_that_is_not_to_come_back_is_dismissed(cluster: ProxiedCluster) -> None:
    subject = f"session-2@{found(cluster, 'session-2')['incarnation_epoch']}"
    follow = ("events", "--follow", "--kind", "member", "-o", "json")
    with Running(zreg_command(*follow, "--meta", cluster.meta_address)) as events:
        cluster.kill("session-2")
        cluster.wait_until(
            lambda: found(cluster, "session-2")["status"] == "GONE",
            timeout_seconds=NOTICED_SECONDS,
        )
        event = {"kind": "", "subject": ""}
        while (event["kind"], event["subject"]) != ("member.departed", subject):
            event = json.loads(events.line())
    assert (event["level"], event["node_id"][:5]) == ("warning", "meta-")
    done = run_zreg("nodes", "dismiss", "session-2", "--url", cluster.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert found(cluster, "session-2")["status"] in ("DEPARTED", "not listed")
    cluster.wait_until(lambda: codes(cluster, "session-1") == [], timeout_seconds=5.0)

    again = run_zreg("nodes", "dismiss", "session-2", "--meta", cluster.meta_address)
    assert again.returncode == 3
    assert "nothing to dismiss: meta shows the loss of no node now" in again.stderr
    cluster.wait_until(lambda: told(cluster, "member.dismissed", "session-2"))


def test_the_page_of_nodes_shows_the_same_as_the_command(cluster: ProxiedCluster) -> None:
    def on_page() -> list[tuple[str, str]]:
        url = cluster.nodes["session-1"].http_url("/v1/nodes")
        with urllib.request.urlopen(url, timeout=30) as answered:  # noqa: S310 -- it is http
            return [(node["node_id"], node["status"]) for node in json.load(answered)["nodes"]]

    def in_command() -> list[tuple[str, str]]:
        return [
            (each["node_id"], each["status"].lower()) for each in zreg_json(cluster, "", "nodes")
        ]

    cluster.kill("data-2")
    cluster.stop("meta-3")
    try:
        seen = {("data-2", "gone"), ("meta-3", "silent")}
        cluster.wait_until(lambda: seen <= set(on_page()), timeout_seconds=NOTICED_SECONDS)
        assert sorted(on_page()) == sorted(in_command())
    finally:
        cluster.cont("meta-3")
        cluster.restart("data-2")
