"""The coroutines that wait for an event of one client."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

# What a wait is for: a publisher id, a feed id, an ask id; None for the connection.
Key = bytes | int | None


class Waits:
    """The waits of one client by what they are for, so that an event wakes only those it concerns.

    It takes the place of the lock of a client with threads: only the loop's thread changes what
    belongs to the client, so there is nothing to hold.

    Invariant: a wait that was woken has left the table; it looks, and joins again if it goes on.
    """

    def __init__(self) -> None:
        self._futures: dict[Key, set[asyncio.Future[None]]] = {}

    async def wait(self, key: Key) -> None:
        """Wait until an event concerns the key, or all waits are woken. May be cancelled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        futures = self._futures.setdefault(key, set())
        futures.add(future)
        try:
            await future
        finally:
            futures.discard(future)
            if not futures and self._futures.get(key) is futures:
                del self._futures[key]

    def wake(self, keys: Iterable[Key]) -> None:
        """Have the waits for these look again."""
        if not self._futures:
            return
        for key in keys:
            for future in self._futures.pop(key, ()):
                if not future.done():
                    future.set_result(None)

    def notify_all(self) -> None:
        """Have all waits look again."""
        self.wake(list(self._futures))

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
        /,
    ) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        """Show how many things are waited for."""
        return f"<Waits keys={len(self._futures)}>"
