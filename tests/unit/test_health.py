"""Which problems make a node degraded, unready or stuck, and their details."""

import pytest

from zreg.health import (
    STUCK_SECONDS,
    Harm,
    Health,
    Problem,
    bug_problems,
    some,
    stuck_problems,
)


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
