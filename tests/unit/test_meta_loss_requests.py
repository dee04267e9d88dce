"""Lost nodes at the leader of meta: who learns of them, and how they are forgotten."""

import pytest
from test_meta_core import LEASE, ask, enter, join, make_core, pass_time, peer_of, renew
from test_meta_departures import D1, D2, S1, happen, make_cluster, report, restarted

from zreg.config import Config
from zreg.effects import CLOSED, INFO, REFUSED, WARNING, Link, Log, PeerLost, Send
from zreg.errors import ForeignClusterError
from zreg.meta.core import MetaCore
from zreg.model import Incarnation, Role
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.membership_messages import DismissLoss, GoneNode, Leave, Renewed
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply

OPERATOR = b"operator"
GONE_SECONDS = Config().gone_seconds


def with_lost_d1() -> MetaCore:
    """Return a leader that has proof that d1 has ended, at 0.2."""
    core = make_cluster()
    report(core)
    happen(core, PeerLost(Link.NODES, peer_of("d1"), CLOSED), 0.1)
    happen(core, PeerLost(Link.CHECKS, "d1@3", REFUSED), 0.2)
    list(core.settle(0.2))
    return core


def told(core: MetaCore, now: float = 1.0) -> tuple[GoneNode, ...]:
    """Return what a renewal of the session tells."""
    (answer,) = ask(core, peer_of("s1"), renew(S1), now)
    assert isinstance(answer, Send)
    assert isinstance(answer.message, Renewed)
    return answer.message.gone


def listed(core: MetaCore, now: float) -> MetaNodesReply:
    (answer,) = ask(core, OPERATOR, FetchMetaNodes(5), now)
    assert isinstance(answer, Send)
    assert isinstance(answer.message, MetaNodesReply)
    return answer.message


def test_each_node_learns_of_a_lost_one_when_it_renews_and_an_operator_when_he_asks() -> None:
    core = with_lost_d1()
    gone = GoneNode(D1, Role.DATA, "tcp://d1:1", "gone", 5, 2, 1, 800, 200)

    assert told(core, 1.0) == listed(core, 1.0).gone == (gone,)
    (problem,) = [each for each in core.health(1.0).problems if each.code == "node-gone"]
    assert problem.detail.startswith("d1 (data, d1:1) has been gone for 0 s")


def test_a_goodbye_is_no_loss() -> None:
    core = make_cluster()
    ask(core, peer_of("d1"), Leave(9, D1))
    list(core.settle(0.0))

    assert told(core) == ()


def test_a_lost_node_that_is_back_is_told_no_more_and_the_log_says_so() -> None:
    core = with_lost_d1()
    ask(core, peer_of("d1", 2), join("d1", life=2), 1.0)

    log = Log(INFO, "member.replaced", {"incarnation": "d1@3"})
    assert log in list(core.settle(1.0))
    assert told(core) == ()
    assert core.health(1.0).problems == ()


def test_the_next_leader_knows_who_was_lost() -> None:
    successor = restarted(with_lost_d1(), 7.0)
    list(successor.settle(7.0))

    (gone,) = told(successor, 8.0)
    assert (gone.incarnation, gone.milliseconds_ago, gone.is_at_least) == (D1, 1000, True)


def test_an_operator_dismisses_a_lost_node() -> None:
    core = with_lost_d1()

    assert ask(core, OPERATOR, DismissLoss(6, "d1")) == [
        Log(INFO, "member.dismissed", {"incarnation": "d1@3"}),
        Send(Link.NODES, OPERATOR, Accepted((6,))),
    ]
    list(core.settle(1.0))
    assert (told(core), core.state.losses) == ((), ())


@pytest.mark.parametrize("node_id", ["d1", "d2", "unknown"])
def test_to_dismiss_what_is_not_lost_is_done_already(node_id: str) -> None:
    core = make_cluster()
    before = core.raft_driver.raft.status().last_index

    assert ask(core, OPERATOR, DismissLoss(6, node_id)) == [
        Send(Link.NODES, OPERATOR, Accepted((6,)))
    ]
    assert core.raft_driver.raft.status().last_index == before


def test_the_loss_of_another_cluster_is_not_dismissed_here() -> None:
    (answer,) = ask(with_lost_d1(), OPERATOR, DismissLoss(6, "d1", b"other"))

    assert isinstance(answer, Send)
    assert isinstance(answer.message, Refused)
    assert answer.message.code == ForeignClusterError.code


def test_a_loss_is_forgotten_after_its_time_and_proposed_once() -> None:
    core = with_lost_d1()
    early, late = 0.1 + GONE_SECONDS, 0.3 + GONE_SECONDS
    core.tick(early)
    list(core.settle(early))
    assert [loss.incarnation for loss in core.state.losses] == [D1]

    before = core.raft_driver.raft.log.last_index
    core.tick(late)
    core.tick(late)
    assert core.raft_driver.raft.log.last_index == before + 1
    list(core.settle(late))
    assert core.state.losses == ()


def test_the_last_node_of_a_role_is_silent_and_the_log_says_so_once() -> None:
    core = make_core()
    s1, d1 = enter(core, "s1"), enter(core, "d1")

    logged = pass_time(core, 0.0, 3 * LEASE, d1)

    fields: dict[str, str | int | float] = {"incarnation": str(s1), "role": "session", "epoch": 3}
    assert logged == [(LEASE, Log(WARNING, "member.silent", fields))]
    assert listed(core, 3 * LEASE).silent == (s1,)
    ask(core, peer_of("s1"), renew(s1, cluster_id=core.membership.cluster_id), 3 * LEASE)
    pass_time(core, 3 * LEASE, 3.2 * LEASE, d1)
    assert listed(core, 3.2 * LEASE).silent == ()


def test_two_lost_nodes_are_told_with_the_last_one_first() -> None:
    core = make_cluster("d3")
    d3 = Incarnation(5, "d3")
    pass_time(core, 0.0, 2.2 * LEASE, S1, d3)

    assert [gone.incarnation for gone in told(core, 2.2 * LEASE)] == [D2, D1]
