"""zreg through `zreg.AsyncClient`, on one event loop for all clients of the process."""

import asyncio
import functools
import threading
from collections.abc import Coroutine, Iterable
from typing import TypeVar

import zreg
from peer_systems.clients.protocol import ANSWER_SECONDS_MAX, IN_FLIGHT, Hear

T = TypeVar("T")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop of the process; the main thread reads the commands of the benchmark."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _wait(coroutine: Coroutine[object, object, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


class ZregAsyncClient:
    """A `zreg.AsyncClient` that pings three times a lease, as it does by default."""

    def __init__(self, address: str, lease_seconds: float) -> None:
        config = zreg.Config(lease_seconds=lease_seconds, ping_seconds=lease_seconds / 3)
        self._client = zreg.AsyncClient(address, config=config)
        self._publications: dict[str, zreg.AsyncPublication] = {}
        self._subscriptions: list[zreg.AsyncSubscription] = []
        _wait(self._client.wait_connected(ANSWER_SECONDS_MAX))

    def register(self, names: Iterable[str], value: str) -> int:
        """Publish each name under its service."""
        return _wait(self._publish_all(names, value))

    def republish(self, names: Iterable[str], value: str) -> int:
        """Republish; a name returns only after its former publish was acknowledged."""
        return _wait(self._publish_all(names, value))

    async def _publish_all(self, names: Iterable[str], value: str) -> int:
        room = asyncio.Semaphore(IN_FLIGHT)
        count = 0

        async def publish(name: str) -> None:
            publication = self._publications.get(name)
            if publication is None:
                publication = self._client.publish(name.partition("/")[0], value)
                self._publications[name] = publication
            else:
                publication.republish(value)
            await publication.wait_registered(ANSWER_SECONDS_MAX)
            room.release()

        async with asyncio.TaskGroup() as tasks:
            for name in names:
                await room.acquire()
                tasks.create_task(publish(name))
                count += 1
        return count

    def follow(self, service: str, hear: Hear) -> None:
        """Subscribe with a callback."""

        def on_change(change: zreg.ViewChange) -> None:
            for publisher in (*change.added, *change.updated):
                hear(publisher.publisher_id.hex(), str(publisher.values[0]))
            for publisher in change.removed:
                hear(publisher.publisher_id.hex(), None)

        async def subscribe() -> zreg.AsyncSubscription:
            subscription = self._client.subscribe(service, on_change)
            return await subscription.wait_for(0, ANSWER_SECONDS_MAX)

        self._subscriptions.append(_wait(subscribe()))
