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
    TWO,
    Session,
    to_data,
)

from zreg.effects import Effect, Link, Local, PeerLost, Send
from zreg.errors import NotReadyError
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import Bye, Hello, ReplayDone
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import Present, PublishDatum, RollCall, WritesWait


def ticked(session: Session) -> list[Effect]:
    """Return the effects of the next tick, which has to be due at once."""
    assert session.core.next_tick_at() == session.now
    effects = list(session.core.tick(session.now))
    return effects + list(session.core.settle(session.now))


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
    core, now = session.core, session.now

    assert core.receive(Link.DATA, D1, RollCall(5), now) == ()
    core.receive(Link.CLIENTS, ALICE, publish(11), now)

    assert ticked(session) == to_data(D1, PublishDatum(1, PAY, ONE), Present(5))
    assert not is_due(session)


def test_a_write_that_waits_for_a_pause_is_told_before_the_answer() -> None:
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, ReplayDone())
    session.says(ALICE, publish(11))
    session.hears(D1, Refused(1, NotReadyError.code, "", 3))

    core, now = session.core, session.now
    core.receive(Link.DATA, D1, RollCall(5), now)
    core.receive(Link.CLIENTS, ALICE, publish(12, TWO), now)

    assert ticked(session) == to_data(D1, WritesWait(), Present(5))


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
    assert ticked(session) == to_data(D1, Present(5)), "that of BOB began later"


@pytest.mark.parametrize("end", [Bye(), PeerLost(Link.CLIENTS, ALICE)], ids=["bye", "lost"])
def test_a_client_that_is_gone_before_its_replay_is_not_waited_for(end: Message | Local) -> None:
    session = make_session()
    session.says(ALICE, HELLO)
    session.hears(D1, RollCall(5))
    assert ticked(session) == []

    session.turn(Link.LOCAL if isinstance(end, Local) else Link.CLIENTS, ALICE, end)
    assert ticked(session) == to_data(D1, Present(5))


def test_a_client_that_never_ends_its_replay_holds_a_call_up_for_the_lease_at_most() -> None:
    session = make_session()
    session.says(ALICE, HELLO)
    session.hears(D1, RollCall(5))
    assert ticked(session) == []
    assert presents(session.wait(CONFIG.lease_seconds - 0.1)) == []
    session.hears(D1, RollCall(5))

    assert presents(session.wait(0.1)) == [5], "a repeated call does not wait longer"
    session.hears(D1, RollCall(6))
    assert presents(session.wait(0.01)) == [6]


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

    effects = [*session.core.tick(session.now), *session.core.settle(session.now)]

    assert [each for each in effects if getattr(each, "link", None) is Link.DATA] == []
