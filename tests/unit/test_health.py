"""Which problems make a node degraded, unready or stuck, and their details."""

import pytest

from zreg.health import (
    AWAY_SECONDS,
    STUCK_SECONDS,
    Absence,
    Harm,
    Health,
    Problem,
    bug_problems,
    some,
    stuck_problems,
)

GOES_ON = "the rest goes on"


@pytest.mark.parametrize(
    ("harms", "status", "is_ready", "is_alive"),
    [
        ((), "ok", True, True),
        ((Harm.DEGRADES,), "degraded", True, True),
        ((Harm.DEGRADES, Harm.STOPS_WORK), "degraded", False, True),
        ((Harm.STUCK, Harm.DEGRADES), "stuck", False, False),
    ],
)
def test_the_worst_problem_counts(
    harms: tuple[Harm, ...], status: str, *, is_ready: bool, is_alive: bool
) -> None:
    health = Health(tuple(Problem("code", "detail", harm) for harm in harms))

    assert (health.status, health.is_ready, health.is_alive) == (status, is_ready, is_alive)


def test_meta_is_away_from_the_first_failure_on_until_its_leader_answers() -> None:
    absence = Absence(0.0)
    assert absence.problem(100.0, GOES_ON, is_due=True) is None

    absence.note("tcp://m1:1: refused", 10.0)
    absence.note("tcp://m2:1: timed out", 11.0)

    assert absence.problem(10.0 + AWAY_SECONDS - 0.1, GOES_ON, is_due=False) is None
    problem = absence.problem(10.0 + AWAY_SECONDS, GOES_ON, is_due=False)
    assert problem == Problem(
        "meta-unreachable",
        "the leader of meta has not been reached for 3 s (last: tcp://m2:1: timed out): start "
        "meta, correct --meta, or look at the network between; meanwhile the rest goes on",
    )
    absence.end()
    assert absence.problem(100.0, GOES_ON, is_due=True) is None
    absence.note("tcp://m1:1: refused", 200.0)
    assert absence.problem(201.0, GOES_ON, is_due=False) is None
    assert absence.problem(201.0, GOES_ON, is_due=True) is not None
    assert repr(absence) == "<Absence 'tcp://m1:1: refused' since=200.0>"


def test_a_missing_majority_is_told_as_a_living_meta_node_tells_it() -> None:
    """It counts for the round of attempts in which it was said and for the one after it."""
    absence = Absence(0.0)
    absence.begin_round()
    absence.hear("2 of 3 must run: start them", "")
    absence.note("tcp://m1:1: 2 of 3 must run: start them", 0.0)
    absence.note("tcp://m2:1: refused", 0.0)

    problem = absence.problem(5.0, GOES_ON, is_due=False)
    assert problem == Problem(
        "meta-quorum-missing",
        "2 of 3 must run: start them. It has been so for 5 s; meanwhile the rest goes on",
    )
    assert absence.is_electing
    absence.begin_round()
    assert not absence.is_electing
    assert absence.problem(6.0, GOES_ON, is_due=False) is not None
    absence.begin_round()
    problem = absence.problem(7.0, GOES_ON, is_due=False)
    assert problem is not None
    assert problem.code == "meta-unreachable"


def test_a_leader_that_is_known_and_not_reached_is_no_missing_majority() -> None:
    absence = Absence(0.0)
    absence.hear("this meta node does not lead: ask the one that does", "tcp://m2:1")
    absence.note("tcp://m2:1: refused", 0.0)

    problem = absence.problem(5.0, GOES_ON, is_due=False)

    assert absence.is_electing
    assert problem is not None
    assert problem.code == "meta-unreachable"


def test_errors_in_own_code_are_counted_and_named() -> None:
    assert bug_problems({"turns": 7, "core_errors": 0}) == []
    (one,) = bug_problems({"core_errors": 1})
    (more,) = bug_problems({"core_errors": 2, "http_errors": 3, "turns": 9})

    assert one.code == more.code == "internal-errors"
    assert one.harm is Harm.DEGRADES
    assert one.detail.startswith("1 error in this node's own code since it started (core_errors 1)")
    assert more.detail.startswith("5 errors in")
    assert "(core_errors 2, http_errors 3)" in more.detail


def test_a_core_that_was_due_long_ago_is_stuck() -> None:
    assert stuck_problems(None, 1000.0) == []
    assert stuck_problems(1000.0 - STUCK_SECONDS + 0.1, 1000.0) == []

    (problem,) = stuck_problems(988.0, 1000.0)

    assert problem.harm is Harm.STUCK
    assert "should have acted 12 s ago" in problem.detail
    assert "restart it" in problem.detail


def test_only_the_first_of_many_names_are_shown() -> None:
    assert some(["a"]) == "a"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c, d, e"
    assert some(list("abcdefg")) == "a, b, c, d, e and 2 more"
