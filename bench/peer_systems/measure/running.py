"""A system that can be measured, and its server while one measurement runs."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from peer_systems.processes import WorkerProcess, processor_seconds, workers
from peer_systems.servers.protocol import Server, Start

# The lease of a client whose death is measured; elsewhere renewals do not disturb the figures.
SHORT_LEASE_SECONDS: Final = 3.0
LONG_LEASE_SECONDS: Final = 60.0
_RAM_DISK: Final = Path("/dev/shm")  # noqa: S108 -- only folders that tempfile makes in it


class System(NamedTuple):
    """How the server of a system is started, and which Python has its client library."""

    name: str
    start: Start
    python: Path


class Load(NamedTuple):
    """How long paced and timed figures run, and how many names a client registers."""

    seconds: float
    # A client of zreg may hold 10,000 registrations.
    new_count: int


@contextmanager
def running(system: System, lease_seconds: float) -> Iterator[Server]:
    """Run a new server of the system, with its files on the RAM disk if the machine has one."""
    place = _RAM_DISK if _RAM_DISK.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=place, prefix="zreg-peers-") as directory,
        system.start(Path(directory), lease_seconds) as server,
    ):
        yield server


@contextmanager
def connected(
    system: System, server: Server, processes: int, clients: int, lease_seconds: float
) -> Iterator[list[WorkerProcess]]:
    """Run worker processes with so many connected clients each."""
    arguments = (system.python, system.name, server.address, lease_seconds)
    with workers(processes, *arguments) as started:
        for worker in started:
            worker.send("connect", count=clients)
        for worker in started:
            worker.answer()
        yield started


class Meter:
    """The processor time that a server and its clients use from now on."""

    def __init__(self, server: Server, clients: Sequence[WorkerProcess]) -> None:
        self._sides = {"server": server.pids, "client": [worker.pid for worker in clients]}
        self._before = {side: processor_seconds(pids) for side, pids in self._sides.items()}

    def microseconds_per(self, count: float, prefix: str) -> dict[str, float]:
        """Return the microseconds of both sides divided by a count, as two figures."""
        return {
            f"{prefix}_{side}_us": (processor_seconds(pids) - self._before[side]) * 1e6 / count
            for side, pids in self._sides.items()
        }
