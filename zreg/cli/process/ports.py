"""Ports for nodes that must be told of each other before any of them is bound."""

import secrets
import socket
from contextlib import suppress
from typing import Final

from zreg.errors import UnavailableError

# Below those that the kernel deals out by itself on Linux (from 32,768 on): any connection that is
# made before the node binds may get one of those.
_PORTS: Final = range(10_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return so many ports of 127.0.0.1 that nobody uses now; raises `UnavailableError`."""
    found: list[int] = []
    start = secrets.randbelow(len(_PORTS))
    for port in (*_PORTS[start:], *_PORTS[:start]):
        if len(found) == count:
            break
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    if len(found) < count:
        raise UnavailableError(
            f"127.0.0.1 has no {count} free ports from {_PORTS.start} to {_PORTS.stop - 1}: stop "
            "what uses them, or deal out others with --base-port"
        )
    return found
