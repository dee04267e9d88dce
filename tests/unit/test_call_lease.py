"""Leases: one call each, counted while it lasts, and what its end tells of the instance."""

from concurrent.futures import CancelledError

import pytest
from service_fakes import Clock, make_service, picks

from zreg.client.balancing.policy import Ejection, Policy
from zreg.client.handles.call_lease import Outcome
from zreg.client.service import Service
from zreg.client.view.endpoint import Endpoint
from zreg.errors import NoInstanceError, UsageError


def in_flight(service: Service) -> object:
    return service.statistics()["in_flight"]


def call(service: Service, clock: Clock, seconds: float) -> str | None:
    with service.lease() as endpoint:
        clock.now += seconds
    return endpoint.host


def test_a_call_is_counted_while_it_lasts() -> None:
    service, _, _ = make_service("a:1", "b:1", policy=Policy.LEAST_IN_FLIGHT)

    with service.lease() as one, service.lease() as two:
        assert {one.host, two.host} == {"a", "b"}
        assert in_flight(service) == 2
        with service.lease():
            assert in_flight(service) == 3
    assert in_flight(service) == 0
    assert service.statistics()["calls"] == 3


def test_the_instance_with_the_fewest_calls_comes_next() -> None:
    service, _, _ = make_service("a:1", "b:1?weight=200", policy=Policy.LEAST_IN_FLIGHT)
    with service.lease(where=lambda endpoint: endpoint.host == "a"):
        assert picks(service, 3) == "b b b"
        with service.lease(), service.lease():
            assert service.pick().host in {"a", "b"}
            with service.lease(version=""), service.lease():
                assert in_flight(service) == 5


def test_how_long_calls_take_decides_between_two() -> None:
    service, _, clock = make_service("a:1", "b:1", policy=Policy.TWO_CHOICES)
    # Both are measured first.
    assert {call(service, clock, 0.3), call(service, clock, 0.3)} == {"a", "b"}
    service.report(Endpoint("a", 1), ok=True, seconds=0.9)

    assert [call(service, clock, 0.1) for _ in range(5)] == ["b"] * 5


class OwnError(Exception):
    """An error of the program."""


@pytest.mark.parametrize(
    ("error", "failures", "is_failure"),
    [
        (OSError("refused"), Exception, True),
        (TimeoutError(), Exception, True),
        (OwnError(), Exception, True),
        (OwnError(), (OSError, ValueError), False),
        (ConnectionResetError(), (OSError, ValueError), True),
        (KeyboardInterrupt(), Exception, False),
        (SystemExit(), BaseException, False),
        (GeneratorExit(), BaseException, False),
        (CancelledError(), Exception, False),
    ],
)
def test_an_exception_is_a_failure_if_it_is_of_the_kinds_given(
    *, error: BaseException, failures: type[Exception], is_failure: bool
) -> None:
    service, _, _ = make_service("a:1", "b:1")

    with (
        pytest.raises(type(error)) as raised,
        service.lease(failures=failures),
    ):
        raise error

    assert raised.value is error
    assert service.statistics()["ejected"] == int(is_failure)
    assert in_flight(service) == 0
    assert service.statistics()["calls"] == int(is_failure)


def test_a_failure_that_is_reported_in_the_block_stays_one() -> None:
    service, _, clock = make_service("a:1", "b:1", ejection=Ejection(failures=2))
    for _ in range(2):
        with service.lease(where=lambda endpoint: endpoint.host == "a") as endpoint:
            clock.now += 0.1
            service.report(endpoint, ok=False)

    assert picks(service, 2) == "b b"


def test_a_call_that_succeeds_after_the_ejection_but_began_before_changes_nothing() -> None:
    service, _, clock = make_service("a:1", "b:1")
    with service.lease() as endpoint:
        clock.now += 1.0
        service.report(endpoint, ok=False)
        clock.now += 1.0
    assert service.statistics()["ejected"] == 1

    with service.lease(where=lambda each: each == endpoint):
        clock.now += 1.0

    assert service.statistics()["ejected"] == 0


def test_a_lease_is_for_one_call_at_a_time() -> None:
    service, _, _ = make_service("a:1", "b:1")
    lease = service.lease()
    with lease:
        with pytest.raises(UsageError, match=r"call lease\(\) again for each call"), lease:
            pass
        assert in_flight(service) == 1
    lease.__exit__(None, None, None)
    assert in_flight(service) == 0

    with lease as endpoint:
        assert endpoint.host == "b"
        assert in_flight(service) == 1
    assert service.statistics()["calls"] == 2


def test_a_lease_picks_when_the_block_begins() -> None:
    service, subscription, _ = make_service()
    lease = service.lease()
    with pytest.raises(NoInstanceError), lease:
        pass

    subscription.set("a:1")

    with lease as endpoint:
        assert endpoint.host == "a"


def test_an_instance_that_goes_during_the_call_is_forgotten() -> None:
    service, subscription, _ = make_service("a:1", "b:1", policy=Policy.LEAST_IN_FLIGHT)
    lease = service.lease()
    assert lease.__enter__().host == "a"
    subscription.set("c:1", "d:1")
    assert in_flight(service) == 0
    error = OSError("gone")
    lease.__exit__(OSError, error, None)

    assert service.statistics()["ejected"] == 0
    assert set(picks(service, 4).split()) == {"c", "d"}


def test_a_forked_child_begins_afresh_and_counts_no_call_of_its_parent() -> None:
    service, _, _ = make_service("a:1", "b:1")
    service.report(service.pick(), ok=False)
    lock = service._lock
    with service.lease():
        # A thread of the parent may have left it in the middle of a change.
        service._balancer.end = None  # type: ignore[assignment, method-assign]
        service.begin_afresh()
        assert service._lock is not lock
        with service.lease():
            assert in_flight(service) == 1

    assert in_flight(service) == 0
    assert (service.statistics()["calls"], service.statistics()["ejected"]) == (1, 0)


@pytest.mark.parametrize("failures", ["OSError", None, (OSError, "x"), int, OSError()])
def test_failures_that_are_no_exceptions_are_refused(failures: object) -> None:
    service, _, _ = make_service("a:1")

    with pytest.raises(UsageError, match="give exception classes, such as OSError"):
        service.lease(failures=failures)  # type: ignore[arg-type]


def test_the_latency_of_a_call_ends_with_its_answer_and_the_call_with_its_block() -> None:
    service, _, clock = make_service("a:1", "b:1", policy=Policy.TWO_CHOICES)
    # Both are measured first.
    assert {call(service, clock, 0.3), call(service, clock, 0.3)} == {"a", "b"}
    lease = service.lease(where=lambda endpoint: endpoint.host == "a")
    with lease:
        clock.now += 0.2
        lease.answered()
        lease.answered()
        clock.now += 100
        assert in_flight(service) == 1

    assert (in_flight(service), service.statistics()["calls"]) == (0, 3)


def test_an_answer_that_breaks_off_is_a_failure_after_all() -> None:
    service, _, clock = make_service("a:1", "b:1")
    lease = service.lease()

    def call() -> None:
        with lease:
            lease.answered()
            clock.now += 1
            raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        call()

    statistics = service.statistics()
    assert (statistics["in_flight"], statistics["failures"], statistics["ejected"]) == (0, 1, 1)


def test_a_call_without_a_block_is_ended_once() -> None:
    service, _, _ = make_service("a:1", "b:1")
    lease = service.lease()
    lease.answered()
    lease.end(Outcome.FAILED)
    assert service.statistics()["calls"] == 0

    lease.__enter__()
    lease.end(Outcome.FAILED)
    lease.end(Outcome.FAILED)
    lease.answered()

    statistics = service.statistics()
    assert (statistics["in_flight"], statistics["failures"], statistics["calls"]) == (0, 1, 1)
