"""When an INITIAL member becomes WORKING: after its wait, and after it has reported."""

import pytest
from meta_fakes import running
from test_meta_core import (
    LEASE,
    OWN,
    ask,
    enter,
    join,
    make_core,
    newcomer,
    pass_time,
    peer_of,
    refused,
    renew,
    reply_to,
    without_saves,
)
from test_meta_departures import (
    S1,
    crash,
    happen,
    make_cluster,
    make_flapping,
    restarted,
    status,
    waiting_log,
    working_log,
)

from zreg.effects import CLOSED, Effect, Link, PeerLost, Send
from zreg.errors import (
    DeniedError,
    ForeignClusterError,
    NotLeaderError,
    NotReadyError,
    UnknownNodeError,
)
from zreg.meta.core import MetaCore
from zreg.model import Incarnation, Status
from zreg.wire.log_commands import Admit, SetStatus
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import Join, Leave, MembershipReply, Ready

D1, D2, D3 = Incarnation(3, "d1"), Incarnation(4, "d2"), Incarnation(5, "d3")


def make_joining() -> MetaCore:
    """Return a leader with a session, two data nodes, and a third one that is to report."""
    core = make_cluster()
    assert enter(core, "d3", reports_ready=True) == D3
    return core


def test_a_data_node_that_reports_is_initial_until_it_has_reported() -> None:
    core = make_cluster()
    ring_epoch = core.membership.ring_epoch

    effects = ask(core, peer_of("d3"), join("d3", reports_ready=True))

    assert effects[1:] == [reply_to(peer_of("d3"), core, D3)], "it need not wait"
    assert status(core, "d3") is Status.INITIAL
    assert core.membership.ring_epoch == ring_epoch
    living = [S1, D1, D2, D3]
    assert pass_time(core, 0.0, 100.0, *living) == []
    assert status(core, "d3") is Status.INITIAL


def test_a_join_that_is_repeated_while_the_node_is_initial_is_answered_the_same() -> None:
    core = make_joining()
    epoch = core.epoch

    for reports_ready in (True, False):
        assert ask(core, b"again", join("d3", reports_ready=reports_ready)) == [
            reply_to(b"again", core, D3)
        ]
    assert core.epoch == epoch


def test_the_first_data_node_works_at_once() -> None:
    """A cold start has nothing to copy."""
    core = make_core()
    enter(core, "d1", reports_ready=True)
    assert status(core, "d1") is Status.WORKING

    enter(core, "d2", reports_ready=True)
    assert status(core, "d2") is Status.INITIAL


def test_the_only_data_node_works_at_once_when_it_returns() -> None:
    core = make_core()
    enter(core, "d1", reports_ready=True)
    happen(core, PeerLost(Link.NODES, peer_of("d1"), CLOSED))

    enter(core, "d1", life=2, reports_ready=True)

    assert status(core, "d1") is Status.WORKING


def test_a_session_need_not_report() -> None:
    core = make_cluster()

    enter(core, "s2", reports_ready=True)

    assert status(core, "s2") is Status.WORKING


def test_all_initial_data_nodes_work_if_no_data_node_works_any_more() -> None:
    core = make_joining()
    enter(core, "d4", reports_ready=True)
    for node_id in ("d1", "d2"):
        assert status(core, "d3") is Status.INITIAL
        crash(core, node_id)

    logged = pass_time(core, 0.0, 0.1, S1)

    assert [log for _, log in logged] == [
        working_log(D3, 9),
        working_log(Incarnation(6, "d4"), 10),
    ]


def test_a_node_that_waits_need_not_report_unless_it_has_said_so() -> None:
    core = make_flapping(crashes=3)

    again = enter(core, "d1", life=9)

    assert core.state.reporters == frozenset()
    logged = pass_time(core, 0.0, 6.0, S1, again, D2)
    assert [log for _, log in logged] == [working_log(again, 11)]


def test_a_node_that_departed_too_often_does_not_work_after_its_wait_alone() -> None:
    core = make_flapping(crashes=3)
    again = Incarnation(10, "d1")

    effects = ask(core, peer_of("d1", 9), join("d1", life=9, reports_ready=True))

    assert waiting_log(again, 5.0) in effects
    assert pass_time(core, 0.0, 5.0 + LEASE, S1, again, D2) == []
    assert status(core, "d1") is Status.INITIAL


def test_a_new_leader_knows_who_has_to_report() -> None:
    core = restarted(make_joining(), 0.0)

    living = [S1, D1, D2, D3]
    assert pass_time(core, 0.0, 10.0, *living) == []
    assert status(core, "d3") is Status.INITIAL


# --- reports --------------------------------------------------------------------------------------


def ready(core: MetaCore, incarnation: Incarnation = D3, *, ring_epoch: int = -1) -> Ready:
    """Return the report of a node that follows the present ring, or that of `ring_epoch`."""
    present = core.membership.ring_epoch
    return Ready(9, incarnation, OWN, present if ring_epoch < 0 else ring_epoch)


def accepted(peer: bytes) -> Effect:
    return Send(Link.NODES, peer, Accepted((9,)))


def refusal(effects: list[Effect]) -> Refused:
    (effect,) = effects
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Refused)
    assert effect.message.request_id == 9
    return effect.message


def ring_moved(node_id: str, former: int, present: int) -> str:
    return (
        f"the data nodes changed at epoch {present}, after the ring of epoch {former}: check again "
        f"what {node_id} holds, then report again"
    )


def test_a_node_that_reports_under_the_present_ring_works() -> None:
    core = make_joining()

    effects = ask(core, peer_of("d3"), ready(core))

    assert effects == [working_log(D3, 6), accepted(peer_of("d3"))]
    assert status(core, "d3") is Status.WORKING
    assert core.membership.ring_epoch == core.epoch == 6
    assert core.state.reporters == frozenset()


def test_a_report_that_is_repeated_is_accepted_and_changes_nothing() -> None:
    """The first answer may be late or lost; the ring has moved by the report itself."""
    core = make_joining()
    report = ready(core)
    ask(core, peer_of("d3"), report)

    assert ask(core, b"again", report) == [accepted(b"again")]
    assert ask(core, b"again", ready(core)) == [accepted(b"again")]
    assert core.epoch == 6


def test_two_reports_in_one_turn_are_both_accepted() -> None:
    core = make_joining()
    report = ready(core)
    list(core.receive(Link.NODES, b"first", report, 0.0))

    effects = ask(core, b"second", report)

    assert effects == [working_log(D3, 6), accepted(b"first"), accepted(b"second")]
    assert core.epoch == 6


def test_a_report_under_another_ring_is_refused_and_a_new_one_accepted() -> None:
    core = make_joining()
    report = ready(core)
    crash(core, "d2")

    refused_ = refusal(ask(core, peer_of("d3"), report))

    assert (refused_.code, refused_.detail) == (NotReadyError.code, ring_moved("d3", 4, 6))
    assert status(core, "d3") is Status.INITIAL
    assert ask(core, peer_of("d3"), ready(core)) == [working_log(D3, 7), accepted(peer_of("d3"))]


def test_a_report_does_not_count_if_the_ring_moves_before_it_is_applied() -> None:
    core = make_joining()
    list(core.receive(Link.NODES, peer_of("d2"), Leave(1, D2), 0.0))

    effects = ask(core, peer_of("d3"), ready(core))

    detail = ring_moved("d3", 4, 6)
    assert effects[-1] == refused(peer_of("d3"), 9, NotReadyError.code, detail)
    assert status(core, "d3") is Status.INITIAL
    assert core.state.reporters == {D3}


def test_other_changes_of_the_membership_do_not_move_the_ring() -> None:
    core = make_joining()
    report = ready(core)
    enter(core, "s2")
    enter(core, "d4", reports_ready=True)

    assert accepted(peer_of("d3")) in ask(core, peer_of("d3"), report)


def test_nodes_that_join_at_once_all_work_in_the_end() -> None:
    """Each one that begins to work moves the ring, and the others report again."""
    core = make_cluster()
    waiting = [enter(core, f"d{number}", reports_ready=True) for number in range(3, 9)]
    rounds = 0
    while waiting:
        rounds += 1
        reports = [ready(core, incarnation) for incarnation in waiting]
        for report in reports:
            list(core.receive(Link.NODES, peer_of(report.incarnation.node_id), report, 0.0))
        effects = without_saves(core.raft_driver.pump(0.0))
        works = [e.peer for e in effects if isinstance(e, Send) and e.message == Accepted((9,))]
        assert len(works) == 1
        waiting = [each for each in waiting if peer_of(each.node_id) not in works]

    assert rounds == 6
    assert {status(core, f"d{number}") for number in range(1, 9)} == {Status.WORKING}


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (Ready(9, Incarnation(4, "d3"), OWN, 4), UnknownNodeError.code),
        (Ready(9, Incarnation(9, "d3"), OWN, 4), UnknownNodeError.code),
        (Ready(9, Incarnation(5, "d9"), OWN, 4), UnknownNodeError.code),
        (Ready(9, D3, b"", 4), UnknownNodeError.code),
        (Ready(9, D3, b"other", 4), ForeignClusterError.code),
        (Ready(9, D3, OWN, 3), NotReadyError.code),
        (Ready(9, D3, OWN, 5), NotReadyError.code),
    ],
)
def test_a_report_that_does_not_fit_the_membership_is_refused(report: Ready, code: int) -> None:
    core = make_joining()

    assert refusal(ask(core, b"who", report)).code == code
    assert status(core, "d3") is Status.INITIAL
    assert core.epoch == 5


def test_a_report_of_a_node_that_departs_meanwhile_is_refused() -> None:
    core = make_joining()
    list(core.receive(Link.NODES, peer_of("d3"), Leave(1, D3), 0.0))

    effects = ask(core, peer_of("d3"), ready(core))

    detail = "d3@5 is not a member (any more): join again"
    assert effects[-1] == refused(peer_of("d3"), 9, UnknownNodeError.code, detail)


def test_the_report_of_a_session_is_refused() -> None:
    core = make_core()
    enter(core, "s1")
    core.state.apply(Admit(newcomer("s2"), status=Status.INITIAL))

    refused_ = refusal(ask(core, b"p", Ready(9, Incarnation(3, "s2"), OWN, 0)))

    assert refused_.code == DeniedError.code
    assert refused_.detail == "only a data node reports that it is ready"


def test_a_leaving_node_does_not_work_again() -> None:
    core = make_joining()
    report = ready(core)
    core.state.apply(SetStatus(D3, Status.LEAVING))

    refused_ = refusal(ask(core, peer_of("d3"), report))

    assert (refused_.code, refused_.detail) == (
        DeniedError.code,
        "d3@5 is LEAVING and cannot become WORKING",
    )


def test_a_node_that_departed_too_often_works_after_its_wait_and_its_report() -> None:
    core = make_flapping(crashes=3)
    again = enter(core, "d1", life=9, reports_ready=True)
    peer = peer_of("d1", 9)

    refused_ = refusal(ask(core, peer, ready(core, again), 1.0))

    assert refused_.code == NotReadyError.code
    assert refused_.detail == (
        "d1 waits for 4.0 s more, because it departed too often or meta has a new leader: report "
        "again then"
    )
    assert ask(core, peer, ready(core, again), 5.0) == [working_log(again, 11), accepted(peer)]


def test_a_follower_names_the_leader_to_a_node_that_reports() -> None:
    cluster = running()

    (no,) = cluster.request(cluster.followers()[0], Ready(9, D3, OWN, 4))

    assert isinstance(no, Refused)
    assert (no.code, no.address) == (NotLeaderError.code, f"tcp://{cluster.leader()}:9610")


def test_a_report_is_repeated_at_the_next_leader() -> None:
    """The first leader was cut off before a majority had its command."""
    cluster = running()
    old = cluster.leader()
    (first,) = cluster.request(old, Join(1, newcomer("d1"), b"", 0, reports_ready=True))
    assert isinstance(first, MembershipReply)
    (reply,) = cluster.request(old, Join(1, newcomer("d2"), b"", 0, reports_ready=True))
    assert isinstance(reply, MembershipReply)
    membership = reply.membership
    report = Ready(9, reply.incarnation, membership.cluster_id, membership.ring_epoch)
    cluster.run(0.5)
    cluster.cut = {old}
    assert cluster.request(old, report) == []
    rest = cluster.followers()
    while not any(cluster.cores[name].is_leading for name in rest):
        cluster.run(0.05, *rest)
    cluster.wake(old)
    cluster.run(1.0)

    (refused_,) = cluster.answers()
    assert isinstance(refused_, Refused)
    assert refused_.code == NotReadyError.code
    assert refused_.detail == "the leader of meta changed meanwhile: report again"
    leader = cluster.leader()
    assert leader != old
    assert status(cluster.cores[leader], "d2") is Status.INITIAL
    for _ in range(10):
        cluster.run(0.5)
        for incarnation in (first.incarnation, reply.incarnation):
            cluster.request(leader, renew(incarnation, cluster_id=membership.cluster_id))
    assert cluster.request(leader, report) == [Accepted((9,))]
    cluster.run(0.5)
    assert {status(core, "d2") for core in cluster.cores.values()} == {Status.WORKING}
    assert cluster.events().count("member.working") == 1
