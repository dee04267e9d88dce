"""Look up the names of peers, each look-up on a thread of its own.

A look-up takes seconds where a resolver is silent. libzmq would do it on its I/O thread, on which
all connections of a context wait meanwhile, and would try one address of a name only, always IPv4.
So libzmq gets numeric addresses.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from zreg.effects import UNRESOLVED
from zreg.hosts import bracketed
from zreg.reactor.local_host import written

# After this time a result is asked for again, and used until the new one is there.
_FRESH_SECONDS: Final = 1.0
# Attempts to connect that wait for a look-up are given up after this time; the look-up goes on.
LOOK_UP_SECONDS_MAX: Final = 6.0
_THREADS_MAX: Final = 8
_NAMES_MAX: Final = 4096

# The name, and why it was not found; empty if it was.
DoneCallback = Callable[[str, str], None]


class _Name:
    """What is known of one name."""

    __slots__ = ("addresses", "asked_at", "is_pending")

    def __init__(self) -> None:
        # Numeric hosts, the one to try next first.
        self.addresses: list[str] = []
        self.is_pending = False
        self.asked_at = 0.0


class NameLookups:
    """The addresses of names. Only the loop's thread may call it.

    Invariants:
    - A name has at most one look-up at a time, and all names together at most `_THREADS_MAX`.
    - A name that was found once stays usable: a look-up that fails later changes nothing.
    - An address that could not be reached is tried last the next time.
    """

    def __init__(self, on_done: DoneCallback) -> None:
        self._on_done = on_done
        self._names: dict[str, _Name] = {}
        # Look-ups that wait for a thread.
        self._waiting: deque[str] = deque()
        self._running_count = 0
        self._is_stopped = False

    def find(self, host: str) -> str | None:
        """Return the address to try; None if a look-up has to end first, which is reported."""
        name = self._names.get(host)
        if name is None:
            if len(self._names) >= _NAMES_MAX:
                self._names.clear()
            name = self._names[host] = _Name()
        loop = asyncio.get_running_loop()
        is_fresh = name.addresses and loop.time() < name.asked_at + _FRESH_SECONDS
        if not name.is_pending and not is_fresh:
            name.is_pending, name.asked_at = True, loop.time()
            self._waiting.append(host)
            self._start_next(loop)
        if name.addresses:
            return name.addresses[0]
        loop.call_later(LOOK_UP_SECONDS_MAX, self._on_late, host)
        return None

    def skip(self, host: str, address: str) -> None:
        """Try this address of a name last: it could not be reached."""
        name = self._names.get(host)
        if name is not None and address in name.addresses:
            name.addresses.remove(address)
            name.addresses.append(address)

    def stop(self) -> None:
        """Report nothing more."""
        self._is_stopped = True
        self._waiting.clear()

    def _start_next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._running_count < _THREADS_MAX and not self._is_stopped:
            host = self._waiting.popleft()
            self._running_count += 1
            thread = threading.Thread(
                target=self._look_up, args=(host, loop), name=f"zreg-look-up-{host}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                loop.call_soon(self._on_result, host, loop, [], str(error))

    def _look_up(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        """Look a name up, on a thread of its own; the resolver may be the user's and raise."""
        found: list[str] = []
        why = ""
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(written(name) for *_, name in answers))  # type: ignore[arg-type]  # names of IP sockets
        except OSError as error:
            why = error.strerror or str(error)
        except BaseException as error:  # noqa: BLE001 -- see above
            why = f"{type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._on_result, host, loop, found, why)

    def _on_result(
        self, host: str, loop: asyncio.AbstractEventLoop, found: list[str], why: str
    ) -> None:
        self._running_count -= 1
        self._start_next(loop)
        name = self._names.get(host)
        if name is None or self._is_stopped:
            return
        name.is_pending = False
        if found:
            # What was tried before keeps its place: the address that served is still the first.
            kept = [address for address in name.addresses if address in found]
            name.addresses = kept + [address for address in found if address not in kept]
        failure = "" if name.addresses else f"{host} {UNRESOLVED}: {why or 'no address'}"
        self._on_done(host, failure)

    def _on_late(self, host: str) -> None:
        name = self._names.get(host)
        if name is not None and name.is_pending and not self._is_stopped and not name.addresses:
            self._on_done(host, f"{host} was not looked up in {LOOK_UP_SECONDS_MAX:g} s")


def numeric_address(host: str, port: str) -> str:
    """Return the address of a numeric host."""
    return f"tcp://{bracketed(host)}:{port}"
