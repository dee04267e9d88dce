"""Find the address that a node tells others: look at this machine, and let `choose_host` decide."""

import socket
from collections.abc import Sequence

from zreg.hosts import bracketed, is_ip_address, is_loopback_host
from zreg.nodes.addresses.address_choice import Chosen, Undecided, choose_host
from zreg.nodes.addresses.kernel_interfaces import list_interfaces
from zreg.reactor.link_table import split_address
from zreg.reactor.lookups.local_host import find_local_host
from zreg.tcp_address import bare_host


def find_host(bound_host: str, peers: Sequence[str]) -> Chosen | Undecided:
    """Return the host that a node bound to all addresses tells others, or why there is none.

    `peers` are the addresses of other nodes. One that is a name is looked up, which may take
    seconds, so a running node calls this on another thread.
    """
    elsewhere = [
        address for peer in peers if not is_loopback_host(bare_host(address := _numeric(peer)))
    ]
    ways = [end for address in elsewhere if (end := find_local_host(address))]
    return choose_host(bound_host, list_interfaces(), ways, has_peers=bool(elsewhere))


def _numeric(address: str) -> str:
    """Return an address with the host looked up, if it is a name that resolves."""
    host, (_, port) = bare_host(address), split_address(address)
    if is_ip_address(host):
        return address
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return address
    return f"tcp://{bracketed(str(found[0][4][0]))}:{port}"
