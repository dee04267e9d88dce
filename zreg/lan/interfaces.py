"""The network interfaces of this machine that are up and take multicast."""

from typing import Final

import ifaddr

from zreg.discovery.announcement import Interface
from zreg.discovery.interfaces.reach import MachineInterface
from zreg.lan.kernel_kind import CLASS, kind_in_kernel

_UP: Final = 0x1
_LOOPBACK: Final = 0x8
_MULTICAST: Final = 0x1000
_LOOPBACK_NAME: Final = "lo"


def machine_interfaces() -> list[MachineInterface]:
    """Return the usable interfaces and their IP addresses, without zones."""
    found = []
    for adapter in ifaddr.get_adapters():
        name, index = str(adapter.nice_name), adapter.index or 0
        flags = _flags(name)
        is_loopback = bool(flags & _LOOPBACK)
        hosts = tuple(
            sorted(str(each.ip) if each.is_IPv4 else str(each.ip[0]) for each in adapter.ips)
        )
        if hosts and flags & _UP and (is_loopback or flags & _MULTICAST):
            found.append(
                MachineInterface(Interface(name, is_loopback), index, hosts, kind_in_kernel(name))
            )
    return found


def _flags(name: str) -> int:
    """Return the flags of an interface; where the system does not show them it is taken for up."""
    try:
        return int((CLASS / name / "flags").read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return _UP | (_LOOPBACK if name.startswith(_LOOPBACK_NAME) else _MULTICAST)
