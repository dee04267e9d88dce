"""Redis: one server without persistence, which announces expired keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peer_systems.processes import server_process
from peer_systems.servers.protocol import ResidentServer, Server, wait_listening
from zreg.cli.process.ports import free_ports


@contextmanager
def start_redis(directory: Path, _lease_seconds: float) -> Iterator[Server]:
    """Run Redis; expiry is looked for as often as Redis does by default."""
    (port,) = free_ports(1)
    log = directory / "redis.log"
    command = [
        *("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", directory),
        *("--save", "", "--appendonly", "no", "--notify-keyspace-events", "Ex"),
    ]
    with server_process(command, log) as process:
        wait_listening(port, log)
        yield ResidentServer(f"redis://127.0.0.1:{port}/0", [process.pid])
