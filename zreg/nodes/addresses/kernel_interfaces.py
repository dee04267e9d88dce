"""The network interfaces of this machine, as the kernel tells."""

import ipaddress
from pathlib import Path
from typing import Final

import ifaddr

from zreg.nodes.addresses.address_choice import Interface, Kind

_CLASS: Final = Path("/sys/class/net")
_IPV6_ADDRESSES: Final = Path("/proc/self/net/if_inet6")
# Flags of an IPv6 address that goes soon (temporary, deprecated) or is not there yet or never
# (failed, tentative): linux/if_addr.h.
_NOT_LASTING: Final = 0x01 | 0x20 | 0x08 | 0x40
# Hardware types of an interface: linux/if_arp.h.
_LOOPBACK_TYPE: Final = 772
_ETHERNET_TYPE: Final = 1


def list_interfaces() -> tuple[Interface, ...]:
    """Return the interfaces that are up and have addresses, in the order of the kernel."""
    passing = _passing_addresses()
    return tuple(
        Interface(adapter.name, addresses, _kind(adapter.name))
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
    return _read(_CLASS / name / "operstate") not in ("down", "lowerlayerdown", "notpresent")


def _kind(name: str) -> Kind:
    """Return what an interface leads to; a bridge without a network card has containers only."""
    about = _CLASS / name
    hardware_type = _read(about / "type")
    if hardware_type == str(_LOOPBACK_TYPE):
        return Kind.LOOPBACK
    if (about / "tun_flags").exists() or hardware_type not in ("", str(_ETHERNET_TYPE)):
        return Kind.TUNNEL
    ports = about / "brif"
    if ports.is_dir() and not any((_CLASS / port.name / "device").exists() for port in _in(ports)):
        return Kind.CONTAINERS
    return Kind.NETWORK


def _passing_addresses() -> set[str]:
    """Return the IPv6 addresses that do not last, such as those made for privacy."""
    found = set()
    for line in _read(_IPV6_ADDRESSES).splitlines():
        digits, _, _, _, flags, _ = line.split()
        if int(flags, 16) & _NOT_LASTING:
            found.add(str(ipaddress.IPv6Address(int(digits, 16))))
    return found


def _in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """Return the text of a file of the kernel; empty if there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
