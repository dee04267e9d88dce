"""Free ports, for nodes that must know each other's address before any of them binds."""

import secrets
import socket
from contextlib import suppress
from typing import Final

from zreg.errors import UnavailableError

# On Linux the kernel gives ports from 32,768 on to outgoing connections. It could give away one of
# those before the node binds.
PORTS: Final = range(10_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return `count` ports of 127.0.0.1 that no process uses now; raises `UnavailableError`."""
    found: list[int] = []
    start = secrets.randbelow(len(PORTS))
    for port in (*PORTS[start:], *PORTS[:start]):
        if len(found) == count:
            break
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    if len(found) < count:
        raise UnavailableError(
            f"127.0.0.1 has no {count} free ports from {PORTS.start} to {PORTS.stop - 1}: stop "
            "programs that use them, or choose other ports with --base-port"
        )
    return found
