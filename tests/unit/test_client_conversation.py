"""Requests to the session: repeated until they are answered, each with its own pause."""

import math

import pytest
from client_fakes import (
    HELLO,
    P1,
    P2,
    PAY,
    V1,
    WELCOME,
    A,
    connected,
    following,
    hear,
    local,
    publisher,
    replayed,
    say,
)

from zreg.client.core.commands import Registered, SessionReached, SetPublication
from zreg.client.core.conversation import Conversation, Requester
from zreg.effects import Effect, Emit, Link, PeerSlow
from zreg.model import Scope
from zreg.primitives.digest import view_digest
from zreg.wire.messages import WireMessage
from zreg.wire.records.client_messages import Publish, ReplayDone, Subscribe
from zreg.wire.records.common_messages import Accepted, Ping, Pong
from zreg.wire.records.data_messages import ListDatums


def test_an_unanswered_request_is_repeated_with_growing_pauses() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    sent_at = []
    now = 0.0
    while now < 125.0:
        now += 0.5
        hear(core, Pong(), now)
        effects = [e for e in core.tick(now) if e != say(Ping())]
        if effects:
            sent_at.append(now)
            assert effects == [say(Publish(1, P1, 1, PAY, b"x"))], "the id stays"

    assert sent_at == [1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0, 121.0]


def test_an_answer_counts_however_late_it_comes() -> None:
    """A session that needs 4 s for an answer gets three requests, and not one each second."""
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    sent: list[Effect] = []
    for tenth in range(1, 40):
        hear(core, Pong(), tenth / 10)
        sent += [effect for effect in core.tick(tenth / 10) if effect != say(Ping())]

    assert sent == [say(Publish(1, P1, 1, PAY, b"x"))] * 2
    assert hear(core, Accepted((1,)), 4.0) == [Emit(Registered((P1,)))]
    assert hear(core, Accepted((1,)), 4.1) == []


def test_a_changed_publication_has_an_id_of_its_own_also_while_it_is_repeated() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    core.tick(1.0)
    assert local(core, SetPublication(P1, PAY, b"y"), 1.5) == [say(Publish(2, P1, 2, PAY, b"y"))]

    assert hear(core, Accepted((1,)), 1.6) == []
    assert core.statistics()["unanswered"] == 1
    assert hear(core, Accepted((2,)), 1.7) == [Emit(Registered((P1,)))]


def test_each_request_has_a_pause_of_its_own() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"), 0.0)
    local(core, SetPublication(P2, PAY, b"y"), 0.5)

    assert core.tick(1.0) == [say(Publish(1, P1, 1, PAY, b"x")), say(Ping())]
    assert core.next_tick_at() == pytest.approx(1.0 + 3.0 / 16)
    assert core.tick(1.5) == [say(Publish(2, P2, 1, PAY, b"y"))]


def test_a_client_whose_messages_were_dropped_replays_when_the_session_reads_again() -> None:
    """An acknowledgement and a ReplayDone are never repeated by themselves."""
    core = following()
    assert local(core, PeerSlow(Link.SESSION, "session-1"), 0.2) == []
    hear(core, Accepted((99,)), 0.5)

    assert core.next_tick_at() == pytest.approx(3.0 / 16)
    assert core.tick(1.0) == [say(Ping())], "although the session was heard"
    assert core.tick(1.9) == []
    assert core.tick(2.0) == [say(Ping())], "the first may have been dropped, too"
    assert hear(core, Pong(), 2.1) == [Emit(SessionReached(A)), say(HELLO)]
    subscribe = Subscribe(2, PAY, Scope.GLOBAL, V1, view_digest([publisher()]))
    assert replayed(hear(core, WELCOME, 2.2)) == [say(subscribe), say(ReplayDone())]
    assert hear(core, Pong(), 2.3) == [], "once"


def test_a_hello_that_was_dropped_is_said_again_with_each_pong() -> None:
    core = connected()
    local(core, PeerSlow(Link.SESSION, "session-1"))
    for now in (1.0, 2.0):
        assert hear(core, Pong(), now) == [Emit(SessionReached(A)), say(HELLO)]
        assert core.tick(now + 0.9) == []

    assert replayed(hear(core, WELCOME, 2.95)) == [say(ReplayDone())]


class Question(Requester):
    """A requester that numbers its messages."""

    def message(self, request_id: int) -> WireMessage:
        return ListDatums(request_id, "*")


def open_conversation() -> Conversation:
    conversation = Conversation(retry_seconds=1.0)
    conversation.peer = "session-1"
    conversation.open()
    return conversation


def test_nothing_is_requested_before_the_conversation_is_open() -> None:
    conversation = Conversation(retry_seconds=1.0)

    assert conversation.request(Question(), 0.0) == ()
    assert (len(conversation), conversation.next_retry_at) == (0, math.inf)


def test_only_the_newest_request_of_a_requester_has_an_owner() -> None:
    conversation, question = open_conversation(), Question()
    conversation.request(question, 0.0)
    conversation.request(question, 0.1)

    assert (conversation.owner(1), conversation.owner(2)) == (None, question)
    assert conversation.take(1) is None
    assert conversation.take(2) is question
    assert conversation.take(2) is None


def test_a_cancelled_request_is_not_repeated() -> None:
    conversation, question = open_conversation(), Question()
    conversation.request(question, 0.0)
    conversation.cancel(question)

    assert conversation.send_due(9.0) == []


def test_requests_are_repeated_in_the_order_in_which_they_were_sent() -> None:
    conversation = open_conversation()
    for now in (0.0, 0.2, 0.4):
        conversation.request(Question(), now)

    assert conversation.send_due(1.3) == [say(ListDatums(1, "*")), say(ListDatums(2, "*"))]
    assert conversation.next_retry_at == pytest.approx(1.4)
    assert conversation.send_due(1.4) == [say(ListDatums(3, "*"))]
    assert conversation.next_retry_at == pytest.approx(3.3)


def test_a_repetition_touches_only_the_requests_that_are_due() -> None:
    conversation = open_conversation()
    for number in range(1000):
        conversation.request(Question(), number / 1000)

    for number in range(1000):
        assert conversation.send_due(1.0 + number / 1000) == [say(ListDatums(number + 1, "*"))]
    assert len(conversation) == 1000
    assert conversation.take(500) is not None
    assert conversation.owner(500) is None


def test_a_first_pause_above_the_longest_one_stays() -> None:
    conversation = Conversation(retry_seconds=60.0)
    conversation.open()
    conversation.request(Question(), 0.0)

    conversation.send_due(60.0)
    assert conversation.next_retry_at == 120.0


def test_ids_are_not_used_again_after_a_reconnect() -> None:
    conversation = open_conversation()
    conversation.request(Question(), 0.0)
    conversation.close()
    assert len(conversation) == 1

    conversation.peer = "session-2"
    conversation.open()
    assert len(conversation) == 0
    assert conversation.request(Question(), 1.0) == (say(ListDatums(2, "*"), "session-2"),)


def test_a_ping_is_due_when_nothing_was_sent_or_nothing_was_heard() -> None:
    conversation = open_conversation()
    conversation.request(Question(), 0.5)
    assert conversation.ping_due_at(1.0) == 1.0
    conversation.heard_at = 0.8
    assert conversation.ping_due_at(1.0) == 1.5
    assert conversation.ping(1.5) == say(Ping())
    assert conversation.ping_due_at(1.0) == 2.5


def test_what_was_dropped_on_a_lost_connection_does_not_matter_on_the_next() -> None:
    conversation = open_conversation()
    conversation.has_dropped = True
    conversation.close()

    assert not conversation.has_dropped
