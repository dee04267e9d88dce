"""What meta's leader knows of the clients of sessions, and what it tells each of them."""

import pytest
from test_meta_core import ask, enter, make_core, peer_of

from zreg.effects import Link, Send
from zreg.meta.members.memory.client_counts import ClientCounts
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status
from zreg.wire.records.membership_messages import Renew, Renewed, SessionLoad, SessionLoads
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply

S1, S2, S3, S4 = (Incarnation(number, f"s{number}") for number in range(1, 5))


def membership(*sessions: Incarnation) -> Membership:
    members = tuple(
        Member(each.node_id, Role.SESSION, each.epoch, Status.WORKING, f"tcp://{each.node_id}:1")
        for each in sessions
    )
    return Membership(b"own", 9, 0, RingParameters(), members)


def renew(session: Incarnation, client_count: int | None) -> Renew:
    return Renew(1, session, b"own", 9, client_count=client_count)


def counted(*counts: int) -> ClientCounts:
    """Return the counts that `s1`, `s2`, … have told."""
    found = ClientCounts(0.25)
    sessions = (S1, S2, S3, S4)[: len(counts)]
    found.follow(membership(*sessions))
    for session, count in zip(sessions, counts, strict=True):
        found.note(renew(session, count))
    return found


def test_sessions_below_the_mean_are_named_the_one_with_the_fewest_first() -> None:
    assert counted(9, 1, 0).loads(0.0) == SessionLoads(
        3, 10, (SessionLoad(S3, 0), SessionLoad(S2, 1))
    )


def test_a_session_that_lacks_much_less_than_another_is_not_named() -> None:
    assert counted(20, 9, 1).loads(0.0) == SessionLoads(3, 30, (SessionLoad(S3, 1),))


@pytest.mark.parametrize("counts", [(5, 5, 5), (0, 0), (7,)])
def test_no_session_is_named_if_all_have_the_same(counts: tuple[int, ...]) -> None:
    assert counted(*counts).loads(0.0) == SessionLoads(len(counts), sum(counts))


def test_nothing_is_told_as_long_as_a_session_has_not_told() -> None:
    counts = counted(9, 1)
    counts.follow(membership(S1, S2, S3))
    counts.note(renew(S3, None))
    assert counts.loads(0.0) is None
    counts.note(renew(S3, 2))

    assert counts.loads(0.2) is None, "it is worked out again a moment later"
    assert counts.loads(0.25) == SessionLoads(3, 12, (SessionLoad(S2, 1), SessionLoad(S3, 2)))


def test_nothing_is_told_without_sessions() -> None:
    assert ClientCounts(0.25).loads(0.0) is None


def test_a_session_that_departed_is_forgotten() -> None:
    counts = counted(9, 1, 0)
    counts.follow(membership(S1, S2))

    assert counts.loads(0.0) == SessionLoads(2, 10, (SessionLoad(S2, 1),))
    assert counts.all() == (SessionLoad(S1, 9), SessionLoad(S2, 1))


def test_a_new_leader_is_told_again() -> None:
    counts = counted(9, 1)
    counts.begin()

    assert counts.loads(0.0) is None
    assert counts.all() == ()


def test_at_most_eight_sessions_are_named() -> None:
    counts = ClientCounts(0.25)
    for number in range(100):
        counts.note(renew(Incarnation(number, "s"), 1000 if number == 99 else 0))
    loads = counts.loads(0.0)

    assert loads is not None
    assert [load.session.epoch for load in loads.lighter] == list(range(8))


def test_meta_tells_sessions_how_clients_are_spread_and_no_epoch_rises() -> None:
    core = make_core()
    sessions = [enter(core, name) for name in ("s1", "s2")]
    data = enter(core, "d1")
    epoch = core.epoch
    now = 1.0
    for session, count in zip(sessions, (6, 0), strict=True):
        own = Renew(8, session, b"own" * 5, epoch, client_count=count)
        ask(core, peer_of(session.node_id), own, now)
        now += 0.3

    loads = SessionLoads(2, 6, (SessionLoad(sessions[1], 0),))
    own = Renew(9, sessions[0], b"own" * 5, epoch, client_count=6)
    answers = ask(core, peer_of("s1"), own, now)
    assert answers == [Send(Link.NODES, peer_of("s1"), Renewed(9, epoch, loads))]
    of_data = ask(core, peer_of("d1"), Renew(8, data, b"own" * 5, epoch), now)
    assert of_data == [Send(Link.NODES, peer_of("d1"), Renewed(8, epoch))]
    (listed,) = ask(core, b"p", FetchMetaNodes(9), now)
    assert isinstance(listed, Send)
    assert isinstance(listed.message, MetaNodesReply)
    assert listed.message.session_loads == tuple(map(SessionLoad, sessions, (6, 0)))


def test_a_session_of_an_earlier_version_is_told_nothing() -> None:
    core = make_core()
    session = enter(core, "s1")
    epoch = core.epoch

    answers = ask(core, peer_of("s1"), Renew(8, session, b"own" * 5, epoch), 1.0)
    assert answers == [Send(Link.NODES, peer_of("s1"), Renewed(8, epoch))]
