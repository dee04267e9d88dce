"""Which address of this machine a node tells others that is bound to all of them. Pure.

The address on the way to the other nodes is right for them: the kernel has chosen it by its routes.
Without such a way there must be only one candidate, since a wrong address sends clients and nodes
to a place where no process answers. Networks that exist inside a machine only (bridges of
containers) and tunnels are no candidates, unless the way to the other nodes leads through them.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from zreg.discovery.interfaces.interface_kind import Kind, kind_of
from zreg.hosts import why_not_told

# Hosts that stand for all addresses of a machine, as a bound socket reports them.
ANY_HOSTS: Final = ("*", "0.0.0.0", "::")  # noqa: S104 -- recognised here, never bound to
LOOPBACK: Final = "127.0.0.1"


class Interface(msgspec.Struct, frozen=True):
    """A network interface that is up, with its lasting addresses in the order of the kernel."""

    name: str
    addresses: tuple[str, ...]
    # What the kernel tells of it; its name may tell more.
    kind: Kind = Kind.NETWORK


class Chosen(msgspec.Struct, frozen=True):
    """The address to tell others; `reason` completes "it is ..."."""

    host: str
    reason: str


class Undecided(msgspec.Struct, frozen=True):
    """No address can be told; `detail` says why, and what to do."""

    detail: str


def choose_host(
    bound_host: str, interfaces: Sequence[Interface], ways: Iterable[str], *, has_peers: bool
) -> Chosen | Undecided:
    """Return the host that a node bound to all addresses tells others, or why there is none.

    `bound_host` is `0.0.0.0`, `*` or `::`. `ways` are this machine's ends of the ways to the other
    nodes, as far as there is a route. `has_peers`: nodes on other machines are known.
    """
    is_ipv4_only = bound_host != "::"
    ends = dict.fromkeys(way for way in ways if _rank(way, is_ipv4_only=is_ipv4_only) is not None)
    if len(ends) == 1:
        return Chosen(next(iter(ends)), "this machine's end of the way to the other nodes")
    if ends:
        return Undecided(
            f"the ways to the other nodes begin at {', '.join(ends)}: say with --advertise-host "
            "which of these addresses all of them, and all clients, can reach"
        )
    return _choose_by_interface(interfaces, is_ipv4_only=is_ipv4_only, has_peers=has_peers)


def _kind(interface: Interface) -> Kind:
    return kind_of(interface.name, interface.kind)


def _choose_by_interface(
    interfaces: Sequence[Interface], *, is_ipv4_only: bool, has_peers: bool
) -> Chosen | Undecided:
    found: dict[int, dict[str, str]] = {}
    for interface in interfaces:
        best = _best(interface, is_ipv4_only=is_ipv4_only)
        if best is not None and _kind(interface) is Kind.NETWORK:
            found.setdefault(best[0] // 2, {})[interface.name] = best[1]
    if not found:
        return _none_found(interfaces, is_ipv4_only=is_ipv4_only, has_peers=has_peers)
    hosts = found[min(found)]
    if len(hosts) == 1:
        ((name, host),) = hosts.items()
        return Chosen(host, f"the address of {name}, the only interface that leads to a network")
    left_out = _shown(each for each in interfaces if each.name not in hosts)
    listed = ", ".join(f"{host} ({name})" for name, host in hosts.items())
    return Undecided(
        f"this machine has several addresses, and no other node is known to which the way could be "
        f"looked up: say with --advertise-host which one others reach: {listed}"
        + (f". Left out: {left_out}" if left_out else "")
    )


def _none_found(
    interfaces: Sequence[Interface], *, is_ipv4_only: bool, has_peers: bool
) -> Chosen | Undecided:
    left_out = _shown(interfaces)
    if left_out:
        ipv6 = ", or bind to :: to use its IPv6 addresses" if is_ipv4_only else ""
        return Undecided(
            "this machine has no address that a node tells others by itself: name the one that "
            f"others reach with --advertise-host{ipv6}. Left out: {left_out}"
        )
    if has_peers:
        return Undecided(
            "this machine has no address but loopback, and the other nodes are on other machines: "
            "is its network up? Start this node again when it is"
        )
    return Chosen(LOOPBACK, "the only address of this machine: no other machine can reach it")


def _best(interface: Interface, *, is_ipv4_only: bool) -> tuple[int, str] | None:
    """Return the rank and the first address of the best rank; None if it has no usable one."""
    ranked = [
        (rank, host)
        for host in interface.addresses
        if (rank := _rank(host, is_ipv4_only=is_ipv4_only)) is not None
    ]
    return min(ranked, key=lambda each: each[0], default=None)


def _rank(host: str, *, is_ipv4_only: bool) -> int | None:
    """Return how well an address can be told, the lowest best; None if it cannot.

    Self-assigned IPv4 addresses (169.254.0.0/16) come last, and pairs of ranks count as equal
    between interfaces: an interface with IPv4 is not better than one with IPv6 alone.
    """
    address = _ip_address(host)
    if address is None or address.is_loopback or why_not_told(host) is not None:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return None if is_ipv4_only else 1
    return 2 if address.is_link_local else 0


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _shown(interfaces: Iterable[Interface]) -> str:
    """Return interfaces and what they lead to, for people; empty without one beside loopback."""
    return ", ".join(
        f"{' '.join((each.name, *_usable(each)))} ({_why_left_out(each)})"
        for each in interfaces
        if each.addresses and _kind(each) is not Kind.LOOPBACK
    )


def _usable(interface: Interface) -> Sequence[str]:
    """Return the addresses without the link-local ones, if it has others."""
    lasting = [host for host in interface.addresses if why_not_told(host) is None]
    return lasting or interface.addresses


def _why_left_out(interface: Interface) -> str:
    kind = _kind(interface)
    return "not reached through this binding" if kind is Kind.NETWORK else kind.value
