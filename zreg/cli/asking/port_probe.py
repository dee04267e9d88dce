"""What listens at an address where no node answered: another port of zreg, or another service.

The probe speaks no protocol of zreg. It exchanges the greetings of ZMTP 3.0, after which a ZeroMQ
socket tells its type, and asks a port that is not ZeroMQ's for an HTTP page. (ZMTP: rfc.zeromq.org,
23/ZMTP.)
"""

import contextlib
import json
import socket
import struct
from collections.abc import Iterable
from typing import Final

from zreg.cli.showing.printable_text import printable

# All probes of one command take less than three times three of these.
_SECONDS_EACH: Final = 0.5
_ADDRESSES_MAX: Final = 3
_READ_BYTES_MAX: Final = 64 << 10
_GREETING_BYTES: Final = 64
_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_SHOWN_BYTES: Final = 40
_PAGE: Final = b"GET /v1/status HTTP/1.0\r\nHost: zreg\r\n\r\n"

_BROADCASTS: Final = (
    "is a port on which a data node or a meta node broadcasts changes (its --pub-port)"
)
_SOCKET_KINDS: Final = {
    "PUB": _BROADCASTS,
    "XPUB": _BROADCASTS,
    "REP": "is a port at which meta nodes reach each other (their --peer)",
}


def describe_ports(addresses: Iterable[str]) -> dict[str, str]:
    """Return for each of these addresses what listens there, as the rest of a sentence.

    Left out are an address at which nothing accepts a connection, one at which a node of zreg may
    listen, since its own answer tells more, and all after the third one.
    """
    found = {}
    for address in list(addresses)[:_ADDRESSES_MAX]:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        description = _describe(host.strip("[]"), int(port))
        if description is not None:
            found[address] = description
    return found


def _describe(host: str, port: int) -> str | None:
    greeting = _exchange(host, port, _GREETING)
    if greeting is None:
        return None
    if greeting.startswith(b"\xff"):
        return _SOCKET_KINDS.get(_socket_type(greeting))
    page = _exchange(host, port, _PAGE) or b""
    if page.startswith(b"HTTP/"):
        return _describe_page(page)
    said = greeting or page
    if said:
        return f"is a port of another service, which says {said[:_SHOWN_BYTES]!r}"
    return "accepts connections and says nothing, so it is no node of zreg, or one that hangs"


def _exchange(host: str, port: int, request: bytes) -> bytes | None:
    """Return what a port says to a request, cut in time and length; None without a connection."""
    received = b""
    try:
        connection = socket.create_connection((host, port), timeout=_SECONDS_EACH)
    except OSError:
        return None
    with connection, contextlib.suppress(OSError):
        connection.sendall(request)
        while len(received) < _READ_BYTES_MAX and not _socket_type(received):
            part = connection.recv(_READ_BYTES_MAX)
            if not part:
                break
            received += part
    return received


def _socket_type(received: bytes) -> str:
    """Return the type that a ZeroMQ socket names in its READY command; empty without one."""
    _, name, rest = received[_GREETING_BYTES:].partition(b"\x0bSocket-Type")
    if not name or len(rest) < struct.calcsize("!I"):
        return ""
    (length,) = struct.unpack_from("!I", rest)
    return rest[4 : 4 + min(length, _SHOWN_BYTES)].decode("ascii", "replace")


def _describe_page(page: bytes) -> str:
    """Return which node's HTTP port answered, and where the node itself is, if it is a node."""
    _, _, body = page.partition(b"\r\n\r\n")
    try:
        status = json.loads(body)
        node_id, address = str(status["node_id"]), str(status["address"])
    except (ValueError, TypeError, KeyError):
        return "is the port of a web server that is no node of zreg"
    at = printable(address.removeprefix("tcp://"))
    return f"is the HTTP port of {printable(node_id)}, whose own port is {at}"
