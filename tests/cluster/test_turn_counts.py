"""The calls in the turns of a publish, a push and an idle ping stay within bounds.

Calls are most of what a turn costs, and load on the machine cannot change their count. A change
that needs fewer of them lowers the bounds below; one that needs more has a reason to raise them.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fake_session import wait_until
from turn_counts import CallCounter, Calls, LocalCluster, Turn

import zreg
from zreg.config import Config
from zreg.effects import Effect
from zreg.reactor.sockets.bound import read_ahead
from zreg.session.core import SessionCore

REPETITIONS = 20
# Clients ping often, so that the test need not wait.
CONFIG = Config(ping_seconds=0.05)


class Operation(NamedTuple):
    """The turns that one operation takes at one place, and the most calls of all of them."""

    turns: tuple[Turn, ...]
    bound: Calls


# What the turns take with Python 3.11 to 3.13, and about a twentieth more.
OPERATIONS = {
    "publish, client": Operation(
        (Turn("ClientCore", ("SetPublication",), 1), Turn("ClientCore", ("Accepted",), 0)),
        Calls(python=102, c=59, zmq=6),
    ),
    "publish, session": Operation(
        (Turn("SessionCore", ("Publish",), 1), Turn("SessionCore", ("Accepted",), 1)),
        Calls(python=214, c=106, zmq=14),
    ),
    "publish, data node": Operation(
        (Turn("DataCore", ("PublishDatum",), 1),),
        Calls(python=111, c=69, zmq=7),
    ),
    "publish with a hint, data node": Operation(
        (Turn("DataCore", ("PublishDatum",), 2),),
        Calls(python=127, c=80, zmq=11),
    ),
    "push, session": Operation(
        (Turn("SessionCore", ("Changed",), 1),),
        Calls(python=139, c=85, zmq=8),
    ),
    "push, client": Operation(
        (Turn("ClientCore", ("Push",), 0),),
        Calls(python=74, c=35, zmq=3),
    ),
    # One stands for up to four pushes.
    "acknowledgement, session": Operation(
        (Turn("SessionCore", ("PushAck",), 0),),
        Calls(python=83, c=33, zmq=4),
    ),
    "push and acknowledgement, client": Operation(
        (Turn("ClientCore", ("Push",), 1),),
        Calls(python=89, c=49, zmq=5),
    ),
    "idle ping, session": Operation(
        (Turn("SessionCore", ("Ping",), 1),),
        Calls(python=60, c=35, zmq=7),
    ),
    "idle ping, client": Operation(
        (Turn("ClientCore", (), 1), Turn("ClientCore", ("Pong",), 0)),
        Calls(python=118, c=66, zmq=7),
    ),
}


ALONE = OPERATIONS["publish, data node"].turns


def run_operations(counter: CallCounter, cluster: LocalCluster) -> None:
    """Publish alone, then to a subscriber, until each turn was seen often enough.

    A client that does nothing pings meanwhile.
    """
    publisher_url, subscriber_url = cluster.urls
    with (
        zreg.Client(publisher_url, config=CONFIG) as publisher,
        zreg.Client(subscriber_url, config=CONFIG) as subscriber,
        zreg.Client(subscriber_url, config=CONFIG),
    ):
        publication = publisher.publish("counted", "0").wait_registered()
        while not has_seen(counter, ALONE):
            publication.republish("alone")
            publication.wait_registered()
        subscription = subscriber.subscribe("counted").wait_for(1)
        # The answer to a subscription, if it comes alone, has fewer calls than that to a publish.
        counter.forget(Turn("ClientCore", ("Accepted",), 0))
        numbers = itertools.count()
        while not has_seen(counter, [turn for each in OPERATIONS.values() for turn in each.turns]):
            push(publication, subscription, str(next(numbers)))


def push(publication: zreg.Publication, subscription: zreg.Subscription, value: str) -> None:
    publication.republish(value)
    publication.wait_registered()
    wait_until(lambda: [publisher.values[0] for publisher in subscription.view] == [value])


def has_seen(counter: CallCounter, turns: Iterable[Turn]) -> bool:
    return all(counter.seen(turn) >= REPETITIONS for turn in turns)


@pytest.fixture(scope="module", autouse=True)
def no_newcomers() -> Iterator[None]:
    """Take no client for a newcomer: mostly clients have been there for long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_ahead, "NEWCOMER_SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> CallCounter:
    with pytest.MonkeyPatch.context() as patch:
        counter = CallCounter(patch)
        cluster = LocalCluster(tmp_path_factory.mktemp("counted"), CONFIG)
        try:
            run_operations(counter, cluster)
        finally:
            cluster.stop()
    return counter


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_makes_no_more_calls_than_its_bound(name: str, counter: CallCounter) -> None:
    turns, bound = OPERATIONS[name]
    calls = Calls(*(sum(counts) for counts in zip(*map(counter.least, turns), strict=True)))

    over = {
        kind: f"{count}, the bound is {count_max}"
        for kind, count, count_max in zip(Calls._fields, calls, bound, strict=True)
        if count > count_max
    }
    assert over == {}, counter.describe()


def test_one_more_call_in_a_turn_is_counted(
    counter: CallCounter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_more_call() -> None:
        """Do nothing."""

    settle = SessionCore.settle

    def slower(core: SessionCore, now: float) -> Iterable[Effect]:
        one_more_call()
        return settle(core, now)

    ping = Turn("SessionCore", ("Ping",), 1)
    before = counter.least(ping)
    monkeypatch.setattr(SessionCore, "settle", slower)
    slow_counter = CallCounter(monkeypatch)
    cluster = LocalCluster(tmp_path, CONFIG)
    try:
        with zreg.Client(cluster.urls[0], config=CONFIG):
            wait_until(lambda: slow_counter.seen(ping) >= REPETITIONS, timeout_seconds=30)
    finally:
        cluster.stop()

    assert slow_counter.least(ping).python == before.python + 2
