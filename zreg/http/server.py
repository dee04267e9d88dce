"""The HTTP server of one node: bound before anything runs, then served on the node's own loop.

Pages are lists of routes (`health.py`); another page is another module and one line in `_pages`.
"""

import asyncio
import socket
from collections.abc import Mapping
from errno import EADDRINUSE
from typing import Final

from aiohttp import web

from zreg.errors import UnavailableError, UsageError
from zreg.http.connections import Connections
from zreg.http.health_pages import HealthPages
from zreg.nodes.base import Node

# As many connections are accepted in one go, while the node waits: fewer than are answered.
_ACCEPTS_MAX: Final = 4
# A connection that the kernel has no room for is tried again after one second, three, seven.
_BACKLOG: Final = 1024
_CLOSE_SECONDS_MAX: Final = 0.5


class HttpServer:
    """Answers for one node; its socket is bound when this returns."""

    def __init__(self, node: Node, host: str, port: int) -> None:
        self._listener = _bound(host, port)
        self._connections = Connections()
        application = web.Application()
        application.add_routes(_pages(node, self.counts))
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=_CLOSE_SECONDS_MAX,
        )
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is bound."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def counts(self) -> Mapping[str, int]:
        """How often it was asked, and what came of it."""
        return self._connections.counts

    async def start(self) -> None:
        """Begin to answer."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connections.new(server), sock=self._listener, backlog=_ACCEPTS_MAX
        )
        # asyncio has one number for both.
        self._listener.listen(_BACKLOG)

    async def stop(self) -> None:
        """Answer no more, and close all connections."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        self.close()

    def close(self) -> None:
        """Close the socket of a server that never started."""
        self._listener.close()


def _pages(node: Node, counts: Mapping[str, int]) -> list[web.RouteDef]:
    return [*HealthPages(node, counts).routes()]


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, and does not listen yet; with errors for people."""
    is_ipv6 = ":" in host
    listener = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Two that are bound and do not listen yet could have the same port.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        where = f"[{host}]:{port}" if is_ipv6 else f"{host}:{port}"
        if error.errno == EADDRINUSE:
            raise UnavailableError(
                f"http://{where} is already in use: stop the other process or choose another port"
            ) from error
        raise UsageError(
            f"http://{where} cannot be bound to ({error.strerror}): choose another host or port"
        ) from error
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 -- the name of the method says it
    return listener
