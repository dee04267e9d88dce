"""Tell systemd the state of this process, as sd_notify(3) does, without libsystemd."""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Final

_MICROSECONDS: Final = 1_000_000
# A manager that does not read must not stop a node.
_SEND_SECONDS_MAX: Final = 0.2
# What systemd tells one process, and what its children must not take for theirs: they would speak
# for it, or share its directory.
OF_ONE_PROCESS: Final = frozenset(
    {
        *("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "MAINPID", "FDSTORE"),
        *("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"),
        *("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CACHE_DIRECTORY", "LOGS_DIRECTORY"),
        *("CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY"),
    }
)


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send a state such as `READY=1` to the service manager; do nothing if there is none."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return
    # The name of an abstract socket is written with @ and begins with a zero byte.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(_SEND_SECONDS_MAX)
        try:
            sender.connect(address)
            sender.sendall(state.encode())
        except OSError:
            # The manager is gone or does not read: no reason for a node to end.
            return


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the interval of `WATCHDOG=1`, half of what systemd allows; None: no watchdog."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_for_me = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not is_for_me or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / _MICROSECONDS / 2


async def feed_watchdog() -> None:
    """Tell systemd that the event loop turns, for as long as it does."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
