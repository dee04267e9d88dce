"""Connect to a registry by the name of its system; import only that system's client library."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peer_systems.clients.protocol import RegistryClient

_CLASSES: Final = {
    "zreg": "ZregClient",
    "etcd": "EtcdClient",
    "zookeeper": "ZookeeperClient",
    "redis": "RedisClient",
}

# Which client of zreg the workers use: "threads" or "asyncio".
ZREG_CLIENT: Final = "PEERS_ZREG_CLIENT"


def connect(system: str, address: str, lease_seconds: float) -> "RegistryClient":
    """Return a connected client."""
    if system == "zreg" and os.environ.get(ZREG_CLIENT) == "asyncio":
        from peer_systems.clients.zreg_async_client import ZregAsyncClient  # noqa: PLC0415

        return ZregAsyncClient(address, lease_seconds)
    module = import_module(f"peer_systems.clients.{system}_client")
    client: RegistryClient = getattr(module, _CLASSES[system])(address, lease_seconds)
    return client
