"""Answers that clients get once, at the end of a turn."""

from session_fakes import ALICE, BOB, to_client

from zreg.session.clients.turn_answers import TurnAnswers
from zreg.wire.records.client_messages import WhoAreYou
from zreg.wire.records.common_messages import Accepted


def test_the_accepted_requests_of_a_client_are_one_message_a_turn() -> None:
    answers = TurnAnswers()
    answers.accept(ALICE, 1)
    answers.accept(BOB, 7)
    answers.accept(ALICE, 2)

    assert answers.settle() == [
        *to_client(ALICE, Accepted((1, 2))),
        *to_client(BOB, Accepted((7,))),
    ]
    assert answers.settle() == []


def test_more_accepted_requests_than_a_record_takes_are_several_records() -> None:
    """A client that registers 12,000 ids in a burst has all of them accepted in one turn."""
    answers = TurnAnswers()
    for request_id in range(12_000):
        answers.accept(ALICE, request_id)

    assert answers.settle() == to_client(
        ALICE,
        Accepted(tuple(range(10_000))),
        Accepted(tuple(range(10_000, 12_000))),
    )


def test_an_unidentified_peer_is_asked_who_it_is_once_a_turn() -> None:
    answers = TurnAnswers()
    answers.ask_who(ALICE)
    answers.ask_who(ALICE)

    assert answers.settle() == to_client(ALICE, WhoAreYou())
    assert answers.settle() == []


def test_a_peer_that_has_said_hello_is_not_asked() -> None:
    answers = TurnAnswers()
    answers.ask_who(ALICE)
    answers.on_hello(ALICE)
    answers.on_hello(BOB)

    assert answers.settle() == []
