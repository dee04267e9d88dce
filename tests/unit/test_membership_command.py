"""What `zreg nodes` shows of a member: meta's leader tells whether a meta node lives."""

import pytest

from zreg.cli.asking.whole_cluster.cluster_view import status_of
from zreg.cli.commands.meta.membership_command import (
    client_count_of,
    copying_of,
    progress_text,
)
from zreg.model import Incarnation, Member, Role, Status
from zreg.wire.records.membership_messages import SessionLoad
from zreg.wire.records.meta_messages import (
    CopyProgress,
    MetaNodesReply,
    MetaNodeState,
    MetaNodeStatus,
)

NO_LEADER = "meta has no leader"


def member(role: Role, node_id: str = "m2") -> Member:
    return Member(node_id, role, 1, Status.WORKING, "tcp://there:1")


def meta_nodes(silent_milliseconds: int = 0, trouble: str = "") -> MetaNodesReply:
    node = MetaNodeStatus("m2", "tcp://m2:2", MetaNodeState.VOTER, 5, silent_milliseconds, trouble)
    return MetaNodesReply(1, 2, 5, 1, (node,))


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (meta_nodes(), "WORKING"),
        (meta_nodes(silent_milliseconds=1499), "WORKING"),
        (meta_nodes(silent_milliseconds=1500), "SILENT"),
        (meta_nodes(trouble="not reached"), "SILENT"),
        (NO_LEADER, "UNKNOWN"),
    ],
)
def test_the_status_of_a_meta_node_is_what_the_leader_hears_from_it(
    answer: MetaNodesReply | str, status: str
) -> None:
    assert status_of(member(Role.META), answer) == status


def test_a_meta_node_that_the_leader_does_not_know_is_unknown() -> None:
    assert status_of(member(Role.META, "m9"), meta_nodes()) == "UNKNOWN"


@pytest.mark.parametrize("role", [Role.SESSION, Role.DATA])
def test_the_status_of_other_nodes_is_what_the_membership_says(role: Role) -> None:
    assert status_of(member(role), NO_LEADER) == "WORKING"


@pytest.mark.parametrize("status", [Status.INITIAL, Status.LEAVING])
def test_a_node_that_joins_or_drains_is_shown_as_such(status: Status) -> None:
    joining = Member("d1", Role.DATA, 1, status, "tcp://there:1")

    assert status_of(joining, NO_LEADER) == status.name


def test_the_data_nodes_that_make_copies_are_told_with_how_far_they_are() -> None:
    gone = CopyProgress(Incarnation(1, "d9"), 1, 9)
    quiet = CopyProgress(Incarnation(1, "d2"), 0, None)
    progress = CopyProgress(Incarnation(1, "d1"), 412, 1024)
    answer = MetaNodesReply(1, 2, 5, 1, (), 0, (gone, quiet, progress))
    members = [member(Role.DATA, "d1"), member(Role.DATA, "d2")]

    assert copying_of(members, answer) == [quiet, progress]
    assert progress_text(quiet) == "d2 has not told yet how many copies it has to make"
    assert copying_of(members, NO_LEADER) == []
    assert progress_text(progress) == "d1 makes copies: 412 of 1024 buckets are equal (40 %)"


def test_a_session_is_shown_with_how_many_clients_it_has() -> None:
    loads = (SessionLoad(Incarnation(1, "s1"), 12), SessionLoad(Incarnation(2, "s2"), 3))
    answer = MetaNodesReply(1, 2, 5, 1, (), session_loads=loads)

    assert client_count_of(member(Role.SESSION, "s1"), answer) == 12
    assert client_count_of(member(Role.SESSION, "s2"), answer) is None, "a former life of it"
    assert client_count_of(member(Role.DATA, "d1"), answer) is None
    assert client_count_of(member(Role.SESSION, "s1"), NO_LEADER) is None
