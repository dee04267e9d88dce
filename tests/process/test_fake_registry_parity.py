"""A `FakeRegistry` and a real registry show a program the same: each test runs against both."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

import zreg
from zreg.testing import FakeRegistry
from zreg.testing.processes import RunningCluster, wait_until


class Registry(Protocol):
    url: str

    def lose(self) -> None: ...

    def restore(self) -> None: ...


class InMemory:
    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry
        self.url = registry.url

    def lose(self) -> None:
        self._registry.lose_session()

    def restore(self) -> None:
        self._registry.restore()


class InProcesses:
    def __init__(self, cluster: RunningCluster) -> None:
        self._cluster = cluster
        self.url = cluster.url

    def lose(self) -> None:
        self._cluster.kill("session-1")

    def restore(self) -> None:
        self._cluster.restart("session-1")


@pytest.fixture(params=["memory", "processes"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "memory":
        with FakeRegistry() as fake:
            yield InMemory(fake)
    else:
        with RunningCluster(tmp_path) as cluster:
            yield InProcesses(cluster)


Step = tuple[list[str], list[str], list[str]]
Shown = list[Step]


def record(shown: Shown) -> Callable[[zreg.ViewChange], None]:
    """Return a callback that notes the values of each part of a change."""

    def on_change(change: zreg.ViewChange) -> None:
        parts = (change.added, change.updated, change.removed)
        added, updated, removed = (sorted(str(p.values[0]) for p in part) for part in parts)
        shown.append((added, updated, removed))

    return on_change


def test_the_life_of_an_instance_is_shown_step_by_step(registry: Registry) -> None:
    shown: Shown = []

    def wait_for(*steps: Step) -> None:
        wait_until(lambda: len(shown) >= len(steps), describe=lambda: str(shown))
        assert shown == list(steps)
        shown.clear()

    with zreg.Client(registry.url) as watcher:
        sub = watcher.subscribe("orders", record(shown))
        wait_for(([], [], []))
        with zreg.Client(registry.url, app="shop") as client:
            publication = client.publish("orders", "a", attributes={"k": "v"})
            wait_for((["a"], [], []))
            assert [(p.app, p.attributes) for p in sub.view] == [("shop", {"k": "v"})]
            publication.republish("b")
            wait_for(([], ["b"], []))
            assert sub.view[0].attributes == {"k": "v"}
            publication.unpublish()
            wait_for(([], [], ["b"]))
            publication.republish("c")
            wait_for((["c"], [], []))
        wait_for(([], [], ["c"]))
        assert sub.view.is_known


def test_scopes_look_as_far_as_they_say(registry: Registry) -> None:
    places = [("z1", "d1"), ("z2", "d1"), ("z1", "d2")]
    with zreg.Client(registry.url, zone="z1", data_center="d1") as watcher:
        clients = [zreg.Client(registry.url, zone=z, data_center=d) for z, d in places]
        for client, (zone, data_center) in zip(clients, places, strict=True):
            client.publish("orders", f"{zone} {data_center}").wait_registered(10)

        for scope, count in (
            (zreg.Scope.ZONE, 1),
            (zreg.Scope.DATA_CENTER, 2),
            (zreg.Scope.GLOBAL, 3),
        ):
            sub = watcher.subscribe("orders", scope=scope).wait_for(count, timeout_seconds=10)
            assert {(p.zone, p.data_center) for p in sub.view} == set(places[:count])
        for client in clients:
            client.close()


def test_groups_and_instance_ids_are_ids_of_their_own(registry: Registry) -> None:
    with zreg.Client(registry.url) as client:
        client.publish("orders", "a", group="g").wait_registered(10)
        client.publish("orders", "b", instance_id="i").wait_registered(10)

        assert client.subscribe("orders").wait_for(0, 10).view.values == ()
        assert client.subscribe("orders", group="g").wait_for(1, 10).view.values == ("a",)
        assert client.subscribe("orders", instance_id="i").wait_for(1, 10).view.values == ("b",)


def test_a_lost_session_leaves_stale_views_and_clients_replay(registry: Registry) -> None:
    shown: Shown = []
    with zreg.Client(registry.url) as client:
        publication = client.publish("orders", "a").wait_registered(10)
        sub = client.subscribe("orders", record(shown)).wait_for(1, 10)

        registry.lose()
        wait_until(lambda: client.state is zreg.ClientState.SUSPENDED)
        assert (sub.view.is_stale, sub.view.values) == (True, ("a",))
        late = client.publish("orders", "b")
        with pytest.raises(zreg.TimeoutError, match="no session reached"):
            late.wait_registered(0.01)

        registry.restore()
        wait_until(lambda: not sub.view.is_stale, timeout_seconds=30)
        late.wait_registered(30)
        publication.wait_registered(30)
        wait_until(lambda: set(sub.view.values) == {"a", "b"})
        assert client.state is zreg.ClientState.CONNECTED
    assert [step for step in shown if step[2]] == []
