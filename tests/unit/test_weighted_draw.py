"""Draws by weight, and the faster of two draws."""

from collections import Counter
from random import Random

import pytest
from service_fakes import make_instances

from zreg.client.balancing.choosers.weighted_draw import TwoChoices, WeightedDraw
from zreg.client.balancing.instance import LATENCY_DECAY_SECONDS, Instance

NOW = 100.0


def make_draw(
    instances: list[Instance], kind: type[WeightedDraw] = WeightedDraw, seed: int = 1
) -> WeightedDraw:
    draw = kind(Random(seed))
    for instance in instances:
        draw.add(instance)
    return draw


def shares(draw: WeightedDraw, count: int = 4000, now: float = NOW) -> dict[int, float]:
    counts = Counter(draw.choose(now).number for _ in range(count))
    return {number: counts[number] / count for number in sorted(counts)}


@pytest.mark.parametrize("kind", [WeightedDraw, TwoChoices])
def test_draws_follow_the_weights(kind: type[WeightedDraw]) -> None:
    draw = make_draw(make_instances(100, 300, 600), kind)
    expected = {0: 0.1, 1: 0.3, 2: 0.6}

    assert shares(draw) == pytest.approx(expected, abs=0.03)
    among = Counter(draw.choose_among(make_instances(1, 3), NOW).number for _ in range(4000))
    assert among[1] / 4000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("kind", [WeightedDraw, TwoChoices])
def test_a_member_that_is_removed_is_not_drawn(kind: type[WeightedDraw]) -> None:
    instances = make_instances(1, 1, 1)
    draw = make_draw(instances, kind)
    assert set(shares(draw)) == {0, 1, 2}

    draw.remove(instances[1])
    assert set(shares(draw)) == {0, 2}
    draw.remove(instances[0])

    assert shares(draw) == {2: 1.0}
    assert draw.choose_among(instances[2:], NOW) is instances[2]


def test_of_two_the_faster_one_is_chosen() -> None:
    instances = make_instances(1, 1)
    instances[0].measure(0.010, NOW)
    instances[1].measure(0.011, NOW)
    draw = make_draw(instances, TwoChoices)

    assert shares(draw) == {0: 1.0}
    assert draw.choose_among(instances, NOW) is instances[0]


def test_the_slowest_of_many_gets_few_calls() -> None:
    instances = make_instances(1, 1, 1, 1)
    for instance in instances:
        instance.measure(0.01 + 0.01 * (instance.number == 3), NOW)

    # The second draw is of another one.
    assert set(shares(make_draw(instances, TwoChoices))) == {0, 1, 2}


def test_calls_under_way_count_less_on_a_heavy_instance() -> None:
    light, heavy = make_instances(1, 3)
    for instance in (light, heavy):
        instance.measure(0.01, NOW)
    draw = make_draw([light, heavy], TwoChoices)

    light.in_flight, heavy.in_flight = 1, 2
    assert shares(draw) == {1: 1.0}
    light.in_flight, heavy.in_flight = 1, 4
    assert shares(draw) == {0: 1.0}


def test_an_instance_that_was_never_measured_gets_one_call_at_once() -> None:
    known, new = make_instances(1, 1)
    known.measure(0.01, NOW)
    draw = make_draw([known, new], TwoChoices)

    assert shares(draw) == {1: 1.0}
    new.in_flight = 1
    assert shares(draw) == {0: 1.0}


def test_a_latency_rises_at_once_falls_slowly_and_is_forgotten() -> None:
    (instance,) = make_instances(1)
    assert instance.latency(NOW) is None

    instance.measure(0.1, NOW)
    assert instance.latency(NOW) == 0.1
    instance.measure(0.5, NOW)
    assert instance.latency(NOW) == 0.5
    instance.measure(0.1, NOW)
    assert instance.latency(NOW) == 0.5
    later = NOW + LATENCY_DECAY_SECONDS
    instance.measure(0.1, later)
    assert instance.latency(later) == pytest.approx(0.5 * 0.368 + 0.1 * 0.632, rel=0.01)
    assert instance.latency(later + 10 * LATENCY_DECAY_SECONDS) == pytest.approx(0.0, abs=1e-4)


def test_an_instance_that_was_slow_is_tried_again() -> None:
    slow, steady = make_instances(1, 1)
    slow.measure(1.0, NOW)
    steady.measure(0.01, NOW)
    draw = make_draw([slow, steady], TwoChoices)
    assert shares(draw, now=NOW) == {1: 1.0}

    later = NOW + 6 * LATENCY_DECAY_SECONDS
    steady.measure(0.01, later)

    assert shares(draw, now=later) == {0: 1.0}
