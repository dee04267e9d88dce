"""`zreg find` shows what is on a host in the whole cluster, and names what it could not ask."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from inline_zreg import inline_zreg

import zreg
from zreg.testing.processes import RunningCluster

SECONDS = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with RunningCluster(tmp_path_factory.mktemp("cluster"), sessions=2, data=2) as cluster:
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def clients(cluster: RunningCluster) -> Iterator[None]:
    """Publish ten ids of one host at two sessions, and subscribe at one of them."""
    urls = [
        f"zreg://{cluster.nodes[node_id].address.removeprefix('tcp://')}"
        for node_id in ("session-1", "session-2")
    ]
    with zreg.Client(urls[0]) as one, zreg.Client(urls[1]) as other:
        for number in range(10):
            client = (one, other)[number % 2]
            publication = client.publish(f"on-host-{number}", f"10.8.8.8:{number + 1}")
            publication.wait_registered(timeout_seconds=SECONDS)
        other.subscribe("on-host-0").wait_for(1, timeout_seconds=SECONDS)
        yield


def find(cluster: RunningCluster, host: str) -> tuple[dict[str, Any], str]:
    ended = inline_zreg("find", host, "-o", "json", "--url", cluster.url)
    assert ended.code == 0, ended
    return json.loads(ended.out), ended.err


def test_everything_on_a_host_is_found_through_one_session(cluster: RunningCluster) -> None:
    found, _ = find(cluster, "10.8.8.8")

    assert [each["data_id"] for each in found["instances"]] == [
        f"on-host-{number}" for number in range(10)
    ]
    assert {each["session"] for each in found["instances"]} == {"session-1", "session-2"}
    found, _ = find(cluster, "127.0.0.1")
    lines = {(each["session"], each.get("data_id", "")) for each in found["subscriptions"]}
    assert {("session-1", ""), ("session-2", "on-host-0")} <= lines


def test_the_tables_have_instances_and_clients(cluster: RunningCluster) -> None:
    instances = inline_zreg("find", "10.8.8.8", "--url", cluster.url)
    clients = inline_zreg("find", "127.0.0.1", "-o", "wide", "--url", cluster.url)

    assert (instances.code, clients.code) == (0, 0)
    assert "10.8.8.8:3" in instances.out
    assert "on-host-0#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP" in clients.out


def test_a_node_that_does_not_answer_is_named(cluster: RunningCluster) -> None:
    whole, _ = find(cluster, "10.8.8.8")
    cluster.stop("data-2")
    try:
        found, err = find(cluster, "10.8.8.8")
    finally:
        cluster.cont("data-2")

    assert [each["node_id"] for each in found["silent"]] == ["data-2"]
    assert "what data-2 has is missing" in err
    assert 0 < len(found["instances"]) < len(whole["instances"])


def test_a_host_with_nothing_on_it_is_not_found(cluster: RunningCluster) -> None:
    ended = inline_zreg("find", "10.8.8.9", "--url", cluster.url)

    assert (ended.code, ended.out) == (3, "")
    assert "nothing is on 10.8.8.9" in ended.err
