"""A data node that drains is LEAVING until it says goodbye or its time has passed."""

import pytest
from meta_fakes import running
from msgspec.structs import replace
from test_meta_core import (
    CONFIG,
    LEASE,
    META,
    OWN,
    announced,
    ask,
    departed_log,
    enter,
    make_core,
    membership,
    newcomer,
    pass_time,
    peer_of,
    refused,
    renew,
    working,
)
from test_meta_departures import (
    D1,
    D2,
    LOST,
    NOT_LISTENING,
    S1,
    happen,
    make_cluster,
    report,
    restarted,
    status,
    working_log,
)

from zreg.effects import CLOSED, INFO, Effect, Link, Log, PeerLost, Send
from zreg.errors import (
    DeniedError,
    ForeignClusterError,
    NotLeaderError,
    NotReadyError,
    UnknownNodeError,
)
from zreg.meta.core import MetaCore
from zreg.model import Incarnation, Member, Status
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import Drain, Join, Leave, Ready, Renewed

DRAIN = CONFIG.drain_seconds
D3 = Incarnation(5, "d3")
ACCEPTED = Send(Link.NODES, b"p", Accepted((9,)))


def leaving(member: Member) -> Member:
    return replace(member, status=Status.LEAVING)


def leaving_log(incarnation: Incarnation, epoch: int) -> Log:
    fields: dict[str, str | int | float] = {
        "incarnation": str(incarnation),
        "role": "data",
        "epoch": epoch,
    }
    return Log(INFO, "member.leaving", fields)


def drain(core: MetaCore, node_id: str = "d1", now: float = 0.0) -> list[Effect]:
    return ask(core, b"p", Drain(9, node_id, OWN), now)


def make_draining() -> MetaCore:
    """Return a leader with a session and two data nodes, of which the first is LEAVING."""
    core = make_cluster()
    drain(core)
    list(core.settle(0.0))
    assert status(core, "d1") is Status.LEAVING
    return core


# --- requests -------------------------------------------------------------------------------------


def test_a_node_that_drains_stays_a_member_and_leaves_the_ring() -> None:
    core = make_cluster()

    effects = drain(core)

    assert effects == [leaving_log(D1, 5), ACCEPTED]
    assert core.membership == membership(
        working("s1", 2), leaving(working("d1", 3)), working("d2", 4), epoch=5, ring_epoch=5
    )
    assert list(core.settle(0.0)) == [announced(5)]
    peer = peer_of("d1")
    assert ask(core, peer, renew(D1)) == [Send(Link.NODES, peer, Renewed(8, 5))]


def test_an_operator_need_not_name_the_cluster() -> None:
    core = make_cluster()

    assert ask(core, b"p", Drain(9, "d1")) == [leaving_log(D1, 5), ACCEPTED]


def test_a_drain_that_is_repeated_is_accepted_and_changes_nothing() -> None:
    core = make_draining()

    assert drain(core) == [ACCEPTED]
    assert core.epoch == 5


def test_two_drains_in_one_turn_are_both_accepted() -> None:
    core = make_cluster()
    list(core.receive(Link.NODES, b"p", Drain(9, "d1"), 0.0))

    assert drain(core) == [leaving_log(D1, 5), ACCEPTED, ACCEPTED]
    assert core.epoch == 5


def test_a_late_drain_does_not_drain_a_later_incarnation() -> None:
    core = make_cluster()
    request = Drain(9, "d1", OWN, D1.epoch)
    happen(core, PeerLost(Link.NODES, peer_of("d1"), CLOSED))
    enter(core, "d1", life=2)

    detail = "no node with the id 'd1' that joined at epoch 3 is a member: see `zreg nodes`"
    assert ask(core, b"p", request) == [refused(b"p", 9, UnknownNodeError.code, detail)]
    assert status(core, "d1") is Status.WORKING


@pytest.mark.parametrize(
    ("request_", "code", "detail"),
    [
        (
            Drain(9, ""),
            UnknownNodeError.code,
            "no node with the id '' is a member: see `zreg nodes`",
        ),
        (
            Drain(9, "d9"),
            UnknownNodeError.code,
            "no node with the id 'd9' is a member: see `zreg nodes`",
        ),
        (
            Drain(9, "d1", b"other"),
            ForeignClusterError.code,
            "the node to drain is of another cluster: ask the meta nodes of that cluster",
        ),
        (Drain(9, "s1"), DeniedError.code, "s1 is a session node: only data nodes drain"),
        (
            Drain(9, META.node_id),
            DeniedError.code,
            "meta is a meta node: only data nodes drain",
        ),
    ],
)
def test_a_drain_that_does_not_fit_the_membership_is_refused(
    request_: Drain, code: int, detail: str
) -> None:
    core = make_cluster()

    assert ask(core, b"p", request_) == [refused(b"p", 9, code, detail)]
    assert core.epoch == 4


def test_a_drain_of_a_node_that_departs_meanwhile_is_refused() -> None:
    core = make_cluster()
    list(core.receive(Link.NODES, peer_of("d1"), Leave(1, D1), 0.0))

    detail = "no node with the id 'd1' is a member: see `zreg nodes`"
    assert drain(core)[-1] == refused(b"p", 9, UnknownNodeError.code, detail)


def test_an_initial_node_may_drain_without_touching_the_ring() -> None:
    core = make_cluster()
    enter(core, "d3", reports_ready=True)

    assert drain(core, "d3") == [leaving_log(D3, 6), ACCEPTED]
    assert core.membership.ring_epoch == 4


def last_working(node_id: str) -> str:
    return (
        f"{node_id} is the last WORKING data node, and d3 has not copied its data yet: try again "
        "when that one is WORKING"
    )


def test_the_last_working_node_does_not_drain_before_an_initial_one_works() -> None:
    core = make_draining()
    d3 = enter(core, "d3", reports_ready=True)

    assert drain(core, "d2") == [refused(b"p", 9, NotReadyError.code, last_working("d2"))]
    assert status(core, "d2") is Status.WORKING
    ask(core, peer_of("d3"), Ready(1, d3, OWN, core.membership.ring_epoch))
    assert drain(core, "d2")[-1] == ACCEPTED


def test_of_the_last_two_working_nodes_one_drains_before_an_initial_one_works() -> None:
    """Both requests are proposed before the first of them is applied."""
    core = make_cluster()
    enter(core, "d3", reports_ready=True)
    list(core.receive(Link.NODES, b"p", Drain(9, "d1"), 0.0))

    assert drain(core, "d2") == [
        leaving_log(D1, 6),
        ACCEPTED,
        refused(b"p", 9, NotReadyError.code, last_working("d2")),
    ]


def test_the_only_data_node_may_drain() -> None:
    core = make_core()
    d1 = enter(core, "d1")

    assert drain(core) == [leaving_log(d1, 3), ACCEPTED]
    assert ask(core, b"p", Leave(9, d1)) == [departed_log(d1, "data", "left", 4), ACCEPTED]


def test_a_follower_names_the_leader() -> None:
    cluster = running()

    (no,) = cluster.request(cluster.followers()[0], Drain(9, "d1"))

    assert isinstance(no, Refused)
    assert (no.code, no.address) == (NotLeaderError.code, f"tcp://{cluster.leader()}:9610")


def test_a_drain_is_repeated_at_the_next_leader() -> None:
    """The first leader was cut off before a majority had its command."""
    cluster = running()
    old = cluster.leader()
    for node_id in ("d1", "d2"):
        cluster.request(old, Join(1, newcomer(node_id), b"", 0))
    cluster.run(0.5)
    cluster.cut = {old}
    assert cluster.request(old, Drain(9, "d1")) == []
    rest = cluster.followers()
    while not any(cluster.cores[name].is_leading for name in rest):
        cluster.run(0.05, *rest)
    cluster.wake(old)
    cluster.run(1.0)

    (no,) = cluster.answers()
    assert isinstance(no, Refused)
    assert (no.code, no.detail) == (
        NotReadyError.code,
        "the leader of meta changed meanwhile: ask again",
    )
    leader = cluster.leader()
    assert leader != old
    assert status(cluster.cores[leader], "d1") is Status.WORKING
    for _ in range(2):
        assert cluster.request(leader, Drain(9, "d1")) == [Accepted((9,))]
    cluster.run(0.5)
    assert {status(core, "d1") for core in cluster.cores.values()} == {Status.LEAVING}


# --- the end of a drain ---------------------------------------------------------------------------


def test_a_node_that_has_handed_over_says_goodbye() -> None:
    core = make_draining()

    assert ask(core, b"p", Leave(9, D1)) == [departed_log(D1, "data", "left", 6), ACCEPTED]
    assert core.membership == membership(
        working("s1", 2), working("d2", 4), epoch=6, ring_epoch=5
    ), "the ring has lost it already"


def test_a_node_that_takes_too_long_is_removed() -> None:
    core = make_draining()

    assert pass_time(core, 0.0, DRAIN - 1.0, S1, D1, D2) == []
    logged = pass_time(core, DRAIN - 1.0, DRAIN + 0.5, S1, D2)

    assert [log for _, log in logged] == [departed_log(D1, "data", "drain expired", 6)]
    assert DRAIN <= logged[0][0] < DRAIN + 0.4
    assert core.membership.ring_epoch == 5


def test_the_time_to_drain_does_not_count_while_the_leader_sleeps() -> None:
    core = make_draining()
    pass_time(core, 0.0, 1.0, S1, D1, D2)
    woke = 5 * DRAIN

    assert pass_time(core, woke, woke + DRAIN - 2.0, S1, D1, D2) == []
    assert status(core, "d1") is Status.LEAVING


def test_the_time_to_drain_starts_anew_with_a_new_leader() -> None:
    former = make_draining()
    pass_time(former, 0.0, DRAIN - 1.0, S1, D1, D2)
    core = restarted(former, 1000.0)

    assert pass_time(core, 1000.0, 1000.0 + DRAIN - 1.0, S1, D1, D2) == []
    assert status(core, "d1") is Status.LEAVING
    logged = pass_time(core, 1000.0 + DRAIN - 1.0, 1000.5 + DRAIN, S1, D2)
    assert [log.fields["reason"] for _, log in logged] == ["drain expired"]


def test_a_leader_that_leads_again_starts_the_time_to_drain_anew() -> None:
    core = make_draining()
    pass_time(core, 0.0, DRAIN - 1.0, S1, D1, D2)
    core._leader.begin_leases(DRAIN - 1.0)

    assert pass_time(core, DRAIN - 1.0, 2 * DRAIN - 2.0, S1, D1, D2) == []
    assert status(core, "d1") is Status.LEAVING


def test_drains_do_not_count_as_departures() -> None:
    core = make_cluster()
    now = 0.0
    for life in range(2, 6):
        drain(core, "d1", now)
        end = now + DRAIN + 0.5
        d1 = core.membership.living("d1")
        assert d1 is not None
        while core.membership.living("d1") is not None:
            pass_time(core, now, now, S1, d1.incarnation, D2)
            now += LEASE / 16
            assert now < end
        enter(core, "d1", life=life, now=now)

    assert status(core, "d1") is Status.WORKING


def test_a_leaving_node_departs_after_a_lease_of_silence() -> None:
    core = make_draining()

    logged = pass_time(core, 0.0, LEASE, S1, D2)

    assert [log for _, log in logged] == [departed_log(D1, "data", "silent", 6)]


def test_a_leaving_node_departs_at_once_by_evidence() -> None:
    core = make_draining()
    report(core)
    happen(core, LOST, 0.1)

    assert happen(core, NOT_LISTENING, 0.2) == [departed_log(D1, "data", "gone", 6)]


def test_a_leaving_node_that_returns_is_a_new_incarnation() -> None:
    core = make_draining()
    happen(core, LOST)

    again = enter(core, "d1", life=2, reports_ready=True)

    assert core.membership.living("d1") == Member(
        "d1", newcomer("d1").role, again.epoch, Status.INITIAL, "tcp://d1:1", process_id=b"d1/2"
    )
    assert core.membership.ring_epoch == 5


def test_a_leaving_node_is_no_reason_to_evict_the_last_working_one() -> None:
    """Nothing would take its place on the ring."""
    core = make_draining()

    ((_, log),) = pass_time(core, 0.0, 4 * LEASE, S1, D1)
    assert (log.event, log.fields["incarnation"]) == ("member.silent", str(D2))
    assert status(core, "d2") is Status.WORKING


def test_an_initial_node_works_when_only_a_leaving_one_is_left() -> None:
    core = make_draining()
    d3 = enter(core, "d3", reports_ready=True)
    ask(core, peer_of("d2"), Leave(9, D2))

    logged = pass_time(core, 0.0, 0.1, S1, D1)

    assert [log for _, log in logged] == [working_log(d3, 8)]


def test_a_node_that_joins_while_only_a_leaving_one_is_left_works_at_once() -> None:
    core = make_core()
    enter(core, "d1")
    drain(core)

    enter(core, "d2", reports_ready=True)

    assert status(core, "d2") is Status.WORKING
