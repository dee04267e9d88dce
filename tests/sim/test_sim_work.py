"""Thousands of clients, ids or publishers: work is bounded by what changes, and views are exact."""

import mutations_work as work
import pytest
from mutations import Mutation, mutated

from zreg.config import Limits
from zreg.testing.workloads.clients.large_clients import Size, size_of
from zreg.testing.workloads.large_workload import LargeLife, main

SMALL = Size(clients=6, ids=40, publishers=400, subscriptions=60)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_work_is_bounded_by_what_changes_in_a_large_cluster(seed: int) -> None:
    """One with many clients, one with many publishers of few ids, one with many ids."""
    assert max(size_of(seed)) >= 1000
    LargeLife(seed).run()


def test_a_cluster_at_rest_does_the_same_however_much_it_holds() -> None:
    small = LargeLife(4, SMALL)
    large = LargeLife(4, SMALL._replace(ids=400, publishers=4000, subscriptions=600))
    small.run()
    large.run()

    at_rest = [life.work["rest"] for life in (small, large)]
    assert at_rest[0].messages.keys() == at_rest[1].messages.keys()
    # The digest of a bucket takes one byte as long as it is empty, and nine bytes else. There are
    # 1,024 buckets with two replicas each, whose digests are compared once a second.
    rounds = at_rest[0].messages["BucketDigests"] / (large.data_count * (large.data_count - 1))
    filled = rounds * 2 * Limits.bucket_count * 8
    for few, many in zip(*at_rest, strict=True):
        assert many.total() < 1.1 * few.total() + ("bytes" in many) * filled


@pytest.mark.parametrize(
    "mutation",
    [
        work.every_answer_restamps,
        work.a_replay_is_hinted,
        work.every_beat_compares_every_bucket,
        work.every_beat_fetches_every_datum,
        work.every_push_is_the_whole_list,
        work.equal_digests_are_compared_in_detail,
        work.a_core_is_called_all_the_time,
    ],
    ids=lambda each: each.__name__,
)
def test_work_that_grows_with_what_is_held_is_noticed(mutation: Mutation) -> None:
    # A whole list shows only if it is long.
    size = SMALL._replace(ids=2) if mutation is work.every_push_is_the_whole_list else SMALL
    with mutated(mutation), pytest.raises(AssertionError, match=r"at most \d+ were expected"):
        LargeLife(4, size).run()


def test_the_small_size_passes_without_a_mutation() -> None:
    LargeLife(4, SMALL).run()
    LargeLife(4, SMALL._replace(ids=2)).run()


def test_a_size_is_given_by_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2-2", "--clients", "5", "--publishers", "20"]) == 0
    printed = capsys.readouterr().out

    assert "Size(clients=5, ids=4, publishers=20, subscriptions=60)" in printed
    assert "1 seeds, 0 failed []" in printed
