"""Tests as users write them. Only mypy reads this; it is never run."""

from typing import assert_type

import zreg
from zreg.testing import ConnectedClient, DevRegistry, FakeInstance, FakeRegistry


def use_a_fake_registry() -> None:
    """Make clients and instances, and faults."""
    with FakeRegistry("shop") as registry:
        assert_type(registry.url, str)
        client = registry.client(zone="z1", data_center="d1", app="shop", config=zreg.Config())
        assert_type(client, zreg.Client)
        instance = registry.put("orders", "10.0.0.1:80", zreg.Endpoint(port=80), zone="z1")
        assert_type(instance, FakeInstance)
        instance.update("10.0.0.2:80", attributes={"rack": "7"})
        instance.remove()
        instance.crash()
        assert_type(registry.publishers("orders", group="G"), tuple[zreg.Publisher, ...])
        assert_type(registry.clients, tuple[ConnectedClient, ...])
        registry.lose_session()
        registry.restore()
        registry.hold_pushes()
        registry.release_pushes()
        registry.refuse("orders", zreg.DeniedError("not yours"))
        registry.refuse(None, zreg.NotReadyError("starting"))
        registry.accept()
        registry.expire(client)
        registry.expire(client.publish("orders", "a:1"))
        registry.expire(instance)
        registry.wait_idle(timeout_seconds=5)
        registry.expire("orders")  # type: ignore[arg-type]
        registry.refuse("orders", "not yours")  # type: ignore[arg-type]
        with registry.as_default() as same:
            assert_type(same, FakeRegistry)


async def use_it_with_asyncio() -> None:
    """Make asyncio clients, and wait for them."""
    async with FakeRegistry() as registry:
        client = registry.async_client(app="shop")
        assert_type(client, zreg.AsyncClient)
        registry.expire(client)
        registry.expire(client.publish("orders", "a:1"))
        await registry.settled(timeout_seconds=5)


def use_fixtures(
    zreg_fake: FakeRegistry,
    zreg_registry: DevRegistry,
    zreg_client: zreg.Client,
    zreg_async_client: zreg.AsyncClient,
) -> None:
    """Name the types of fixtures."""
    zreg_fake.put("orders", "a:1")
    zreg_registry.restart()
    zreg_registry.stop()
    assert_type(zreg_registry.log, str)
    assert_type(zreg_registry.is_running, bool)
    assert_type(
        (zreg_client.state, zreg_async_client.state), tuple[zreg.ClientState, zreg.ClientState]
    )
