"""On which interfaces a node is announced, and at which addresses it is reached there."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from zreg.discovery.announcement import ADDRESSES_MAX, Interface, why_no_ip_address
from zreg.discovery.interfaces.interface_kind import Kind, kind_of
from zreg.hosts import bracketed

# A machine with many containers has hundreds of interfaces; each costs some sockets.
INTERFACES_MAX: Final = 16
_ANY_IPV4: Final = ("*", "0.0.0.0")  # noqa: S104 -- recognised here, never bound to
_ANY_IPV6: Final = "::"


class MachineInterface(msgspec.Struct, frozen=True):
    """An interface that is up and takes multicast, with the IP addresses that it has."""

    interface: Interface
    index: int
    hosts: tuple[str, ...]
    # What the kernel tells of it; its name may tell more.
    kind: Kind = Kind.NETWORK

    @property
    def is_lan(self) -> bool:
        """Whether other machines can be there that find each other by themselves."""
        return kind_of(self.interface.name, self.kind) in (Kind.NETWORK, Kind.LOOPBACK)


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Where one node is bound, and the host that it tells others, empty if it tells none."""

    bound_host: str
    port: int
    advertise_host: str = ""

    def covers(self, interface: MachineInterface) -> bool:
        """Return whether the node can be reached over an interface."""
        return bool(self._hosts_on(interface))

    @property
    def is_bound_to_one(self) -> bool:
        """Whether the operator has bound the node to one address, and so to its interface."""
        return self.bound_host not in (*_ANY_IPV4, _ANY_IPV6)

    def addresses_on(self, interface: MachineInterface) -> tuple[str, ...]:
        """Return the addresses of the node on an interface; empty if it is not reached over it.

        A host that the operator advertises replaces them if it is an IP address; a name is not
        announced.
        """
        hosts = self._hosts_on(interface)
        advertised = f"tcp://{bracketed(self.advertise_host)}:{self.port}"
        if hosts and self.advertise_host and why_no_ip_address(advertised) is None:
            return (advertised,)
        return tuple(f"tcp://{bracketed(host)}:{self.port}" for host in hosts)[:ADDRESSES_MAX]

    def _hosts_on(self, interface: MachineInterface) -> list[str]:
        hosts = sorted(interface.hosts, key=_rank)
        if self.bound_host in _ANY_IPV4:
            return [host for host in hosts if ":" not in host]
        if self.bound_host == _ANY_IPV6:
            return hosts
        bound = self.bound_host.partition("%")[0]
        return [host for host in hosts if _is_same(host, bound)]


def chosen_interfaces(
    found: Iterable[MachineInterface], *, names: Sequence[str] = (), reach: Reach | None = None
) -> list[MachineInterface]:
    """Return the interfaces to use: those with these names, else all; only those in `reach`.

    Without names, those that lead to containers of this machine or through a tunnel are left out,
    unless the node is bound to an address there. A node that is bound to all addresses uses
    loopback only where there is no other interface. A client, which has no `reach`, uses loopback
    too.
    """
    is_named = bool(names) or (reach is not None and reach.is_bound_to_one)
    chosen = [each for each in found if not names or each.interface.name in names]
    chosen = [each for each in chosen if is_named or each.is_lan]
    if reach is not None:
        chosen = [each for each in chosen if reach.covers(each)]
        others = [each for each in chosen if not each.interface.is_loopback]
        chosen = chosen if names else others or chosen
    return chosen[:INTERFACES_MAX]


def _rank(host: str) -> int:
    """Return the place of an address among others: IPv4, IPv6, and link-local ones last."""
    address = ipaddress.ip_address(host)
    return (address.version == 6) + 2 * address.is_link_local  # noqa: PLR2004 -- IPv6


def _is_same(host: str, bound: str) -> bool:
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(bound)
    except ValueError:
        return False
