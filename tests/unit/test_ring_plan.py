"""What a planned change of the ring moves, computed from two memberships."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zreg.config import Limits
from zreg.errors import UsageError
from zreg.model import Member, Membership, RingParameters, Role, Status
from zreg.primitives.ring import ring_of
from zreg.primitives.ring_plan import (
    Cost,
    PlannedNode,
    RingChange,
    Share,
    cost_of,
    planned_membership,
    shares_of,
    total_of,
)

WORKING, LEAVING, INITIAL = Status.WORKING, Status.LEAVING, Status.INITIAL
BUCKETS = Limits.bucket_count

names = st.text("abcdef0123", min_size=1, max_size=4)


def data(node_id: str, status: Status = WORKING, zone: str = "", weight: int = 1) -> Member:
    return Member(node_id, Role.DATA, 4, status, f"tcp://{node_id}:1", zone=zone, weight=weight)


def membership(*members: Member, replica_count: int = 2) -> Membership:
    parameters = RingParameters(virtual_node_count=20, replica_count=replica_count)
    return Membership(b"c", 9, 8, parameters, members)


SESSION = Member("s1", Role.SESSION, 3, WORKING, "tcp://s1:1")
THREE = membership(SESSION, data("d1"), data("d2"), data("d3"))
WITH_GUESTS = membership(data("d1"), data("d2"), data("d3", LEAVING), data("d4", INITIAL))


def cost(before: Membership, change: RingChange) -> Cost:
    return cost_of(ring_of(before), ring_of(planned_membership(before, change)))


# --- shares -------------------------------------------------------------------------------------


def test_the_shares_count_each_bucket_once_as_primary_and_once_per_copy() -> None:
    shares = shares_of(THREE)

    assert list(shares) == ["d1", "d2", "d3"]
    assert total_of(shares) == Share(BUCKETS, 2 * BUCKETS, 0)
    ring = ring_of(THREE)
    assert shares["d1"] == Share(
        sum(placement[0] == "d1" for placement in ring.placements),
        sum("d1" in placement for placement in ring.placements),
    )


def test_a_guest_has_buckets_and_is_no_holder() -> None:
    shares = shares_of(WITH_GUESTS)

    assert shares["d1"].guest_buckets == shares["d2"].guest_buckets == 0
    for guest in ("d3", "d4"):
        assert shares[guest] == Share(0, 0, shares[guest].guest_buckets)
        assert shares[guest].guest_buckets == sum(
            guest in guests for guests in ring_of(WITH_GUESTS).guests
        )
    assert total_of(shares).held_buckets == 2 * BUCKETS


def test_without_a_working_node_there_are_only_guests_without_buckets() -> None:
    shares = shares_of(membership(SESSION, data("d1", INITIAL)))

    assert (shares["d1"].primary_buckets, shares["d1"].held_buckets) == (0, 0)
    assert shares_of(membership(SESSION)) == {}


# --- plans --------------------------------------------------------------------------------------


def test_a_plan_is_the_membership_after_the_change() -> None:
    change = RingChange(
        added=(PlannedNode("d4", 2, "b"),),
        removed=("d1",),
        weights=(("d2", 3),),
        replica_count=1,
    )

    planned = planned_membership(THREE, change)

    added = Member("d4", Role.DATA, 10, WORKING, "", zone="b", weight=2)
    assert planned == membership(SESSION, data("d2", weight=3), data("d3"), added, replica_count=1)
    assert planned_membership(THREE, RingChange()) == THREE


def test_no_change_costs_nothing() -> None:
    assert cost(THREE, RingChange()) == Cost(0, 0, 2 * BUCKETS)
    assert cost(THREE, RingChange(replica_count=2)) == Cost(0, 0, 2 * BUCKETS)
    assert cost(THREE, RingChange(weights=(("d1", 1),))) == Cost(0, 0, 2 * BUCKETS)


@settings(max_examples=25)
@given(st.sets(names, min_size=1, max_size=5), st.integers(1, 3), st.integers(1, 4))
def test_a_node_that_is_added_gets_its_buckets_and_no_other_node_does(
    node_ids: set[str], weight: int, replica_count: int
) -> None:
    before = membership(*map(data, sorted(node_ids)), replica_count=replica_count)
    change = RingChange(added=(PlannedNode("new", weight),))

    share = shares_of(planned_membership(before, change))["new"]

    copies = min(replica_count, len(node_ids) + 1) * BUCKETS
    assert cost(before, change) == Cost(share.primary_buckets, share.held_buckets, copies)


@settings(max_examples=25)
@given(st.sets(names, min_size=2, max_size=6), st.integers(1, 3))
def test_a_node_that_is_removed_leaves_its_buckets_to_the_others(
    node_ids: set[str], replica_count: int
) -> None:
    before = membership(*map(data, sorted(node_ids)), replica_count=replica_count)
    gone = min(node_ids)

    found = cost(before, RingChange(removed=(gone,)))

    share = shares_of(before)[gone]
    assert found.other_primary_buckets == share.primary_buckets
    # With fewer nodes than copies, the others hold each bucket already.
    is_replaced = len(node_ids) > replica_count
    assert found.copies_made == (share.held_buckets if is_replaced else 0)


def test_one_more_copy_of_each_bucket_costs_as_many_copies_as_there_are_buckets() -> None:
    assert cost(THREE, RingChange(replica_count=3)) == Cost(0, BUCKETS, 3 * BUCKETS)
    assert cost(THREE, RingChange(replica_count=9)) == Cost(0, BUCKETS, 3 * BUCKETS)
    assert cost(THREE, RingChange(replica_count=1)) == Cost(0, 0, BUCKETS)


def test_a_higher_weight_takes_buckets_from_other_nodes() -> None:
    change = RingChange(weights=(("d1", 3),))
    before, after = shares_of(THREE), shares_of(planned_membership(THREE, change))

    assert after["d1"].primary_buckets > before["d1"].primary_buckets
    moved = after["d1"].primary_buckets - before["d1"].primary_buckets
    assert cost(THREE, change).other_primary_buckets == moved


@pytest.mark.parametrize("guest", ["d3", "d4"])
def test_a_guest_can_be_removed_and_the_placements_stay(guest: str) -> None:
    planned = planned_membership(WITH_GUESTS, RingChange(removed=(guest,)))

    assert ring_of(planned).placements == ring_of(WITH_GUESTS).placements
    assert guest not in shares_of(planned)
    assert cost(WITH_GUESTS, RingChange(removed=(guest,))).other_primary_buckets == 0


def test_a_copy_on_a_guest_need_not_be_made_again() -> None:
    """The node that leaves holds what it owned: it costs nothing if it stays instead."""
    one_leaves = membership(data("d1"), data("d2"), data("d3", LEAVING))
    all_work = membership(data("d1"), data("d2"), data("d3"))

    assert cost_of(ring_of(one_leaves), ring_of(all_work)).copies_made == 0


def test_the_first_working_node_is_the_primary_of_all_buckets() -> None:
    change = RingChange(added=(PlannedNode("d1"),))

    assert cost(membership(SESSION), change) == Cost(BUCKETS, BUCKETS, BUCKETS)


# --- what cannot be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            RingChange(removed=("d9",)),
            r"d9 cannot be removed, .* not among the data nodes: name one of d1, d2, d3$",
        ),
        (
            RingChange(removed=("s1",)),
            r"s1 cannot be removed, .* not among the data nodes: name one of d1, d2, d3$",
        ),
        (
            RingChange(weights=(("d9", 2),)),
            r"the weight of d9 cannot be changed, .* data nodes: name one of d1, d2, d3$",
        ),
        (
            RingChange(added=(PlannedNode("d1"),)),
            r"d1 cannot be added, because a data node has this id: give the new node another id",
        ),
        (
            RingChange(added=(PlannedNode("s1"),)),
            r"s1 cannot be added, because a session node has this id: give the new node another",
        ),
        (
            RingChange(removed=("d1", "d2", "d3")),
            r"no data node would be WORKING after this change: leave one, or add one as well",
        ),
    ],
)
def test_a_change_that_does_not_fit_the_membership_is_refused(
    change: RingChange, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        planned_membership(THREE, change)


def test_without_data_nodes_none_can_be_named() -> None:
    with pytest.raises(UsageError, match=r"d1 cannot be removed, .*: there are none"):
        planned_membership(membership(SESSION), RingChange(removed=("d1",)))


@pytest.mark.parametrize("weight", [-1, 0, Limits.weight_max + 1])
def test_a_weight_out_of_range_is_refused(weight: int) -> None:
    sentence = rf"weight {weight} of d1 cannot be used: give a whole number from 1 to 1000"
    with pytest.raises(UsageError, match=sentence):
        PlannedNode("d1", weight)
    with pytest.raises(UsageError, match=sentence):
        RingChange(weights=(("d1", weight),))


def test_an_id_or_zone_that_no_node_can_have_is_refused() -> None:
    with pytest.raises(UsageError, match="node id 'a,b' cannot be used: give 1 to 64 printable"):
        PlannedNode("a,b")
    with pytest.raises(UsageError, match="zone ' b' cannot be used: give a printable text"):
        PlannedNode("d1", 1, " b")


def test_a_node_is_named_once() -> None:
    sentence = "d1 is named 2 times: name each node once, to add it, to remove it, or to change"
    for parts in (
        {"removed": ("d1", "d1")},
        {"removed": ("d1",), "weights": (("d1", 2),)},
        {"added": (PlannedNode("d1"),), "weights": (("d1", 2),)},
    ):
        with pytest.raises(UsageError, match=sentence):
            RingChange(**parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, Limits.replica_count_max + 1])
def test_a_replica_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"replica_count {count} .* whole number from 1 to 100"):
        RingChange(replica_count=count)
