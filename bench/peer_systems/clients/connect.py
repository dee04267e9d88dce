"""Connect to a registry by the name of its system; import only that system's client library."""

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


def connect(system: str, address: str, lease_seconds: float) -> "RegistryClient":
    """Return a connected client."""
    module = import_module(f"peer_systems.clients.{system}_client")
    client: RegistryClient = getattr(module, _CLASSES[system])(address, lease_seconds)
    return client
