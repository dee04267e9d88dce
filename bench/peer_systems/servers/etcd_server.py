"""etcd: one member, which syncs each write to its directory before it answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peer_systems.processes import server_process
from peer_systems.servers.protocol import ResidentServer, Server, wait_listening
from zreg.cli.process.ports import free_ports


@contextmanager
def start_etcd(program: Path, directory: Path, _lease_seconds: float) -> Iterator[Server]:
    """Run etcd with default settings."""
    client, peer = free_ports(2)
    log = directory / "etcd.log"
    urls = [
        f"--{kind}-{side}-urls=http://127.0.0.1:{port}"
        for kind, side, port in (
            ("listen", "client", client),
            ("advertise", "client", client),
            ("listen", "peer", peer),
            ("initial-advertise", "peer", peer),
        )
    ]
    command = [
        *(program, f"--data-dir={directory / 'etcd'}", *urls, "--log-level=error"),
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
    ]
    with server_process(command, log) as process:
        wait_listening(client, log)
        yield ResidentServer(f"127.0.0.1:{client}", [process.pid])
