"""The ring: ids are balanced and stable, and the ring is a pure function of its nodes."""

import hashlib
import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zreg.config import Limits
from zreg.errors import UsageError
from zreg.model import Member, Membership, RingParameters, Role, Status
from zreg.primitives.ring import (
    HASH_FUNCTIONS,
    Ring,
    bucket_of,
    bucket_topic,
    hash_function,
    ring_of,
)

IDS = [f"com.acme.Service{number}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP" for number in range(2000)]
FIVE = [(f"d{number}", 1) for number in range(1, 6)]

node_lists = st.dictionaries(
    st.text("abcdef0123", min_size=1, max_size=4), st.integers(1, 3), min_size=1, max_size=6
).map(lambda weights: list(weights.items()))


def primaries(ring: Ring, ids: list[str] = IDS) -> list[str | None]:
    return [ring.primary(name) for name in ids]


def shares(ring: Ring) -> dict[str | None, float]:
    return {node: count / len(IDS) for node, count in Counter(primaries(ring)).items()}


@settings(max_examples=25)
@given(node_lists, st.text("ghi", min_size=1, max_size=3))
def test_a_new_node_takes_ids_and_no_other_ids_move(nodes: list[tuple[str, int]], new: str) -> None:
    """The same backwards: when a node is removed, only its own ids move."""
    before, after = (
        Ring(nodes, virtual_node_count=20),
        Ring([*nodes, (new, 1)], virtual_node_count=20),
    )

    for name in IDS[:200]:
        assert after.primary(name) in (before.primary(name), new)


def test_about_one_in_n_ids_moves_when_a_node_comes_or_goes() -> None:
    five = primaries(Ring(FIVE))
    six = primaries(Ring([*FIVE, ("d6", 1)]))

    moved = sum(a != b for a, b in zip(five, six, strict=True)) / len(IDS)

    assert 0.6 / 6 < moved < 1.5 / 6


@settings(max_examples=25)
@given(node_lists, st.data())
def test_a_ring_does_not_depend_on_the_order_of_its_nodes(
    nodes: list[tuple[str, int]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(nodes))

    zones = {node_id: node_id[0] for node_id, _ in nodes}
    one, other = (
        Ring(each, zones=zones, replica_count=3, virtual_node_count=20)
        for each in (nodes, shuffled)
    )

    assert one.node_ids == other.node_ids
    assert one.placements == other.placements


@settings(max_examples=25)
@given(node_lists, st.integers(1, 8))
def test_the_nodes_of_a_bucket_are_distinct_and_start_with_the_primary(
    nodes: list[tuple[str, int]], count: int
) -> None:
    rings = [Ring(nodes, virtual_node_count=20, replica_count=each) for each in (count, count + 1)]

    for few, more in zip(*(ring.placements for ring in rings), strict=True):
        assert len(set(few)) == len(few) == min(count, len(nodes))
        assert more[: len(few)] == few
    for name in IDS[:50]:
        assert rings[0].placement(name)[0] == rings[0].primary(name)


@settings(max_examples=25)
@given(node_lists, st.integers(1, 5))
def test_the_nodes_of_a_bucket_are_in_as_many_zones_as_there_are(
    nodes: list[tuple[str, int]], count: int
) -> None:
    zones = {node_id: node_id[0] for node_id, _ in nodes}
    ring = Ring(nodes, zones=zones, virtual_node_count=20, replica_count=count)
    plain = Ring(nodes, virtual_node_count=20, replica_count=count)

    for placement, without_zones in zip(ring.placements, plain.placements, strict=True):
        wanted = min(count, len(set(zones.values())))
        assert len({zones[node_id] for node_id in placement}) == wanted
        assert len(placement) == len(without_zones)
        assert placement[0] == without_zones[0], "the primary does not depend on zones"


@settings(max_examples=25)
@given(node_lists, st.text("ghi", min_size=1, max_size=3), st.integers(1, 4))
def test_a_new_node_joins_placements_and_no_other_node_does(
    nodes: list[tuple[str, int]], new: str, count: int
) -> None:
    before = Ring(nodes, virtual_node_count=20, replica_count=count)
    after = Ring([*nodes, (new, 1)], virtual_node_count=20, replica_count=count)

    for old, now in zip(before.placements, after.placements, strict=True):
        assert set(now) <= {*old, new}


def test_equal_points_are_ordered_by_node_id() -> None:
    """The hash function of this test gives all points the same place."""
    ring = Ring(
        [("b", 1), ("a", 1)], replica_count=2, virtual_node_count=3, hash_function=lambda _data: 7
    )

    assert ring.placement("any") == ("a", "b")


def test_the_load_is_balanced_within_a_bound() -> None:
    assert all(0.6 / 5 < share < 1.4 / 5 for share in shares(Ring(FIVE)).values())


def test_a_node_of_twice_the_weight_takes_about_twice_the_ids() -> None:
    share = shares(Ring([("d1", 2), ("d2", 1), ("d3", 1)]))

    assert 1.5 < share["d1"] / share["d2"] < 2.7
    assert 1.5 < share["d1"] / share["d3"] < 2.7


def test_a_ring_without_nodes_has_no_primary() -> None:
    ring = Ring([])

    assert ring.primary("any") is None
    assert ring.primary("any") is None
    assert ring.primary_of(7) is None
    assert ring.placement("any") == ()


def test_a_ring_of_one_node_gives_it_all_ids() -> None:
    assert shares(Ring([("d1", 1)])) == {"d1": 1.0}


def test_a_ring_shows_its_size() -> None:
    assert repr(Ring(FIVE, virtual_node_count=10)) == "<Ring nodes=5 points=50>"


def test_a_ring_without_points_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Ring(FIVE, virtual_node_count=0)


@pytest.mark.parametrize("name", HASH_FUNCTIONS)
def test_the_hash_function_is_a_parameter(name: str) -> None:
    ring = Ring(FIVE, hash_function=hash_function(name))

    assert 0 <= hash_function(name)(b"x") < 2**64
    assert hash_function(name)(b"x") == int.from_bytes(hashlib.new(name, b"x").digest()[:8])
    assert set(primaries(ring)) == set(ring.node_ids)


def test_hash_functions_differ() -> None:
    rings = [Ring(FIVE, hash_function=function) for function in HASH_FUNCTIONS.values()]

    assert len({tuple(primaries(ring, IDS[:100])) for ring in rings}) == len(rings)


def test_the_default_is_md5_with_the_points_of_the_default_parameters() -> None:
    parameters = RingParameters()
    ring = Ring(
        FIVE,
        virtual_node_count=parameters.virtual_node_count,
        hash_function=hash_function(parameters.hash_name),
    )

    assert primaries(ring) == primaries(Ring(FIVE))


def test_the_ring_of_a_membership_is_of_its_working_data_nodes() -> None:
    members = tuple(
        Member(f"n{number}", role, 1, status, "tcp://127.0.0.1:1", weight=number + 1)
        for number, (role, status) in enumerate(itertools.product(Role, Status))
    )
    parameters = RingParameters(hash_name="sha1", virtual_node_count=7)

    ring = ring_of(Membership(b"c", 9, 9, parameters, members))

    [working] = [m for m in members if (m.role, m.status) == (Role.DATA, Status.WORKING)]
    assert ring.node_ids == (working.node_id,)
    guests = [
        m.node_id
        for m in members
        if m.role is Role.DATA and m.status in {Status.INITIAL, Status.LEAVING}
    ]
    assert set(ring.placements) == {(working.node_id,)}
    assert {guest for each in ring.guests for guest in each} == set(guests)


@settings(max_examples=25)
@given(node_lists, st.text("ghi", min_size=1, max_size=3), st.integers(1, 4))
def test_a_guest_holds_all_buckets_that_it_will_own_and_counts_for_none(
    nodes: list[tuple[str, int]], new: str, count: int
) -> None:
    """The same backwards: a node that leaves goes on to hold what it owned."""
    zones = {node_id: node_id[0] for node_id, _ in [*nodes, (new, 1)]}
    plain = Ring(nodes, zones=zones, virtual_node_count=20, replica_count=count)
    ring = Ring(
        [*nodes, (new, 1)], zones=zones, guests=[new], virtual_node_count=20, replica_count=count
    )
    after = Ring([*nodes, (new, 1)], zones=zones, virtual_node_count=20, replica_count=count)

    assert ring.placements == plain.placements
    assert ring.node_ids == plain.node_ids
    for guests, owned in zip(ring.guests, after.placements, strict=True):
        assert (new in guests) >= (new in owned)


def test_two_guests_in_a_zone_of_their_own_both_hold_what_each_alone_would_own() -> None:
    """The first of them that counts stands for the zone in every bucket."""
    zones = {"a1": "a", "a2": "a", "a3": "a", "c1": "c", "b1": "b", "b2": "b"}
    nodes = [(node_id, 1) for node_id in zones]
    both = Ring(nodes, zones=zones, guests=["b1", "b2"], replica_count=3)

    for first, other in (("b1", "b2"), ("b2", "b1")):
        after = Ring(nodes, zones=zones, guests=[other], replica_count=3)
        for guests, owned in zip(both.guests, after.placements, strict=True):
            assert (first in guests) >= (first in owned)


@settings(max_examples=25)
@given(node_lists, st.sets(st.integers(0, 9)), st.integers(1, 4))
def test_each_of_several_guests_holds_all_that_it_will_own(
    nodes: list[tuple[str, int]], chosen: set[int], count: int
) -> None:
    zones = {node_id: node_id[0] for node_id, _ in nodes}
    guests = [node_id for index, (node_id, _) in enumerate(nodes) if index in chosen]
    ring = Ring(nodes, zones=zones, guests=guests, virtual_node_count=20, replica_count=count)

    for guest in guests:
        others = [each for each in guests if each != guest]
        after = Ring(nodes, zones=zones, guests=others, virtual_node_count=20, replica_count=count)
        for held, owned in zip(ring.guests, after.placements, strict=True):
            assert (guest in held) >= (guest in owned)


def test_an_unknown_hash_function_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="'crc' is not known: choose one of md5, sha1, sha256"):
        hash_function("crc")


def test_the_replicas_and_buckets_of_ids_are_pinned() -> None:
    """Nodes of different versions must agree."""
    ring = Ring(FIVE, replica_count=2)
    assert [ring.placement(name) for name in IDS[:4]] == [
        ("d3", "d1"),
        ("d1", "d4"),
        ("d4", "d2"),
        ("d5", "d2"),
    ]
    assert [bucket_of(name) for name in IDS[:4]] == [904, 471, 364, 87]


def test_buckets_are_even_and_their_topics_two_bytes() -> None:
    counts = Counter(bucket_of(name) for name in IDS)

    assert all(0 <= bucket < Limits.bucket_count for bucket in counts)
    assert max(counts.values()) < 12
    assert bucket_topic(0) == b"\x00\x00"
    assert bucket_topic(Limits.bucket_count - 1) == b"\x03\xff"
