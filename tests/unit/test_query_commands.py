"""What `zreg nodes` shows of a member: meta nodes are what their leader hears of them."""

import pytest

from zreg.cli.commands.query_commands import status_of
from zreg.model import Member, Role, Status
from zreg.wire.meta_messages import MetaNodesReply, MetaNodeState, MetaNodeStatus


def member(role: Role, node_id: str = "m2") -> Member:
    return Member(node_id, role, 1, Status.WORKING, "tcp://there:1")


def heard(silent_milliseconds: int = 0, trouble: str = "") -> MetaNodesReply:
    node = MetaNodeStatus("m2", "tcp://m2:2", MetaNodeState.VOTER, 5, silent_milliseconds, trouble)
    return MetaNodesReply(1, 2, 5, 1, (node,))


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (heard(), "WORKING"),
        (heard(silent_milliseconds=1499), "WORKING"),
        (heard(silent_milliseconds=1500), "SILENT"),
        (heard(trouble="not reached"), "SILENT"),
        ("meta has no leader", "UNKNOWN"),
    ],
)
def test_a_meta_node_is_what_the_leader_hears_of_it(
    said: MetaNodesReply | str, status: str
) -> None:
    assert status_of(member(Role.META), said) == status


def test_a_meta_node_that_the_leader_does_not_know_is_unknown() -> None:
    assert status_of(member(Role.META, "m9"), heard()) == "UNKNOWN"


@pytest.mark.parametrize("role", [Role.SESSION, Role.DATA])
def test_others_have_leases_and_are_what_the_membership_says(role: Role) -> None:
    assert status_of(member(role), "meta has no leader") == "WORKING"
