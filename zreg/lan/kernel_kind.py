"""What the kernel tells of the place to which a network interface leads."""

from pathlib import Path
from typing import Final

from zreg.discovery.interfaces.interface_kind import Kind

CLASS: Final = Path("/sys/class/net")
# Hardware types of an interface: linux/if_arp.h.
_LOOPBACK_TYPE: Final = 772
_ETHERNET_TYPE: Final = 1


def kind_in_kernel(name: str) -> Kind:
    """Return what an interface leads to; a bridge without a network card has containers only."""
    about = CLASS / name
    hardware_type = read_text(about / "type")
    if hardware_type == str(_LOOPBACK_TYPE):
        return Kind.LOOPBACK
    if (about / "tun_flags").exists() or hardware_type not in ("", str(_ETHERNET_TYPE)):
        return Kind.TUNNEL
    ports = about / "brif"
    if ports.is_dir() and not any((CLASS / port.name / "device").exists() for port in _in(ports)):
        return Kind.CONTAINERS
    return Kind.NETWORK


def read_text(path: Path) -> str:
    """Return the text of a file of the kernel; empty if there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
