"""A killed node departs long before its lease ends; a frozen node keeps its lease."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import zreg
from zreg.model import data_info_id
from zreg.primitives.ring import Ring
from zreg.testing.processes import RunningCluster

LEASE_SECONDS = 10.0
# The promise is half a second; the machine may be busy, and the lease ends much later.
AT_ONCE_SECONDS = 3.0
DATA_NODES = 3


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    options = [f"--lease-seconds={LEASE_SECONDS:g}"]
    with RunningCluster(tmp_path, metas=3, sessions=1, data=DATA_NODES, options=options) as cluster:
        yield cluster


def owned_by(node_id: str) -> str:
    """Return a data id whose primary is this node while all data nodes work."""
    ring = Ring((f"data-{number}", 1) for number in range(1, DATA_NODES + 1))
    names = (f"service-{number}" for number in range(1000))
    return next(name for name in names if ring.primary(data_info_id(name)) == node_id)


def meta_log(cluster: RunningCluster) -> str:
    return "".join(cluster.log(node.node_id) for node in cluster.of("meta"))


def test_the_ids_of_a_killed_data_node_take_writes_long_before_its_lease_expires(
    cluster: RunningCluster,
) -> None:
    with zreg.Client(cluster.url) as client:
        client.publish(owned_by("data-2"), "before").wait_registered(LEASE_SECONDS)
        cluster.nodes["data-2"].signal(signal.SIGKILL)
        client.publish(owned_by("data-2"), "after").wait_registered(AT_ONCE_SECONDS)

    assert "reason=gone" in meta_log(cluster)
    assert "reason=silent" not in meta_log(cluster)


def test_a_frozen_data_node_departs_only_when_its_lease_expires(cluster: RunningCluster) -> None:
    """Its connections time out after some seconds, and its kernel still accepts new ones."""
    cluster.stop("data-2")

    cluster.wait_until(lambda: "member.departed" in meta_log(cluster), timeout_seconds=30.0)
    assert "incarnation=data-2" in meta_log(cluster).split("member.departed")[1]
    assert "reason=gone" not in meta_log(cluster)


def test_a_data_node_that_dies_repeatedly_waits_before_it_works(
    cluster: RunningCluster,
) -> None:
    for life in range(1, 4):
        cluster.kill("data-2")
        cluster.restart("data-2")
        cluster.wait_until(
            lambda: meta_log(cluster).count("member.joined incarnation=data-2@") > life  # noqa: B023 -- waited for here
        )
    assert meta_log(cluster).count("member.waiting incarnation=data-2@") == 1

    with zreg.Client(cluster.url) as client:
        client.publish(owned_by("data-2"), "meanwhile").wait_registered(AT_ONCE_SECONDS)
        cluster.wait_until(lambda: "member.working incarnation=data-2@" in meta_log(cluster))
        client.publish(owned_by("data-2"), "afterwards").wait_registered(AT_ONCE_SECONDS)
