"""The HTTP server of one node: bound before anything runs, then served on the node's own loop.

Pages are tables (`pages.py`). Another page is another entry in one of them, or another module and
one line in `_pages`.
"""

import asyncio
import socket
from collections.abc import Mapping
from errno import EADDRINUSE
from typing import Final

from aiohttp import web

from zreg.errors import UnavailableError, UsageError
from zreg.http.catalogue.asked_node import AskedNode
from zreg.http.catalogue.cluster_pages import ClusterPages
from zreg.http.catalogue.service_pages import ServicePages
from zreg.http.catalogue.target_pages import TargetPages
from zreg.http.catalogue.topology_pages import TopologyPages
from zreg.http.connections import Connections
from zreg.http.dashboard.dashboard_pages import DashboardPages
from zreg.http.health_pages import VERSION, HealthPages
from zreg.http.hosts_of_requests import KnownHosts
from zreg.http.instances.instance_pages import InstancePages
from zreg.http.instances.write_checks import BODY_BYTES_MAX
from zreg.http.metrics.metrics_page import MetricsPage
from zreg.http.openapi import OpenApiPage
from zreg.http.pages import Page, routes
from zreg.http.served_node import ServedNode
from zreg.http.watches.watch_page import WatchPage
from zreg.tcp_address import why_not_bound

# asyncio accepts this many connections in one go. The node waits meanwhile, so they are few.
_ACCEPTS_MAX: Final = 4
# Large, because a client whose SYN finds the queue full tries again only after 1, 3 and 7 seconds.
_BACKLOG: Final = 1024
_CLOSE_SECONDS_MAX: Final = 0.5


class HttpServer:
    """Serves one node; its socket is bound when this returns."""

    def __init__(self, node: ServedNode, host: str, port: int) -> None:
        self._listener = _bound(host, port)
        self._connections = Connections()
        self._watch_page: WatchPage | None = None
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.add_routes(routes(self._pages(node), KnownHosts(node.address)))
        if isinstance(node, AskedNode):
            # Files and no data: the pages that they ask for look at the host.
            application.add_routes(DashboardPages().routes())
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
        """Counts of requests, and of how they ended."""
        return self._connections.counts

    async def start(self) -> None:
        """Begin to serve."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connections.new(server), sock=self._listener, backlog=_ACCEPTS_MAX
        )
        # asyncio uses one number for this queue and for the connections accepted in one go.
        self._listener.listen(_BACKLOG)

    async def stop(self) -> None:
        """Stop serving, and close all connections."""
        if self._watch_page is not None:
            self._watch_page.hub.stop()
        for watch in list(self._connections.watches):
            watch.drop()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        self.close()

    def _pages(self, node: ServedNode) -> list[Page]:
        """Return the pages of a node of this role."""
        pages = HealthPages(node, self.counts).pages() + MetricsPage(node, self.counts).pages()
        if isinstance(node, AskedNode):
            self._watch_page = WatchPage(node, self._connections.counts)
            for of_session in (ServicePages, ClusterPages, TopologyPages, TargetPages):
                pages += of_session(node).pages()
            pages += self._watch_page.pages() + InstancePages(node, node).pages()
        return [*pages, OpenApiPage(pages, VERSION).page()]

    def close(self) -> None:
        """Close the socket of a server that never started."""
        self._listener.close()


def _bound(host: str, port: int) -> socket.socket:
    """Return a bound socket; an error says what to do."""
    is_ipv6 = ":" in host
    listener = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Without listening, two sockets could be bound to the same port.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        where = f"[{host}]:{port}" if is_ipv6 else f"{host}:{port}"
        if error.errno == EADDRINUSE:
            raise UnavailableError(
                f"http://{where} is already in use: stop the other process or choose another port"
            ) from error
        raise UsageError(why_not_bound(f"http://{where}", error)) from error
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 -- the name of the method says it
    return listener
