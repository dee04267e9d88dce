"""ZooKeeper through kazoo: an ephemeral node for each name, and watches on services and values."""

import contextlib
from collections.abc import Iterable

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from kazoo.handlers.threading import AsyncResult

from peer_systems.clients.protocol import ANSWER_SECONDS_MAX, PREFIX, Hear, keep_in_flight


class ZookeeperClient:
    """A kazoo client; its session is the lease of all its nodes."""

    def __init__(self, address: str, lease_seconds: float) -> None:
        self._client = KazooClient(address, timeout=lease_seconds)
        self._client.start(ANSWER_SECONDS_MAX)
        self._services: set[str] = set()

    def register(self, names: Iterable[str], value: str) -> int:
        """Create an ephemeral node for each name."""
        content = value.encode()
        return keep_in_flight((self._create(name, content) for name in names), _wait)

    def _create(self, name: str, content: bytes) -> AsyncResult:
        self._ensure_service(name.partition("/")[0])
        return self._client.create_async(f"/{PREFIX}/{name}", content, ephemeral=True)

    def _ensure_service(self, service: str) -> None:
        if service not in self._services:
            with contextlib.suppress(NodeExistsError):
                self._client.create(f"/{PREFIX}/{service}", makepath=True)
            self._services.add(service)

    def republish(self, names: Iterable[str], value: str) -> int:
        """Set the content of each node."""
        content = value.encode()
        started = (self._client.set_async(f"/{PREFIX}/{name}", content) for name in names)
        return keep_in_flight(started, _wait)

    def follow(self, service: str, hear: Hear) -> None:
        """Watch the children of the service, and the content of each child."""
        self._ensure_service(service)
        path = f"/{PREFIX}/{service}"
        known: set[str] = set()

        def watch_content(name: str) -> None:
            def on_content(content: bytes | None, _: object) -> bool:
                if content is not None:
                    hear(name, content.decode())
                # The children's watch tells that the node is gone.
                return content is not None

            self._client.DataWatch(f"/{PREFIX}/{name}", on_content)

        def on_children(children: list[str]) -> None:
            names = {f"{service}/{child}" for child in children}
            gone, new = known - names, names - known
            known.difference_update(gone)
            known.update(new)
            for name in gone:
                hear(name, None)
            for name in new:
                watch_content(name)

        self._client.ChildrenWatch(path, on_children)


def _wait(result: AsyncResult) -> None:
    result.get(timeout=ANSWER_SECONDS_MAX)
