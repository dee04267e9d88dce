"""One campaign: data nodes are killed and restarted one after the other, under changes."""

import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

import zreg.testing.processes.rolling.reports as of
from zreg.model import data_info_id
from zreg.primitives.ring import Ring
from zreg.testing.processes.rolling.crowd import Crowd, Size
from zreg.testing.processes.rolling.write_prober import WriteProber
from zreg.testing.processes.running_cluster import RunningCluster

SESSIONS: Final = 2
DATA_NODES: Final = 4
# A node that is killed again and again has to wait for up to a minute before it works again.
_RETURN_SECONDS_MAX: Final = 120.0
_SETTLE_SECONDS_MAX: Final = 30.0
_IDS_PROBED: Final = 4
_LINES_SHOWN: Final = 5


class Kill(msgspec.Struct, frozen=True):
    """One kill of a data node, and what came of it."""

    node_id: str
    # From the kill until a publish to each probed id of the node was accepted.
    gap_seconds: float
    # From the kill until the node worked again and all copies were in sync.
    return_seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """What a campaign has shown."""

    kills: list[Kill]
    # Changes that publishers made, and those that subscribers saw.
    changes: int
    changes_seen: int
    removals: int
    false_removals: list[of.Removal]
    differences: of.Differences

    @property
    def gap_seconds_max(self) -> float:
        """The longest time without writes."""
        return max(kill.gap_seconds for kill in self.kills)

    @property
    def is_kept(self) -> bool:
        """Whether subscribers saw no false removal and have exactly what is published."""
        return not self.false_removals and not self.differences

    def figures(self) -> dict[str, int | float]:
        """Return the counts, and the times without writes in milliseconds."""
        gaps = [kill.gap_seconds * 1000 for kill in self.kills]
        return {
            "kills": len(self.kills),
            "changes": self.changes,
            "changes_seen": self.changes_seen,
            "removals": self.removals,
            "false_removals": len(self.false_removals),
            "losses": len(self.differences.lost),
            "left_over": len(self.differences.left_over),
            "gap_p50_ms": round(statistics.median(gaps), 1),
            "gap_max_ms": round(max(gaps), 1),
        }

    def describe(self) -> str:
        """Return the first lines of what is wrong; empty if nothing is."""
        lines = [f"{each.data_id}: false removal at {each.at:.3f}" for each in self.false_removals]
        lines += [*self.differences.lost, *self.differences.left_over]
        return "\n".join(lines[:_LINES_SHOWN])


def run_campaign(
    directory: Path,
    size: Size,
    *,
    goes_on: Callable[[list[Kill]], bool],
    report: Callable[[Kill], None] = lambda _: None,
) -> Outcome:
    """Kill one data node after the other as long as `goes_on`; report each kill when it is over.

    The directory keeps the logs of all nodes. Raises `AssertionError` if a node does not return, or
    if a write is not accepted for half a minute.
    """
    with RunningCluster(directory, sessions=SESSIONS, data=DATA_NODES) as cluster:
        wait_in_sync(cluster)
        urls = [cluster.url_of(node.node_id) for node in cluster.of("session")]
        with Crowd(urls, size) as crowd:
            # All views are complete before the first kill: a loss is then one that a kill caused.
            wrong = of.differences(*_settle(crowd))
            assert not wrong, f"the views are not complete before the first kill: {wrong}"
            crowd.begin()
            kills: list[Kill] = []
            nodes = [node.node_id for node in cluster.of("data")]
            while goes_on(kills):
                kills.append(kill_and_restart(cluster, nodes[len(kills) % len(nodes)]))
                report(kills[-1])
            return _judge(kills, *_settle(crowd))


def kill_and_restart(cluster: RunningCluster, node_id: str) -> Kill:
    """Kill a data node, measure when its ids take writes, and restart it until it is in sync."""
    with WriteProber(cluster.url, _ids_of(cluster, node_id)) as prober:
        prober.wait_round_since(0.0)
        killed_at = time.monotonic()
        cluster.nodes[node_id].signal(signal.SIGKILL)
        gap_seconds = prober.wait_round_since(killed_at) - killed_at
    cluster.restart(node_id)
    wait_in_sync(cluster)
    return Kill(node_id, gap_seconds, time.monotonic() - killed_at)


def wait_in_sync(cluster: RunningCluster) -> None:
    """Wait until all data nodes work, have the newest ring, and have all copies of it in sync."""

    def is_in_sync() -> bool:
        nodes = [node.node_id for node in cluster.of("data")]
        try:
            if not all(cluster.health(node_id).ready for node_id in nodes):
                return False
        except OSError:
            # A node writes its line before it answers over HTTP.
            return False
        ring_epoch = cluster.statistics("meta-1")["ring_epoch"]
        figures = [cluster.statistics(node_id) for node_id in nodes]
        return all(
            f["ring_epoch"] == ring_epoch
            and f["copies_in_sync"] == f["copies_wanted"]
            and f["unreconciled"] == 0
            for f in figures
        )

    cluster.wait_until(is_in_sync, timeout_seconds=_RETURN_SECONDS_MAX)


def _ids_of(cluster: RunningCluster, node_id: str) -> list[str]:
    """Return some data ids of which a node is the primary while all data nodes work."""
    ring = Ring((node.node_id, 1) for node in cluster.of("data"))
    names = (f"probe-{number}" for number in range(1000))
    return [name for name in names if ring.primary(data_info_id(name)) == node_id][:_IDS_PROBED]


def _settle(crowd: Crowd) -> tuple[of.Published, list[of.Seen]]:
    """Let the publishers rest; return what is published, and what is seen of it at last."""
    published, seen = crowd.rest(), crowd.seen()
    give_up_at = time.monotonic() + _SETTLE_SECONDS_MAX
    while of.differences(published, seen) and time.monotonic() < give_up_at:
        seen = crowd.seen()
    return published, seen


def _judge(kills: list[Kill], published: of.Published, seen: list[of.Seen]) -> Outcome:
    removals = [removal for report in seen for removal in report.removals]
    return Outcome(
        kills=kills,
        changes=published.change_count,
        changes_seen=sum(report.change_count for report in seen),
        removals=len(removals),
        false_removals=of.false_removals(removals, published.withdrawn_at),
        differences=of.differences(published, seen),
    )
