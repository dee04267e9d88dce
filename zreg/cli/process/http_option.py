"""The HTTP server of a node: its port, and how to load it only if it is wanted."""

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
# The distance from the port of the node, which gives 9603, 9615 and 9622 by default.
_DISTANCES: Final = {"session": 3, "meta": 5, "data": 2}


def http_port(role: str, options: NodeOptions, port: int) -> int | None:
    """Return the HTTP port of a node that binds to `port`; None if HTTP is off."""
    if options.http_port == OFF:
        return None
    if options.http_port is not None:
        return options.http_port
    beside = port + _DISTANCES[role] if port else 0
    if beside > _PORT_MAX:
        raise UsageError(
            f"there is no port {beside} for HTTP: choose a port with --http-port, or switch HTTP "
            "off with --http-port off"
        )
    return beside


def load_http(port: int | None) -> "type[HttpServer] | None":
    """Return the class of the HTTP server; None without a port.

    Loading it takes a quarter of a second. So it is loaded only if HTTP is wanted, and before the
    node is bound, since other nodes expect quick answers from then on.
    """
    if port is None:
        return None
    try:
        from zreg.http.server import HttpServer  # noqa: PLC0415 -- see above
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise UsageError(
            "HTTP needs the library aiohttp, which is not installed: run pip install 'zreg[node]', "
            "or switch HTTP off with --http-port off"
        ) from error
    return HttpServer


def open_http(
    server: "type[HttpServer] | None", node: Node, port: int | None
) -> "HttpServer | None":
    """Bind the HTTP server of a node to the node's own host; return None without a port.

    Closes the node, and raises `CommandFailedError`, if the port cannot be bound.
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
    """Return the `HOST:PORT` at which other machines reach the HTTP server of a node."""
    if server is None:
        return None
    host = node.address.removeprefix("tcp://").rpartition(":")[0]
    return f"{host}:{server.port}"


def present(servers: Sequence["HttpServer | None"]) -> list["HttpServer"]:
    """Return the servers without the places of nodes that have none."""
    return [server for server in servers if server is not None]
