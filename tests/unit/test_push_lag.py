"""The push lag: taken from acknowledgements that waited for nothing but the push itself."""

import pytest
from session_fakes import ONE, TWO, V1, V2, make_publisher
from session_push_fakes import Datum, make_client

from zreg.config import Limits
from zreg.model import Version
from zreg.session.clients.client_table import Client


def client_with(pushes_max: int) -> Client:
    client = make_client()
    client.pushes_max = pushes_max
    return client


def lags(datum: Datum) -> tuple[float | None, float | None]:
    statistics = datum.pusher.lag.statistics()
    return statistics.get("push_lag_p50_seconds"), statistics.get("push_lag_p99_seconds")


def test_nothing_is_told_before_the_first_push() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.add(make_client())
    datum.settle()
    assert datum.pusher.lag.statistics() == {}

    datum.now += 0.25
    datum.acknowledge(subscriber, V1)

    assert lags(datum) == (0.25, 0.25)


def test_an_acknowledgement_that_may_have_waited_for_others_says_nothing() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.in_flight(client_with(Limits.pushes_in_flight_max))
    before = datum.pusher.lag.statistics()

    datum.now += 0.5
    datum.acknowledge(subscriber, V2)

    assert (
        datum.pusher.lag.statistics()
        == before
        == {
            "push_lag_p50_seconds": 0.0,
            "push_lag_p99_seconds": 0.0,
        }
    )


def test_the_last_push_that_a_client_may_gather_counts_alone() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.acked(client_with(Limits.pushes_in_flight_max))
    for number in range(Limits.pushes_gathered_max):
        datum.now += 0.1
        datum.change(Version(V1.epoch, V1.counter + 1 + number), make_publisher(10 + number))
        datum.settle()

    datum.now += 0.025
    datum.acknowledge(subscriber, datum.followed.mirror.version)

    assert lags(datum)[1] == pytest.approx(0.025)


def test_a_client_that_gathers_none_is_timed_with_each_push() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.acked(client_with(1))
    datum.change(V2, TWO)
    datum.settle()

    datum.now += 0.75
    datum.acknowledge(subscriber, V2)

    assert lags(datum) == (0.75, 0.75)


def test_late_and_early_acknowledgements_say_nothing() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.acked(client_with(1))
    datum.change(V2, TWO)
    datum.settle()
    datum.now += 5.0

    datum.acknowledge(subscriber, V1)
    datum.acknowledge(subscriber, Version(9, 9))

    assert lags(datum) == (0.0, 0.0)


def test_only_the_last_pushes_count() -> None:
    datum = Datum(V1, ONE)
    subscriber = datum.acked(client_with(1))
    for number in range(300):
        version = Version(V1.epoch, V1.counter + 1 + number)
        datum.change(version, make_publisher(10 + number))
        datum.settle()
        datum.now += 1.0 if number < 40 else 0.001
        datum.acknowledge(subscriber, version)

    assert lags(datum) == (pytest.approx(0.001), pytest.approx(0.001))
