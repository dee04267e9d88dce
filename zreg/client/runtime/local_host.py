"""Under which host a session, and so other programs, can reach this machine."""

import re
import socket
from typing import Final

_TCP: Final = re.compile(r"tcp://(?:\[(.+)\]|(.+)):(\d+)\Z")


def find_local_host(session_address: str) -> str | None:
    """Return the local address of the route to a session; None if there is no route.

    Connecting a UDP socket sends no packet: it only asks the kernel for the route.
    """
    found = _TCP.match(session_address)
    if found is None:
        return None
    host, port = found[1] or found[2], int(found[3])
    try:
        targets = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, target = targets[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except (OSError, UnicodeError):
        return None
