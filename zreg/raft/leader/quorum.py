"""Count majorities of the voters: of votes, of replicated indexes, of read rounds.

Votes are kept by voter, so a repeated answer counts once. A member that is no voter never counts.
"""

from collections.abc import Mapping, Sequence
from enum import Enum


class Outcome(Enum):
    """What the votes so far decide."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(voter_count: int) -> int:
    """Return the smallest number that is more than half of `voter_count`."""
    return voter_count // 2 + 1


def tally(votes: Mapping[str, bool], voters: Sequence[str]) -> Outcome:
    """Return what the votes, by voter, decide; without voters the election is lost."""
    granted = sum(votes.get(voter) is True for voter in voters)
    denied = sum(votes.get(voter) is False for voter in voters)
    if not voters:
        return Outcome.LOST
    if granted >= majority(len(voters)):
        return Outcome.WON
    if len(voters) - denied < majority(len(voters)):
        return Outcome.LOST
    return Outcome.PENDING


def majority_value(values: Sequence[int]) -> int:
    """Return the highest number that more than half of `values` reach; `values` is not empty."""
    assert values
    return sorted(values, reverse=True)[majority(len(values)) - 1]
