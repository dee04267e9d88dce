"""Keys: each has one owner, by weight, and few of them move."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_fakes import make_instance, make_instances

from zreg.client.balancing.choosers.key_slots import SLOT_COUNT, KeySlots, owner_among, slot_of
from zreg.client.balancing.instance import Instance

KEYS = range(300)


def make_slots(instances: list[Instance]) -> KeySlots:
    slots = KeySlots()
    for instance in instances:
        slots.add(instance)
    return slots


def owners(slots: KeySlots) -> dict[int, str | None]:
    return {key: slots.owner(key).endpoint.host for key in KEYS}


def moved(before: dict[int, str | None], after: dict[int, str | None]) -> set[int]:
    return {key for key in KEYS if before[key] != after[key]}


def test_the_slots_of_keys_are_the_same_in_each_program_and_version() -> None:
    assert [slot_of(key) for key in ("", "a", b"a", "é", 7, "7", -1)] == [
        *(12980, 16943, 16943, 6447, 3970, 3970, 230),
    ]
    hosts = [owner_among(key, make_instances(1, 1, 1)).endpoint.host for key in "abcdefgh"]
    assert hosts == ["h1", "h1", "h1", "h2", "h2", "h2", "h2", "h0"]


@pytest.mark.parametrize("weights", [(1,) * 5, (100,) * 20, (100, 200, 300), (1, 10_000)])
def test_instances_own_slots_by_their_weights(weights: tuple[int, ...]) -> None:
    slots = make_slots(make_instances(*weights))
    counts = Counter(slots.owner(key).number for key in range(SLOT_COUNT))

    for number, weight in enumerate(weights):
        assert counts[number] / SLOT_COUNT == pytest.approx(weight / sum(weights), abs=0.01)


@given(
    weights=st.lists(st.integers(1, 10_000), min_size=2, max_size=8),
    which=st.integers(0, 7),
    looked_up=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_only_the_keys_of_the_instance_that_goes_or_comes_move(
    *, weights: list[int], which: int, looked_up: bool
) -> None:
    instances = make_instances(*weights)
    some = instances[which % len(instances)]
    slots = make_slots(instances)
    before = owners(slots)

    slots.remove(some)
    if looked_up:
        without = owners(slots)
        assert moved(before, without) == {
            k for k, host in before.items() if host == some.endpoint.host
        }
    slots.add(some)

    assert owners(slots) == before
    assert owners(make_slots(instances[::-1])) == before


@given(weights=st.lists(st.integers(1, 1000), min_size=2, max_size=8), change=st.integers(1, 1000))
@settings(deadline=None, max_examples=60)
def test_a_heavier_instance_only_gains_keys_and_a_lighter_one_only_loses_them(
    weights: list[int], change: int
) -> None:
    instances = make_instances(*weights)
    slots = make_slots(instances)
    before = owners(slots)

    heavier = make_instance("h0", weight=weights[0] + change)
    slots.remove(instances[0])
    slots.add(heavier)
    after = owners(slots)

    assert all(after[key] == "h0" for key in moved(before, after))
    slots.remove(heavier)
    slots.add(instances[0])
    assert owners(slots) == before


def test_owners_are_right_after_more_changes_than_are_remembered() -> None:
    instances = make_instances(1, 1, 1)
    slots = make_slots(instances)
    before = owners(slots)
    for number in range(200):
        guest = make_instance(f"guest{number}")
        slots.add(guest)
        if number % 7 == 0:
            slots.owner("a")
        slots.remove(guest)

    assert owners(slots) == before
    assert len(slots._added) <= 64


def test_the_owner_among_some_is_the_one_that_a_service_of_these_would_pick() -> None:
    instances = make_instances(1, 2, 3, 4)
    slots = make_slots(instances[1:])

    assert all(owner_among(key, instances[1:]) is slots.owner(key) for key in KEYS)
