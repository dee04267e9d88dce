"""What `zreg status` finds in a cluster, and what it advises."""

import pytest

from zreg.cli.showing.cluster_findings import (
    ClusterView,
    State,
    counts_of,
    findings_of,
    state_of,
    summary_of,
)
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status
from zreg.wire.records.membership_messages import GoneNode, SessionLoad
from zreg.wire.records.meta_messages import MetaNodesReply, MetaNodeState, MetaNodeStatus

LEADER = MetaNodeStatus("m1", "tcp://m1:9611", MetaNodeState.LEADER, 9, 0, "")
S1 = Member("s1", Role.SESSION, 3, Status.WORKING, "tcp://s1:9600")
M1 = Member("m1", Role.META, 1, Status.WORKING, "tcp://m1:9610")


def data(number: int, status: Status = Status.WORKING) -> Member:
    return Member(f"d{number}", Role.DATA, 3 + number, status, f"tcp://d{number}:9620")


GONE = GoneNode(Incarnation(4, "d9"), Role.DATA, "tcp://d9:1", "gone", 7, 3, 1, 9_000, 60_000)
ADDED = MetaNodeStatus("m5", "tcp://m5:1", MetaNodeState.STUCK, 0, 58_000, "not reached")
WELL = (S1, data(1), data(2), M1)


def view(
    *members: Member,
    replica_count: int = 2,
    statuses: dict[str, str] | None = None,
    gone: tuple[GoneNode, ...] = (),
    trouble: str = "",
    added: tuple[MetaNodeStatus, ...] = (),
) -> ClusterView:
    ring = RingParameters(replica_count=replica_count)
    membership = Membership(b"A" * 16, 9, 5, ring, members)
    loads = (SessionLoad(Incarnation(3, "s1"), 12),)
    reply = MetaNodesReply(1, 2, 9, 3, (LEADER, *added), 2, (), loads, gone=gone)
    named = {member.node_id: member.status.name for member in members}
    return ClusterView(membership, {**named, **(statuses or {})}, trouble or reply)


def test_a_cluster_that_is_well_has_no_finding() -> None:
    well = view(*WELL)

    assert findings_of(well) == []
    assert state_of([]) is State.OK
    assert counts_of(well) == {"session_nodes": 1, "data_nodes": 2, "meta_nodes": 1, "clients": 12}
    assert summary_of(well) == (
        "1 session node, 2 data nodes, 1 meta node, 12 clients, m1 leads meta, epoch 9"
    )


@pytest.mark.parametrize(
    ("found", "state", "what", "advice"),
    [
        (view(data(1), data(2), M1), State.CRITICAL, "no session node is WORKING", "zreg session"),
        (view(S1, M1), State.CRITICAL, "no data node is WORKING", "zreg data"),
        (view(*WELL, trouble="meta is away"), State.CRITICAL, "meta is away", "start the meta"),
        (
            view(*WELL, replica_count=3),
            State.WARNING,
            "each datum should be on 3 data nodes, and only 2 are WORKING",
            "zreg data replica-count 2",
        ),
        (view(*WELL, statuses={"m1": "SILENT"}), State.WARNING, "m1 is not heard", "zreg meta rm"),
        (
            view(*WELL, data(3, Status.INITIAL)),
            State.WARNING,
            "d3 is admitted and does not",
            "/rea",
        ),
        (view(*WELL, data(3, Status.LEAVING)), State.WARNING, "d3 is leaving and", "zreg nodes"),
        (
            view(*WELL, added=(ADDED,)),
            State.WARNING,
            "m5 is added to meta at m5:1 and has no vote yet (not reached)",
            "zreg meta rm m5",
        ),
        (
            view(*WELL, gone=(GONE,)),
            State.WARNING,
            "d9 (data, d9:1) has been gone",
            "nodes dismiss d9",
        ),
    ],
)
def test_what_is_not_well_is_named_with_what_to_do(
    found: ClusterView, state: State, what: str, advice: str
) -> None:
    (finding,) = findings_of(found)

    assert finding.state is state
    assert finding.what.startswith(what)
    assert advice in finding.advice


def test_a_departed_incarnation_is_not_counted_beside_its_successor() -> None:
    """Meta keeps it for its grace; the status by id is that of the successor."""
    former = Member("s1", Role.SESSION, 2, Status.DEPARTED, "tcp://s1:9600")
    found = view(former, *WELL, statuses={"s1": "WORKING"})

    assert counts_of(found)["session_nodes"] == 1
    assert findings_of(found) == []


def test_the_worst_comes_first() -> None:
    findings = findings_of(view(data(1), M1))

    assert [each.state for each in findings] == [State.CRITICAL, State.WARNING]
    assert state_of(findings) is State.CRITICAL
