"""The network interfaces of this machine, as the kernel tells."""

import ipaddress
from pathlib import Path
from typing import Final

import ifaddr

from zreg.lan.kernel_kind import CLASS, kind_in_kernel, read_text
from zreg.nodes.addresses.address_choice import Interface

_IPV6_ADDRESSES: Final = Path("/proc/self/net/if_inet6")
# Flags of an IPv6 address that goes soon (temporary, deprecated) or is not there yet or never
# (failed, tentative): linux/if_addr.h.
_NOT_LASTING: Final = 0x01 | 0x20 | 0x08 | 0x40


def list_interfaces() -> tuple[Interface, ...]:
    """Return the interfaces that are up and have addresses, in the order of the kernel."""
    passing = _passing_addresses()
    return tuple(
        Interface(adapter.name, addresses, kind_in_kernel(adapter.name))
        for adapter in ifaddr.get_adapters()
        if _is_up(adapter.name)
        and (
            addresses := tuple(host for each in adapter.ips if (host := _host(each)) not in passing)
        )
    )


def list_hosts() -> set[str]:
    """Return all addresses of this machine, also those of interfaces that are down."""
    return {_host(address) for adapter in ifaddr.get_adapters() for address in adapter.ips}


def _host(address: ifaddr.IP) -> str:
    return address.ip if isinstance(address.ip, str) else str(address.ip[0])


def _is_up(name: str) -> bool:
    """Return whether an interface may carry something: it is on, and its cable is in."""
    return read_text(CLASS / name / "operstate") not in ("down", "lowerlayerdown", "notpresent")


def _passing_addresses() -> set[str]:
    """Return the IPv6 addresses that do not last, such as those made for privacy."""
    found = set()
    for line in read_text(_IPV6_ADDRESSES).splitlines():
        digits, _, _, _, flags, _ = line.split()
        if int(flags, 16) & _NOT_LASTING:
            found.add(str(ipaddress.IPv6Address(int(digits, 16))))
    return found
