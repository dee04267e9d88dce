"""zreg: one meta node, one session and one data node, with one copy of each registration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peer_systems.servers.protocol import ResidentServer, Server
from zreg.testing.processes import RunningCluster


@contextmanager
def start_zreg(directory: Path) -> Iterator[Server]:
    """Run a cluster with default settings."""
    with RunningCluster(directory, options=["--replica-count=1"]) as cluster:
        yield ResidentServer(cluster.url, [node.pid for node in cluster.nodes.values()])
