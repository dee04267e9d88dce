"""What health and `zreg nodes` say of lost nodes: who, since when, why, and what to do."""

import pytest

from zreg.membership.gone_nodes import gone_problems, gone_text, span_text
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status
from zreg.wire.records.membership_messages import GoneNode


def gone(
    node_id: str = "data-2",
    role: Role = Role.DATA,
    *,
    reason: str = "gone",
    before: int = 3,
    count: int = 1,
    is_at_least: bool = False,
) -> GoneNode:
    lost = Incarnation(7, node_id)
    times = (40_000, 7_200_000, is_at_least)
    return GoneNode(lost, role, "tcp://10.0.0.8:9620", reason, 11, before, count, *times)


def members(data_count: int, replica_count: int = 3) -> Membership:
    data = [
        Member(f"data-{number}", Role.DATA, 1, Status.WORKING, "tcp://there:1")
        for number in range(data_count)
    ]
    return Membership(b"id", 11, 11, RingParameters(replica_count=replica_count), tuple(data))


def codes(found: list[GoneNode], membership: Membership) -> list[str]:
    return [problem.code for problem in gone_problems(found, membership)]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 s"), (119_999, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (172_800_000, "2 d")],
)
def test_a_span_is_told_in_its_largest_unit(milliseconds: int, text: str) -> None:
    assert span_text(milliseconds) == text


def test_a_lost_node_is_told_with_when_and_why() -> None:
    assert gone_text(gone()) == (
        "data-2 (data, 10.0.0.8:9620) has been gone for 40 s, after 2 h: its process ended and "
        "nothing listens at its address"
    )
    assert gone_text(gone("s1", Role.SESSION, reason="silent", count=3, is_at_least=True)) == (
        "s1 (session, 10.0.0.8:9620) has been gone for at least 40 s (lost 3 times), after at "
        "least 2 h: it was silent for a lease: it hangs, or its machine or network failed"
    )


def test_a_problem_says_what_still_works_and_what_to_do() -> None:
    problem, _ = gone_problems([gone()], members(2))

    assert problem.code == "node-gone"
    assert "Meanwhile other data nodes have taken over its ids. Start it again" in problem.detail
    assert problem.detail.endswith("`zreg nodes dismiss data-2`")


def test_of_many_lost_nodes_the_first_are_told_whole() -> None:
    many = [gone(f"session-{number}", Role.SESSION) for number in range(6)]

    (problem,) = gone_problems(many, members(3))
    assert problem.detail.count("has been gone for") == 3
    assert "also gone: session-3, session-4, session-5" in problem.detail


@pytest.mark.parametrize(
    ("before", "left", "replica_count", "text"),
    [
        (3, 2, 3, "copies 2 of 3"),
        (3, 1, 3, "copies 1 of 3"),
        (2, 1, 3, "copies 1 of 2"),
        (4, 3, 3, None),
        (2, 1, 1, None),
    ],
)
def test_fewer_copies_than_before_are_a_problem(
    before: int, left: int, replica_count: int, text: str | None
) -> None:
    found = gone_problems([gone(before=before)], members(left, replica_count))

    assert [problem.code for problem in found] == ["node-gone", "copies-missing"][: len(found)]
    assert (len(found) == 2) is (text is not None)
    if text is not None:
        assert found[1].detail.startswith(text)


def test_a_lost_session_costs_no_copies() -> None:
    assert codes([gone("s1", Role.SESSION)], members(1)) == ["node-gone"]


def test_without_a_loss_there_is_no_problem_however_few_data_nodes_there_are() -> None:
    assert codes([], members(1)) == []
