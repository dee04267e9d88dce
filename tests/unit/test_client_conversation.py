"""Requests to the session: repeated until they are answered, each with its own pause."""

import math

import pytest
from client_fakes import P1, P2, PAY, connected, hear, local, say

from zreg.client.core.commands import SetPublication
from zreg.client.core.conversation import Conversation, Requester
from zreg.effects import Link, PeerSlow
from zreg.wire.client_messages import Publish, ReplayDone
from zreg.wire.common_messages import Accepted, Ping, Pong
from zreg.wire.data_messages import ListDatums
from zreg.wire.messages import WireMessage


def test_an_unanswered_request_is_repeated_with_growing_pauses() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    sent_at = []
    now = 0.0
    while now < 70.0:
        now += 0.5
        hear(core, Pong(), now)
        effects = [e for e in core.tick(now) if e != say(Ping())]
        if effects:
            sent_at.append(now)
            assert effects == [say(Publish(len(sent_at) + 1, P1, 1, PAY, b"x"))]

    assert sent_at == [1.0, 3.0, 7.0, 15.0, 23.0, 31.0, 39.0, 47.0, 55.0, 63.0]


def test_each_request_has_a_pause_of_its_own() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"), 0.0)
    local(core, SetPublication(P2, PAY, b"y"), 0.5)

    assert core.tick(1.0) == [say(Publish(3, P1, 1, PAY, b"x")), say(Ping())]
    assert core.next_tick_at() == pytest.approx(1.0 + 3.0 / 16)
    assert core.tick(1.5) == [say(Publish(4, P2, 1, PAY, b"y"))]


def test_a_replay_that_was_dropped_in_part_is_ended_again_once_all_is_answered() -> None:
    core = connected()
    local(core, SetPublication(P1, PAY, b"x"))
    assert local(core, PeerSlow(Link.SESSION, "session-1")) == []

    assert core.tick(0.1) == []
    hear(core, Accepted((1,)), 0.2)
    assert core.tick(0.3) == [say(ReplayDone())]
    assert core.tick(0.4) == []


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

    assert conversation.send_due(1.3) == [say(ListDatums(4, "*")), say(ListDatums(5, "*"))]
    assert conversation.next_retry_at == pytest.approx(1.4)


def test_ids_are_not_used_again_after_a_reconnect() -> None:
    conversation = open_conversation()
    conversation.request(Question(), 0.0)
    conversation.close()
    assert len(conversation) == 1

    conversation.peer = "session-2"
    conversation.open()
    assert len(conversation) == 0
    assert conversation.request(Question(), 1.0) == (say(ListDatums(2, "*"), "session-2"),)


def test_a_lost_connection_owes_no_end_of_its_replay() -> None:
    conversation = open_conversation()
    conversation.on_messages_dropped()
    conversation.close()
    conversation.open()

    assert conversation.send_due(0.0) == []


def test_a_ping_is_due_when_nothing_was_sent_or_nothing_was_heard() -> None:
    conversation = open_conversation()
    conversation.request(Question(), 0.5)
    assert conversation.ping_due_at(1.0) == 1.0
    conversation.heard_at = 0.8
    assert conversation.ping_due_at(1.0) == 1.5
    assert conversation.ping(1.5) == say(Ping())
    assert conversation.ping_due_at(1.0) == 2.5
