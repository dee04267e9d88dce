"""Options that name addresses and hosts: `--meta`, `--peer` and `--host`."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

from zreg.client.locating.registry_url import shown_url
from zreg.errors import UsageError
from zreg.hosts import why_no_host
from zreg.model import checked_node_id
from zreg.tcp_address import FORM, why_no_address

# A node can bind to these, but no other node can connect to them.
ANY_HOSTS: Final = ("*", "0.0.0.0", "::")  # noqa: S104 -- recognised here


def tcp_addresses(text: str, where: str) -> tuple[str, ...]:
    """Return the addresses of `HOST:PORT[,HOST:PORT...]`, each with or without `tcp://`.

    Raises `UsageError`, which begins with `where`: the option or file that holds the text.
    """
    addresses = []
    for part in text.split(","):
        address = f"tcp://{part.strip().removeprefix('tcp://')}"
        if (why := why_no_address(address)) is not None:
            reason = "" if why == FORM else f" ({why})"
            raise UsageError(
                f"{where}: {shown_url(part.strip())} is not an address: write HOST:PORT, for "
                f"example 127.0.0.1:9610 or [fd00::7]:9610{reason}"
            )
        addresses.append(address)
    return tuple(dict.fromkeys(addresses))


def bind_host(host: str, where: str) -> str:
    """Return the IP address to bind to, which `host` is or names, without brackets.

    Raises `UsageError`, which begins with `where`: the option or file that holds the text.
    """
    if host in ANY_HOSTS:
        return host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _looked_up(host, where)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _looked_up(host: str, where: str) -> str:
    """Return an address of a name of this machine, such as `localhost`; IPv4 if it has one."""
    problem = why_no_host(host)
    if problem is None and host in (name for _, name in socket.if_nameindex()):
        problem = "this is a network interface"
    if problem is None:
        try:
            found = [each[4][0] for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError):
            problem = "it does not resolve"
        else:
            return str(min(found, key=lambda address: ":" in str(address)))
    raise UsageError(
        f"{where}: {shown_url(host)} is not a host to bind to ({problem}): write an IP address of "
        "this machine, such as 127.0.0.1 or ::1, or 0.0.0.0 or :: for all of them"
    )


def peers(parts: Sequence[str]) -> dict[str, str]:
    """Return Raft's address of each meta node by its id; raises `UsageError`."""
    found: dict[str, str] = {}
    for part in parts:
        node_id, equals, address = str(part).strip().partition("=")
        if not equals or not node_id or node_id in found:
            raise UsageError(
                f"peer: {shown_url(str(part))} cannot be used: write ID=HOST:PORT once for each "
                "meta node, for example meta-1=127.0.0.1:9611"
            )
        found[checked_node_id(node_id)] = _peer_address(node_id, address)
    return found


def _peer_address(node_id: str, text: str) -> str:
    host = text.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if "," in text or host in ANY_HOSTS:
        raise UsageError(
            f"peer {node_id}: {shown_url(text)} cannot be used: write the one HOST:PORT at which "
            "the other meta nodes reach it"
        )
    (address,) = tcp_addresses(text, f"peer {node_id}")
    return address
