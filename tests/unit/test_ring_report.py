"""What `zreg ring` and `zreg get -o wide` show of the ring."""

from zreg.cli.showing.ring_report import (
    copies_text,
    copy_count_text,
    cost_text,
    placement_json,
    placement_rows,
    share_rows,
    shares_json,
)
from zreg.model import Member, Membership, RingParameters, Role, Status, data_info_id
from zreg.primitives.ring_plan import Cost, PlannedNode, RingChange, planned_membership

NAME = data_info_id("pay")


def data(node_id: str, status: Status = Status.WORKING) -> Member:
    return Member(node_id, Role.DATA, 4, status, f"tcp://{node_id}:1", zone="a")


def membership(*members: Member, replica_count: int = 3) -> Membership:
    parameters = RingParameters(replica_count=replica_count)
    return Membership(b"c", 9, 8, parameters, members)


ONE = membership(data("d1"))
GUEST = membership(data("d1"), data("d2", Status.INITIAL))
EMPTY = membership()
THREE = membership(data("d1"), data("d2"), data("d3"))


def test_a_row_has_the_shares_of_a_node_in_percent_of_the_buckets() -> None:
    assert share_rows(GUEST, None, is_wide=False) == [
        ["d1", "WORKING", "a", "1", "100.0 %", "100.0 %", ""],
        ["d2", "INITIAL", "a", "1", "", "", "100.0 %"],
        ["total", "", "", "", "100.0 %", "100.0 %", "100.0 %"],
    ]


def test_a_wide_row_has_the_buckets_too() -> None:
    assert share_rows(ONE, None, is_wide=True) == [
        ["d1", "WORKING", "a", "1", "1024 (100.0 %)", "1024 (100.0 %)", ""],
        ["total", "", "", "", "1024 (100.0 %)", "1024 (100.0 %)", "0 (0.0 %)"],
    ]


def test_without_data_nodes_the_total_is_nothing() -> None:
    assert share_rows(EMPTY, None, is_wide=False) == [
        ["total", "", "", "", "0.0 %", "0.0 %", "0.0 %"]
    ]


def test_with_a_plan_a_cell_that_changes_shows_both_shares() -> None:
    change = RingChange(added=(PlannedNode("d2", 2, "b"),), removed=("d1",))

    assert share_rows(ONE, planned_membership(ONE, change), is_wide=False) == [
        ["d1", "removed", "a", "1", "100.0 % -> 0.0 %", "100.0 % -> 0.0 %", ""],
        ["d2", "added", "b", "2", "0.0 % -> 100.0 %", "0.0 % -> 100.0 %", ""],
        ["total", "", "", "", "100.0 %", "100.0 %", "0.0 %"],
    ]


def test_a_weight_that_changes_is_shown_as_both_weights() -> None:
    planned = planned_membership(ONE, RingChange(weights=(("d1", 5),)))

    assert share_rows(ONE, planned, is_wide=False)[0][3] == "1 -> 5"


def test_a_guest_that_is_removed_is_no_guest_then() -> None:
    planned = planned_membership(GUEST, RingChange(removed=("d2",)))

    assert share_rows(GUEST, planned, is_wide=False)[1:] == [
        ["d2", "removed", "a", "1", "", "", "100.0 % -> 0.0 %"],
        ["total", "", "", "", "100.0 %", "100.0 %", "100.0 % -> 0.0 %"],
    ]


def test_the_count_of_copies_says_when_there_are_too_few_nodes() -> None:
    assert copy_count_text(THREE) == "shares of 1024 buckets, replica_count 3"
    assert copy_count_text(GUEST) == (
        "shares of 1024 buckets, replica_count 3 (only 1 data node is WORKING)"
    )
    assert copy_count_text(EMPTY).endswith("(only 0 data nodes are WORKING)")


def test_the_cost_is_a_sentence() -> None:
    assert cost_text(Cost(256, 768, 3072)) == (
        "256 of 1024 buckets get another primary; 768 of 3072 copies have to be made (25.0 %)"
    )
    assert cost_text(Cost(0, 0, 0)).endswith("0 of 0 copies have to be made (0.0 %)")


def test_the_shares_for_programs_are_numbers_of_buckets() -> None:
    now = {
        "bucket_count": 1024,
        "replica_count": 3,
        "nodes": [
            {
                "node_id": "d1",
                "status": "WORKING",
                "zone": "a",
                "weight": 1,
                "primary_buckets": 1024,
                "held_buckets": 1024,
                "guest_buckets": 0,
            }
        ],
    }
    assert shares_json(ONE, None) == {"epoch": 9, "ring_epoch": 8, **now}

    planned = planned_membership(ONE, RingChange(replica_count=2))
    cost = {"other_primary_buckets": 0, "copies_made": 0, "copies_after": 1024}
    assert shares_json(ONE, planned) == {
        "epoch": 9,
        "ring_epoch": 8,
        **now,
        "planned": {**now, "replica_count": 2, **cost},
    }


def test_the_placement_of_an_id_has_its_primary_replicas_and_guests() -> None:
    assert placement_rows(NAME, THREE, None) == [["now", "304", "d3", "d1, d2", ""]]
    assert placement_rows(NAME, GUEST, ONE) == [
        ["now", "304", "d1", "", "d2"],
        ["planned", "304", "d1", "", ""],
    ]
    assert placement_rows(NAME, EMPTY, None) == [["now", "304", "no data node is WORKING", "", ""]]


def test_the_placement_of_an_id_for_programs() -> None:
    assert placement_json(NAME, THREE, EMPTY) == {
        "data_info_id": NAME,
        "bucket": 304,
        "primary": "d3",
        "replicas": ("d1", "d2"),
        "guests": (),
        "planned": {"primary": None, "replicas": (), "guests": ()},
    }


def test_the_copies_of_an_id_are_named_in_one_line() -> None:
    assert copies_text(THREE, NAME) == "d3 (primary), d1, d2"
    assert copies_text(GUEST, NAME) == "d1 (primary), d2 (guest)"
    assert copies_text(EMPTY, NAME) == "none, because no data node is WORKING"
