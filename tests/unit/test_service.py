"""Services: which endpoint is picked, which is set aside, which value is skipped."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest

from zreg import model
from zreg.client.service import Service
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value, pack_values
from zreg.client.view.view import UNKNOWN_VIEW, View
from zreg.errors import NoInstanceError, UsageError
from zreg.model import DataInfoId, Incarnation, Version

if TYPE_CHECKING:
    from zreg.client.subscription import Subscription


class FakeSubscription:
    """A view that the test sets."""

    data_info_id = DataInfoId("orders#@#I#@#G")

    def __init__(self, *values: Value) -> None:
        self.view: View = UNKNOWN_VIEW
        self.is_closed = False
        self.set(*values)

    def set(self, *values: Value) -> None:
        records = {}
        for number, value in enumerate(values):
            publisher_id = number.to_bytes(16)
            body = pack_values([value], attributes={}, host=None, registered_at=1.0)
            records[publisher_id] = model.Publisher(
                publisher_id, 1, b"m" * 16, Incarnation(1, "s"), "", "", "", body
            )
        self.view = UNKNOWN_VIEW.with_changes(records, (), version=Version(1, 1), stale_since=None)

    def wait_until(
        self, condition: Callable[[], bool], *, timeout_seconds: float, wanted: Callable[[], str]
    ) -> None:
        assert condition(), wanted()

    def why_ended(self) -> str:
        return ""

    def why_waiting(self) -> str:
        return "connected to the session at tcp://s:1"

    def close(self) -> None:
        self.is_closed = True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_service(*values: Value) -> tuple[Service, FakeSubscription, Clock]:
    subscription, clock = FakeSubscription(*values), Clock()
    return Service(cast("Subscription", subscription), clock=clock), subscription, clock


def picks(service: Service, count: int) -> str:
    return " ".join(str(service.pick().host) for _ in range(count))


def test_equal_weights_take_turns() -> None:
    service, _, _ = make_service("a:1", "b:1", Endpoint("c", 1))

    assert picks(service, 6) == "a b c a b c"


def test_weights_are_spread_smoothly() -> None:
    service, _, _ = make_service("a:1?weight=5", "b:1?weight=1", "c:1?weight=1")

    assert picks(service, 7) == "a a b a c a a"


def test_an_instance_without_weight_is_never_picked() -> None:
    service, _, _ = make_service("a:1?weight=0", "b:1")

    assert picks(service, 3) == "b b b"
    assert [endpoint.host for endpoint in service.endpoints] == ["a", "b"]


def test_an_instance_that_failed_is_set_aside_for_five_seconds() -> None:
    service, _, clock = make_service("a:1", "b:1")
    failed = service.pick()

    service.report(failed, ok=False)
    assert Counter(picks(service, 4).split()) == {"b": 4}
    clock.now += 4.9
    assert Counter(picks(service, 4).split()) == {"b": 4}
    clock.now += 0.1
    assert Counter(picks(service, 4).split()) == {"a": 2, "b": 2}


def test_an_instance_that_is_reported_as_working_is_picked_again_at_once() -> None:
    service, _, _ = make_service("a:1", "b:1")
    service.report(Endpoint("a", 1), ok=False)
    service.report(Endpoint("a", 1), ok=False)
    assert picks(service, 2) == "b b"

    service.report(Endpoint("a", 1), ok=True)
    service.report(Endpoint("unknown", 1), ok=True)

    assert Counter(picks(service, 4).split()) == {"a": 2, "b": 2}


def test_a_report_before_the_first_pick_counts() -> None:
    service, _, _ = make_service("a:1", "b:1")

    service.report(Endpoint("a", 1), ok=False)

    assert picks(service, 2) == "b b"


def test_if_all_instances_failed_all_are_picked() -> None:
    service, _, _ = make_service("a:1", "b:1")
    for host in ("a", "b"):
        service.report(Endpoint(host, 1), ok=False)

    assert picks(service, 2) == "a b"


def test_an_instance_that_stays_keeps_its_pause_when_the_view_changes() -> None:
    service, subscription, _ = make_service("a:1", "b:1")
    service.report(Endpoint("a", 1), ok=False)

    subscription.set("a:1?weight=7", "b:1", "c:1")

    assert Counter(picks(service, 4).split()) == {"b": 2, "c": 2}


def test_a_value_that_is_not_an_endpoint_is_skipped_and_counted() -> None:
    service, _, _ = make_service("hello", b"bytes", Endpoint(port=3), "a:1")

    assert picks(service, 2) == "a a"
    assert service.skipped_count == 3


def test_the_error_without_an_instance_says_what_to_do() -> None:
    service, _, _ = make_service()

    with pytest.raises(NoInstanceError, match=r"call wait_up\(\) first.*host:port"):
        service.pick()


def test_wait_up_counts_instances() -> None:
    service, subscription, _ = make_service("a:1", b"no")

    assert service.wait_up() is service
    with pytest.raises(AssertionError, match="1 of 2 instances are there"):
        service.wait_up(2)
    assert service.view is subscription.view
    assert repr(service) == "<Service orders#@#I#@#G instances=1>"


def test_leaving_the_block_closes_the_subscription() -> None:
    service, subscription, _ = make_service()
    with service as entered:
        assert entered is service

    assert subscription.is_closed


@pytest.mark.parametrize(
    "values", [("a:1?weight=0",), ("a:1?weight=0", Endpoint("b", 1, weight=0))]
)
def test_the_error_says_that_all_instances_are_drained(values: tuple[Value, ...]) -> None:
    service, _, _ = make_service(*values)

    with pytest.raises(
        NoInstanceError, match=f"all {len(values)} have weight 0, so they are drain"
    ):
        service.pick()
    assert len(service.endpoints) == len(values)


@pytest.mark.parametrize("argument", ["a:1", None, 5])
def test_only_an_endpoint_can_be_reported(argument: object) -> None:
    service, _, _ = make_service("a:1")

    with pytest.raises(UsageError, match=r"report what pick\(\) returned"):
        service.report(argument, ok=False)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"min_up .* is no count"):
        service.wait_up("1")  # type: ignore[arg-type]
