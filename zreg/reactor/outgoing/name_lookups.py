"""The addresses of the names of peers, and which of them to try next.

libzmq would look a name up on its I/O thread, on which all connections of a context wait meanwhile,
and would try one address of it only, always IPv4. So libzmq gets numeric addresses.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from zreg.effects import UNRESOLVED
from zreg.hosts import bracketed
from zreg.reactor.lookups.local_host import written
from zreg.reactor.lookups.lookup_threads import HostAddresses, LookupThreads

# After this time a result is asked for again, and used until the new one is there.
_FRESH_SECONDS: Final = 1.0
# Attempts to connect that wait for a look-up are given up after this time; the look-up goes on.
LOOK_UP_SECONDS_MAX: Final = 6.0
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
    - A name that was found once stays usable: a look-up that fails later changes nothing.
    - An address that could not be reached is tried last the next time.
    """

    def __init__(self, threads: LookupThreads, on_done: DoneCallback) -> None:
        self._threads = threads
        self._on_done = on_done
        self._names: dict[str, _Name] = {}
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
            self._threads.look_up(host).add_done_callback(partial(self._on_result, host))
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

    def _on_result(self, host: str, done: asyncio.Future[HostAddresses]) -> None:
        name = self._names.get(host)
        if name is None or self._is_stopped:
            return
        name.is_pending = False
        answer = done.result()
        found = list(dict.fromkeys(written(name) for _, name in answer.addresses))
        if found:
            # What was tried before keeps its place: the address that served is still the first.
            kept = [address for address in name.addresses if address in found]
            name.addresses = kept + [address for address in found if address not in kept]
        failure = "" if name.addresses else f"{host} {UNRESOLVED}: {answer.why}"
        self._on_done(host, failure)

    def _on_late(self, host: str) -> None:
        name = self._names.get(host)
        if name is not None and name.is_pending and not self._is_stopped and not name.addresses:
            self._on_done(host, f"{host} was not looked up in {LOOK_UP_SECONDS_MAX:g} s")


def numeric_address(host: str, port: str) -> str:
    """Return the address of a numeric host."""
    return f"tcp://{bracketed(host)}:{port}"
