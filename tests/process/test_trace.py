"""`zreg trace` shows where a change was, at which of several processes, and where it was slow."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from inline_zreg import inline_zreg

import zreg
from zreg.testing.processes import RunningCluster

# A lease, and a busy machine.
SECONDS = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Run two sessions and two data nodes, and change an id with subscribers at both sessions."""
    directory = tmp_path_factory.mktemp("cluster")
    with RunningCluster(directory, sessions=2, data=2) as cluster:
        yield cluster


def url(cluster: RunningCluster, node_id: str) -> str:
    return f"zreg://{cluster.nodes[node_id].address.removeprefix('tcp://')}"


@pytest.fixture(scope="module")
def publication(cluster: RunningCluster) -> Iterator[zreg.Publication]:
    with (
        zreg.Client(url(cluster, "session-1")) as one,
        zreg.Client(url(cluster, "session-2")) as other,
    ):
        publication = one.publish("traced", "0").wait_registered(timeout_seconds=SECONDS)
        # The replica that takes part makes its copy first.
        cluster.wait_until(lambda: copies_of(publication) == 2)
        subscriptions = [each.subscribe("traced").wait_for(1) for each in (one, other)]
        publication.republish("1")
        publication.wait_registered(timeout_seconds=SECONDS)
        for subscription in subscriptions:
            for change in subscription.changes():
                if change.view.values == ("1",):
                    break
        yield publication


def copies_of(publication: zreg.Publication) -> int:
    """Publish it again; return how many data nodes have it."""
    publication.republish("0")
    return publication.wait_registered(timeout_seconds=SECONDS).copies


def trace(cluster: RunningCluster, *options: str) -> dict[str, Any]:
    ended = inline_zreg("trace", "traced", "-o", "json", "--url", cluster.url, *options)
    assert ended.code == 0, ended
    return json.loads(ended.out)  # type: ignore[no-any-return]


def kinds(change: dict[str, Any]) -> set[tuple[str, str]]:
    return {(step["node_id"], step["kind"]) for step in change["steps"]}


@pytest.mark.usefixtures("publication")
def test_a_change_is_followed_over_all_nodes(cluster: RunningCluster) -> None:
    # A node that answers late is left out of that answer.
    cluster.wait_until(lambda: not trace(cluster, "--last", "1")["silent"])
    found = trace(cluster, "--last", "1")

    assert found["data_info_id"].partition("#@#")[0] == "traced"
    (change,) = found["changes"]
    at = {(step["node_id"], step["kind"]): step["at_seconds"] for step in change["steps"]}
    primary = next(node_id for node_id, kind in at if kind == "hinted")
    way = [("session-1", "published"), ("session-1", "forwarded"), (primary, "merged")]
    for session in ("session-1", "session-2"):
        hinted = [*way, (primary, "hinted"), (session, "heard"), (session, "pushed")]
        times = [at[each] for each in hinted]
        assert times == sorted(times)
    answered = [*way, (primary, "replicated"), (primary, "accepted"), ("session-1", "answered")]
    times = [at[each] for each in answered]
    assert times == sorted(times)
    assert change["steps"][0]["at_seconds"] == change["steps"][0]["error_seconds"] == 0.0


@pytest.mark.usefixtures("publication")
def test_the_table_says_what_happened_and_how_exact_its_times_are(cluster: RunningCluster) -> None:
    ended = inline_zreg("trace", "traced", "--url", cluster.url)

    assert ended.code == 0, ended
    assert "a publish arrived (publisher " in ended.out
    assert "the hint is sent" in ended.out
    assert "most of it: " in ended.out
    assert "between nodes they may be off by +/-" in ended.out


def test_a_slow_replica_and_a_silent_node_are_named(
    cluster: RunningCluster, publication: zreg.Publication
) -> None:
    hinted = {
        step["node_id"]
        for change in trace(cluster)["changes"]
        for step in change["steps"]
        if step["kind"] == "hinted"
    }
    (primary,) = hinted
    replica = ({"data-1", "data-2"} - hinted).pop()
    cluster.stop(replica)
    try:
        publication.republish("2")
        publication.wait_registered(timeout_seconds=SECONDS)
        ended = inline_zreg("trace", "traced", "-o", "json", "--last", "1", "--url", cluster.url)
    finally:
        cluster.cont(replica)

    assert ended.code == 0, ended
    found = json.loads(ended.out)
    (change,) = found["changes"]
    accepted = next(step for step in change["steps"] if step["kind"] == "accepted")
    assert (accepted["node_id"], accepted["count"]) == (primary, 1)
    assert accepted["since_seconds"] >= 0.2, "it waited for the replica"
    assert (primary, "replicated") not in kinds(change)
    assert [each["node_id"] for each in found["silent"]] == [replica]
    assert f"what {replica} has noted is missing" in ended.err


def test_an_id_without_changes_is_not_found(cluster: RunningCluster) -> None:
    ended = inline_zreg("trace", "never", "--url", cluster.url)

    assert (ended.code, ended.out) == (3, "")
    assert "no node has noted a change of 'never'" in ended.err
