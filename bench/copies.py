"""What copies cost: publishes per second with 1, 2 and 3 copies, and the filling of a new node.

The cluster has one session and three data nodes. The counts of copies are measured in turns, so
that all of them meet the same machine. Then a data node joins a cluster of two with many
publishers; the time is that from its start until meta lets it work.

    python bench/copies.py --rounds 3 --seconds 4 --publishers 50000
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from registry import measure_publish

import zreg
from zreg.testing.processes import RunningCluster

COPIES: Final = (1, 2, 3)
DATA_NODES: Final = 3
IDS: Final = 2000
# A client publishes 10,000 times at most.
PER_CLIENT: Final = 10_000
WAIT_SECONDS_MAX: Final = 120.0


def measure_fill(publishers: int) -> tuple[float, int]:
    """Return the seconds until a new data node works, and the publishers that it holds then."""
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningCluster(Path(directory), data=2) as cluster,
        ExitStack() as stack,
    ):
        wait_working(cluster, 2)
        count = -(-publishers // PER_CLIENT)
        clients = [stack.enter_context(zreg.Client(cluster.url)) for _ in range(count)]
        publications = [
            clients[number % count].publish(f"service-{number % IDS}", f"10.0.0.7:{number}")
            for number in range(publishers)
        ]
        for publication in publications:
            publication.wait_registered(WAIT_SECONDS_MAX)
        started_at = time.monotonic()
        cluster.add("data", "data-3")
        wait_working(cluster, 3)
        seconds = time.monotonic() - started_at
        held = cluster.statistics("data-3")
        return seconds, int(held["publishers"]) + int(held["copied_publishers"])


def wait_working(cluster: RunningCluster, count: int) -> None:
    """Wait until so many data nodes work; the ring epoch of a node says whether it is one."""

    def are_working() -> bool:
        return all(cluster.health(node.node_id).ready for node in cluster.of("data"))

    assert len(cluster.of("data")) == count
    cluster.wait_until(are_working, timeout_seconds=WAIT_SECONDS_MAX)


def main() -> None:
    """Measure everything in turns; print one JSON line per round, the medians, and the filling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--publishers", type=int, default=50_000)
    options = parser.parse_args()
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        figures = {
            f"publish_{clients}_copies_{copies}": round(
                measure_publish(clients, options.seconds, data=DATA_NODES, copies=copies)
            )
            for clients in (1, 8)
            for copies in COPIES
        }
        rounds.append(figures)
        print(json.dumps(figures), flush=True)
    medians = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
    print(json.dumps({"median": medians}))
    seconds, held = measure_fill(options.publishers)
    print(json.dumps({"fill_publishers": held, "fill_seconds": round(seconds, 2)}))


if __name__ == "__main__":
    main()
