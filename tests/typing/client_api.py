"""Code as users write it. Only type checkers read it; it is never run."""

from typing import TYPE_CHECKING, assert_type

import zreg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def version() -> None:
    """Read the version."""
    assert_type(zreg.__version__, str)


def publish_and_subscribe() -> None:
    """Use publications and views."""
    with zreg.Client("zreg://127.0.0.1:9600", zone="z1", app="shop") as client:
        assert_type(client, zreg.Client)
        pub = client.publish("pay", "10.0.0.7:12200?weight=100", b"raw", group="G")
        assert_type(pub.wait_registered(timeout_seconds=5), zreg.Publication)
        pub.republish("10.0.0.7:12201", attributes={"rack": "7"})
        pub.unpublish()

        sub = client.subscribe("pay", print, scope=zreg.Scope.DATA_CENTER)
        assert_type(sub.wait_for(min_count=1, timeout_seconds=30), zreg.Subscription)
        assert_type(client.subscribe("pay", print, inline=True), zreg.Subscription)
        view: Sequence[zreg.Publisher] = sub.view
        assert_type(view[0], zreg.Publisher)
        assert_type(sub.view.values, tuple[str | bytes | zreg.Endpoint, ...])
        assert_type(sub.view.by_zone, dict[str, tuple[zreg.Publisher, ...]])
        assert_type(sub.view.version, zreg.Version)
        assert_type(sub.view.is_known and not sub.view.is_stale, bool)
        assert_type(sub.view.age_seconds, float)
        assert_type(sub.view.is_cached, bool)
        for change in sub.changes():
            assert_type(change, zreg.ViewChange)
            assert_type(change.added, tuple[zreg.Publisher, ...])


async def cache_views(directory: "Path") -> None:
    """Begin with the last known views."""
    with zreg.Client(cache_dir=directory) as client:
        assert_type(client.subscribe("pay").view.is_cached, bool)
    async with zreg.AsyncClient(cache_dir="/var/cache/shop") as other:
        assert_type(other, zreg.AsyncClient)


async def look_up(client: zreg.Client, other: zreg.AsyncClient) -> None:
    """List ids, and read and watch settings."""
    assert_type(client.list("pay*"), tuple[zreg.PublishedId, ...])
    assert_type(client.list()[0].publisher_count, int)
    assert_type(client.settings.get("limit"), zreg.Setting | None)
    assert_type(client.settings.list(), tuple[zreg.Setting, ...])
    assert_type(client.watch_setting("limit", print), zreg.SettingWatch)
    assert_type(await other.list(), tuple[zreg.PublishedId, ...])
    assert_type(await other.settings.get("limit"), zreg.Setting | None)

    async def changed(value: str | None) -> None:
        assert_type(value, str | None)

    other.watch_setting("limit", changed).close()


def decorate(client: zreg.Client) -> None:
    """Add a callback as a decorator; the function stays what it was."""

    @client.subscribe("pay")
    def pay_changed(change: zreg.ViewChange) -> int:
        return len(change.view) + len(change.removed) + len(change.updated)

    assert_type(pay_changed(zreg.ViewChange(client.subscribe("pay").view)), int)


def balance(client: zreg.Client) -> str | None:
    """Publish and pick endpoints."""
    endpoint = zreg.Endpoint(
        port=8080, weight=100, version="1.4.2", tags={"blue"}, metadata={"rack": "7"}
    )
    metadata: Mapping[str, str] = endpoint.metadata
    assert_type(metadata.get("rack"), str | None)
    assert_type(endpoint.text, str)
    with client.publish("orders", endpoint), client.service("orders") as service:
        try:
            picked = service.wait_up(min_up=1, timeout_seconds=30).pick()
        except (zreg.NoInstanceError, zreg.TimeoutError):
            return None
        service.report(picked, ok=False)
        assert_type(picked.address, str)
        return picked.url(scheme="https", path="/v1")


def choose(client: zreg.Client) -> None:
    """Choose how calls are spread, and give calls back."""
    service = client.service(
        "orders",
        policy=zreg.Policy.TWO_CHOICES,
        zone_first=True,
        zone_min=2,
        ejection=zreg.Ejection(failures=3, share_max=0.3),
        version="1.4.2",
        tags={"blue"},
        zone="z1",
        where=lambda endpoint: endpoint.metadata.get("rack") != "7",
        scope=zreg.Scope.GLOBAL,
    )
    assert_type(service, zreg.Service)
    assert_type(service.pick("a key"), zreg.Endpoint)
    assert_type(service.pick(key=7, version="2", tags=["a"], zone="z"), zreg.Endpoint)
    service.pick(b"key", where=lambda endpoint: endpoint.version >= "2")
    with service.lease(failures=(OSError, ValueError)) as endpoint:
        assert_type(endpoint, zreg.Endpoint)
    with service.lease("a key", tags={"blue"}, failures=OSError) as endpoint:
        service.report(endpoint, ok=True, seconds=0.1)
    assert_type(service.statistics(), dict[str, int | float | str])


def check_health(client: zreg.Client) -> None:
    """Tie publications to their health, change them, and drain them."""
    heartbeat = client.heartbeat(timeout_seconds=10)
    assert_type(heartbeat, zreg.Heartbeat)

    def has_room() -> str | None:
        return heartbeat() or None

    endpoint = zreg.Endpoint(port=8080)
    pub = client.publish("orders", endpoint, health=heartbeat)
    client.publish("orders", endpoint, health=lambda: True, health_interval_seconds=1)
    client.publish("orders", endpoint, health=has_room, when_unhealthy=zreg.WhenUnhealthy.MARK)
    assert_type(heartbeat.beat(), None)
    assert_type(pub.health, zreg.InstanceHealth)
    assert_type(pub.health.state, zreg.HealthState)
    assert_type(pub.health.reason, str)
    pub.update(weight=50, tags={"blue"}, metadata={"rack": "7"}, attributes={"rack": "7"})
    with pub.draining(seconds=10) as drained:
        assert_type(drained, zreg.Publication)
    pub.drain(10)


def errors(client: zreg.Client) -> int:
    """Tell errors apart."""
    try:
        client.publish("pay", "x").wait_registered()
    except zreg.RefusedError as error:
        return error.code
    except zreg.UnavailableError:
        return 0
    return 1 if client.state is zreg.ClientState.CONNECTED else 2


def wrong(client: zreg.Client) -> None:
    """Make mistakes that a type checker shall find."""
    client.publish("pay", 7)  # type: ignore[arg-type]
    client.subscribe("pay", scope="GLOBAL")  # type: ignore[arg-type]
    client.subscribe("pay")(lambda: None)  # type: ignore[type-var]
    client.publish("pay", "x", health=lambda: 7)  # type: ignore[arg-type,return-value]
    client.publish("pay", "x").update(wait=5)  # type: ignore[call-arg]
    zreg.Client(timeout=3)  # type: ignore[call-arg]
    client.service("pay", policy="random")  # type: ignore[arg-type]
    client.service("pay", polices=zreg.Policy.RANDOM)  # type: ignore[call-arg]
    client.service("pay").pick(where=lambda: True)  # type: ignore[arg-type, misc]
    zreg.Endpoint(port=1, metadata={"rack": 7})  # type: ignore[dict-item]
    zreg.Cliet()  # type: ignore[attr-defined]


async def with_asyncio() -> str | None:
    """Use the asyncio client: what waits is awaited."""
    async with zreg.AsyncClient("zreg://127.0.0.1:9600", zone="z1") as client:
        assert_type(client, zreg.AsyncClient)
        async with client.publish("pay", "10.0.0.7:12200") as pub:
            assert_type(await pub.wait_registered(timeout_seconds=5), zreg.AsyncPublication)
            async with pub.draining(seconds=10) as drained:
                assert_type(drained, zreg.AsyncPublication)
            await pub.drain(10)
            pub.republish("10.0.0.7:12201")

        @client.subscribe("pay")
        async def changed(change: zreg.ViewChange) -> int:
            return len(change.view)

        async def check() -> bool:
            return client.state is zreg.ClientState.CONNECTED

        client.publish("pay", "x", health=check)
        client.publish("pay", "x", health=lambda: None)

        sub = client.subscribe("pay", print)
        assert_type(await changed(zreg.ViewChange(sub.view)), int)
        assert_type(await sub.wait_for(min_count=1, timeout_seconds=30), zreg.AsyncSubscription)
        async for change in sub.changes():
            assert_type(change, zreg.ViewChange)
            break
        async with client.service("orders") as service:
            assert_type(service, zreg.AsyncService)
            await service.wait_up(min_up=1)
            return service.pick().address
    return None
