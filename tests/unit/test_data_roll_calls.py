"""Before a data node believes a suspicion, each other session shows that it is there."""

import pytest
from data_fakes import calls_of
from test_data_core import (
    BOTH,
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
    make_reconciled,
    membership,
    publish,
    session,
)
from test_data_suspicions import GRACE, S3, lose

from zreg.data.core import DataCore
from zreg.data.sessions.contacts import SessionContacts
from zreg.data.sessions.roll_calls import RollCalls
from zreg.effects import Peer
from zreg.model import Cause, Incarnation, Removal
from zreg.wire.records.data_messages import CompareDigest, NodeHello, Present, UnpublishDatum


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
    contacts = SessionContacts(GRACE)
    contacts.follow(membership(*BOTH, session(S3)), 0.0)
    for peer, each in ((ONE, S1), (TWO, S2), (b"three", S3)):
        contacts.on_node_hello(peer, each, 0.0)
    roll_calls = RollCalls(contacts)
    assert len(roll_calls.call(1.0, 1.0)) == 3

    news = []
    for peer, number in ((TWO, 2), (ONE, 1), (ONE, 1), (b"three", 3)):
        roll_calls.on_present(peer, number)
        news.append((roll_calls.news_count, roll_calls.have_answered(1.0, S3)))
    assert news == [(0, False), (1, True), (1, True), (2, True)]
    assert roll_calls.have_answered(1.0, S1)
    assert not roll_calls.have_answered(1.1, S1)
