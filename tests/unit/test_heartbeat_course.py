"""Whether a loop still beats; the time is an argument."""

from dataclasses import dataclass

from zreg.client.health.heartbeat_course import HeartbeatCourse
from zreg.client.health.instance_health import HEALTHY, UNKNOWN, HealthState, InstanceHealth

DEAD = InstanceHealth(HealthState.UNHEALTHY, "no heartbeat for 10 s")


@dataclass
class Pulse:
    beat_at: float = 100.0
    timeout_seconds: float = 10.0


def test_it_is_healthy_until_no_beat_came_for_the_timeout() -> None:
    course = HeartbeatCourse(Pulse(), 103.0)
    assert (course.health, course.next_at) == (UNKNOWN, 103.0)

    course.on_time(103.0)
    assert (course.health, course.next_at) == (HEALTHY, 110.0)
    course.on_time(110.0)
    assert (course.health, course.next_at) == (DEAD, None)


def test_however_often_it_beats_it_costs_one_look_per_timeout() -> None:
    pulse = Pulse()
    course = HeartbeatCourse(pulse, 100.0)
    course.on_time(100.0)
    pulse.beat_at = 109.5

    course.on_time(110.0)

    assert (course.health, course.next_at) == (HEALTHY, 119.5)


def test_a_beat_brings_it_back() -> None:
    pulse = Pulse()
    course = HeartbeatCourse(pulse, 120.0)
    course.on_time(120.0)
    assert course.health == DEAD

    pulse.beat_at = 130.0
    course.on_time(130.0)

    assert (course.health, course.next_at) == (HEALTHY, 140.0)


def test_a_restart_forgets_what_was_found() -> None:
    course = HeartbeatCourse(Pulse(), 100.0)
    course.on_time(100.0)
    course.pause()
    assert course.next_at is None

    course.restart(105.0)

    assert (course.health, course.next_at) == (UNKNOWN, 105.0)
