"""Code as users write it. Only type checkers read it; it is never run."""

from typing import TYPE_CHECKING, assert_type

import zreg

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        for change in sub.changes():
            assert_type(change, zreg.ViewChange)
            assert_type(change.added, tuple[zreg.Publisher, ...])


def decorate(client: zreg.Client) -> None:
    """Add a callback as a decorator; the function stays what it was."""

    @client.subscribe("pay")
    def pay_changed(change: zreg.ViewChange) -> int:
        return len(change.view) + len(change.removed) + len(change.updated)

    assert_type(pay_changed(zreg.ViewChange(client.subscribe("pay").view)), int)


def balance(client: zreg.Client) -> str | None:
    """Publish and pick endpoints."""
    endpoint = zreg.Endpoint(port=8080, weight=100, version="1.4.2", tags={"blue"})
    with client.publish("orders", endpoint), client.service("orders") as service:
        try:
            picked = service.wait_up(min_up=1, timeout_seconds=30).pick()
        except (zreg.NoInstanceError, zreg.TimeoutError):
            return None
        service.report(picked, ok=False)
        assert_type(picked.address, str)
        return picked.url(scheme="https", path="/v1")


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
    zreg.Client(timeout=3)  # type: ignore[call-arg]
    zreg.Cliet()  # type: ignore[attr-defined]


async def with_asyncio() -> str | None:
    """Use the asyncio client: what waits is awaited."""
    async with zreg.AsyncClient("zreg://127.0.0.1:9600", zone="z1") as client:
        assert_type(client, zreg.AsyncClient)
        async with client.publish("pay", "10.0.0.7:12200") as pub:
            assert_type(await pub.wait_registered(timeout_seconds=5), zreg.AsyncPublication)
            pub.republish("10.0.0.7:12201")

        @client.subscribe("pay")
        async def changed(change: zreg.ViewChange) -> int:
            return len(change.view)

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
