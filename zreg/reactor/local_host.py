"""The address of this machine on the way to a peer."""

import socket

from zreg.hosts import is_ip_address
from zreg.reactor.link_table import bare_host, split_address

_MAPPED = "::ffff:"


def find_local_host(address: str) -> str:
    """Return the local end of the route to a numeric address; empty if there is no route.

    Connecting a UDP socket sends no packet: it only asks the kernel for the route. A name is never
    looked up, since that may take seconds.
    """
    host, (_, port) = bare_host(address), split_address(address)
    if not is_ip_address(host):
        return ""
    try:
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=flags)
        family, kind, protocol, _, target = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return written(probe.getsockname())
    except (OSError, UnicodeError):
        return ""


def written(name: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the host of a socket's name as it is published: with its zone if it has one."""
    host, zone = name[0].removeprefix(_MAPPED), name[3] if len(name) > 3 else 0  # noqa: PLR2004
    if zone and "%" not in host:
        return f"{host}%{socket.if_indextoname(zone)}"
    return host
