"""What this machine offers to zreg: its limits, its clock, its ports, its libraries."""

import ctypes
import resource
import sys
from pathlib import Path
from typing import Final

import msgspec

from zreg.cli.versions import LIBRARIES, version_of

_PORT_RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What adjtimex(2) returns for a clock that nothing corrects, and more than its structure takes.
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 512


class Machine(msgspec.Struct, frozen=True):
    """Facts about this machine; None where it does not tell."""

    open_files_max: int
    is_clock_corrected: bool | None
    # The ports that the kernel gives to outgoing connections, the last one included.
    outgoing_ports: tuple[int, int] | None
    missing_libraries: tuple[str, ...]


def this_machine() -> Machine:
    """Return what this machine tells about itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    missing = tuple(name for name in LIBRARIES if version_of(name).startswith("("))
    return Machine(
        open_files_max=sys.maxsize if soft == resource.RLIM_INFINITY else soft,
        is_clock_corrected=_is_clock_corrected(),
        outgoing_ports=_outgoing_ports(),
        missing_libraries=missing,
    )


def _is_clock_corrected() -> bool | None:
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    # All zero: it changes nothing, and only tells.
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def _outgoing_ports() -> tuple[int, int] | None:
    try:
        first, last = _PORT_RANGE_FILE.read_text(encoding="ascii").split()
        return int(first), int(last)
    except (OSError, ValueError):
        return None
