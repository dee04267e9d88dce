"""What `zreg data drain|replica-count` say, from the membership that they fetched."""

import pytest

from zreg.cli.commands.data.data_commands import count_text, farewell, to_drain
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.errors import UsageError
from zreg.model import Member, Membership, RingParameters, Role, Status


def member(node_id: str, status: Status = Status.WORKING) -> Member:
    role = Role.SESSION if node_id.startswith("s") else Role.DATA
    return Member(node_id, role, 4, status, f"tcp://{node_id}:1")


def membership(*members: Member) -> Membership:
    return Membership(b"c", 9, 9, RingParameters(), members)


def test_a_data_node_in_any_status_can_be_drained() -> None:
    for status in (Status.INITIAL, Status.WORKING, Status.LEAVING):
        found = to_drain(membership(member("d1", status)), "d1")

        assert found == member("d1", status)


def test_a_node_that_is_not_there_is_not_found() -> None:
    with pytest.raises(CommandFailedError, match=r"not among the data nodes \(d1, d2\)") as caught:
        to_drain(membership(member("d1"), member("d2"), member("s1")), "d9")

    assert caught.value.code == NOT_FOUND


def test_a_session_is_not_drained() -> None:
    with pytest.raises(UsageError, match="s1 is a session node, and only data nodes are drained"):
        to_drain(membership(member("d1"), member("s1")), "s1")


def test_the_farewell_counts_the_nodes_that_work() -> None:
    others = (member("d2"), member("d3", Status.INITIAL), member("s1"))

    assert farewell(membership(*others), "d1") == "d1 has left; 1 other data node is WORKING"
    assert farewell(membership(), "d1") == "d1 has left; 0 other data nodes are WORKING"


def test_the_farewell_warns_of_a_process_that_came_back() -> None:
    found = farewell(membership(member("d1"), member("d2"), member("d3")), "d1")

    assert found == (
        "d1 has left; 2 other data nodes are WORKING. A process with its id has joined again: stop "
        "it, or the service that starts it again"
    )


@pytest.mark.parametrize(
    ("count", "node_ids", "text"),
    [
        (2, ("d1", "d2"), "replica_count is 2"),
        (3, ("d1", "d2"), "replica_count is 3, but only 2 data nodes are WORKING"),
        (3, ("d1",), "replica_count is 3, but only 1 data node is WORKING"),
    ],
)
def test_the_number_of_copies_is_told_with_what_limits_it(
    count: int, node_ids: tuple[str, ...], text: str
) -> None:
    members = tuple(member(node_id) for node_id in node_ids)
    found = Membership(b"c", 9, 9, RingParameters(replica_count=count), members)

    assert count_text(found) == text
