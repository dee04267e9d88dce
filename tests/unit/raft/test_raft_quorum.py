"""Majorities of votes and of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raft_helpers import (
    THREE,
)

from zreg.raft.leader.quorum import Outcome, majority, majority_value, tally


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_a_majority_value_is_reached_by_a_majority_and_is_the_highest(values: list[int]) -> None:
    value = majority_value(values)

    assert sum(each >= value for each in values) >= majority(len(values))
    assert sum(each > value for each in values) < majority(len(values))


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ({}, Outcome.PENDING),
        ({"n1": True}, Outcome.PENDING),
        ({"n1": True, "n2": True}, Outcome.WON),
        ({"n1": True, "n2": False, "n3": False}, Outcome.LOST),
        ({"n1": True, "n8": True, "n9": True}, Outcome.PENDING),
        ({"n2": False, "n3": False}, Outcome.LOST),
    ],
)
def test_votes_of_voters_decide(votes: dict[str, bool], outcome: Outcome) -> None:
    assert tally(votes, THREE) is outcome


def test_without_voters_an_election_is_lost() -> None:
    assert tally({"n1": True}, ()) is Outcome.LOST
