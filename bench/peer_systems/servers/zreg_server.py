"""zreg: one meta node, one session and one data node, with one copy of each registration."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from peer_systems.servers.protocol import ResidentServer, Server
from zreg.testing.processes import RunningCluster

START_TRIES: Final = 3


@contextmanager
def start_zreg(directory: Path, lease_seconds: float) -> Iterator[Server]:
    """Run a cluster with default settings, but for the lease."""
    lease = (f"--lease-seconds={lease_seconds}", f"--ping-seconds={lease_seconds / 3}")
    with _cluster(directory, ["--replica-count=1", *lease]) as cluster:
        yield ResidentServer(cluster.url, [node.pid for node in cluster.nodes.values()])


def _cluster(directory: Path, options: Sequence[str]) -> RunningCluster:
    """Start a cluster; on a busy machine it can take longer than a test may wait for it."""
    for number in range(1, START_TRIES):
        with contextlib.suppress(AssertionError):
            return RunningCluster(directory / str(number), options=options)
    return RunningCluster(directory / str(START_TRIES), options=options)
