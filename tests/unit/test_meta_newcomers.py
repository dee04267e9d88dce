"""When an INITIAL member becomes WORKING: after its wait, and after it has reported."""

from test_meta_core import LEASE, ask, enter, join, make_core, pass_time, peer_of, reply_to
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

from zreg.effects import CLOSED, Link, PeerLost
from zreg.meta.core import MetaCore
from zreg.model import Incarnation, Status

D2 = Incarnation(4, "d2")
D3 = Incarnation(5, "d3")


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
    living = [S1, Incarnation(3, "d1"), D2, D3]
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

    living = [S1, Incarnation(3, "d1"), D2, D3]
    assert pass_time(core, 0.0, 10.0, *living) == []
    assert status(core, "d3") is Status.INITIAL
