"""A node's copy of the membership: what it takes, what it refuses, and how large it stays."""

import pytest

from zreg.membership.following.membership_follower import MembershipFollower
from zreg.model import Member, Membership, RingParameters, Role, Status

CLUSTER, OTHER = b"A" * 16, b"B" * 16


def membership(epoch: int, *lives: int, cluster_id: bytes = CLUSTER) -> Membership:
    """Return a membership at an epoch with one session per incarnation epoch."""
    members = tuple(
        Member("s1", Role.SESSION, life, Status.WORKING, "tcp://s1:9600") for life in lives
    )
    return Membership(cluster_id, epoch, 0, RingParameters(virtual_node_count=8), members)


def taken(follower: MembershipFollower, of: Membership, *, is_join: bool = False) -> bool:
    return follower.take(of, 0, may_change_cluster=is_join)


def test_the_copy_does_not_grow_with_every_life_of_a_node() -> None:
    follower = MembershipFollower(None)
    for epoch in range(1, 1000):
        assert taken(follower, membership(epoch, epoch), is_join=epoch == 1)

    left = follower._mirror.take_difference()

    assert (left.upserts, left.removals, left.former) == ({}, {}, {})
    assert len(follower._mirror.content) == 1


def test_a_lower_epoch_is_not_taken() -> None:
    follower = MembershipFollower(membership(5, 3))

    assert not taken(follower, membership(4, 3))
    assert follower.membership.epoch == 5


@pytest.mark.parametrize("is_join", [True, False])
def test_another_cluster_is_taken_only_with_an_admission(*, is_join: bool) -> None:
    follower = MembershipFollower(membership(5, 3))

    assert taken(follower, membership(2, 2, cluster_id=OTHER), is_join=is_join) is is_join
    assert follower.membership.epoch == (2 if is_join else 5)


def test_one_fetch_is_pending_at_a_time_and_its_answer_ends_it() -> None:
    follower = MembershipFollower(membership(5, 3))
    assert follower.hint(6)
    assert follower.is_behind
    fetch = follower.fetch(9)
    assert (fetch.request_id, fetch.epoch) == (9, 5)
    assert follower.is_fetching

    assert follower.take(membership(6, 3), 9, may_change_cluster=False)

    assert not follower.is_fetching
    assert not follower.is_behind
