"""What a measurement knows of a running server."""

import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from peer_systems.processes import resident_bytes
from zreg.testing.processes import wait_until

START_SECONDS_MAX: Final = 30.0


class Server(Protocol):
    """The server of a system, with all its processes."""

    address: str
    pids: Sequence[int]

    def memory_bytes(self) -> int:
        """Return how much memory it holds."""


class ResidentServer:
    """A server whose memory is what its processes have resident."""

    def __init__(self, address: str, pids: Sequence[int]) -> None:
        self.address = address
        self.pids = pids

    def memory_bytes(self) -> int:
        """Return the resident memory."""
        return resident_bytes(self.pids)


# Runs a server with its files in a directory, for clients with that lease, until the block ends.
Start = Callable[[Path, float], AbstractContextManager[Server]]


def wait_listening(port: int, log: Path) -> None:
    """Wait until a port of loopback accepts connections; on failure show the server's log."""

    def is_listening() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(
        is_listening,
        timeout_seconds=START_SECONDS_MAX,
        describe=lambda: log.read_text(encoding="utf-8", errors="replace")[-2000:],
    )
