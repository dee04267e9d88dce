"""Which requests may change something: those of programs on this machine, and of no web site.

There are no rights yet, so what listens to other machines too must not let them write. A browser
on this machine is a program of this machine as well, and any site may have it send requests. It
tells the site's origin with them.
"""

import ipaddress
from typing import Final

from aiohttp import hdrs, web

from zreg.http.responses import FaultError

BODY_BYTES_MAX: Final = 128 << 10
_JSON: Final = "application/json"
_SHOWN_MAX: Final = 100
_OWN_SITE: Final = ("same-origin", "none")


def check_write(request: web.Request) -> None:
    """Raise `FaultError` for a request that may change nothing."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    host = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    if not is_loopback(host):
        raise FaultError(
            403,
            f"writes are taken from programs on this machine only, as 127.0.0.1 or ::1, and this "
            f"one came from {host or 'an unknown address'}: ask a session on your own machine, or "
            "use a zreg client",
        )
    origin = request.headers.get(hdrs.ORIGIN)
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in _OWN_SITE or (origin is not None and origin != f"http://{request.host}"):
        shown = (origin or "another site")[:_SHOWN_MAX]
        raise FaultError(403, f"a browser sent this for {shown!r}: no web site may write here")


def is_loopback(host: str) -> bool:
    """Return whether an address is one at which only this machine reaches itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


async def read_body(request: web.Request) -> bytes:
    """Return the body of a request that has JSON; `FaultError` if it is none, or too long."""
    if request.content_type != _JSON:
        given = request.content_type[:_SHOWN_MAX]
        raise FaultError(415, f"the body is {given!r}: send JSON, with Content-Type: {_JSON}")
    if (request.content_length or 0) <= BODY_BYTES_MAX:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge:
            pass
    raise FaultError(413, f"the body is longer than {BODY_BYTES_MAX >> 10} KiB: publish less")
