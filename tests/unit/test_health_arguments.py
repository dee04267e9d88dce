"""What `publish` is told of health is checked in the call."""

import math

import pytest

from zreg.client.arguments import check_health_function, check_loop_health_function
from zreg.client.handles.health_arguments import new_heartbeat, plan_of
from zreg.client.health.instance_health import WhenUnhealthy
from zreg.client.health.verdict import CheckRules
from zreg.client.runtime.health.watch import HealthPlan
from zreg.errors import UsageError


def check() -> bool:
    return True


async def coroutine_check() -> bool:
    return True


def generator_check() -> object:
    yield True


def one_argument(_view: object) -> bool:
    return True


def plan(source: object = check, **given: object) -> HealthPlan:
    arguments: dict[str, object] = {
        "interval_seconds": 5.0,
        "timeout_seconds": 2.0,
        "failures_max": 1,
        "when_unhealthy": WhenUnhealthy.WITHDRAW,
    }
    return plan_of(source, check_function=check_health_function, **{**arguments, **given})  # type: ignore[arg-type]


def test_a_plan_holds_what_was_given() -> None:
    found = plan(failures_max=3, interval_seconds=1, timeout_seconds=1, when_unhealthy="mark")

    assert found == HealthPlan(
        check,
        CheckRules(
            interval_seconds=1.0,
            timeout_seconds=1.0,
            failures_max=3,
            when_unhealthy=WhenUnhealthy.MARK,
        ),
    )


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"interval_seconds": -1}, "health_interval_seconds -1 cannot be used"),
        ({"interval_seconds": math.inf}, "without end"),
        ({"interval_seconds": math.nan}, "cannot be used"),
        ({"timeout_seconds": 0}, "health_timeout_seconds 0 cannot be used"),
        ({"timeout_seconds": "1"}, "health_timeout_seconds '1' cannot be used"),
        ({"timeout_seconds": 6}, "longer than health_interval_seconds 5"),
        ({"failures_max": 0}, "from 1 on"),
        ({"failures_max": True}, "from 1 on"),
        ({"when_unhealthy": "hide"}, "give zreg.WhenUnhealthy.WITHDRAW, zreg.WhenUnhealthy.MARK"),
        ({"source": "http://localhost"}, "cannot be called"),
        ({"source": one_argument}, "without arguments"),
        ({"source": coroutine_check}, "is a coroutine function, .* use zreg.AsyncClient"),
        ({"source": generator_check}, "is a generator function"),
    ],
)
def test_what_cannot_be_checked_is_refused(given: dict[str, object], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        plan(**given)


def test_an_event_loop_runs_coroutine_functions_too() -> None:
    check_loop_health_function(check)
    check_loop_health_function(coroutine_check)
    with pytest.raises(UsageError, match="generator function"):
        check_loop_health_function(generator_check)
    with pytest.raises(UsageError, match="without arguments"):
        check_loop_health_function(one_argument)


def test_a_heartbeat_is_a_source_of_health_and_has_just_beaten() -> None:
    heartbeat = new_heartbeat(60)

    assert heartbeat() is None
    assert plan(heartbeat).source is heartbeat
    heartbeat.beat_at -= 60
    assert heartbeat() == "no heartbeat for 60 s"
    heartbeat.beat()
    assert heartbeat() is None
    with pytest.raises(UsageError, match="timeout_seconds -1"):
        new_heartbeat(-1)


class Listener:
    def __init__(self) -> None:
        self.count = 0

    def on_beat(self) -> None:
        self.count += 1


def test_the_next_beat_is_told_once_to_each_that_waits_for_it() -> None:
    heartbeat, first, second = new_heartbeat(60), Listener(), Listener()
    for listener in (first, second, first):
        heartbeat.tell_at_next_beat(listener)

    heartbeat.beat()
    heartbeat.beat()

    assert (first.count, second.count) == (1, 1)


def test_a_heartbeat_forgets_what_waits_no_more_and_keeps_none_alive() -> None:
    heartbeat, kept = new_heartbeat(60), Listener()
    heartbeat.tell_at_next_beat(kept)
    heartbeat.tell_at_next_beat(Listener())
    heartbeat.forget(kept)
    heartbeat.forget(kept)

    assert len(heartbeat._listeners) == 0
    heartbeat.beat()
    assert kept.count == 0
