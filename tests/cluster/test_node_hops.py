"""All nodes of a cluster are asked for the hops of an id over real sockets."""

import asyncio
from collections.abc import Iterator

import pytest
from fake_session import wait_until
from turn_counts import LocalCluster

import zreg
from zreg.cli.asking.targets import Target
from zreg.cli.asking.whole_cluster import node_hops
from zreg.cli.asking.whole_cluster.node_hops import Noted, fetch_hops
from zreg.cli.asking.whole_cluster.silence import Silence
from zreg.cli.tracing.hop_chains import chains_of
from zreg.cli.tracing.traced_change import TracedChange, traced
from zreg.config import Config
from zreg.effects import Link
from zreg.errors import UnavailableError
from zreg.model import DataInfoId, data_info_id
from zreg.wire.records.common_messages import HopKind

CONFIG = Config(ping_seconds=0.5)
PAY = data_info_id("pay")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), CONFIG)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def target(cluster: LocalCluster) -> Iterator[Target]:
    """Change an id with subscribers at both sessions, and wait until all have acknowledged it."""
    address = cluster.urls[1].replace("zreg://", "tcp://")
    target = Target(Link.SESSION, (address,), CONFIG.cluster)
    with (
        zreg.Client(cluster.urls[0], config=CONFIG) as one,
        zreg.Client(cluster.urls[1], config=CONFIG) as other,
    ):
        publication = one.publish("pay", "0").wait_registered()
        subscriptions = [client.subscribe("pay").wait_for(1) for client in (one, other)]
        publication.republish("1")
        publication.wait_registered()
        wait_until(lambda: all(each.view.values == ("1",) for each in subscriptions))
        wait_until(lambda: confirmed_count(last_change(target)) == 2, timeout_seconds=30)
        yield target


def ask(target: Target, name: DataInfoId = PAY) -> Noted:
    return asyncio.run(fetch_hops(target, name, timeout_seconds=5.0))


def last_change(target: Target) -> TracedChange:
    return traced(chains_of(ask(target).nodes)[-1])


def confirmed_count(change: TracedChange) -> int:
    return sum(step.hop.count for step in change.steps if step.hop.kind == HopKind.CONFIRMED)


def test_a_change_is_seen_at_each_node_on_its_way(target: Target) -> None:
    change = last_change(target)

    steps = [(step.node_id, HopKind(step.hop.kind).name) for step in change.steps]
    assert steps[:4] == [
        ("s1", "PUBLISHED"),
        ("s1", "FORWARDED"),
        ("d1", "MERGED"),
        ("d1", "HINTED"),
    ]
    assert set(steps[4:]) == {
        ("d1", "ACCEPTED"),
        ("s1", "ANSWERED"),
        *((each, kind) for each in ("s1", "s2") for kind in ("HEARD", "PUSHED", "CONFIRMED")),
    }
    assert 0 < change.seconds < 5
    errors = {step.node_id: step.error for step in change.steps}
    assert errors["s1"] == 0
    assert 0 < errors["d1"] < 1


def test_an_id_that_never_changed_has_no_hops(target: Target) -> None:
    noted = ask(target, data_info_id("never"))

    assert [(node.node_id, node.hops) for node in noted.nodes] == [
        ("s1", ()),
        ("s2", ()),
        ("d1", ()),
    ]
    assert (noted.silent, noted.is_data_missing) == ([], False)


def test_a_data_node_that_does_not_answer_is_named(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = node_hops.ask_node_timed

    async def refuse(target: Target, member: object, *rest: object) -> object:
        if getattr(member, "node_id", "") == "d1":
            raise UnavailableError("it is stopped")
        return await asked(target, member, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(node_hops, "ask_node_timed", refuse)
    noted = ask(target)

    assert noted.silent == [Silence("d1", "it is stopped")]
    assert noted.is_data_missing
