"""The campaign of rolling kills: a small one, and that its record finds what is wrong."""

from pathlib import Path

from conftest import StartCluster

from zreg.testing.processes.rolling.crowd import Crowd, Size
from zreg.testing.processes.rolling.reports import (
    Differences,
    Published,
    Removal,
    Seen,
    differences,
    false_removals,
)
from zreg.testing.processes.rolling.rolling_campaign import Kill, run_campaign

SMALL = Size(
    ids=10,
    publishers=100,
    subscribers=30,
    publisher_processes=1,
    subscriber_processes=1,
    clients_per_process=2,
)
# What a busy machine may take; the campaign at full size measures the time.
GAP_SECONDS_MAX = 10.0


def test_data_nodes_that_are_killed_under_changes_lose_nothing_and_remove_nothing(
    tmp_path: Path,
) -> None:
    def goes_on(kills: list[Kill]) -> bool:
        return len(kills) < 3

    outcome = run_campaign(tmp_path / "cluster", SMALL, goes_on=goes_on)

    assert outcome.is_kept, outcome.describe()
    assert [kill.node_id for kill in outcome.kills] == ["data-1", "data-2", "data-3"]
    assert outcome.gap_seconds_max < GAP_SECONDS_MAX
    # The publishers changed all the time: otherwise the campaign would show little.
    assert outcome.changes > 100
    assert outcome.removals > 10


def test_publishers_that_end_without_a_withdrawal_are_false_removals_and_losses(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster()
    with Crowd([cluster.url], SMALL) as crowd:
        published = crowd.rest()
        cluster.wait_until(lambda: not differences(published, crowd.seen()))

        crowd.kill_publishers()

        def are_gone() -> bool:
            return not any(shown for report in crowd.seen() for _, shown in report.views)

        cluster.wait_until(are_gone)
        (seen,) = crowd.seen()
        # Ten publishers of each id, and 30 subscribers.
        assert len(false_removals(seen.removals, published.withdrawn_at)) == 300
        assert len(differences(published, [seen]).lost) == 300


def test_a_removal_is_false_if_the_publisher_was_not_withdrawn_before() -> None:
    early, right, unfounded = (
        Removal(1.0, "pay", "a"),
        Removal(3.0, "pay", "a"),
        Removal(3, "p", "b"),
    )

    assert false_removals([early, right, unfounded], {"a": 2.0}) == [early, unfounded]


def test_a_view_must_show_each_publisher_with_its_newest_value_and_no_other() -> None:
    published = Published({"pay": {"a": "a-2", "b": "b-1"}}, {"c": 1.0}, 1)
    exact = ("pay", {"a": "a-2", "b": "b-1"})
    wrong = ("pay", {"a": "a-1", "c": "c-1"})
    empty: tuple[str, dict[str, str]] = ("pay", {})

    found = differences(published, [Seen([exact, wrong], [], 0), Seen([empty], [], 0)])

    assert found == Differences(
        lost=[
            "pay: a view shows a-1 in place of a-2",
            "pay: a view shows no value in place of b-1",
            "pay: a view shows no value in place of a-2",
            "pay: a view shows no value in place of b-1",
        ],
        left_over=["pay: a view still shows c-1"],
    )
