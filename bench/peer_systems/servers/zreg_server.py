"""zreg: one meta node, one session and one data node, with one copy of each registration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peer_systems.servers.protocol import ResidentServer, Server
from zreg.testing.processes import RunningCluster


@contextmanager
def start_zreg(directory: Path, lease_seconds: float) -> Iterator[Server]:
    """Run a cluster with default settings, but for the lease."""
    lease = (f"--lease-seconds={lease_seconds}", f"--ping-seconds={lease_seconds / 3}")
    with RunningCluster(directory, options=["--replica-count=1", *lease]) as cluster:
        yield ResidentServer(cluster.url, [node.pid for node in cluster.nodes.values()])
