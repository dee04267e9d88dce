"""When the check of a publication begins, and what its result means; the time is an argument."""

import pytest

from zreg.client.health.check_course import CheckCourse
from zreg.client.health.instance_health import HEALTHY, UNKNOWN, HealthState, InstanceHealth
from zreg.client.health.verdict import CheckRules

HUNG = "its check did not return within 2 s"


def unhealthy(reason: str) -> InstanceHealth:
    return InstanceHealth(HealthState.UNHEALTHY, reason)


def course_at(now: float, **rules: int) -> CheckCourse:
    return CheckCourse(CheckRules(interval_seconds=5.0, timeout_seconds=2.0, **rules), now)


def check(course: CheckCourse, reason: str | None, now: float, *, seconds: float = 0.0) -> None:
    """Begin the check that is due, and end it."""
    assert course.on_time(now)
    course.begun_at = now
    course.on_returned(reason, now + seconds)


def test_the_first_check_is_due_at_once_and_nothing_is_known_before_it_ends() -> None:
    course = course_at(100.0)

    assert (course.next_at, course.health) == (100.0, UNKNOWN)
    assert course.on_time(100.0)
    assert course.health == UNKNOWN


def test_checks_begin_once_in_each_interval() -> None:
    course = course_at(100.0)
    check(course, None, 100.0, seconds=1.5)

    assert course.health == HEALTHY
    assert course.next_at == 105.0
    assert not course.on_time(104.9)
    assert course.on_time(105.0)


def test_a_check_that_is_asked_for_is_not_asked_for_again() -> None:
    course = course_at(0.0)
    assert course.on_time(0.0)
    course.begun_at = 0.1

    begun = [course.on_time(tenths / 10) for tenths in range(1000)]

    assert not any(begun)
    assert course.is_outdated


def test_a_failure_makes_it_unhealthy_and_one_success_healthy_again() -> None:
    course = course_at(0.0)
    check(course, None, 0.0)
    check(course, "no database", 5.0)
    assert course.health == unhealthy("no database")

    check(course, None, 10.0)
    assert course.health == HEALTHY


def test_as_many_failures_in_a_row_as_allowed_make_it_unhealthy() -> None:
    course = course_at(0.0, failures_max=3)
    check(course, None, 0.0)
    seen = []
    for now, reason in ((5.0, "a"), (10.0, "b"), (15.0, None), (20.0, "c"), (25.0, "d"), (30, "e")):
        check(course, reason, now)
        seen.append(course.health)

    healthy = HealthState.HEALTHY
    assert seen == [
        InstanceHealth(healthy, "a"),
        InstanceHealth(healthy, "b"),
        HEALTHY,
        InstanceHealth(healthy, "c"),
        InstanceHealth(healthy, "d"),
        unhealthy("e"),
    ]


def test_before_the_first_success_one_failure_is_enough() -> None:
    course = course_at(0.0, failures_max=3)
    check(course, "not warm", 0.0)

    assert course.health == unhealthy("not warm")


def test_a_check_that_hangs_fails_after_its_timeout_and_in_each_interval() -> None:
    course = course_at(0.0, failures_max=2)
    check(course, None, 0.0)
    assert course.on_time(5.0)
    course.begun_at = 5.0

    seen = []
    for _ in range(3):
        assert course.next_at is not None
        now = course.next_at
        course.on_time(now)
        seen.append((now, course.health))

    failing = InstanceHealth(HealthState.HEALTHY, HUNG)
    assert seen == [(7.0, failing), (12.0, unhealthy(HUNG)), (17.0, unhealthy(HUNG))]


def test_the_result_of_a_check_that_hung_does_not_count_but_the_next_one_does() -> None:
    course = course_at(0.0)
    assert course.on_time(0.0)
    course.begun_at = 0.0
    course.on_time(2.0)

    course.on_returned(None, 60.0)

    assert course.health == unhealthy(HUNG)
    assert course.next_at == 60.0
    check(course, None, 60.0)
    assert course.health == HEALTHY


def test_a_check_that_returns_too_late_before_the_time_was_noted_fails() -> None:
    course = course_at(0.0)
    check(course, None, 0.0, seconds=3.0)

    assert course.health == unhealthy("its check took 3.0 s, more than 2 s")


def test_the_timeout_counts_from_the_beginning_of_the_check() -> None:
    course = course_at(0.0)
    assert course.on_time(0.0)
    course.on_time(2.0)
    course.begun_at = 2.5
    course.on_time(4.0)
    assert course.next_at == 4.5
    course.on_returned(None, 4.4)

    assert course.health == HEALTHY


def test_a_check_that_does_not_begin_for_an_interval_fails_and_then_still_counts() -> None:
    course = course_at(0.0)
    check(course, None, 0.0)
    assert course.on_time(5.0)
    times = []
    while course.health == HEALTHY:
        assert course.next_at is not None
        times.append(course.next_at)
        course.on_time(course.next_at)

    assert times == [7.0, 9.0, 10.0]
    assert "has not begun for 5 s" in course.health.reason
    course.begun_at = 11.0
    course.on_returned(None, 11.1)
    assert course.health == HEALTHY


def test_a_paused_course_begins_no_check_and_its_result_does_not_count() -> None:
    course = course_at(0.0)
    assert course.on_time(0.0)
    course.begun_at = 0.0
    course.pause()
    course.on_returned("late", 1.0)

    assert (course.next_at, course.health) == (None, UNKNOWN)
    assert not course.on_time(1000.0)


@pytest.mark.parametrize("has_returned", [True, False])
def test_a_restarted_course_knows_nothing_and_never_checks_twice(*, has_returned: bool) -> None:
    course = course_at(0.0)
    check(course, None, 0.0)
    assert course.on_time(5.0)
    course.begun_at = 5.0
    course.pause()
    if has_returned:
        course.on_returned(None, 5.5)

    course.restart(6.0)

    assert course.health == UNKNOWN
    assert course.on_time(6.0) is has_returned
    if not has_returned:
        course.on_time(8.0)
        assert course.health == unhealthy(HUNG)
        course.on_returned(None, 9.0)
        assert course.next_at == 10.0
        check(course, None, 10.0)
        assert course.health == HEALTHY
