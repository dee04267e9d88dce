"""The attempts of a call: what may be repeated, on which instance, and what an instance is told."""

import pytest
from service_fakes import make_service

from zreg.client.service import Service
from zreg.errors import NoInstanceError
from zreg.integrations.attempts import Attempts, is_idempotent


def begin(service: Service, *, retries: int = 2, is_repeatable: bool = True) -> Attempts:
    return Attempts(service, retries=retries, is_repeatable=is_repeatable)


def counts(service: Service) -> tuple[object, ...]:
    found = service.statistics()
    return found["calls"], found["failures"], found["in_flight"]


@pytest.mark.parametrize("method", ["GET", "head", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_a_method_that_may_be_carried_out_twice(method: str) -> None:
    assert is_idempotent(method)
    assert not is_idempotent("POST")
    assert not is_idempotent("PATCH")


def test_each_attempt_goes_to_another_instance() -> None:
    service, _, _ = make_service("a:1", "b:1", "c:1")
    attempts = begin(service)
    tried = [attempts.endpoint.host]
    while attempts.go_on(was_sent=True):
        tried.append(attempts.endpoint.host)

    assert sorted(filter(None, tried)) == ["a", "b", "c"]
    assert counts(service) == (3, 3, 0)


def test_retries_bound_the_attempts() -> None:
    service, _, _ = make_service("a:1", "b:1", "c:1")
    attempts = begin(service, retries=1)

    assert attempts.go_on(was_sent=False)
    assert not attempts.go_on(was_sent=False)
    assert counts(service) == (2, 2, 0)


def test_a_request_that_was_sent_is_repeated_only_if_it_may_be() -> None:
    service, _, _ = make_service("a:1", "b:1")
    attempts = begin(service, is_repeatable=False)

    assert attempts.go_on(was_sent=False)
    assert not attempts.go_on(was_sent=True)


def test_no_second_attempt_goes_to_the_only_instance() -> None:
    service, _, _ = make_service("a:1")

    assert not begin(service).go_on(was_sent=False)
    assert counts(service) == (1, 1, 0)


def test_a_call_without_an_instance_does_not_begin() -> None:
    service, _, _ = make_service()

    with pytest.raises(NoInstanceError):
        begin(service)


def test_the_first_end_of_a_call_counts() -> None:
    service, _, _ = make_service("a:1", "b:1")
    attempts = begin(service)
    attempts.answered()
    attempts.succeed()
    attempts.fail()
    attempts.answered()
    assert counts(service) == (1, 0, 0)

    attempts = begin(service)
    attempts.answered()
    attempts.fail()
    attempts.succeed()
    assert counts(service) == (3, 1, 0)

    attempts = begin(service)
    attempts.give_up()
    assert counts(service) == (3, 1, 0)


def test_a_call_that_is_dropped_ends() -> None:
    service, _, _ = make_service("a:1")
    attempts = begin(service)
    assert counts(service) == (0, 0, 1)

    del attempts

    assert counts(service) == (0, 0, 0)
