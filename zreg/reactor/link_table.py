"""The links of a reactor and their addresses, and what makes an address valid."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from zreg.config import Limits
from zreg.effects import Link
from zreg.errors import UsageError

# Links between a client and a session. They have a ZeroMQ context of their own, so that a storm of
# clients cannot stop the links inside the cluster. A client's epoch has no meaning for a core.
OUTSIDE: Final = (Link.CLIENTS, Link.SESSION)

# Between meta nodes epochs have no meaning either: the leader is always ahead of its followers.
BETWEEN_META_NODES: Final = (Link.RAFT_ASK, Link.RAFT_ANSWER)
WITHOUT_EPOCH: Final = (*OUTSIDE, *BETWEEN_META_NODES)

# Links to a ROUTER that many peers share. It reads one message of each peer in turn, so a message
# there is a peer's share: it carries at most so many records.
SHARED: Final = (Link.SESSION, Link.DATA, Link.META, Link.EVENTS)
SHARE_RECORDS_MAX: Final = 128

_ADDRESS: Final = re.compile(r"tcp://(\[[0-9A-Fa-f:.%\w-]+\]|[\w.*-]+):(\d{1,5}|\*)\Z", re.ASCII)
_PORT_MAX: Final = 65535


class LinkTable(msgspec.Struct, frozen=True, kw_only=True):
    """The links of a reactor. A link that binds has an address; a link that connects has none yet.

    With port 0 the kernel chooses a port; `Reactor.addresses` tells which.
    """

    routers: Mapping[Link, str] = {}
    pubs: Mapping[Link, str] = {}
    dealers: tuple[Link, ...] = ()
    subs: tuple[Link, ...] = ()
    # Links on which a peer gets one request at a time, over a REQ socket of its own.
    asks: tuple[Link, ...] = ()
    # Links that answer such requests, over one REP socket.
    answers: Mapping[Link, str] = {}
    # Links on which `Connect` only checks whether a process listens, by plain TCP.
    checks: tuple[Link, ...] = ()


def check_address(address: str, *, port_min: int) -> None:
    """Raise `UsageError` for an address that can never work."""
    match = _ADDRESS.match(address)
    port = match[2].replace("*", "0") if match else "-1"
    if not port_min <= int(port) <= _PORT_MAX:
        raise UsageError(
            f"{address!r} is no address: write tcp://HOST:PORT, the port {port_min} to {_PORT_MAX}"
        )


def records_max(link: Link) -> int:
    """Return how many records a message over a link carries at most."""
    return SHARE_RECORDS_MAX if link in SHARED else Limits.records_per_frame_max


def split_address(address: str) -> tuple[str, str]:
    """Return host and port of a valid address; an IPv6 host is in brackets, any port is `*`."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, port


def is_ipv6(address: str) -> bool:
    """Return whether the address is written as IPv6; only then the socket's IPv6 is switched on.

    With IPv6 on, libzmq reports 127.0.0.1 as ::ffff:127.0.0.1, which is hard to read in a log.
    """
    return "[" in address
