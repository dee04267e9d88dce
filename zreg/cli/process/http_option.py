"""A node's HTTP server, where it is wanted and its library is installed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.cli.exits import CommandFailedError
from zreg.cli.process.node_options import NodeOptions
from zreg.errors import UnavailableError, UsageError
from zreg.nodes.base import Node

if TYPE_CHECKING:
    from zreg.http.server import HttpServer

OFF: Final = "off"
_PORT_MAX: Final = 65535
# How far it is from the port of the node: 9603, 9615 and 9622 by default.
_DISTANCES: Final = {"session": 3, "meta": 5, "data": 2}


def http_port(role: str, options: NodeOptions, port: int) -> int | None:
    """Return where the HTTP of a node is that was told to be at `port`; None: it has none."""
    if options.http_port == OFF:
        return None
    if options.http_port is not None:
        return options.http_port
    beside = port + _DISTANCES[role] if port else 0
    if beside > _PORT_MAX:
        raise UsageError(f"there is no port {beside} for HTTP: choose one with --http-port, or off")
    return beside


def load_http(port: int | None) -> "type[HttpServer] | None":
    """Return what serves HTTP, if there is a port for it.

    Loading it takes a quarter of a second, so only who serves does, and before its node is bound:
    from then on others count on it.
    """
    if port is None:
        return None
    try:
        from zreg.http.server import HttpServer  # noqa: PLC0415 -- see above
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise UsageError(
            "a node's HTTP needs aiohttp, which is not installed: run pip install 'zreg[node]', or "
            "say --http-port off"
        ) from error
    return HttpServer


def open_http(
    server: "type[HttpServer] | None", node: Node, port: int | None
) -> "HttpServer | None":
    """Bind the HTTP server of a node, on the node's own host; without a port there is none.

    The node is closed if that cannot be.
    """
    if server is None or port is None:
        return None
    try:
        return server(node, node.bound_host, port)
    except UnavailableError as error:
        node.close()
        raise CommandFailedError(f"{error} with --http-port") from error
    except BaseException:
        node.close()
        raise


def http_address(node: Node, server: "HttpServer | None") -> str | None:
    """Return `HOST:PORT` of a node's HTTP, as others reach it."""
    if server is None:
        return None
    host = node.address.removeprefix("tcp://").rpartition(":")[0]
    return f"{host}:{server.port}"


def present(servers: Sequence["HttpServer | None"]) -> list["HttpServer"]:
    """Return those that there are."""
    return [server for server in servers if server is not None]
