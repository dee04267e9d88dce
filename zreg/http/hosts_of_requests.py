"""Which `Host` a request may name, so that no other site reads this node through a browser.

A site of an attacker can let its own name resolve to 127.0.0.1 (DNS rebinding): a browser then
takes this node for that site, and lets the site's scripts read the answers. The requests name the
site as their host. So a request that names a host of the public name space, which is not this
node's own, is refused. An address, a name without a dot and a name of a private top level domain
are no names that a site could have.
"""

import ipaddress
import socket
from typing import Final

from aiohttp import web

from zreg.http.responses import FaultError
from zreg.tcp_address import bare_host

_PRIVATE_DOMAINS: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test")
_HOST_SHOWN_MAX: Final = 100


class KnownHosts:
    """The names under which a node may be asked for its pages."""

    def __init__(self, address: str) -> None:
        self._own = {bare_host(address).lower(), socket.gethostname().lower()}

    def check(self, request: web.Request) -> None:
        """Raise `FaultError` for a request that names another host."""
        given = request.headers.get("Host", "")
        if not self.is_known(given):
            raise FaultError(
                421,
                f"this node is not {given[:_HOST_SHOWN_MAX]!r}: ask it under its address, or start "
                "it with this name as --advertise-host",
            )

    def is_known(self, given: str) -> bool:
        """Return whether a `Host` header names no foreign host."""
        host = _without_port(given).rstrip(".").lower()
        if host in self._own or ("." not in host and ":" not in host):
            return True
        if host.endswith(_PRIVATE_DOMAINS):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _without_port(given: str) -> str:
    if given.startswith("["):
        return given[1:].partition("]")[0]
    host, colon, port = given.rpartition(":")
    return host if colon and port.isdecimal() else given
