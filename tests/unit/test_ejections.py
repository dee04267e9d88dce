"""Instances that fail: when they are set aside, for how long, and how many at most."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_fakes import make_instances

from zreg.client.balancing.ejections import Ejections, Moved
from zreg.client.balancing.policy import Ejection
from zreg.errors import UsageError


def fail(ejections: Ejections, instance: object, now: float, count: int = 4) -> Moved:
    return ejections.on_failure(instance, now, count=count)  # type: ignore[arg-type]


def test_one_failure_sets_aside_for_five_seconds() -> None:
    ejections = Ejections(Ejection())
    one = make_instances(1)[0]

    assert fail(ejections, one, 10.0) == Moved(one)
    assert one.is_ejected
    assert list(ejections.on_time(14.9)) == []
    assert list(ejections.on_time(15.0)) == [one]
    assert not one.is_ejected
    assert len(ejections) == 0


def test_so_many_failures_in_a_row_set_aside_and_a_success_begins_anew() -> None:
    ejections = Ejections(Ejection(failures=3))
    one = make_instances(1)[0]
    for now in (1.0, 2.0):
        assert fail(ejections, one, now) == Moved()

    assert ejections.on_success(one, 3.0, began_at=2.5) == Moved()
    for now in (4.0, 5.0):
        assert fail(ejections, one, now) == Moved()
    assert fail(ejections, one, 6.0) == Moved(one)


def test_a_success_of_a_call_from_before_the_failures_outweighs_none() -> None:
    ejections = Ejections(Ejection(failures=2))
    one = make_instances(1)[0]
    fail(ejections, one, 2.0)
    ejections.on_success(one, 3.0, began_at=1.0)

    assert fail(ejections, one, 4.0) == Moved(one)
    assert ejections.on_success(one, 5.0, began_at=3.5) == Moved()
    assert ejections.on_success(one, 6.0, began_at=4.5) == Moved(returned=(one,))
    assert not one.is_ejected


def test_a_report_of_success_lets_it_return_at_once() -> None:
    ejections = Ejections(Ejection())
    one = make_instances(1)[0]
    fail(ejections, one, 2.0)

    assert ejections.on_success(one, 2.0, began_at=None) == Moved(returned=(one,))
    assert list(ejections.on_time(99.0)) == []


def test_a_failure_while_it_is_set_aside_changes_nothing() -> None:
    ejections = Ejections(Ejection())
    one = make_instances(1)[0]
    fail(ejections, one, 1.0)

    assert fail(ejections, one, 4.0) == Moved()
    assert list(ejections.on_time(6.0)) == [one]


def test_each_time_is_twice_as_long_if_it_fails_soon_up_to_a_bound() -> None:
    rule = Ejection(failures=3, seconds=5.0, seconds_max=60.0)
    ejections = Ejections(rule)
    one = make_instances(1)[0]
    now, times = 0.0, []
    for _ in range(3):
        fail(ejections, one, now)
    for _ in range(6):
        began = now
        while one.is_ejected:
            now += 1.0
            list(ejections.on_time(now))
        times.append(now - began)
        # After its return one failure is enough.
        assert fail(ejections, one, now) == Moved(one)

    assert times == [5, 10, 20, 40, 60, 60]
    ejections.on_success(one, now, began_at=None)
    ejections.on_success(one, now, began_at=None)
    for _ in range(3):
        fail(ejections, one, now + 61.0)
    assert list(ejections.on_time(now + 66.0)) == [one]


@pytest.mark.parametrize(
    ("count", "share_max", "most"),
    [
        *((1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (9, 0.5, 4)),
        *((3, 1.0, 2), (1, 1.0, 0), (10, 0.3, 3), (10, 0.0, 0), (10, 0.09, 0)),
    ],
)
def test_at_most_the_share_is_set_aside_and_never_all(
    count: int, share_max: float, most: int
) -> None:
    ejections = Ejections(Ejection(share_max=share_max))
    instances = make_instances(*([1] * count))
    for instance in instances:
        fail(ejections, instance, 1.0, count)

    assert len(ejections) == most
    # Those that failed last.
    aside = [each for each in instances if each.is_ejected]
    assert aside == instances[count - most :]


def test_one_more_that_fails_takes_the_place_of_the_one_that_would_return_first() -> None:
    ejections = Ejections(Ejection())
    a, b, c, _ = make_instances(1, 1, 1, 1)
    fail(ejections, a, 1.0)
    fail(ejections, b, 2.0)

    assert fail(ejections, c, 3.0) == Moved(c, (a,))
    assert list(ejections.on_time(6.5)) == []
    assert list(ejections.on_time(7.5)) == [b]


def test_with_fewer_instances_some_return() -> None:
    ejections = Ejections(Ejection())
    instances = make_instances(*([1] * 8))
    for now, instance in enumerate(instances[:4]):
        fail(ejections, instance, float(now), 8)
    ejections.forget(instances[0])

    assert list(ejections.on_count_changed(4, 4.0)) == [instances[1]]
    assert list(ejections.on_count_changed(1, 4.0)) == [instances[2], instances[3]]
    assert len(ejections) == 0


def test_the_queue_stays_small_however_often_instances_come_back() -> None:
    ejections = Ejections(Ejection())
    one = make_instances(1)[0]
    for number in range(1000):
        fail(ejections, one, number / 1000)
        ejections.on_success(one, number / 1000, began_at=None)

    assert len(ejections._queue) < 100
    assert not one.is_ejected


STEPS = st.tuples(
    st.sampled_from(["fail", "succeed", "late", "time", "leave"]),
    st.integers(0, 9),
    st.floats(0.0, 20.0),
)


@given(
    count=st.integers(1, 10),
    share_max=st.floats(0.0, 1.0),
    failures=st.integers(1, 3),
    steps=st.lists(STEPS, max_size=60),
)
@settings(deadline=None)
def test_the_bounds_hold_at_any_time(
    count: int, share_max: float, failures: int, steps: list[tuple[str, int, float]]
) -> None:
    rule = Ejection(share_max=share_max, failures=failures)
    ejections = Ejections(rule)
    present = make_instances(*([1] * count))
    now = 0.0
    for what, which, seconds in steps:
        now += seconds
        list(ejections.on_time(now))
        instance = present[which % len(present)]
        match what:
            case "fail":
                fail(ejections, instance, now, len(present))
            case "succeed":
                ejections.on_success(instance, now, began_at=None)
            case "late":
                ejections.on_success(instance, now, began_at=now - 30.0)
            case "leave" if len(present) > 1:
                present.remove(instance)
                ejections.forget(instance)
                list(ejections.on_count_changed(len(present), now))
        aside = [each for each in present if each.is_ejected]
        assert len(ejections) == len(aside) <= min(share_max * len(present), len(present) - 1)
        assert all(each.ejected_at + rule.seconds_max >= now for each in aside)

    # And all return.
    list(ejections.on_time(now + rule.seconds_max))
    assert len(ejections) == 0
    assert not any(each.is_ejected for each in present)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"failures": 0}, "failures 0 cannot be used: give a number from 1 on"),
        ({"failures": True}, "failures True"),
        ({"failures": 1.5}, "failures 1.5"),
        ({"seconds": -1}, "seconds -1 cannot be used: give seconds"),
        ({"seconds": "5"}, "seconds '5' cannot be used"),
        ({"seconds_max": float("inf")}, "seconds_max inf cannot be used"),
        ({"seconds": float("nan")}, "seconds nan cannot be used"),
        ({"share_max": 1.5}, "share_max 1.5 cannot be used: give a number from 0 to 1"),
        ({"seconds": 9, "seconds_max": 5}, "seconds_max 5 must not be below seconds 9"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(arguments: dict[str, float], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Ejection(**arguments)  # type: ignore[arg-type]
