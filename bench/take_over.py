"""How long an id takes no writes after SIGKILL of the data node that is its primary.

The cluster has three meta nodes, a session and three data nodes with default settings. Each round
kills a data node, publishes to an id of which it was the primary, and measures the time from the
kill to the acceptance of that publish. Every round has a new cluster, since a node that dies
repeatedly has to wait before it works again.

    python bench/take_over.py --rounds 10
"""

import argparse
import json
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import zreg
from zreg.model import data_info_id
from zreg.primitives.ring import Ring
from zreg.testing.processes import RunningCluster

DATA_NODES: Final = 3
WAIT_SECONDS_MAX: Final = 30.0


def owned_by(node_id: str) -> str:
    """Return a data id of which a node is the primary."""
    ring = Ring((f"data-{number}", 1) for number in range(1, DATA_NODES + 1))
    names = (f"service-{number}" for number in range(1000))
    return next(name for name in names if ring.primary(data_info_id(name)) == node_id)


def one_round(node_id: str) -> float:
    """Return the seconds from the kill of a data node to an accepted write to one of its ids."""
    data_id = owned_by(node_id)
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningCluster(Path(directory), metas=3, sessions=1, data=DATA_NODES) as cluster,
        zreg.Client(cluster.url) as client,
    ):
        client.publish(data_id, "before").wait_registered(WAIT_SECONDS_MAX)
        killed_at = time.monotonic()
        cluster.nodes[node_id].signal(signal.SIGKILL)
        client.publish(data_id, "after").wait_registered(WAIT_SECONDS_MAX)
        return time.monotonic() - killed_at


def main() -> None:
    """Run the rounds and print their times as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    taken = [one_round(f"data-{1 + r % DATA_NODES}") for r in range(arguments.rounds)]
    milliseconds = [round(each * 1000, 1) for each in taken]
    result = {
        "rounds": arguments.rounds,
        "median_ms": statistics.median(milliseconds),
        "max_ms": max(milliseconds),
        "all_ms": milliseconds,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
