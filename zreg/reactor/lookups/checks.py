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

from zreg.effects import REFUSED, TIMED_OUT, UNRESOLVED, Connect, Local, Peer, PeerLost, PeerUp
from zreg.errors import UsageError
from zreg.hosts import is_ip_address
from zreg.reactor.link_table import check_address, split_address
from zreg.reactor.lookups.lookup_threads import LookupThreads, SocketAddress, addresses_of
from zreg.tcp_address import bare_host

# Silence proves nothing, so a longer wait would not help.
CHECK_SECONDS_MAX: Final = 1.0
_AGAIN_SECONDS: Final = 0.01


class Checks:
    """The checks under way, by the name that the core gave to each. One name has one check."""

    def __init__(self, threads: LookupThreads, post: Callable[[Local], None]) -> None:
        self._threads = threads
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
        reason = await why_unreachable(check.address, self._threads)
        del self._tasks[check.peer]
        if reason is None:
            self._post(PeerUp(check.link, check.peer))
        else:
            self._post(PeerLost(check.link, check.peer, reason))


async def why_unreachable(address: str, threads: LookupThreads) -> str | None:
    """Return why no process greets at an address; None if one does.

    A name may have several addresses. It is refused only if each of them is: a node may be bound to
    one of them, by IPv4 or by IPv6.
    """
    reasons = []
    try:
        check_address(address, port_min=1)
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            host, port = bare_host(address), int(split_address(address)[1])
            if is_ip_address(host):
                found = addresses_of(host)
            else:
                # Others may wait for the same look-up: the end of this wait must not cancel it.
                found = await asyncio.shield(threads.look_up(host))
            if found.why:
                return f"{host} {UNRESOLVED}: {found.why}"
            for family, name in found.addresses:
                at = family, (name[0], port, *name[2:])
                if (reason := await _why_unreachable_at(at)) is None:
                    return None
                reasons.append(reason)
    except TimeoutError:
        return TIMED_OUT
    except (OSError, UnicodeError, UsageError) as error:
        return str(error) or type(error).__name__
    return next((reason for reason in reasons if reason != REFUSED), REFUSED)


async def _why_unreachable_at(at: SocketAddress) -> str | None:
    try:
        while not await _is_greeted(at):  # noqa: ASYNC110 -- no event tells when to try
            await asyncio.sleep(_AGAIN_SECONDS)
    except ConnectionRefusedError:
        return REFUSED
    except TimeoutError:
        raise
    except OSError as error:
        return str(error)
    return None


async def _is_greeted(at: SocketAddress) -> bool:
    """Connect once; return whether a byte came before the end of the connection."""
    family, name = at
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)  # noqa: FBT003 -- its only argument
        try:
            # A process that is just ending may reset the connection before it is made.
            await loop.sock_connect(connection, name)
            return len(await loop.sock_recv(connection, 1)) > 0
        except ConnectionResetError:
            return False
