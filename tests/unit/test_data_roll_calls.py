"""Before a data node believes a suspicion, each other session shows that it is there."""

import pytest
from data_fakes import calls_of
from test_data_core import (
    BOTH,
    CONFIG,
    NAME,
    ONE,
    P1,
    P2,
    S1,
    S2,
    TWO,
    ask,
    follow,
    held,
    make_publisher,
    make_reconciled,
    membership,
    publish,
    session,
)
from test_data_suspicions import GRACE, S3, lose

from zreg.data.core import DataCore
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.roll_calls import RollCalls
from zreg.effects import CLOSED, Link, Peer, PeerLost
from zreg.errors import UnknownNodeError
from zreg.model import Cause, Incarnation, Removal, Role
from zreg.wire.record import Message
from zreg.wire.records.data_messages import (
    ClientWaits,
    CompareDigest,
    NodeHello,
    Present,
    UnpublishDatum,
    WritesWait,
)


def make_core() -> DataCore:
    """Return a reconciled core that holds two publishers of S1."""
    core = make_reconciled()
    publish(core, P1)
    publish(core, P2)
    core.settle(0.0)
    return core


def suspect(core: DataCore, publisher_id: bytes, now: float) -> None:
    removal = Removal(publisher_id, 1, Cause.CLOSED, S1)
    assert ask(core, UnpublishDatum(7, NAME, (removal,)), now) == []


def calls(core: DataCore, now: float) -> dict[Peer, int]:
    """End a turn; return the numbers of the calls by session."""
    return {call.peer: call.message.number for call in calls_of(core.settle(now))}


def answer(core: DataCore, number: int, now: float, peer: bytes = TWO) -> None:
    assert ask(core, Present(number), now, peer=peer) == []


def test_the_session_that_suspects_need_not_answer_and_the_others_have_to() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2}
    assert P1 in held(core)

    answer(core, 2, 1.1)
    core.settle(1.1)
    assert P1 not in held(core)


def test_the_only_session_is_believed_at_once() -> None:
    core = make_core()
    follow(core, membership(session(S1), epoch=8))
    suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {}
    assert P1 not in held(core)


def test_an_answer_to_a_call_that_was_sent_before_the_suspicion_proves_nothing() -> None:
    """The session may have been cut off between both."""
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    suspect(core, P2, 1.5)
    assert calls(core, 1.5) == {}, "one call at a time"

    answer(core, 2, 1.6)
    assert calls(core, 1.6) == {TWO: 3}
    assert list(held(core)) == [P2]
    answer(core, 3, 1.7)
    core.settle(1.7)
    assert list(held(core)) == []


def test_a_call_without_an_answer_is_repeated_with_its_number() -> None:
    """It may have been dropped. A session that only answers late answers each."""
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2}
    answer(core, 1, 1.1, peer=ONE)
    assert calls(core, 1.9) == {}

    assert calls(core, 2.0) == {TWO: 2}
    assert calls(core, 2.9) == {}
    assert calls(core, 3.0) == {TWO: 2}
    answer(core, 2, 3.1)
    core.settle(3.1)
    assert P1 not in held(core)
    assert calls(core, 9.0) == {}, "nothing waits"


@pytest.mark.parametrize(("peer", "number"), [(TWO, 1), (TWO, 3), (b"stranger", 2), (ONE, 2)])
def test_the_answer_of_another_or_to_another_call_is_ignored(peer: bytes, number: int) -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2}

    answer(core, number, 1.1, peer=peer)
    core.settle(1.1)
    assert P1 in held(core)


def test_a_session_that_connects_again_is_called_again() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    lose(core, TWO, 1.1)
    assert calls(core, 1.1) == {}, "it is waited for as one that is not heard"

    ask(core, NodeHello(S2), 1.2, peer=b"again")
    assert calls(core, 1.2) == {b"again": 3}
    answer(core, 3, 1.3, peer=b"again")
    core.settle(1.3)
    assert P1 not in held(core)


def test_a_session_that_is_lost_and_takes_no_clients_in_is_not_waited_for() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    follow(core, membership(session(S1), epoch=8), 1.1)

    core.settle(1.1)
    assert P1 not in held(core)


def test_any_connection_of_a_session_may_answer() -> None:
    """Its former one may be dead, which nobody has noticed yet."""
    core = make_core()
    ask(core, NodeHello(S2), peer=b"again")
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2, b"again": 3}

    answer(core, 3, 1.1, peer=b"again")
    core.settle(1.1)
    assert P1 not in held(core)


def test_a_session_that_joins_meanwhile_is_called_too() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    assert calls(core, 1.0)[TWO] == 2
    follow(core, membership(*BOTH, session(S3), epoch=8), 1.1)
    ask(core, CompareDigest(8, 0, 0), 1.1, peer=TWO)
    ask(core, NodeHello(S3), 1.1, peer=b"three")

    answer(core, 2, 1.2)
    assert calls(core, 1.2) == {b"three": 3}
    assert P1 in held(core)
    answer(core, 3, 1.3, peer=b"three")
    core.settle(1.3)
    assert P1 not in held(core)


CLIENT = make_publisher(P1).client_id
UNADMITTED = NodeHello(Incarnation(0, "s3"), Role.SESSION, is_member=False)


@pytest.mark.parametrize("hello", [UNADMITTED, NodeHello(S3, Role.SESSION, is_member=False)])
def test_a_session_that_is_no_member_is_called_too(hello: NodeHello) -> None:
    """Meta has not admitted it, or takes it for dead. A client may wait there all the same."""
    core = make_core()
    ask(core, hello, 0.5, peer=b"three")
    suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {ONE: 1, TWO: 2, b"three": 3}
    answer(core, 2, 1.1)
    core.settle(1.1)
    assert P1 in held(core)
    answer(core, 3, 1.2, peer=b"three")
    core.settle(1.2)
    assert P1 not in held(core)


def test_a_session_that_is_no_member_holds_the_suspicion_of_a_client_that_waits() -> None:
    """It becomes one with the client of P1, which replays there."""
    core = make_core()
    ask(core, UNADMITTED, 0.5, peer=b"three")
    ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2, b"three": 3}
    answer(core, 2, 1.1)
    answer(core, 3, 1.1, peer=b"three")
    core.settle(5.0)
    assert P1 in held(core)

    follow(core, membership(*BOTH, session(S3), epoch=8), 6.0)
    ask(core, NodeHello(S3), 6.0, peer=b"three")
    ask(core, CompareDigest(7, 0, 0, do_writes_wait=True), 6.0, peer=b"three")
    core.settle(6.0)
    assert P1 in held(core)
    ask(core, CompareDigest(7, 0, 0), 6.1, peer=b"three")
    core.settle(6.1)
    assert P1 not in held(core)


@pytest.mark.parametrize(
    "waits",
    [
        [ClientWaits(b"another client")],
        [ClientWaits(CLIENT), ClientWaits(CLIENT, is_waiting=False)],
        # The client waits at a session that is a member now, and has nothing to send.
        [ClientWaits(CLIENT), NodeHello(S3, Role.SESSION), CompareDigest(7, 0, 0)],
        # It waited where a session has said that writes wait, and said then that it is no member.
        [WritesWait(), UNADMITTED],
    ],
    ids=["another", "no more", "admitted", "lost"],
)
def test_a_session_that_is_no_member_holds_no_other_suspicion(waits: list[Message]) -> None:
    core = make_core()
    for each in [UNADMITTED, *waits]:
        ask(core, each, 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    for peer, number in calls(core, 1.0).items():
        answer(core, number, 1.1, peer=peer)
    core.settle(1.1)
    assert P1 not in held(core)


def test_a_client_that_waits_no_more_lets_its_suspicion_be_judged() -> None:
    core = make_core()
    ask(core, UNADMITTED, 0.5, peer=b"three")
    ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    for peer, number in calls(core, 1.0).items():
        answer(core, number, 1.1, peer=peer)
    core.settle(1.1)
    assert P1 in held(core)

    ask(core, ClientWaits(CLIENT, is_waiting=False), 2.0, peer=b"three")
    core.settle(2.0)
    assert P1 not in held(core)


def test_a_client_waits_at_no_connection_that_has_not_said_which_session_it_is() -> None:
    core = make_core()

    (refused,) = ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    assert refused.message.code == UnknownNodeError.code


def test_a_session_that_is_no_member_and_never_answers_is_waited_for_a_lease_long() -> None:
    """Meta would end the lease of a member. This one has none."""
    core = make_core()
    ask(core, UNADMITTED, 0.5, peer=b"three")
    ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    assert calls(core, 1.0) == {ONE: 1, TWO: 2, b"three": 3}
    answer(core, 2, 1.1)
    end = 1.0 + CONFIG.lease_seconds
    for now in (end - 2.0, end - 1.0):
        core.settle(now)
        assert P1 in held(core)
    core.settle(end)
    core.settle(end)
    assert P1 not in held(core)

    suspect(core, P2, 10.0)
    assert b"three" not in calls(core, 10.0)


def test_a_departed_session_that_says_nothing_of_it_is_not_called() -> None:
    """It is stopped, or cut off, and serves no client."""
    core = make_core()
    ask(core, NodeHello(S3), 0.5, peer=b"three")
    suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {ONE: 1, TWO: 2}


def test_a_session_that_is_no_member_and_is_gone_is_not_waited_for_or_reported() -> None:
    core = make_core()
    ask(core, UNADMITTED, 0.5, peer=b"three")
    ask(core, ClientWaits(CLIENT), 0.5, peer=b"three")
    suspect(core, P1, 1.0)
    calls(core, 1.0)
    answer(core, 2, 1.1)

    lost = PeerLost(Link.REQUESTS, b"three", CLOSED)
    assert core.receive(Link.LOCAL, "", lost, 1.2) == []
    core.settle(1.2)
    assert P1 not in held(core)


def test_a_session_that_never_answers_delays_a_suspicion_for_the_grace_at_most() -> None:
    core = make_core()
    suspect(core, P1, 1.0)
    core.settle(1.0)

    core.settle(GRACE + 0.9)
    assert P1 in held(core)
    core.settle(GRACE + 1.0)
    assert P1 not in held(core)


def test_many_suspicions_cost_one_call_for_each_session() -> None:
    core = make_core()
    for _ in range(100):
        suspect(core, P1, 1.0)

    assert calls(core, 1.0) == {ONE: 1, TWO: 2}
    assert [calls(core, 1.0) for _ in range(5)] == 5 * [{}]


def test_a_frozen_session_costs_no_look_at_all_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn, and each answer of another session, looks at the first of each session."""
    core = make_core()
    follow(core, membership(*BOTH, session(S3), epoch=8), 0.5)
    ask(core, NodeHello(S3), 0.5, peer=b"three")
    for _ in range(1000):
        suspect(core, P1, 1.0)
    called = calls(core, 1.0)
    looks = 0
    have_answered = RollCalls.have_answered

    def counted(self: RollCalls, since: float, suspecting: Incarnation | None) -> bool:
        nonlocal looks
        looks += 1
        return have_answered(self, since, suspecting)

    monkeypatch.setattr(RollCalls, "have_answered", counted)
    for number in range(10):
        suspect(core, P2, 1.1 + number)
        answer(core, called.pop(TWO), 1.2 + number)
        called = calls(core, 1.2 + number)
    assert core.statistics()["suspicions"] == 1010
    assert looks < 50


def test_the_last_answer_of_a_roll_is_news() -> None:
    """Before it, nothing that waits can be judged."""
    contacts = SessionContacts(CONFIG)
    contacts.follow(membership(*BOTH, session(S3)), 0.0)
    for peer, each in ((ONE, S1), (TWO, S2), (b"three", S3)):
        contacts.on_node_hello(peer, each, 0.0)
    roll_calls = RollCalls(contacts, 3.0)
    assert len(roll_calls.call(1.0, 1.0)) == 3

    news = []
    for peer, number in ((TWO, 2), (ONE, 1), (ONE, 1), (b"three", 3)):
        roll_calls.on_present(peer, number)
        news.append((roll_calls.news_count, roll_calls.have_answered(1.0, S3)))
    assert news == [(0, False), (1, True), (1, True), (2, True)]
    assert roll_calls.have_answered(1.0, S1)
    assert not roll_calls.have_answered(1.1, S1)
