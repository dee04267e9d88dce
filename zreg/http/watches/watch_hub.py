"""Tells the open watches what has changed: once for all of them, and never waiting for one.

A watch gets the newest state, at most ten times a second, however often a service changes. An event
is encoded once. A watch that does not read is closed: its program asks again and has the newest
state then, so nothing waits for it here.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from zreg.effects import Local
from zreg.http.responses import FaultError
from zreg.model import DataInfoId
from zreg.session.pages.page_watches import DatumMoved, WatchBegun, WatchEnded

WATCHES_MAX: Final = 10_000
WATCHED_NAMES_MAX: Final = 1000
# A watch with more bytes unsent gets no further event: it is closed.
BUFFER_BYTES_MAX: Final = 64 << 10
_FLUSH_SECONDS: Final = 0.1
PING_SECONDS: Final = 15.0
_PING: Final = b": ping\n\n"
# How many watches are written to before the loop may do other work.
_SLICE: Final = 200
# Hints of one flush to a watch of everything; beyond it the watch is told that it missed some.
_HINTS_MAX: Final = 1000


class WatchConnection(Protocol):
    """The connection of a watch."""

    def unsent_bytes(self) -> int:
        """Return how many bytes wait for the reader."""
        ...

    def write(self, chunk: bytes) -> None:
        """Send a chunk; what cannot leave now is buffered."""
        ...

    def drop(self) -> None:
        """Close the connection at once."""
        ...


class Watch:
    """One open watch of a service; without a name it watches all that the session follows."""

    __slots__ = ("connection", "has_missed", "is_live", "name", "unsent_at_ping")

    def __init__(self, connection: WatchConnection, name: DataInfoId | None) -> None:
        self.connection = connection
        self.name = name
        # It has its first state. Until then it is only noted that there is a newer one.
        self.is_live = False
        self.has_missed = False
        # The bytes that were unsent at the last ping.
        self.unsent_at_ping = 0


class WatchHub:
    """All open watches of one node.

    Invariants: each watch is in `_watches` under its name; the core is told to watch exactly the
    names in it.
    """

    def __init__(
        self,
        tell: Callable[[Local], None],
        state_of: Callable[[DataInfoId], Awaitable[bytes | None]],
        hint_of: Callable[[DatumMoved], bytes],
        counts: Counter[str],
    ) -> None:
        self._tell = tell
        self._state_of = state_of
        self._hint_of = hint_of
        self._counts = counts
        self._watches: dict[DataInfoId | None, dict[Watch, None]] = {}
        self._count = 0
        self._is_stopped = False
        # What has moved since the last flush, and what a watch missed while it got its first state.
        self._moved: dict[DataInfoId, DatumMoved] = {}
        self._missed: dict[DataInfoId, None] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._pinging: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many watches are open."""
        return self._count

    # --- watches ------------------------------------------------------------------------------

    def open(self, connection: WatchConnection, name: DataInfoId | None) -> Watch:
        """Begin a watch; `FaultError` if there are too many."""
        if self._count >= WATCHES_MAX:
            raise FaultError(
                429, f"{WATCHES_MAX} watches are open at this session: use another one"
            )
        if name not in self._watches and len(self._watches) >= WATCHED_NAMES_MAX:
            raise FaultError(
                429,
                f"{WATCHED_NAMES_MAX} services are watched at this session: use another one, or "
                "watch all of them at once",
            )
        watch = Watch(connection, name)
        if name not in self._watches:
            self._watches[name] = {}
            self._tell(WatchBegun(name))
        self._watches[name][watch] = None
        self._count += 1
        if self._pinging is None and not self._is_stopped:
            self._pinging = asyncio.create_task(self._ping())
        return watch

    def go_live(self, watch: Watch) -> None:
        """Send a watch what happens from now on: it has got its first state."""
        watch.is_live = True
        if watch.has_missed and watch.name is not None:
            self._missed[watch.name] = None
            self._schedule()

    def close(self, watch: Watch) -> None:
        """Forget a watch whose connection has ended."""
        watches = self._watches.get(watch.name, {})
        if watch not in watches:
            return
        del watches[watch]
        self._count -= 1
        if not watches:
            del self._watches[watch.name]
            self._tell(WatchEnded(watch.name))

    def stop(self) -> None:
        """Stop telling; the server closes the connections."""
        self._is_stopped = True
        for task in (self._flushing, self._pinging):
            if task is not None:
                task.cancel()

    # --- telling ------------------------------------------------------------------------------

    def on_moved(self, moved: DatumMoved) -> None:
        """Note that a datum has moved; its watches are told soon, and once for several moves."""
        if self._watches:
            self._moved[moved.name] = moved
            self._schedule()

    def _schedule(self) -> None:
        if self._flushing is None and not self._is_stopped:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await asyncio.sleep(_FLUSH_SECONDS)
            moved, self._moved = self._moved, {}
            missed, self._missed = self._missed, {}
            names = dict.fromkeys(name for name in (*moved, *missed) if name in self._watches)
            if None in self._watches and moved:
                await self._write(self._watches[None], self._hints(moved.values()))
            for name in names:
                state = await self._state_of(name)
                if state is None:
                    # The session cannot tell now: the watches get it as soon as it can.
                    self._missed[name] = None
                else:
                    await self._write(self._watches.get(name, {}), state)
        finally:
            self._flushing = None
            if self._moved or self._missed:
                self._schedule()

    def _hints(self, moved: Iterable[DatumMoved]) -> bytes:
        hints = list(moved)
        text = b"".join(map(self._hint_of, hints[:_HINTS_MAX]))
        if len(hints) > _HINTS_MAX:
            text += b"event: missed\ndata: {}\n\n"
        return text

    async def _write(self, watches: Iterable[Watch], event: bytes) -> None:
        chunk = chunk_of(event)
        for index, watch in enumerate(list(watches), 1):
            if not watch.is_live:
                watch.has_missed = True
            elif watch.connection.unsent_bytes() > BUFFER_BYTES_MAX:
                self._drop(watch)
            else:
                watch.has_missed = False
                watch.connection.write(chunk)
            if not index % _SLICE:
                await asyncio.sleep(0)

    async def _ping(self) -> None:
        """Write to idle watches, so that dead ones are noticed, and close those that never read."""
        chunk = chunk_of(_PING)
        while True:
            await asyncio.sleep(PING_SECONDS)
            every = [watch for watches in self._watches.values() for watch in watches]
            for index, watch in enumerate(every, 1):
                unsent = watch.connection.unsent_bytes()
                if unsent and unsent >= watch.unsent_at_ping > 0:
                    self._drop(watch)
                elif watch.is_live:
                    watch.unsent_at_ping = unsent
                    watch.connection.write(chunk)
                if not index % _SLICE:
                    await asyncio.sleep(0)

    def _drop(self, watch: Watch) -> None:
        self._counts["http_watches_dropped"] += 1
        self.close(watch)
        watch.connection.drop()


def chunk_of(data: bytes) -> bytes:
    """Return data as a chunk of HTTP's chunked encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)
