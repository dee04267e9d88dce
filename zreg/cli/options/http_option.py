"""The port of a node's HTTP server, as `--http-port` says or by default."""

from typing import Final

from zreg.cli.options.node_options import NodeOptions
from zreg.errors import UsageError

OFF: Final = "off"
_PORT_MAX: Final = 65535
# The distance from the node's own port: 9603, 9615 and 9622 by default.
_DISTANCES: Final = {"session": 3, "meta": 5, "data": 2}


def http_port(role: str, options: NodeOptions, port: int) -> int | None:
    """Return the HTTP port of a node whose own port is `port`; None if HTTP is off."""
    if options.http_port == OFF:
        return None
    if options.http_port is not None:
        return options.http_port
    beside = port + _DISTANCES[role] if port else 0
    if beside > _PORT_MAX:
        raise UsageError(f"there is no port {beside} for HTTP: choose one with --http-port, or off")
    return beside
