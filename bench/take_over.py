"""How long an id takes no writes after the data node that owns it was killed with -9.

Three meta nodes, a session and three data nodes, default settings. Each round kills a data node,
publishes to an id that it owned, and counts from the kill to the acceptance of that publish; then
the node is started again. Every round has a cluster of its own: a node that dies again and again
waits before it works, which is another promise.

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
    """Return the seconds from the kill of a data node to an accepted write of an id of its."""
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
    """Run the rounds and print what they took."""
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
