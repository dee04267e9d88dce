"""Clusters under faults of every kind: no view loses a publisher whose client lives."""

import pytest

from zreg.testing.sim.buggify import Buggify
from zreg.testing.workloads.chaos_workload import ChaosLife


@pytest.mark.parametrize("seed", range(1, 21))
def test_no_view_loses_a_living_publisher_under_any_faults(seed: int) -> None:
    ChaosLife(seed).run()


@pytest.mark.parametrize("seed", range(101, 107))
def test_unkind_bounds_and_times_make_no_fault_worse(seed: int) -> None:
    with Buggify(seed):
        ChaosLife(seed).run()


def test_no_view_loses_what_a_client_has_to_replay_yet_when_all_data_nodes_die() -> None:
    """The client had named one of its four publications at its new session."""
    with Buggify(72637):
        ChaosLife(72637, has_isolation=False, has_pages=True).run()


def test_clients_leave_an_isolated_session_for_one_that_has_just_come_back() -> None:
    """It knew of no other session: that one had departed a moment before it was cut off."""
    with Buggify(90343):
        ChaosLife(90343, has_pages=True).run()


@pytest.mark.parametrize("seed", [22, 51, 53])
def test_a_session_that_sends_its_clients_away_does_not_withdraw_what_they_published(
    seed: int,
) -> None:
    """It withdrew the publishers of the clients that reached no other session within half a second.

    Seeds 6 and 19 found the same. Data nodes came and went only with later lives.
    """
    ChaosLife(seed, has_ring_changes=False, has_isolation=False).run()
