"""A campaign reports failures and faults, and fails if a kind of fault never fired."""

from collections import Counter

import pytest

from zreg.testing.workloads import chaos_workload, cluster_workload
from zreg.testing.workloads.campaign import SEEDS_MIN, Campaign, parse_seeds


class Life:
    """Fires one kind of fault; fails if told to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.fault_counts: Counter[str] = Counter(killed=2)

    def run(self) -> None:
        assert not self.fails, "a promise was broken"


def test_a_campaign_in_which_every_kind_fired_passes(capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(["killed"])

    assert campaign.run(range(1, SEEDS_MIN + 1), lambda seed: Life()) == 0
    printed = capsys.readouterr().out
    assert "100 killed" in printed
    assert "50 seeds, 0 failed []" in printed


def test_a_campaign_fails_if_a_kind_never_fired(capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(["killed", "slow"])

    assert campaign.run(range(1, SEEDS_MIN + 1), lambda seed: Life()) == 1
    assert "never fired: slow" in capsys.readouterr().out


def test_a_few_seeds_may_lack_a_kind() -> None:
    assert Campaign(["killed", "slow"]).run(range(3), lambda seed: Life()) == 0


def test_a_failure_is_printed_and_ends_the_campaign_after_so_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    campaign = Campaign(["killed"], failures_max=2)

    assert campaign.run(range(1, 9), lambda seed: Life(fails=seed % 2 == 0)) == 1
    printed = capsys.readouterr().out
    assert "seed 2: AssertionError: a promise was broken" in printed
    assert "4 seeds, 2 failed [2, 4]" in printed


def test_seeds_are_a_range_or_a_number() -> None:
    assert parse_seeds("3-5") == range(3, 6)
    assert parse_seeds("7") == range(7, 8)


def test_both_workloads_count_their_faults(capsys: pytest.CaptureFixture[str]) -> None:
    chaos_workload.main(["--seeds", "1-1", "--steps", "10"])
    cluster_workload.main(["--seeds", "1-1", "--steps", "10", "--digests"])
    printed = capsys.readouterr().out

    assert " killed\n" in printed
    assert " client killed\n" in printed
