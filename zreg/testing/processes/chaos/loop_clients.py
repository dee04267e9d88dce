"""Clients on an event loop, for a campaign whose own code runs on threads."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

import zreg

T = TypeVar("T")
_CALL_SECONDS_MAX = 60.0


class ProgramLoop:
    """An event loop on a thread, as a program with asyncio has it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def wait(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run a coroutine on the loop, and return its result on this thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_SECONDS_MAX)

    def call(self, function: Callable[[], T]) -> T:
        """Make a call on the loop, and return its result on this thread."""

        async def run() -> T:
            return function()

        return self.wait(run())

    def end(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class LoopPublication:
    """A publication of an asyncio client."""

    def __init__(self, loop: ProgramLoop, publication: zreg.AsyncPublication) -> None:
        self._loop = loop
        self._publication = publication

    @property
    def publisher_id(self) -> bytes:
        """The random identity of the registration."""
        return self._publication.publisher_id

    @property
    def values(self) -> Sequence[object]:
        """The values that were published last."""
        return self._publication.values

    def republish(self, value: str) -> None:
        """Publish this value in place of the last one."""
        self._loop.call(lambda: self._publication.republish(value))

    def wait_registered(self, timeout_seconds: float) -> None:
        """Wait until its data node holds it."""
        self._loop.wait(self._publication.wait_registered(timeout_seconds))

    def unpublish(self) -> None:
        """Withdraw it."""
        self._loop.call(self._publication.unpublish)


class LoopSubscription:
    """A subscription of an asyncio client."""

    def __init__(self, loop: ProgramLoop, subscription: zreg.AsyncSubscription) -> None:
        self._loop = loop
        self._subscription = subscription

    @property
    def view(self) -> zreg.View:
        """What is known now."""
        return self._subscription.view

    def wait_for(self, min_count: int, timeout_seconds: float) -> None:
        """Wait until the view has so many publishers."""
        self._loop.wait(self._subscription.wait_for(min_count, timeout_seconds))


class LoopClient:
    """An asyncio client. Its callbacks are coroutines."""

    def __init__(self, loop: ProgramLoop, url: str) -> None:
        self._loop = loop
        self._client = zreg.AsyncClient(url)

    @property
    def state(self) -> zreg.ClientState:
        """The state of the connection."""
        return self._client.state

    def publish(self, data_id: str, value: str) -> LoopPublication:
        """Publish a value."""
        return LoopPublication(
            self._loop, self._loop.call(lambda: self._client.publish(data_id, value))
        )

    def subscribe(
        self, data_id: str, callback: Callable[[zreg.ViewChange], None]
    ) -> LoopSubscription:
        """Follow an id; the callback is called within a coroutine."""

        async def on_change(change: zreg.ViewChange) -> None:
            await asyncio.sleep(0)
            callback(change)

        subscription = self._loop.call(lambda: self._client.subscribe(data_id, on_change))
        return LoopSubscription(self._loop, subscription)

    def close(self) -> None:
        """Say goodbye and end."""
        self._loop.wait(self._client.close())
