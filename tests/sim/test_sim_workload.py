"""Whole clusters of production cores, by seed, keep their promises while nodes fail."""

import os
import subprocess
import sys

import pytest

from zreg.model import data_info_id
from zreg.testing.sim.buggify import POINTS, Buggify
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.disk import SimDisk
from zreg.testing.workloads.cluster_workload import Workload

SEEDS = range(1, 61)


@pytest.mark.parametrize("seed", SEEDS)
def test_views_never_lose_a_living_publisher_and_end_with_what_is_published(seed: int) -> None:
    Workload(seed).run()


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(18, id="an-unreconciled-copy-took-a-version-without-its-content"),
        pytest.param(34, id="an-eviction-gave-an-unreconciled-copy-the-version-of-the-whole"),
        pytest.param(147, id="a-session-answered-hello-before-it-knew-its-cluster"),
        pytest.param(250, id="and-clients-took-the-next-session-for-one-of-another-cluster"),
    ],
)
def test_seeds_that_found_a_bug_stay_green(seed: int) -> None:
    """They run without what came later, so the lives are those of then."""
    Workload(seed, settings_client_count=0, has_leaving=False).run()


def test_a_tombstone_that_a_replica_got_late_may_come_back_to_a_node_that_had_it_before() -> None:
    """Seed 65641: a change came 3 s late at a replica that was then the primary of a regained copy.

    The checker took the longer time for a prolonged one.
    """
    Workload(65641, has_pages=True).run()


def test_a_new_primary_passes_on_the_remaining_time_of_a_tombstone_that_it_was_offered() -> None:
    """Seed 70689: the replicas of the new primary remembered the removal for the whole time."""
    Workload(70689, has_pages=True).run()


@pytest.mark.parametrize("seed", range(101, 113))
def test_unkind_bounds_and_times_break_no_promise(seed: int) -> None:
    with Buggify(seed) as points:
        assert points.counts, "the seed chooses no point"
        Workload(seed).run()


def test_the_points_are_off_after_a_life_and_the_same_for_a_seed() -> None:
    before = [getattr(point.owner, point.name) for point in POINTS]
    with Buggify(101) as points:
        inside = [getattr(point.owner, point.name) for point in POINTS]
    assert inside != before == [getattr(point.owner, point.name) for point in POINTS]
    assert Buggify(101).counts == points.counts
    assert all(value != point.value for point, value in zip(POINTS, before, strict=True))


def test_nodes_follow_the_membership_by_its_changes_and_not_by_the_whole() -> None:
    """Nodes fetch the whole only to join or after an outage; the workload checks that all agree."""
    workload = Workload(5)
    workload.run()
    counts = workload.cluster.sim.record_counts

    assert counts["MembershipChanges"] > counts["FetchMembership"] // 2
    assert counts["MembershipChanges"] > 20


@pytest.mark.parametrize("seed", [2, 10, 13])
def test_seeds_notice_a_disk_that_loses_what_was_synced(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes and entries that do not outlive their process break promises."""

    def forget(disk: SimDisk) -> None:
        disk.rows = {1: disk.rows[1]}
        disk.term, disk.vote, disk.snapshot = 1, None, None

    monkeypatch.setattr(SimDisk, "crash", forget)
    with pytest.raises(AssertionError):
        Workload(seed).run()


def test_a_client_that_moves_to_a_session_unknown_to_the_data_node_stays_in_view() -> None:
    """There are two faults: the data node is cut off from meta, and a client's connection breaks.

    The session gives the data node the membership that it does not get from meta.
    """
    cluster = SimCluster(1).start(sessions=2, data=1)
    sim, name = cluster.sim, data_info_id("pay")
    cluster.client("publisher", [1])
    cluster.client("subscriber", [1])
    view = cluster.subscribe("subscriber", name)
    cluster.publish("publisher", name, "alive")
    assert cluster.settles(view, ["alive"])
    sim.kill("session-2")
    sim.cut("data-1", "meta")
    cluster.session(2)
    cluster.run(1.0)
    sim.cut("publisher", "session-1")
    sim.drop("publisher", "session-1")
    cluster.run(3.0)

    assert view.removed == []


def test_the_same_seed_gives_the_same_trace_under_each_hash_seed() -> None:
    script = (
        "from zreg.testing.workloads.cluster_workload import Workload\n"
        "workload = Workload(7)\n"
        "workload.run()\n"
        "print(workload.cluster.sim.frame_count, *workload.cluster.sim.trace, sep='\\n')\n"
    )
    traces = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 50
