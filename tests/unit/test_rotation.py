"""The rotation: turns by weight, with and without regard to the calls under way."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_fakes import HalfRandom, make_instances

from zreg.client.balancing.choosers.rotation import Rotation
from zreg.client.balancing.instance import Instance


def make_rotation(
    instances: list[Instance], *, rng: Random | None = None, by_load: bool = False
) -> Rotation:
    rotation = Rotation(rng or HalfRandom(), by_load=by_load)
    for instance in instances:
        rotation.add(instance)
    return rotation


def choices(rotation: Rotation, count: int) -> list[int]:
    return [rotation.choose(0.0).number for _ in range(count)]


@given(weights=st.lists(st.integers(1, 30), min_size=1, max_size=8), seed=st.integers(0, 99))
@settings(deadline=None)
def test_each_is_chosen_as_often_as_its_weight_says_and_at_even_distances(
    weights: list[int], seed: int
) -> None:
    rotation = make_rotation(make_instances(*weights), rng=Random(seed))
    total = sum(weights)
    numbers = choices(rotation, 4 * total)

    for number, weight in enumerate(weights):
        places = [place for place, each in enumerate(numbers) if each == number]
        # One more or less, as the first turn is anywhere within the first distance.
        assert abs(len(places) - 4 * weight) <= 1
        gaps = [after - before for before, after in pairwise(places)]
        # Between two turns each of the others has at most its share of turns, rounded up, and one.
        assert all(gap <= total / weight + len(weights) + 1 for gap in gaps)


def test_programs_that_start_at_once_do_not_begin_with_the_same_instance() -> None:
    firsts = {
        make_rotation(make_instances(1, 1, 1, 1), rng=Random(seed)).choose(0.0).number
        for seed in range(40)
    }

    assert firsts == {0, 1, 2, 3}


def test_one_that_is_added_late_gets_no_more_than_its_share() -> None:
    instances = make_instances(1, 1, 1)
    rotation = make_rotation(instances[:2])
    choices(rotation, 1001)

    rotation.add(instances[2])

    assert Counter(choices(rotation, 9)) == {0: 3, 1: 3, 2: 3}


def test_one_that_is_removed_is_not_chosen_and_may_come_back() -> None:
    instances = make_instances(1, 1, 1)
    rotation = make_rotation(instances)
    for _ in range(200):
        rotation.remove(instances[1])
        assert set(choices(rotation, 2)) == {0, 2}
        rotation.add(instances[1])

    assert Counter(choices(rotation, 9)) == {0: 3, 1: 3, 2: 3}
    assert len(rotation._heap) < 100


def test_a_choice_among_some_takes_their_turns() -> None:
    instances = make_instances(1, 1, 1)
    rotation = make_rotation(instances)

    assert [rotation.choose_among(instances[1:], 0.0).number for _ in range(4)] == [1, 2, 1, 2]
    # The first one missed two turns, and gets one of them.
    assert Counter(choices(rotation, 7)) == {0: 3, 1: 2, 2: 2}
    stranger = make_instances(1)[0]
    assert rotation.choose_among([stranger], 0.0) is stranger


@pytest.mark.parametrize(("weights", "in_flight"), [((1, 1, 1), (2, 2, 2)), ((1, 2, 3), (1, 2, 3))])
def test_with_load_calls_under_way_are_spread_by_weight(
    weights: tuple[int, ...], in_flight: tuple[int, ...]
) -> None:
    instances = make_instances(*weights)
    rotation = make_rotation(instances, by_load=True)
    for _ in range(6):
        instance = rotation.choose(0.0)
        instance.in_flight += 1
        rotation.on_load_changed(instance)

    assert tuple(each.in_flight for each in instances) == in_flight


def test_with_load_one_whose_calls_have_ended_comes_next() -> None:
    instances = make_instances(1, 1, 1)
    rotation = make_rotation(instances, by_load=True)
    for instance in instances:
        instance.in_flight = 5
        rotation.on_load_changed(instance)
    instances[2].in_flight = 4
    rotation.on_load_changed(instances[2])

    assert choices(rotation, 3) == [2, 2, 2]
    assert rotation.choose_among(instances, 0.0) is instances[2]
    assert rotation.choose_among(instances[:2], 0.0) is instances[0]


def test_with_load_idle_instances_take_turns_by_weight() -> None:
    rotation = make_rotation(make_instances(3, 1), by_load=True)

    assert Counter(choices(rotation, 40)) == {0: 30, 1: 10}


def test_the_heap_stays_small_however_many_calls_there_are() -> None:
    instances = make_instances(1, 1, 1)
    rotation = make_rotation(instances, by_load=True)
    for _ in range(1000):
        instance = rotation.choose(0.0)
        for load in (1, 0):
            instance.in_flight = load
            rotation.on_load_changed(instance)

    assert len(rotation._heap) < 100
