"""Which ids a data node owns, and for which of them an absent publisher may still exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zreg.data.placement import Placement
from zreg.data.store.bucket import BucketRole
from zreg.model import (
    DataInfoId,
    Incarnation,
    Member,
    Membership,
    RingParameters,
    Role,
    Status,
    data_info_id,
)
from zreg.primitives.ring import bucket_of, ring_of

S1, S2, S3 = Incarnation(1, "s1"), Incarnation(1, "s2"), Incarnation(4, "s3")
NAMES = [data_info_id(f"service-{number}") for number in range(30)]


def session(incarnation: Incarnation, status: Status = Status.WORKING) -> Member:
    return Member(incarnation.node_id, Role.SESSION, incarnation.epoch, status, "tcp://s:1")


def membership(
    data: str, *sessions: Incarnation, ring_epoch: int, departed: tuple[Incarnation, ...] = ()
) -> Membership:
    """Return a membership whose data nodes are the letters of `data`."""
    members = [
        *(session(incarnation) for incarnation in sessions),
        *(session(incarnation, Status.DEPARTED) for incarnation in departed),
        *(Member(letter, Role.DATA, 1, Status.WORKING, "tcp://d:1") for letter in data),
    ]
    ring = RingParameters(virtual_node_count=8)
    return Membership(b"A" * 16, ring_epoch, ring_epoch, ring, tuple(members))


def make_reconciled(data: str = "ab", *, ring_epoch: int = 1) -> Placement:
    """Return the placement of node `a`, reconciled with `S1` and `S2`."""
    placement = Placement("a")
    assert placement.follow(membership(data, S1, S2, ring_epoch=ring_epoch))
    assert not placement.reconcile(S1)
    assert placement.reconcile(S2)
    return placement


def owned(data: str) -> list[DataInfoId]:
    """Return what node `a` owns among these data nodes."""
    ring = ring_of(membership(data, ring_epoch=1))
    return [name for name in NAMES if ring.primary(name) == "a"]


def unreconciled_names(placement: Placement) -> list[DataInfoId]:
    return [name for name in NAMES if placement.is_unreconciled(name)]


def primary_names(placement: Placement) -> list[DataInfoId]:
    placement.incarnation = Incarnation(1, "a")
    roles = placement.roles()
    return [name for name in NAMES if roles[bucket_of(name)] is BucketRole.PRIMARY]


def test_before_the_first_membership_nothing_is_owned() -> None:
    placement = Placement("a")

    assert set(placement.roles()) == {BucketRole.NONE}
    assert placement.unreconciled == {}


def test_a_node_owns_the_ids_that_the_ring_gives_it() -> None:
    placement = make_reconciled("abc")

    assert primary_names(placement) == owned("abc")
    assert placement.ring_epoch == 1


def test_a_new_node_is_unreconciled_with_every_session_and_departed_ones_too() -> None:
    placement = Placement("a")

    assert placement.follow(membership("ab", S1, ring_epoch=1, departed=(S3,)))

    assert list(placement.unreconciled) == [S1, S3]
    assert unreconciled_names(placement) == NAMES


def test_a_node_is_reconciled_when_the_digest_of_every_session_was_equal_once() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", S1, S2, ring_epoch=1))

    assert not placement.reconcile(S2)
    assert unreconciled_names(placement) == NAMES
    assert not placement.reconcile(S2)
    assert placement.reconcile(S1)

    assert unreconciled_names(placement) == []
    assert not placement.reconcile(S1)


def test_a_session_outside_the_membership_reconciles_nothing() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", S1, ring_epoch=1))

    assert not placement.reconcile(S3)
    assert not placement.reconcile(Incarnation(2, "s1"))
    assert list(placement.unreconciled) == [S1]


def test_after_a_forgetting_every_living_session_has_to_be_equal_again() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", S1, ring_epoch=1, departed=(S3,)))
    placement.reconcile(S1)

    assert not placement.follow(membership("ab", S1, ring_epoch=1))

    assert list(placement.unreconciled) == [S1]
    assert not placement.may_evict
    assert placement.reconcile(S1)
    assert placement.may_evict
    assert unreconciled_names(placement) == []


def test_a_forgetting_without_a_living_session_waits_for_one() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", ring_epoch=1, departed=(S3,)))

    placement.follow(membership("ab", ring_epoch=1))

    assert list(placement.unreconciled) == [S3]
    assert not placement.may_evict


def test_a_session_that_departs_is_still_waited_for() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", S1, ring_epoch=1))

    placement.follow(membership("ab", ring_epoch=1, departed=(S1,)))

    assert list(placement.unreconciled) == [S1]


def test_a_departed_session_that_has_not_compared_is_lacked_until_it_is_forgotten() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", S1, S2, ring_epoch=1))
    assert not placement.lacks_departed

    placement.reconcile(S2)
    placement.follow(membership("ab", ring_epoch=1, departed=(S1, S2)))
    assert placement.lacks_departed

    placement.follow(membership("ab", S3, ring_epoch=1, departed=(S2,)))
    assert not placement.lacks_departed


def test_a_departed_session_that_has_compared_is_not_lacked() -> None:
    placement = make_reconciled()

    placement.follow(membership("ab", S2, ring_epoch=1, departed=(S1,)))

    assert not placement.lacks_departed


def test_a_session_that_joins_later_is_not_waited_for() -> None:
    """It sends all that it registers later to the owner itself."""
    placement = make_reconciled()

    assert not placement.follow(membership("ab", S1, S2, S3, ring_epoch=1))

    assert placement.unreconciled == {}


def test_a_node_without_sessions_is_reconciled() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", ring_epoch=1))
    placement.follow(membership("ab", S1, ring_epoch=1))

    assert unreconciled_names(placement) == []

    placement.follow(membership("a", S1, ring_epoch=2))
    gained = [name for name in NAMES if name not in owned("ab")]
    assert unreconciled_names(placement) == gained


def test_after_a_take_over_only_the_gained_ids_are_unreconciled() -> None:
    placement = make_reconciled("ab")

    assert placement.follow(membership("a", S1, S2, ring_epoch=2))

    assert list(placement.unreconciled) == [S1, S2]
    gained = [name for name in NAMES if name not in owned("ab")]
    assert gained
    assert unreconciled_names(placement) == gained


@pytest.mark.parametrize(
    ("before", "after", "may_lack"),
    [("ab", "a", True), ("a", "ab", False), ("ab", "abc", False)],
    ids=["took over", "gave away", "gave away again"],
)
def test_a_node_that_took_over_may_lack_datums_until_it_is_reconciled(
    before: str, after: str, *, may_lack: bool
) -> None:
    placement = make_reconciled(before)
    placement.incarnation = Incarnation(1, "a")
    assert not placement.may_lack_datums

    placement.follow(membership(after, S1, S2, ring_epoch=2))
    assert placement.may_lack_datums is may_lack
    placement.reconcile(S1)
    placement.reconcile(S2)

    assert not placement.may_lack_datums


def test_a_new_node_may_lack_datums() -> None:
    placement = Placement("a")
    placement.incarnation = Incarnation(1, "a")
    placement.follow(membership("ab", S1, ring_epoch=1))

    assert placement.may_lack_datums
    placement.reconcile(S1)
    assert not placement.may_lack_datums


def test_ids_that_another_node_owned_in_between_are_unreconciled() -> None:
    """The node dropped them when another node owned them, though the former ring is back."""
    placement = make_reconciled("a")
    placement.follow(membership("ab", S1, S2, ring_epoch=2))

    placement.follow(membership("a", S1, S2, ring_epoch=3))

    away = [name for name in NAMES if name not in owned("ab")]
    assert unreconciled_names(placement) == away


def test_being_reconciled_once_forgets_the_rings_before() -> None:
    placement = make_reconciled("ab")
    placement.follow(membership("a", S1, S2, ring_epoch=2))
    placement.reconcile(S1)
    placement.reconcile(S2)

    placement.follow(membership("ac", S1, S2, ring_epoch=3))

    kept = [name for name in NAMES if name in owned("ac")]
    assert [name for name in kept if placement.is_unreconciled(name)] == []


def test_a_ring_that_changes_before_the_node_was_reconciled_leaves_all_ids_unreconciled() -> None:
    placement = Placement("a")
    placement.follow(membership("ab", S1, ring_epoch=1))

    placement.follow(membership("a", S1, ring_epoch=2))

    assert unreconciled_names(placement) == NAMES


def test_after_too_many_rings_in_a_row_all_ids_are_unreconciled() -> None:
    placement = make_reconciled("ab")
    for ring_epoch in range(2, 10):
        placement.follow(membership("ab", S1, S2, ring_epoch=ring_epoch))
        assert unreconciled_names(placement) == [n for n in NAMES if n not in owned("ab")]

    placement.follow(membership("ab", S1, S2, ring_epoch=10))

    assert unreconciled_names(placement) == NAMES


def test_after_starting_over_all_ids_are_unreconciled() -> None:
    placement = make_reconciled()

    placement.start_over(None, membership("ab", S1, ring_epoch=1, departed=(S3,)))

    assert list(placement.unreconciled) == [S1, S3]
    assert unreconciled_names(placement) == NAMES


def test_after_starting_over_without_sessions_no_id_is_unreconciled() -> None:
    placement = make_reconciled()

    placement.start_over(None, membership("ab", ring_epoch=1))

    assert unreconciled_names(placement) == []


def test_starting_over_before_the_first_ring_waits_for_it() -> None:
    placement = Placement("a")
    placement.start_over(None, membership("ab", ring_epoch=1))

    placement.follow(membership("ab", S1, ring_epoch=1))

    assert unreconciled_names(placement) == NAMES


@given(st.lists(st.sampled_from(["a", "ab", "abc", "ac", "b", "all equal"]), max_size=8))
def test_ids_that_were_not_owned_ever_since_the_comparison_are_unreconciled(
    steps: list[str],
) -> None:
    """Compare with a model of a node that drops ids that it loses, and gets them by comparisons."""
    placement = Placement("a")
    held: set[DataInfoId] = set()
    ring_epoch = 0
    for step in ["ab", *steps]:
        if step == "all equal":
            for incarnation in (S1, S2):
                placement.reconcile(incarnation)
            held = set(primary_names(placement))
        else:
            ring_epoch += 1
            placement.follow(membership(step, S1, S2, ring_epoch=ring_epoch))
            held &= set(primary_names(placement))
        for name in primary_names(placement):
            assert name in held or placement.is_unreconciled(name)
