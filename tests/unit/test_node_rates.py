"""The table of `zreg top`: numbers and rates of each node, sorted."""

import pytest

from zreg.cli.showing.node_rates import (
    NodeRow,
    SortBy,
    row_json,
    row_of,
    sorted_rows,
    table_of,
)
from zreg.model import Member, Role, Status
from zreg.wire.records.common_messages import Statistic, StatisticsReply
from zreg.wire.records.meta_messages import MetaNodesReply, MetaNodeState, MetaNodeStatus

AWAY = "meta is away"
LIFE = b"l" * 16


def told(milliseconds: int, life: bytes = LIFE, **numbers: float) -> StatisticsReply:
    statistics = tuple(Statistic(name, value) for name, value in numbers.items())
    return StatisticsReply(1, "any", life, milliseconds, statistics)


def member(role: Role, node_id: str) -> Member:
    return Member(node_id, role, 4, Status.WORKING, "tcp://a:1")


def row(
    role: Role, node_id: str, now: StatisticsReply | str, before: StatisticsReply | None = None
) -> NodeRow:
    return row_of(member(role, node_id), "WORKING", AWAY, now, before)


def test_a_rate_is_the_growth_of_a_counter_by_the_clock_of_the_node() -> None:
    found = row(
        Role.SESSION,
        "s1",
        told(3_000, clients=7, publishes=150, pushes=10),
        told(1_000, clients=9, publishes=100, pushes=10),
    )

    assert found.numbers == {
        "clients": 7,
        "subscribers": None,
        "publishers": None,
        "publishes_per_second": 25.0,
        "pushes_per_second": 0.0,
        "push_lag_p50_seconds": None,
        "push_lag_p99_seconds": None,
        "pending": None,
    }


@pytest.mark.parametrize(
    "before",
    [
        None,
        told(1_000, b"o" * 16, hints=1),
        told(3_000, hints=1),
        told(9_000, hints=1),
        told(1_000, hints=500),
        told(1_000),
    ],
    ids=["first look", "another process", "no time", "clock back", "counter back", "not told"],
)
def test_there_is_no_rate_without_two_looks_at_one_process(before: StatisticsReply | None) -> None:
    now = told(3_000, hints=100, datums=5)

    numbers = row(Role.DATA, "d1", now, before).numbers
    assert (numbers["changes_per_second"], numbers["datums"]) == (None, 5)


def test_a_node_that_told_nothing_has_the_reason() -> None:
    found = row(Role.DATA, "d1", "no answer", told(1, datums=5))

    assert (found.reason, set(found.numbers.values())) == ("no answer", {None})
    assert table_of(Role.DATA, [found], is_wide=False)[1] == [["d1", "WORKING", *"----"]]


def test_a_meta_node_has_its_part_and_the_rate_of_commits() -> None:
    nodes = (MetaNodeStatus("m1", "tcp://a:1", MetaNodeState.LEADER, 9, 0),)
    now, before = told(2_000, raft_term=3, raft_commit_index=30), told(0, raft_commit_index=10)
    found = row_of(
        member(Role.META, "m1"), "WORKING", MetaNodesReply(1, 3, 9, 9, nodes), now, before
    )

    assert table_of(Role.META, [found], is_wide=False) == (
        ["meta node", "status", "part", "term", "commits/s", "leases", "settings"],
        [["m1", "WORKING", "leader", "3", "10.0", "-", "-"]],
    )


def test_the_highest_number_comes_first_within_each_role() -> None:
    rows = [
        row(Role.META, "m1", AWAY),
        row(Role.DATA, "d2", told(1, publishers=9)),
        row(Role.DATA, "d1", told(1, publishers=1)),
        row(Role.SESSION, "s1", AWAY),
        row(Role.SESSION, "s2", told(1, publishers=1)),
        row(Role.SESSION, "s3", told(1, publishers=5)),
    ]

    def order(sort: SortBy) -> str:
        return " ".join(each.node_id for each in sorted_rows(rows, sort))

    assert order(SortBy.NODE) == "s1 s2 s3 d1 d2 m1"
    assert order(SortBy.PUBLISHERS) == "s3 s2 s1 d2 d1 m1"
    assert order(SortBy.CLIENTS) == order(SortBy.NODE)


@pytest.mark.parametrize("sort", [each for each in SortBy if each is not SortBy.NODE])
def test_each_order_is_that_of_a_number_of_some_role(sort: SortBy) -> None:
    rows = [
        row(role, node_id, told(1_000, **dict.fromkeys(STATISTICS, number)), told(0, **ZEROES))
        for role in Role
        for node_id, number in (("a", 1), ("b", 2))
    ]

    ids = [each.node_id for each in sorted_rows(rows, sort)]
    assert ids != [each.node_id for each in sorted_rows(rows, SortBy.NODE)]


STATISTICS = (
    *("clients", "subscribers", "publishers", "publishes", "pushes", "push_lag_p50_seconds"),
    *("datums", "hints", "raft_commit_index"),
)
ZEROES = dict.fromkeys(STATISTICS, 0)


def test_people_read_milliseconds_and_programs_get_numbers() -> None:
    found = row(
        Role.SESSION,
        "s1",
        told(3_000, clients=7, publishes=1, push_lag_p50_seconds=0.00125),
        told(0, publishes=0),
    )

    heads, (cells,) = table_of(Role.SESSION, [found], is_wide=False)
    assert heads[0] == "session node"
    assert dict(zip(heads[2:], cells[2:], strict=True)) == {
        "clients": "7",
        "subscribers": "-",
        "publishers": "-",
        "publishes/s": "0.3",
        "pushes/s": "-",
        "push lag": "1.2 ms",
    }
    assert row_json(found) == {
        "role": "session",
        "node_id": "s1",
        "status": "WORKING",
        "reason": "",
        "clients": 7,
        "subscribers": None,
        "publishers": None,
        "publishes_per_second": 0.333333,
        "pushes_per_second": None,
        "push_lag_p50_seconds": 0.00125,
        "push_lag_p99_seconds": None,
        "pending": None,
    }
