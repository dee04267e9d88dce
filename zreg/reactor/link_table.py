"""What a reactor is made of: its links and their addresses."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from zreg.effects import Link
from zreg.errors import UsageError

# Links between a client and a session: they have a context of their own, so that a storm of clients
# cannot stop the inside, and their epochs mean nothing to a core.
OUTSIDE: Final = (Link.CLIENTS, Link.SESSION)

# Links whose epochs tell a core nothing: between meta nodes the leader's is always ahead.
BETWEEN_META_NODES: Final = (Link.RAFT_ASK, Link.RAFT_ANSWER)
WITHOUT_EPOCH: Final = (*OUTSIDE, *BETWEEN_META_NODES)

_ADDRESS: Final = re.compile(r"tcp://(\[[0-9A-Fa-f:.%\w]+\]|[\w.*-]+):(\d{1,5}|\*)\Z", re.ASCII)
_PORT_MAX: Final = 65535


class LinkTable(msgspec.Struct, frozen=True, kw_only=True):
    """Which links a reactor has: those that bind with their address, those that connect without.

    Port 0 lets the kernel choose; `addresses` of the reactor tells what it chose.
    """

    routers: Mapping[Link, str] = {}
    pubs: Mapping[Link, str] = {}
    dealers: tuple[Link, ...] = ()
    subs: tuple[Link, ...] = ()
    # One request at a time and its answer: a REQ per peer, a REP for all.
    asks: tuple[Link, ...] = ()
    answers: Mapping[Link, str] = {}
    # Whether somebody listens at an address is looked at; without a socket of ZeroMQ's.
    checks: tuple[Link, ...] = ()


def check_address(address: str, *, port_min: int) -> None:
    """Raise `UsageError` for an address that can never work."""
    match = _ADDRESS.match(address)
    port = match[2].replace("*", "0") if match else "-1"
    if not port_min <= int(port) <= _PORT_MAX:
        raise UsageError(
            f"{address!r} is no address: write tcp://HOST:PORT, the port {port_min} to {_PORT_MAX}"
        )


def is_ipv6(address: str) -> bool:
    """Return whether the address is written as IPv6, the only case in which it is switched on.

    With it on libzmq writes 127.0.0.1 as ::ffff:127.0.0.1, which nobody can read in a log.
    """
    return "[" in address
