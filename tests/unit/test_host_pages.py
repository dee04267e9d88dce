"""A command or page asks one node page after page, as far as it needs."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from session_fakes import make_publisher

from zreg.errors import MalformedError
from zreg.membership.host_pages import instances_at, subscriptions_at
from zreg.model import DataInfoId
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import (
    ClientsFound,
    HostInstance,
    HostSubscription,
    InstancesFound,
)

A, B = DataInfoId("a#@#i#@#g"), DataInfoId("b#@#i#@#g")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits."""
    with pytest.raises(StopIteration) as ended:
        work.send(None)
    return ended.value.value


class FakeNode:
    """A node that gives these answers, and notes what it was asked."""

    def __init__(self, *answers: Message) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def __call__(self, question: Callable[..., Message], _type: type[Any]) -> Any:
        self.asked.append(question(1, node_id="d1"))
        return self.answers.pop(0)


def instance(name: DataInfoId, number: int) -> HostInstance:
    return HostInstance(name, make_publisher(number))


def line(name: DataInfoId) -> HostSubscription:
    return HostSubscription(b"c" * 16, "", "", "", True, 0, name, ())  # noqa: FBT003


def test_empty_pages_are_followed_and_each_begins_where_the_last_one_ended() -> None:
    one, two = instance(A, 1), instance(B, 2)
    node = FakeNode(
        InstancesFound(1, "d1", (one,), A, b"x", is_complete=False),
        InstancesFound(1, "d1", (), A, b"", is_complete=False),
        InstancesFound(1, "d1", (two,), B, b""),
    )

    assert run(instances_at(node, "h", 10)) == [one, two]
    assert [(each.after_name, each.after_publisher) for each in node.asked] == [
        ("", b""),
        (A, b"x"),
        (A, b""),
    ]
    assert [(each.host, each.node_id) for each in node.asked] == [("h", "d1")] * 3


def test_it_ends_with_one_more_than_the_limit() -> None:
    pages = [
        InstancesFound(1, "d1", (instance(A, number),), A, bytes([number]), is_complete=False)
        for number in range(1, 9)
    ]
    node = FakeNode(*pages)

    assert len(run(instances_at(node, "h", 3))) == 4
    assert [each.limit for each in node.asked] == [4, 3, 2, 1]


def test_clients_are_asked_for_after_the_last_line() -> None:
    node = FakeNode(
        ClientsFound(1, "s1", (line(A),), is_complete=False), ClientsFound(1, "s1", (line(B),))
    )

    assert run(subscriptions_at(node, "h", 10)) == [line(A), line(B)]
    assert [(each.after_client, each.after_name) for each in node.asked] == [
        (b"", ""),
        (b"c" * 16, A),
    ]


def test_a_node_whose_pages_lead_nowhere_is_not_asked_for_ever() -> None:
    data_node = FakeNode(InstancesFound(1, "d", (), is_complete=False))
    session = FakeNode(ClientsFound(1, "s", (), is_complete=False))
    for work in (instances_at(data_node, "h", 10), subscriptions_at(session, "h", 10)):
        with pytest.raises(MalformedError, match="leads nowhere"):
            work.send(None)
