"""Commands on their way from the API to the core: in order, one for each publisher id."""

from zreg.client.core.commands import (
    AddSubscription,
    DropSubscription,
    SetPublication,
    WithdrawPublication,
)
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.model import DataInfoId, Scope

P1, P2 = b"1" * 16, b"2" * 16
PAY = DataInfoId("pay#@#I#@#G")


def publish(publisher_id: bytes, body: bytes) -> SetPublication:
    return SetPublication(publisher_id, PAY, body)


def test_commands_are_taken_once_and_in_their_order() -> None:
    queue = OutgoingQueue()
    commands = [publish(P1, b"a"), AddSubscription(1, PAY, Scope.ZONE), publish(P2, b"b")]
    queue.put_publication(commands[0])
    queue.put(commands[1])
    queue.put_publication(commands[2])
    assert len(queue) == 3

    assert queue.take_all() == commands
    assert queue.take_all() == []


def test_a_republish_replaces_its_predecessor_in_its_place() -> None:
    queue = OutgoingQueue()
    queue.put_publication(publish(P1, b"old"))
    queue.put_publication(publish(P2, b"b"))
    queue.put_publication(publish(P1, b"new"))

    assert queue.take_all() == [publish(P1, b"new"), publish(P2, b"b")]


def test_equal_commands_that_are_not_about_publications_stay_apart() -> None:
    queue = OutgoingQueue()
    queue.put(DropSubscription(1))
    queue.put(DropSubscription(1))

    assert queue.take_all() == [DropSubscription(1), DropSubscription(1)]


def test_a_publication_that_the_core_never_got_needs_no_withdrawal() -> None:
    queue = OutgoingQueue()
    queue.put_publication(publish(P1, b"a"))
    queue.put_withdrawal(P1)

    assert (queue.holds(P1), queue.is_in_core(P1)) == (False, False)
    assert queue.take_all() == []


def test_a_withdrawal_replaces_a_republish_that_has_not_left() -> None:
    queue = OutgoingQueue()
    queue.put_publication(publish(P1, b"a"))
    queue.take_all()
    queue.put_publication(publish(P1, b"b"))
    queue.put_withdrawal(P1)

    assert (queue.holds(P1), queue.is_in_core(P1)) == (True, True)
    assert queue.take_all() == [WithdrawPublication(P1)]
    assert queue.is_in_core(P1) is False


def test_a_publish_after_a_withdrawal_that_has_not_left_replaces_it() -> None:
    queue = OutgoingQueue()
    queue.put_publication(publish(P1, b"a"))
    queue.take_all()
    queue.put_withdrawal(P1)
    queue.put_publication(publish(P1, b"b"))

    assert queue.take_all() == [publish(P1, b"b")]
    assert queue.is_in_core(P1)
