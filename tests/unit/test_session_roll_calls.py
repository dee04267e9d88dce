"""A session answers a data node's call once it has passed on what its clients sent before."""

import pytest
from session_client_fakes import make_session, publish
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    CONFIG,
    D1,
    ONE,
    PAY,
    S1_AGAIN,
    TWO,
    Session,
    make_membership,
    to_data,
)

from zreg.effects import Effect, Link, Local, PeerLost, Send
from zreg.errors import NotReadyError
from zreg.session.upstream.registered.replays import GREETING_SECONDS
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import Bye, Hello, ReplayDone
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import Present, PublishDatum, RollCall, WritesWait


def ticked(session: Session) -> list[Effect]:
    """Let a greeting's time pass, and the two ticks come after which all input is read."""
    session.now += GREETING_SECONDS
    effects: list[Effect] = []
    for _ in range(2):
        assert is_due(session)
        effects += [*session.core.tick(session.now), *session.core.settle(session.now)]
    return [effect for effect in effects if getattr(effect, "link", None) is Link.DATA]


HELLO = Hello(PROTOCOL_VERSION, ALICE_ID, app="app")


def presents(effects: list[Effect]) -> list[int]:
    """Return the numbers of the calls that are answered."""
    messages = [effect.message for effect in effects if isinstance(effect, Send)]
    return [message.number for message in messages if isinstance(message, Present)]


def is_due(session: Session) -> bool:
    at = session.core.next_tick_at()
    return at is not None and at <= session.now


def test_it_answers_when_its_input_is_read_and_behind_the_writes_of_that_turn() -> None:
    """A tick waits for input. The client that the data node is asked to remove may have come."""
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, ReplayDone())
    core = session.core
    assert session.hears(D1, RollCall(5)) == []
    assert not is_due(session), "a client that connected meanwhile has yet to greet"
    session.now += GREETING_SECONDS
    assert is_due(session)
    assert [*core.tick(session.now), *core.settle(session.now)] == []

    core.receive(Link.CLIENTS, ALICE, publish(11), session.now)
    assert is_due(session), "the tick before may have been due before the call"
    effects = [*core.tick(session.now), *core.settle(session.now)]
    assert effects == to_data(D1, PublishDatum(1, PAY, ONE), Present(5))
    assert not is_due(session)


def test_a_write_that_waits_for_a_pause_is_told_before_the_answer() -> None:
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, ReplayDone())
    session.says(ALICE, publish(11))
    session.hears(D1, Refused(1, NotReadyError.code, "", 3))

    session.hears(D1, RollCall(5))
    assert session.says(ALICE, publish(12, TWO)) == to_data(D1, WritesWait())

    assert presents(ticked(session)) == [5]


def test_it_waits_for_the_replay_of_a_client_that_greeted_before_the_call() -> None:
    """The client comes from the session that suspects it; its publication is on the way."""
    session = make_session()
    session.says(ALICE, HELLO)
    session.hears(D1, RollCall(5))
    assert ticked(session) == []
    session.says(BOB, Hello(PROTOCOL_VERSION, BOB_ID))

    assert session.says(ALICE, publish(11)) == to_data(D1, PublishDatum(1, PAY, ONE))
    assert not is_due(session)
    session.says(ALICE, ReplayDone())
    assert presents(session.wait(0.01)) == [5], "that of BOB began later"


@pytest.mark.parametrize("peer", [ALICE, b"again"], ids=["same", "other"])
def test_a_client_that_greets_again_in_its_replay_is_waited_for(peer: bytes) -> None:
    """It was asked who it is, or its connection broke: it begins to replay anew."""
    session = make_session()
    session.says(ALICE, HELLO)
    session.hears(D1, RollCall(5))
    assert ticked(session) == []

    session.says(peer, HELLO)
    assert presents(session.wait(0.01)) == []
    session.says(peer, ReplayDone())
    assert presents(session.wait(0.01)) == [5]


def test_a_session_that_joins_again_waits_for_the_clients_that_it_asks() -> None:
    """What its former incarnation had not got accepted is dropped: they publish it again."""
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11))
    session.says(ALICE, ReplayDone())
    session.join(make_membership(D1, epoch=8, session=S1_AGAIN), S1_AGAIN)
    session.come_up("d1@1")
    session.hears(D1, RollCall(5))
    assert presents(ticked(session)) == []

    session.says(ALICE, HELLO)
    session.says(ALICE, ReplayDone())
    assert presents(session.wait(0.01)) == [5]


def test_a_client_whose_connection_another_one_took_is_not_waited_for() -> None:
    session = make_session()
    session.says(ALICE, HELLO)
    session.says(ALICE, Hello(PROTOCOL_VERSION, BOB_ID), ReplayDone())
    session.hears(D1, RollCall(5))

    assert presents(ticked(session)) == [5]


@pytest.mark.parametrize("end", [Bye(), PeerLost(Link.CLIENTS, ALICE)], ids=["bye", "lost"])
def test_a_client_that_is_gone_before_its_replay_is_not_waited_for(end: Message | Local) -> None:
    session = make_session()
    session.says(ALICE, HELLO)
    session.hears(D1, RollCall(5))
    assert ticked(session) == []

    session.turn(Link.LOCAL if isinstance(end, Local) else Link.CLIENTS, ALICE, end)
    assert presents(session.wait(0.01)) == [5]


def test_a_client_that_never_ends_its_replay_holds_a_call_up_for_the_lease_at_most() -> None:
    session = make_session()
    session.says(ALICE, HELLO)
    session.hears(D1, RollCall(5))
    assert ticked(session) == []
    assert presents(session.wait(CONFIG.lease_seconds - GREETING_SECONDS - 0.01)) == []
    session.hears(D1, RollCall(5))

    assert presents(session.wait(0.02)) == [5], "a repeated call does not wait longer"
    session.hears(D1, RollCall(6))
    assert presents(ticked(session)) == [6]


def test_it_answers_the_newest_call_of_each_data_node() -> None:
    session = Session(D1, "d2@2")
    session.wait(0.0)
    session.hears(D1, RollCall(5), RollCall(6))
    session.hears("d2@2", RollCall(9))

    assert ticked(session) == [*to_data(D1, Present(6)), *to_data("d2@2", Present(9))]


def test_a_data_node_that_is_gone_gets_no_answer() -> None:
    session = make_session()
    session.hears(D1, RollCall(5))
    session.local(PeerLost(Link.DATA, D1))

    assert presents(session.wait(1.0)) == []
