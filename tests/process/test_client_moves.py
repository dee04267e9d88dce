"""After a rolling restart of the sessions their clients even out, and no program notices."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from conftest import StartCluster
from watching import Watcher

import zreg
from zreg.testing.processes import RunningCluster, run_zreg

CLIENTS = 60
# The sessions ask none that has just come, so the test takes as long as that.
OPTIONS = ["--session-grace-seconds=6", "--move-percent-max=5"]
EVEN_SECONDS_MAX = 90.0


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Return a list of what clients warn of, among it each session that was lost."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("zreg.client")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def counts(cluster: RunningCluster) -> list[int]:
    """Return how many clients each session has."""
    return [int(cluster.statistics(node.node_id)["clients"]) for node in cluster.of("session")]


def told_counts(cluster: RunningCluster) -> list[int]:
    """Return how many clients each session has, as `zreg nodes` shows it."""
    result = run_zreg("nodes", "--meta", cluster.meta_address, "-o", "json")
    listed = json.loads(result.stdout)
    return [node["clients"] for node in listed if node["role"] == "session"]


def restart_sessions(cluster: RunningCluster, clients: Sequence[zreg.Client]) -> None:
    """Restart one session after the other, each when all clients are connected again."""
    for node in cluster.of("session"):
        cluster.terminate(node.node_id)
        cluster.restart(node.node_id)
        cluster.wait_until(
            lambda: all(client.state is zreg.ClientState.CONNECTED for client in clients)
        )
        cluster.wait_until(lambda: sum(counts(cluster)) == len(clients), timeout_seconds=30.0)


def test_clients_even_out_after_a_rolling_restart_and_no_view_changes(
    start_cluster: StartCluster, warnings: list[str]
) -> None:
    cluster = start_cluster(sessions=3, data=2, options=OPTIONS)
    with ExitStack() as stack:
        watcher = stack.enter_context(Watcher(cluster.url, "pay"))
        others = [stack.enter_context(zreg.Client(cluster.url)) for _ in range(CLIENTS - 1)]
        clients = [watcher.client, *others]
        for number, client in enumerate(others):
            client.publish("pay", f"value-{number}").wait_registered(30)
        cluster.wait_until(lambda: len(watcher.values) == len(others))
        restart_sessions(cluster, clients)
        mean = CLIENTS / 3
        assert min(counts(cluster)) < mean / 1.3, "the last session to restart has as many"
        warnings.clear()
        states: Counter[zreg.ClientState] = Counter()

        def are_even() -> bool:
            states.update(client.state for client in clients)
            found = counts(cluster)
            return mean / 1.3 <= min(found) <= max(found) <= mean * 1.3

        cluster.wait_until(are_even, timeout_seconds=EVEN_SECONDS_MAX)
        moves = sum(int(client.statistics()["moves"]) for client in clients)
        assert moves > 0
        assert set(states) == {zreg.ClientState.CONNECTED}
        assert warnings == []
        assert watcher.removed == []
        assert watcher.values == {f"value-{number}" for number in range(len(others))}
        assert not watcher.subscription.view.is_stale
        cluster.wait_until(lambda: told_counts(cluster) == counts(cluster))
