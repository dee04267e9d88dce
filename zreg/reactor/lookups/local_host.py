"""The address of this machine on the way to a peer."""

import ipaddress
import socket

from zreg.hosts import is_ip_address
from zreg.reactor.link_table import split_address
from zreg.tcp_address import bare_host

_MAPPED = "::ffff:"


def find_local_host(address: str) -> str:
    """Return the local end of the route to a numeric address; empty if there is no route.

    Connecting a UDP socket sends no packet: it only asks the kernel for the route. A name is never
    looked up, since that may take seconds.
    """
    host, (_, port) = bare_host(address), split_address(address)
    if not is_ip_address(host):
        return ""
    plain, _, zone = host.partition("%")
    try:
        # Not `socket.getaddrinfo`: a program may have replaced it by one that is slow or fails, and
        # this runs on the loop's thread.
        if ipaddress.ip_address(plain).version == 4:  # noqa: PLR2004 -- the older of two
            return _local_end(socket.AF_INET, (plain, int(port)))
        scope = 0 if not zone else int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
        return _local_end(socket.AF_INET6, (plain, int(port), 0, scope))
    except (OSError, ValueError):
        return ""


def _local_end(
    family: socket.AddressFamily, target: tuple[str, int] | tuple[str, int, int, int]
) -> str:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)
        return written(probe.getsockname())


def written(name: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the host of a socket's name as it is published: with its zone if it has one."""
    host, zone = name[0].removeprefix(_MAPPED), name[3] if len(name) > 3 else 0  # noqa: PLR2004
    if zone and "%" not in host:
        return f"{host}%{socket.if_indextoname(zone)}"
    return host
