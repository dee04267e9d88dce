"""What replication alone keeps: no session lives that could register anything again.

All sessions are killed right before the first primary, and the client before a new session starts.
So what the new session finds is what data nodes copied to each other. Data nodes keep the
publishers of the dead sessions: their grace is longer than the test.
"""

import json
import signal
from collections.abc import Iterable, Sequence

from conftest import StartCluster
from watching import Worker

import zreg
from zreg.model import data_info_id
from zreg.primitives.ring import Ring
from zreg.testing.processes import RunningCluster

IDS = [f"counter-{number}" for number in range(40)]
PUBLISHER_COUNT = 400
OPTIONS = [
    "--session-grace-seconds=600",
    # The new session takes an empty datum for empty soon: the dead ones answer for nothing again.
    "--provisional-empty-seconds=1",
]
# The data id of each publisher, and the highest number that was accepted of it.
Accepted = dict[str, tuple[str, int]]


def wait_copied(cluster: RunningCluster) -> None:
    """Wait until the living data nodes have the newest ring, and all copies of it in sync."""

    def is_copied() -> bool:
        living = [node.node_id for node in cluster.of("data") if node.is_alive]
        meta = cluster.statistics("meta-1")
        figures = [cluster.statistics(node_id) for node_id in living]
        return meta["data_nodes"] == len(living) and all(
            f["ring_epoch"] == meta["ring_epoch"] and f["copies_in_sync"] == f["copies_wanted"]
            for f in figures
        )

    cluster.wait_until(is_copied, timeout_seconds=30.0)


def are_alive(cluster: RunningCluster, node_ids: Iterable[str]) -> bool:
    return any(cluster.nodes[node_id].is_alive for node_id in node_ids)


def accepted_before(
    cluster: RunningCluster, kills: Sequence[Sequence[str]], *, copies_min: int
) -> Accepted:
    """Kill all sessions and some data nodes during writes; return what was accepted before.

    Each group of nodes is killed at once, and the next one when all copies are in sync again. Only
    what was accepted with so many copies counts.
    """
    wait_copied(cluster)
    arguments = str(len(IDS)), str(PUBLISHER_COUNT), str(copies_min)
    with Worker("rewrite", cluster.url, *arguments) as writer:
        dying = [node.node_id for node in cluster.of("session")]
        for group in kills:
            for node_id in (*dying, *group):
                cluster.nodes[node_id].signal(signal.SIGKILL)
            cluster.wait_until(lambda dead=group: not are_alive(cluster, dead))
            dying = []
            wait_copied(cluster)
        accepted: Accepted = json.loads(writer.ask())
        writer.kill()
    assert len(accepted) == PUBLISHER_COUNT
    return accepted


def lost_changes(cluster: RunningCluster, accepted: Accepted) -> Accepted:
    """Return what a new session does not find: the publisher is gone, or has an older number."""
    cluster.add("session", "session-new")
    with zreg.Client(cluster.url_of("session-new")) as reader:
        subscriptions = [reader.subscribe(data_id) for data_id in IDS]
        found = {
            publisher.publisher_id.hex(): publisher.values[0]
            for subscription in subscriptions
            for publisher in subscription.wait_for(min_count=0).view
        }
    return {
        publisher_id: (data_id, number)
        for publisher_id, (data_id, number) in accepted.items()
        if int(str(found.get(publisher_id, -1))) < number
    }


def test_what_has_two_copies_survives_primaries_that_are_killed_one_after_the_other(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=4, options=OPTIONS)

    accepted = accepted_before(cluster, [["data-1"], ["data-2"], ["data-3"]], copies_min=2)

    assert lost_changes(cluster, accepted) == {}, cluster.describe()


def test_what_has_three_copies_survives_two_data_nodes_that_are_killed_at_once(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=4, options=OPTIONS)

    accepted = accepted_before(cluster, [["data-1", "data-2"]], copies_min=3)

    assert lost_changes(cluster, accepted) == {}, cluster.describe()


def test_what_has_one_copy_is_lost_with_its_data_node(start_cluster: StartCluster) -> None:
    """The tests above can fail: with one copy the same steps lose all ids of the killed node."""
    cluster = start_cluster(sessions=2, data=4, options=[*OPTIONS, "--replica-count=1"])

    accepted = accepted_before(cluster, [["data-1"]], copies_min=1)

    ring = Ring((node.node_id, 1) for node in cluster.of("data"))
    of_data_1 = {each for each in IDS if ring.primary(data_info_id(each)) == "data-1"}
    lost = lost_changes(cluster, accepted)
    assert {data_id for data_id, _ in lost.values()} == of_data_1
