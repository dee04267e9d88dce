"""Check whether a process listens at an address: connect by TCP, and wait for its greeting.

A plain TCP socket is used because libzmq reports the same for a port at which no process listens
and for a host that does not answer, and only the first is proof that a process is gone.

Three cases are not taken for proof. A process that is merely stopped still listens: its kernel
accepts the connection, and no greeting comes. A process that is just ending closes its listening
socket last: its kernel accepts the connection and then resets it, so a connection that ends without
a greeting is tried again. A host that does not answer may be cut off.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from zreg.effects import REFUSED, TIMED_OUT, Connect, Local, Peer, PeerLost, PeerUp
from zreg.errors import UsageError
from zreg.hosts import is_ip_address
from zreg.reactor.link_table import bare_host, check_address, split_address
from zreg.reactor.local_host import written

# Silence proves nothing, so a longer wait would not help.
CHECK_SECONDS_MAX: Final = 1.0
_AGAIN_SECONDS: Final = 0.01


class Checks:
    """The checks under way, by the name that the core gave to each. One name has one check."""

    def __init__(self, post: Callable[[Local], None]) -> None:
        self._post = post
        self._tasks: dict[Peer, asyncio.Task[None]] = {}

    def begin(self, check: Connect) -> None:
        """Check an address; a second check of a name replaces the first."""
        self._cancel(check.peer)
        self._tasks[check.peer] = asyncio.get_running_loop().create_task(self._run(check))

    def stop(self) -> None:
        """End all checks without a result."""
        for peer in list(self._tasks):
            self._cancel(peer)

    def _cancel(self, peer: Peer) -> None:
        task = self._tasks.pop(peer, None)
        if task is not None:
            task.cancel()

    async def _run(self, check: Connect) -> None:
        reason = await why_unreachable(check.address)
        del self._tasks[check.peer]
        if reason is None:
            self._post(PeerUp(check.link, check.peer))
        else:
            self._post(PeerLost(check.link, check.peer, reason))


async def why_unreachable(address: str) -> str | None:
    """Return why no process greets at an address; None if one does."""
    try:
        check_address(address, port_min=1)
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            while not await _is_greeted(address):  # noqa: ASYNC110 -- no event tells when to try
                await asyncio.sleep(_AGAIN_SECONDS)
    except ConnectionRefusedError:
        return REFUSED
    except TimeoutError:
        return TIMED_OUT
    except (OSError, UnicodeError, UsageError) as error:
        return str(error) or type(error).__name__
    return None


async def _is_greeted(address: str) -> bool:
    """Connect once; return whether a byte came before the end of the connection.

    A name is refused if all its addresses are: a process listens at one of them only.
    """
    host, (_, port) = bare_host(address), split_address(address)
    refusals: list[ConnectionRefusedError] = []
    hosts = [host] if is_ip_address(host) else await _look_up(host)
    for each in hosts:
        try:
            if await _is_greeted_at(each, int(port)):
                return True
        except ConnectionRefusedError as error:
            refusals.append(error)
    if refusals and len(refusals) == len(hosts):
        raise refusals[0]
    return False


async def _look_up(host: str) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(written(name) for *_, name in found))  # type: ignore[arg-type]  # names of IP sockets


async def _is_greeted_at(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return len(await reader.read(1)) > 0
    except ConnectionResetError:
        return False
    finally:
        writer.transport.abort()
