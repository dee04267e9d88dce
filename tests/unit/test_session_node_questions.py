"""A session answers for itself about events and statistics, and asks other nodes."""

from dataclasses import dataclass

import pytest
from session_fakes import ALICE, BOB, D1, Session, to_client

from zreg.effects import (
    INFO,
    REFUSED,
    Connect,
    Disconnect,
    Effect,
    Link,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.errors import LimitError, NotReadyError, UnknownMessageError, UnknownNodeError
from zreg.wire.records.common_messages import (
    Event,
    EventsReply,
    FetchEvents,
    FetchStatistics,
    Refused,
    Statistic,
    StatisticsReply,
)

LIFE = b"l" * 16
EVENT = Event(1, 500, INFO, "node.joined", "", "epoch=4")
CONNECT = Connect(Link.EVENTS, D1, "tcp://d1:1")


@dataclass
class Asked:
    """A session that was asked for the events of `d1`, and the connection that it makes."""

    session: Session
    effects: list[Effect]

    def comes_up(self) -> list[Effect]:
        return self.session.local(PeerUp(Link.EVENTS, D1))

    def answers(self, message: EventsReply | Refused) -> list[Effect]:
        return self.session.turn(Link.EVENTS, D1, message)

    def after(self, seconds: float) -> list[Effect]:
        self.session.now += seconds
        effects = list(self.session.core.tick(self.session.now))
        return [each for each in effects if getattr(each, "link", None) in ON_THE_WAY]


ON_THE_WAY = (Link.EVENTS, Link.CLIENTS)


@pytest.fixture
def asked() -> Asked:
    session = Session(D1)
    return Asked(session, session.says(ALICE, FetchEvents(70, "d1", LIFE, 3, 50, "member", 9)))


def refusal_in(effects: list[Effect]) -> Refused:
    (send,) = effects
    assert isinstance(send, Send)
    assert send.link is Link.CLIENTS
    assert isinstance(send.message, Refused)
    return send.message


@pytest.mark.parametrize("node_id", ["", "s1"])
def test_a_session_answers_for_itself(node_id: str) -> None:
    session = Session(D1)
    session.core.events.note(INFO, "node.joined", {"epoch": 4}, session.now - 0.5)

    assert session.says(ALICE, FetchEvents(70, node_id)) == to_client(
        ALICE, EventsReply(70, "s1", b"", 1, (EVENT,))
    )


def test_another_node_is_asked_once_the_connection_to_it_stands(asked: Asked) -> None:
    assert asked.effects == [CONNECT]
    assert asked.comes_up() == [Send(Link.EVENTS, D1, FetchEvents(1, "", LIFE, 3, 50, "member", 9))]

    reply = EventsReply(1, "d1", LIFE, 1, (EVENT,))
    assert asked.answers(reply) == to_client(ALICE, EventsReply(70, "d1", LIFE, 1, (EVENT,)))
    assert asked.answers(reply) == [], "the answer to a request that has ended"


def test_a_connection_serves_all_questions_that_come_meanwhile(asked: Asked) -> None:
    assert asked.session.says(BOB, FetchEvents(8, "d1")) == []
    asked.comes_up()
    assert asked.session.says(BOB, FetchEvents(9, "d1")) == [
        Send(Link.EVENTS, D1, FetchEvents(3, ""))
    ]


def test_a_node_that_cannot_be_reached_is_named_with_the_reason(asked: Asked) -> None:
    effects = asked.session.local(PeerLost(Link.EVENTS, D1, REFUSED))

    assert refusal_in(effects) == Refused(70, NotReadyError.code, "no connection to it (refused)")
    assert asked.session.says(ALICE, FetchEvents(71, "d1")) == [CONNECT], "it is dialled again"


def test_a_node_that_does_not_answer_in_time_is_named(asked: Asked) -> None:
    asked.comes_up()

    refusal = refusal_in(asked.after(1.6))
    assert (refusal.request_id, refusal.code) == (70, NotReadyError.code)
    assert refusal.detail == "no answer within 1 s: it is stopped, overloaded or cut off"


def test_a_question_that_waited_for_a_connection_in_vain_is_not_sent_later(asked: Asked) -> None:
    assert "no connection to it within 1 s" in refusal_in(asked.after(1.6)).detail
    assert asked.comes_up() == []


def test_a_connection_that_is_not_used_is_closed(asked: Asked) -> None:
    asked.comes_up()
    asked.answers(EventsReply(1, "d1", LIFE, 0, ()))

    assert asked.after(9.0) == []
    assert asked.after(1.1) == [Disconnect(Link.EVENTS, D1)]
    assert asked.after(99.0) == []


def test_a_node_of_an_earlier_version_is_named_as_such(asked: Asked) -> None:
    asked.comes_up()
    effects = asked.answers(Refused(1, UnknownMessageError.code, "unknown message tag 77"))

    assert "an earlier version of zreg" in refusal_in(effects).detail


def test_a_node_that_does_not_read_is_left(asked: Asked) -> None:
    asked.comes_up()
    left, refused = asked.session.local(PeerSlow(Link.EVENTS, D1))

    assert left == Disconnect(Link.EVENTS, D1)
    assert refusal_in([refused]).request_id == 70


def test_a_node_that_is_no_member_is_refused() -> None:
    refusal = refusal_in(Session(D1).says(ALICE, FetchEvents(70, "d9")))

    assert (refusal.code, "'d9' is a member" in refusal.detail) == (UnknownNodeError.code, True)


def test_the_questions_under_way_are_bounded(asked: Asked) -> None:
    for number in range(199):
        assert asked.session.says(ALICE, FetchEvents(100 + number, "d1")) == []

    refusal = refusal_in(asked.session.says(ALICE, FetchEvents(400, "d1")))
    assert (refusal.request_id, refusal.code) == (400, LimitError.code)


def test_statistics_are_asked_over_the_same_connection(asked: Asked) -> None:
    asked.comes_up()

    assert asked.session.says(BOB, FetchStatistics(8, "d1")) == [
        Send(Link.EVENTS, D1, FetchStatistics(2, ""))
    ]
    numbers = (Statistic("datums", 3),)
    assert asked.answers(StatisticsReply(2, "d1", LIFE, 77, numbers)) == to_client(
        BOB, StatisticsReply(8, "d1", LIFE, 77, numbers)
    )


def test_a_session_answers_its_own_statistics() -> None:
    session = Session(D1)
    (reply,) = session.says(ALICE, FetchStatistics(70, "s1"))

    assert isinstance(reply, Send)
    assert isinstance(reply.message, StatisticsReply)
    assert (reply.message.request_id, reply.message.node_id) == (70, "s1")
    names = {each.name for each in reply.message.statistics}
    assert {"clients", "publishers", "publishes", "pushes"} <= names
