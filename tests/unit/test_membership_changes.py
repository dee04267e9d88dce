"""Changes of the membership, put to what a node has: the same whole, or nothing."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from zreg.config import Limits
from zreg.membership.following.changes import changed, members_digest
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status, in_order
from zreg.wire.records.membership_messages import MembershipChanges

CLUSTER = b"A" * 16


def data_node(node_id: str, epoch: int, status: Status = Status.WORKING) -> Member:
    return Member(node_id, Role.DATA, epoch, status, f"tcp://{node_id}:1")


META = Member("m1", Role.META, 1, Status.WORKING, "tcp://m1:1")
D1, D2, D3 = data_node("d1", 2), data_node("d2", 3), data_node("d3", 4)
MINE = Membership(CLUSTER, 4, 4, RingParameters(), (D1, D3, META))
THEN = replace(MINE, epoch=9, ring_epoch=8, members=(D1, D2, META))


def leading(
    upserts: Sequence[Member] = (D2,), removals: Sequence[Incarnation] = (D3.incarnation,)
) -> MembershipChanges:
    """Return the changes from MINE to THEN, which a test may alter."""
    digest = members_digest(THEN.members)
    return MembershipChanges(1, CLUSTER, 4, 9, 8, tuple(upserts), tuple(removals), digest)


def test_changes_lead_to_the_whole_in_its_order() -> None:
    assert changed(MINE, leading()) == THEN


def test_a_removal_of_somebody_unknown_is_nothing() -> None:
    """Whoever came and went between the two epochs is removed without having been here."""
    assert changed(MINE, leading(removals=[Incarnation(7, "d9"), D3.incarnation])) == THEN


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"cluster_id": b"B" * 16}, id="another-cluster"),
        pytest.param({"source_epoch": 3}, id="from-before"),
        pytest.param({"source_epoch": 5}, id="a-gap"),
        pytest.param({"epoch": 4}, id="to-where-i-am"),
        pytest.param({"epoch": 3}, id="backwards"),
        pytest.param({"upserts": ()}, id="somebody-is-missing"),
        pytest.param({"removals": ()}, id="somebody-is-too-many"),
        pytest.param({"upserts": (replace(D2, weight=2),)}, id="somebody-is-different"),
        pytest.param({"digest": 0}, id="another-digest"),
    ],
)
def test_what_does_not_lead_on_from_here_is_not_taken(other: dict[str, Any]) -> None:
    assert changed(MINE, replace(leading(), **other)) is None


def test_another_life_at_my_epoch_shows_in_the_digest() -> None:
    """A lone meta that forgot counts the same epochs again."""
    another = replace(MINE, members=(replace(D1, address="tcp://d1:99"), D3, META))

    assert changed(another, leading()) is None


def test_what_is_doubled_changes_nothing() -> None:
    once = changed(MINE, leading())

    assert once is not None
    assert changed(once, leading()) is None


def test_more_members_than_there_may_be_are_not_taken() -> None:
    crowd = tuple(data_node(f"d{number:05}", 5) for number in range(Limits.members_max))
    digest = members_digest(in_order([*MINE.members, *crowd]))

    assert changed(MINE, replace(leading(crowd, ()), digest=digest)) is None
