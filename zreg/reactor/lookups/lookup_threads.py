"""Look up the addresses of hosts, each on a daemon thread of its own.

Neither a loop's own threads nor libzmq's serve for this: a look-up takes seconds where a resolver
is silent. asyncio's threads are few, other work waits for them, and the process waits for them when
it ends. On libzmq's I/O thread all connections of a context would wait.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from typing import Any, Final, NamedTuple

_THREADS_MAX: Final = 8

# The family of an IP address, and what the socket module calls its name: host, port and more.
SocketAddress = tuple[socket.AddressFamily, Any]


class HostAddresses(NamedTuple):
    """What a look-up found; `why` says why it found nothing."""

    addresses: tuple[SocketAddress, ...]
    why: str


class LookupThreads:
    """The look-ups under way. Only the loop's thread may call it.

    Invariants:
    - A host has at most one look-up at a time, and all hosts together at most `_THREADS_MAX`.
    - Each look-up ends with a result, as late as the resolver pleases, unless `stop` came first.
    """

    def __init__(self) -> None:
        self._pending: dict[str, asyncio.Future[HostAddresses]] = {}
        # Look-ups that wait for a thread.
        self._waiting: deque[str] = deque()
        self._running_count = 0

    def look_up(self, host: str) -> asyncio.Future[HostAddresses]:
        """Return the result of the look-up that is under way, or of a new one.

        All callers of a host share the future, so none of them may cancel it.
        """
        pending = self._pending.get(host)
        if pending is None:
            loop = asyncio.get_running_loop()
            pending = self._pending[host] = loop.create_future()
            self._waiting.append(host)
            self._start_next(loop)
        return pending

    def stop(self) -> None:
        """Begin no further look-up, and report none."""
        self._waiting.clear()
        for pending in self._pending.values():
            pending.cancel()
        self._pending.clear()

    def _start_next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._running_count < _THREADS_MAX:
            host = self._waiting.popleft()
            self._running_count += 1
            thread = threading.Thread(
                target=self._run, args=(host, loop), name=f"zreg-look-up-{host}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                loop.call_soon(self._on_result, host, loop, HostAddresses((), str(error)))

    def _run(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        """Look a host up, on a thread of its own."""
        found = addresses_of(host)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._on_result, host, loop, found)

    def _on_result(self, host: str, loop: asyncio.AbstractEventLoop, found: HostAddresses) -> None:
        self._running_count -= 1
        self._start_next(loop)
        pending = self._pending.pop(host, None)
        if pending is not None:
            pending.set_result(found)


def addresses_of(host: str) -> HostAddresses:
    """Look a host up, which takes no time only if it is numeric; raises nothing.

    The resolver may be the user's, and raise anything.
    """
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return HostAddresses((), error.strerror or str(error))
    except BaseException as error:  # noqa: BLE001 -- see above
        return HostAddresses((), f"{type(error).__name__}: {error}")
    found = dict.fromkeys((family, name) for family, *_, name in answers)
    return HostAddresses(tuple(found), "" if found else "no address")
