"""Tell systemd how this process is: sd_notify, in so many lines, without libsystemd."""

import os
import socket
from collections.abc import Mapping
from typing import Final

_MICROSECONDS: Final = 1_000_000


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send `READY=1` and the like to whoever started this process; nobody asked: do nothing."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return
    # An abstract socket is written with @ and begins with a zero byte.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            sender.sendall(state.encode())
        except OSError:
            # Its manager is gone or deaf: no reason for a node to end.
            return


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return how often to send `WATCHDOG=1`: twice in the time that is allowed."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not is_mine or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / _MICROSECONDS / 2
