"""A window of pushes: several deltas in flight, and acknowledgements that hold for all before."""

import msgspec
from session_fakes import (
    ALICE,
    ALICE_ID,
    CONFIG,
    ONE,
    TWO,
    V1,
    V2,
    V3,
    V4,
    make_publisher,
    to_client,
)
from session_push_fakes import Datum, delta, make_client, snapshot

from zreg.config import Limits
from zreg.effects import Link, Probe, Send
from zreg.model import Scope, Version
from zreg.primitives.reports.hop_rings import HopRings
from zreg.session.clients.client_table import Client
from zreg.session.clients.pushes.pusher import Pusher
from zreg.session.clients.pushes.subscriber import Subscriber
from zreg.wire.records.client_messages import Push

THREE = make_publisher(3)
RETRY = CONFIG.push_retry_seconds
GLOBAL, ZONE, DATA_CENTER = Scope.GLOBAL, Scope.ZONE, Scope.DATA_CENTER


def gathering(client_id: bytes = ALICE_ID) -> Client:
    client = make_client(client_id)
    client.pushes_max = Limits.pushes_in_flight_max
    return client


def at(number: int) -> Version:
    return Version(V1.epoch, V1.counter + number)


def fill_window(datum: Datum) -> Subscriber:
    """Return a subscriber with a full window of one change each, and no acknowledgement."""
    subscriber = datum.acked(gathering())
    for number in range(1, Limits.pushes_in_flight_max + 1):
        datum.change(at(number), make_publisher(number))
        expected = delta(at(number - 1), at(number), make_publisher(number))
        assert datum.settle() == to_client(ALICE, expected)
    return subscriber


def test_deltas_follow_each_other_without_an_acknowledgement_until_the_window_is_full() -> None:
    datum = Datum(V1)
    subscriber = fill_window(datum)
    last = Limits.pushes_in_flight_max
    more = [make_publisher(last + 1), make_publisher(last + 2)]

    datum.change(at(last + 1), more[0])
    datum.change(at(last + 2), more[1])
    assert datum.settle() == []

    datum.acknowledge(subscriber, at(1))
    assert datum.settle() == to_client(ALICE, delta(at(last), at(last + 2), *more))


def test_an_acknowledgement_confirms_all_earlier_pushes() -> None:
    datum = Datum(V1)
    subscriber = fill_window(datum)

    datum.acknowledge(subscriber, at(Limits.pushes_in_flight_max))

    assert subscriber.in_flight == ()
    assert datum.pusher.next_tick_at() is None
    datum.acknowledge(subscriber, at(2))
    assert datum.settle() == [], "an earlier acknowledgement that comes after it says nothing"


def test_nothing_follows_a_snapshot_until_it_is_acknowledged() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.add(gathering())
    assert datum.settle() == to_client(ALICE, snapshot(V1, ONE))

    datum.change(V2, TWO)
    assert datum.settle() == []

    datum.acknowledge(subscriber, V1)
    assert datum.settle() == to_client(ALICE, delta(V1, V2, TWO))


def test_a_push_that_does_not_fit_is_followed_by_one_snapshot_in_place_of_the_window() -> None:
    datum = Datum(V1)
    subscriber = fill_window(datum)
    last = Limits.pushes_in_flight_max

    datum.acknowledge(subscriber, at(1), needs_snapshot=True)

    (effect,) = datum.settle()
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Push)
    assert (effect.message.source_version, effect.message.version) == (None, at(last))
    datum.acknowledge(subscriber, at(last))
    assert subscriber.in_flight == ()


def test_large_deltas_fill_the_window_by_their_bytes() -> None:
    datum = Datum(V1)
    datum.acked(gathering())
    large = [
        msgspec.structs.replace(make_publisher(number), body=b"x" * (64 << 10))
        for number in range(1, 8)
    ]
    pushed = 0
    for number, each in enumerate(large, 1):
        datum.change(at(number), each)
        pushed += len(datum.settle())

    assert pushed == Limits.push_window_bytes // (64 << 10)


def test_the_whole_that_replaces_a_partial_snapshot_follows_deltas_in_flight() -> None:
    datum = Datum(V1)
    subscriber = datum.add(gathering())
    datum.whole(V2, ONE, is_partial=True)
    datum.settle()
    datum.acknowledge(subscriber, V2)
    datum.change(V3, TWO)
    assert datum.settle() == to_client(ALICE, delta(V2, V3, TWO))

    datum.whole(V4, ONE)
    assert datum.settle() == to_client(ALICE, snapshot(V4, ONE))
    assert subscriber.is_window_full

    datum.acknowledge(subscriber, V4)
    assert (subscriber.in_flight, subscriber.is_window_full) == ((), False)


def test_a_client_with_a_full_window_is_probed_once_after_its_newest_push() -> None:
    datum = Datum(V1)
    datum.acked(gathering())
    for number, at_seconds in enumerate((0.0, 0.5), 1):
        datum.now = at_seconds
        datum.change(at(number), make_publisher(number))
        datum.settle()

    assert datum.pusher.next_tick_at() == 0.5 + RETRY
    assert datum.tick(RETRY) == [Probe(Link.CLIENTS, ALICE)]
    assert datum.tick(RETRY) == []


def test_a_client_that_may_still_gather_is_not_probed() -> None:
    """It acknowledges before a ping interval has passed, which may be longer than the pause."""
    datum = Datum(V1)
    datum.pusher = Pusher(
        msgspec.structs.replace(CONFIG, lease_seconds=18.0, ping_seconds=6.0), HopRings()
    )
    datum.acked(gathering())
    datum.change(V2, TWO)
    datum.settle()

    assert datum.pusher.next_tick_at() == 6.0
    assert datum.tick(5.9) == []
    assert datum.tick(0.1) == [Probe(Link.CLIENTS, ALICE)]
