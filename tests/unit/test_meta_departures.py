"""Early departures by threefold evidence, and the waits of nodes that depart too often."""

import pytest
from msgspec.structs import replace
from test_meta_cluster import CLIENT, running
from test_meta_core import (
    LEASE,
    OWN,
    ask,
    departed,
    departed_log,
    enter,
    join,
    joined_log,
    make_core,
    membership,
    newcomer,
    pass_time,
    peer_of,
    refused,
    renew,
    reply_to,
    without_saves,
    working,
)

from zreg.effects import (
    CLOSED,
    INFO,
    REFUSED,
    TIMED_OUT,
    WARNING,
    Connect,
    Effect,
    Link,
    Local,
    Log,
    PeerLost,
    PeerUp,
)
from zreg.errors import UnknownNodeError
from zreg.meta.core import MetaCore
from zreg.model import Incarnation, Role, Status
from zreg.wire.records.membership_messages import Join, Leave, MembershipReply, ReportGone

S1, D1, D2 = Incarnation(2, "s1"), Incarnation(3, "d1"), Incarnation(4, "d2")
CHECK = Connect(Link.CHECKS, "d1@3", "tcp://d1:1")
LOST = PeerLost(Link.NODES, peer_of("d1"), CLOSED)
NOT_LISTENING = PeerLost(Link.CHECKS, "d1@3", REFUSED)
REPORT = ReportGone(S1, D1, OWN)


def make_cluster(*more: str) -> MetaCore:
    """Return a lone leader with a session and two data nodes."""
    core = make_core()
    assert [enter(core, node_id) for node_id in ("s1", "d1", "d2", *more)][:3] == [S1, D1, D2]
    return core


def happen(core: MetaCore, event: Local, now: float = 0.0) -> list[Effect]:
    effects = list(core.receive(Link.LOCAL, "", event, now))
    return without_saves([*effects, *core.raft_driver.pump(now)])


def report(core: MetaCore, what: ReportGone = REPORT, now: float = 0.0) -> list[Effect]:
    return ask(core, peer_of(what.reporter.node_id), what, now)


def is_member(core: MetaCore, incarnation: Incarnation = D1) -> bool:
    member = core.membership.living(incarnation.node_id)
    return member is not None and member.incarnation == incarnation


# --- the three pieces of evidence -----------------------------------------------------------------


@pytest.mark.parametrize("report_first", [True, False])
def test_with_all_three_pieces_of_evidence_a_node_departs_at_once(*, report_first: bool) -> None:
    core = make_cluster()
    if report_first:
        assert report(core) == []
        assert happen(core, LOST, 0.1) == [CHECK]
    else:
        assert happen(core, LOST) == []
        assert report(core, now=0.1) == [CHECK]

    effects = happen(core, NOT_LISTENING, 0.2)

    assert effects == [departed_log(D1, "data", "gone", 5)]
    assert core.membership == membership(working("s1", 2), working("d2", 4), epoch=5, ring_epoch=5)


def test_a_session_reported_by_a_data_node_departs_and_its_grace_begins() -> None:
    core = make_core()
    d1, s1, _ = (enter(core, node_id) for node_id in ("d1", "s1", "s2"))
    happen(core, PeerLost(Link.NODES, peer_of("s1"), CLOSED))
    assert report(core, ReportGone(d1, s1, OWN)) == [Connect(Link.CHECKS, "s1@3", "tcp://s1:1")]

    happen(core, PeerLost(Link.CHECKS, "s1@3", REFUSED))

    assert departed("s1", 3) in core.membership.members


@pytest.mark.parametrize(
    "found", [PeerUp(Link.CHECKS, "d1@3"), PeerLost(Link.CHECKS, "d1@3", TIMED_OUT)]
)
def test_only_a_refused_connection_is_proof(found: Local) -> None:
    """Else the node may be alive, stopped or cut off, and its lease decides."""
    core = make_cluster()
    report(core)
    happen(core, LOST)

    assert happen(core, found) == []
    assert happen(core, NOT_LISTENING) == [], "no check is under way"
    assert is_member(core)
    logged = pass_time(core, 0.0, LEASE, S1, D2)
    assert [log for _, log in logged] == [departed_log(D1, "data", "silent", 5)]


def test_a_report_and_a_refusal_without_a_closed_connection_are_not_enough() -> None:
    core = make_cluster()

    assert report(core) == []
    assert happen(core, NOT_LISTENING) == []
    assert is_member(core)


def test_a_node_that_renews_before_the_check_ends_stays() -> None:
    core = make_cluster()
    happen(core, LOST)
    ask(core, b"again", renew(D1), 0.1)
    assert report(core, now=0.2) == []

    happen(core, PeerLost(Link.NODES, b"again", CLOSED), 0.3)
    ask(core, b"once more", renew(D1), 0.4)
    assert happen(core, NOT_LISTENING, 0.5) == []
    assert is_member(core)


def test_a_node_that_repeats_its_join_before_the_report_stays() -> None:
    core = make_cluster()
    happen(core, LOST)
    ask(core, b"again", join("d1"), 0.1)

    assert report(core, now=0.2) == []


def test_a_report_and_a_closed_connection_count_for_a_lease() -> None:
    core = make_cluster()
    happen(core, LOST)
    pass_time(core, 0.0, LEASE / 2, S1, D2)
    assert len(core._leader.failure_evidence) == 1

    assert report(core, now=LEASE + 0.1) == []
    assert len(core._leader.failure_evidence) == 1


def test_a_repeated_report_causes_one_check() -> None:
    core = make_cluster()
    happen(core, LOST)

    assert report(core) == [CHECK]
    assert report(core) == []
    assert happen(core, LOST) == []


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(ReportGone(S1, Incarnation(2, "d1"), OWN), id="an earlier incarnation"),
        pytest.param(ReportGone(S1, Incarnation(9, "d1"), OWN), id="a later incarnation"),
        pytest.param(ReportGone(S1, Incarnation(3, "d9"), OWN), id="no member"),
        pytest.param(ReportGone(S1, D1, b"other"), id="another cluster"),
        pytest.param(ReportGone(Incarnation(1, "s1"), D1, OWN), id="by an earlier incarnation"),
        pytest.param(ReportGone(D2, D1, OWN), id="in the name of another node"),
    ],
)
def test_reports_that_do_not_fit_the_membership_are_ignored(what: ReportGone) -> None:
    core = make_cluster()
    happen(core, LOST)

    assert ask(core, peer_of("s1"), what) == []
    assert ask(core, b"unknown", REPORT) == []
    assert len(core._leader.failure_evidence) == 1


def test_a_node_that_reports_itself_is_ignored() -> None:
    core = make_cluster()

    assert report(core, ReportGone(D1, D1, OWN)) == []
    assert len(core._leader.failure_evidence) == 0


def test_the_end_of_a_connection_without_renewals_is_no_evidence() -> None:
    core = make_cluster()
    report(core)

    assert happen(core, PeerLost(Link.NODES, b"who", CLOSED)) == []


# --- limits ---------------------------------------------------------------------------------------


def test_the_last_data_node_and_the_last_session_stay() -> None:
    core = make_core()
    s1, d1 = enter(core, "s1"), enter(core, "d1")
    for gone, reporter in ((d1, s1), (s1, d1)):
        happen(core, PeerLost(Link.NODES, peer_of(gone.node_id), CLOSED))
        ask(core, peer_of(reporter.node_id), renew(reporter))
        report(core, ReportGone(reporter, gone, OWN))

        assert happen(core, PeerLost(Link.CHECKS, str(gone), REFUSED)) == []
        assert is_member(core, gone)


def test_of_two_nodes_that_are_gone_at_once_one_stays() -> None:
    """The departure of the first one is proposed and not applied yet."""
    core = make_cluster()
    for gone in (D1, D2):
        happen(core, PeerLost(Link.NODES, peer_of(gone.node_id), CLOSED))
        report(core, ReportGone(S1, gone, OWN))
    core.receive(Link.LOCAL, "", PeerLost(Link.CHECKS, str(D1), REFUSED), 0.0)
    happen(core, PeerLost(Link.CHECKS, str(D2), REFUSED))

    assert not is_member(core, D1)
    assert is_member(core, D2)


def test_early_departures_are_not_limited_like_evictions() -> None:
    core = make_cluster("d3", "d4")
    nodes = [D1, D2, Incarnation(5, "d3")]
    for gone in nodes:
        happen(core, PeerLost(Link.NODES, peer_of(gone.node_id), CLOSED))
        report(core, ReportGone(S1, gone, OWN))
        happen(core, PeerLost(Link.CHECKS, str(gone), REFUSED))

    assert [m.node_id for m in core.membership.of(Role.DATA)] == ["d4"]


def test_a_node_being_evicted_does_not_depart_a_second_time() -> None:
    core = make_cluster()
    pass_time(core, 0.0, LEASE - 0.2, S1, D2)
    happen(core, LOST, LEASE - 0.1)
    report(core, now=LEASE - 0.1)
    core.tick(LEASE)

    assert happen(core, NOT_LISTENING, LEASE) == [departed_log(D1, "data", "silent", 5)]


def test_a_renewal_during_the_departure_is_refused_once_it_is_decided() -> None:
    core = make_cluster()
    happen(core, LOST)
    report(core)
    core.receive(Link.LOCAL, "", NOT_LISTENING, 0.0)

    assert list(core.receive(Link.NODES, b"again", renew(D1), 0.0)) == []
    list(core.settle(0.0))
    detail = f"{D1} is not a member (any more): join again"
    assert ask(core, b"again", renew(D1)) == [refused(b"again", 8, UnknownNodeError.code, detail)]


def test_evidence_against_a_node_does_not_count_against_its_successor() -> None:
    core = make_cluster()
    happen(core, LOST)
    report(core)
    again = enter(core, "d1", life=2)

    assert happen(core, NOT_LISTENING) == []
    assert is_member(core, again)


def test_a_new_leader_waits_for_nodes_that_have_not_come_yet() -> None:
    """A reported node that has not renewed within a second is checked."""
    cluster = running()
    old = cluster.leader()
    for name in ("s1", "d1"):
        cluster.request(old, Join(1, newcomer(name), b"", 0))
    cluster.cut = {old}
    rest = cluster.followers()
    while not any(cluster.cores[name].is_leading for name in rest):
        cluster.run(0.05, *rest)
    leader = next(name for name in rest if cluster.cores[name].is_leading)
    core = cluster.cores[leader]
    gone = core.membership.of(Role.DATA, Status.INITIAL, Status.WORKING)[0].incarnation
    reporter = core.membership.of(Role.SESSION)[0].incarnation
    cluster.request(leader, renew(reporter, cluster_id=core.membership.cluster_id))
    cluster.checks.clear()
    report_gone = ReportGone(reporter, gone, core.membership.cluster_id)

    cluster.give(leader, Link.NODES, CLIENT, report_gone)
    assert cluster.checks == []
    cluster.run(1.2, leader)
    assert cluster.checks == [str(gone)]


def test_a_connection_counts_for_a_new_leader_after_the_first_renewal() -> None:
    cluster = running()
    old = cluster.leader()
    (reply,) = cluster.request(old, Join(1, newcomer("s1"), b"", 0))
    assert isinstance(reply, MembershipReply)
    cluster.cut = {old}
    rest = cluster.followers()
    while not any(cluster.cores[name].is_leading for name in rest):
        cluster.run(0.05, *rest)
    leader = next(name for name in rest if cluster.cores[name].is_leading)
    core = cluster.cores[leader]

    cluster.give(leader, Link.LOCAL, "", PeerLost(Link.NODES, CLIENT, CLOSED))
    assert len(core._leader.failure_evidence) == 0

    renewal = renew(reply.incarnation, cluster_id=core.membership.cluster_id)
    cluster.request(leader, renewal)
    cluster.give(leader, Link.LOCAL, "", PeerLost(Link.NODES, CLIENT, CLOSED))
    assert len(core._leader.failure_evidence) == 1


def test_evidence_of_an_earlier_leadership_does_not_count() -> None:
    core = make_cluster()
    happen(core, LOST)
    core._leader.begin_leases(0.1)
    ask(core, peer_of("s1"), renew(S1), 0.2)

    assert report(core, now=0.3) == []


def test_a_follower_ignores_evidence() -> None:
    cluster = running()
    follower = cluster.followers()[0]
    core = cluster.cores[follower]
    gone = Incarnation(1, "m1")

    assert cluster.request(follower, ReportGone(gone, gone, b"")) == []
    for event in (
        PeerLost(Link.NODES, CLIENT, CLOSED),
        PeerLost(Link.CHECKS, "m1@1", REFUSED),
        PeerUp(Link.CHECKS, "m1@1"),
    ):
        assert core.receive(Link.LOCAL, "", event, cluster.now) == []
    assert len(core._leader.failure_evidence) == 0


# --- the waits of nodes that depart too often -----------------------------------------------------


def crash(core: MetaCore, node_id: str, now: float = 0.0) -> None:
    """Have a node depart without a goodbye."""
    member = core.membership.living(node_id)
    assert member is not None
    happen(core, PeerLost(Link.NODES, peer_of(node_id, member.process_id[-1] - 48), CLOSED), now)
    report(core, ReportGone(S1, member.incarnation, OWN), now)
    happen(core, PeerLost(Link.CHECKS, str(member.incarnation), REFUSED), now)
    assert core.membership.living(node_id) is None


def make_flapping(*, crashes: int) -> MetaCore:
    core = make_cluster()
    for life in range(1, crashes + 1):
        crash(core, "d1")
        if life < crashes:
            enter(core, "d1", life=life + 1)
    return core


def status(core: MetaCore, node_id: str) -> Status:
    member = core.membership.living(node_id)
    assert member is not None
    return member.status


def waiting_log(incarnation: Incarnation, seconds: float) -> Log:
    fields: dict[str, str | int | float] = {
        "incarnation": str(incarnation),
        "role": "data",
        "epoch": incarnation.epoch,
        "seconds": seconds,
    }
    return Log(WARNING, "member.waiting", fields)


def working_log(incarnation: Incarnation, epoch: int) -> Log:
    fields: dict[str, str | int | float] = {
        "incarnation": str(incarnation),
        "role": "data",
        "epoch": epoch,
    }
    return Log(INFO, "member.working", fields)


def test_after_two_departures_a_node_works_at_once() -> None:
    core = make_flapping(crashes=2)
    enter(core, "d1", life=9)

    assert status(core, "d1") is Status.WORKING


def test_after_three_departures_a_node_waits_five_seconds_and_works_then() -> None:
    core = make_flapping(crashes=3)
    ring_epoch = core.membership.ring_epoch

    effects = ask(core, peer_of("d1", 9), join("d1", life=9))

    again = Incarnation(10, "d1")
    assert effects == [
        joined_log(again, "data"),
        waiting_log(again, 5.0),
        reply_to(peer_of("d1", 9), core, again),
    ]
    assert core.membership.living("d1") == replace(
        newcomer("d1", 9), incarnation_epoch=10, status=Status.INITIAL
    )
    assert core.membership.ring_epoch == ring_epoch, "no id moves"
    assert ask(core, peer_of("d1", 9), join("d1", life=9)) == [
        reply_to(peer_of("d1", 9), core, again)
    ]

    logged = pass_time(core, 0.0, 6.0, S1, again, D2)
    assert [log for _, log in logged] == [working_log(again, 11)]
    assert 5.0 <= logged[0][0] < 5.3
    assert core.membership.living("d1") == replace(
        newcomer("d1", 9), incarnation_epoch=10, status=Status.WORKING
    )
    assert core.membership.ring_epoch == 11


def test_goodbyes_do_not_count_as_departures() -> None:
    core = make_cluster()
    for life in range(1, 6):
        member = core.membership.living("d1")
        assert member is not None
        ask(core, peer_of("d1", life), Leave(9, member.incarnation))
        enter(core, "d1", life=life + 1)

    assert status(core, "d1") is Status.WORKING


def test_a_node_that_is_back_before_its_loss_is_noticed_has_departed_too() -> None:
    core = make_cluster()
    for life in range(1, 4):
        happen(core, PeerLost(Link.NODES, peer_of("d1", life), CLOSED))
        enter(core, "d1", life=life + 1)

    assert status(core, "d1") is Status.INITIAL


def test_evictions_count_as_departures() -> None:
    core = make_cluster()
    now = 0.0
    for life in range(2, 5):
        pass_time(core, now, now + 1.2 * LEASE, S1, D2)
        now += 1.2 * LEASE
        assert core.membership.living("d1") is None
        enter(core, "d1", life=life, now=now)

    assert status(core, "d1") is Status.INITIAL


def test_the_only_node_of_a_role_does_not_wait() -> None:
    core = make_flapping(crashes=3)
    ask(core, peer_of("d2"), Leave(9, D2))
    enter(core, "d1", life=9)

    assert status(core, "d1") is Status.WORKING


def test_a_waiting_node_works_when_the_others_have_left() -> None:
    core = make_flapping(crashes=3)
    enter(core, "d1", life=9)
    ask(core, peer_of("d2"), Leave(9, D2))
    pass_time(core, 0.0, 0.1)

    assert status(core, "d1") is Status.WORKING


def test_a_waiting_node_replaces_the_last_working_one() -> None:
    core = make_flapping(crashes=3)
    enter(core, "d1", life=9)
    crash(core, "d2")
    core.tick(0.1)
    list(core.settle(0.1))

    assert status(core, "d1") is Status.WORKING


def test_a_waiting_node_that_departs_again_waits_longer() -> None:
    core = make_flapping(crashes=3)
    enter(core, "d1", life=8)
    crash(core, "d1")

    effects = ask(core, peer_of("d1", 9), join("d1", life=9))

    assert effects[1] == waiting_log(Incarnation(12, "d1"), 10.0)


def test_a_wait_is_ended_once() -> None:
    core = make_flapping(crashes=3)
    enter(core, "d1", life=9)
    pass_time(core, 0.0, 4.9, S1, D2)
    core.tick(5.1)
    before = core.raft_driver.raft.status().last_index
    core.tick(5.2)

    assert core.raft_driver.raft.status().last_index == before


def test_a_node_that_departs_while_its_wait_ends_does_not_work() -> None:
    core = make_flapping(crashes=3)
    again = enter(core, "d1", life=9)
    pass_time(core, 0.0, 4.9, S1, D2, again)
    list(core.receive(Link.NODES, peer_of("d1", 9), Leave(9, again), 5.1))
    core.tick(5.1)

    logs = [e for e in without_saves(core.raft_driver.pump(5.1)) if isinstance(e, Log)]
    assert logs == [departed_log(again, "data", "left", core.epoch)]


def restarted(core: MetaCore, now: float) -> MetaCore:
    """Return a meta node that leads after another one, from the same state."""
    successor = make_core(now=now)
    successor.state.restore(core.state.snapshot())
    successor._leader.begin_leases(now)
    return successor


def test_with_a_new_leader_a_waiting_node_works_after_five_seconds() -> None:
    former = make_flapping(crashes=5)
    again = enter(former, "d1", life=9)
    core = restarted(former, 1000.0)
    assert status(core, "d1") is Status.INITIAL

    logged = pass_time(core, 1000.0, 1006.0, S1, again, D2)

    works = [(at, log.event) for at, log in logged if log.event == "member.working"]
    assert [event for _, event in works] == ["member.working"]
    assert 1005.0 <= works[0][0] < 1005.3


def test_a_wait_is_not_ended_by_a_leader_that_lost_the_lead() -> None:
    cluster = running()
    leader = cluster.leader()
    core = cluster.cores[leader]
    cluster.cut = set(cluster.followers())
    newcomers = core._leader.newcomers
    assert newcomers._start(Incarnation(3, "d1"), cluster.now) == []
    cluster.cut = {leader}
    cluster.run(4.0, *cluster.followers())
    cluster.cut = set()
    cluster.run(2.0)

    assert "member.working" not in [log.event for log in cluster.logged]
    assert newcomers._starting == {}
