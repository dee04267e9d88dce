"""A service whose view, clock and chance the test sets."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, cast

from zreg import model
from zreg.client.balancing.instance import Instance
from zreg.client.balancing.policy import Balancing
from zreg.client.service import Service
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value, pack_values
from zreg.client.view.view import UNKNOWN_VIEW, View
from zreg.model import DataInfoId, Incarnation, Version

if TYPE_CHECKING:
    from zreg.client.subscription import Subscription

# A value, or a value and the zone of its publisher.
Published = Value | tuple[Value, str]


class HalfRandom(Random):
    """Draws the middle, so that instances take their first turns in the order of the view."""

    def random(self) -> float:
        return 0.5


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeSubscription:
    """A view that the test sets."""

    data_info_id = DataInfoId("orders#@#I#@#G")

    def __init__(self, *values: Published, own_zone: str = "z") -> None:
        self._view: View = UNKNOWN_VIEW
        self.own_zone = own_zone
        self.is_closed = False
        self.set(*values)

    @property
    def view(self) -> View:
        return self._view

    def set(self, *values: Published) -> None:
        """Publish these: publishers that did not change keep their records."""
        records = {}
        for number, value in enumerate(values):
            record = record_of(number, value)
            was = self._view.find(record.publisher_id)
            if was is None or was.record != record:
                records[record.publisher_id] = record
        gone = [each.publisher_id for each in self._view if each.publisher_id[15] >= len(values)]
        self._view = self._view.with_changes(records, gone, version=Version(1, 1), stale_since=None)

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


def record_of(number: int, value: Published) -> model.Publisher:
    published, zone = value if isinstance(value, tuple) else (value, "")
    body = pack_values([published], attributes={}, host=None, registered_at=1.0)
    publisher_id = number.to_bytes(16)
    return model.Publisher(publisher_id, 1, b"m" * 16, Incarnation(1, "s"), zone, "", "", body)


def make_service(
    *values: Published, own_zone: str = "z", rng: Random | None = None, **options: object
) -> tuple[Service, FakeSubscription, Clock]:
    subscription, clock = FakeSubscription(*values, own_zone=own_zone), Clock()
    balancing = Balancing(**options)  # type: ignore[arg-type]  # the test's own
    service = Service(
        cast("Subscription", subscription), balancing, clock=clock, rng=rng or HalfRandom()
    )
    return service, subscription, clock


def make_instance(host: str = "a", *, weight: int = 1, number: int = 1, zone: str = "") -> Instance:
    return Instance(number, Endpoint(host, 1, weight=weight), zone)


def make_instances(*weights: int) -> list[Instance]:
    return [make_instance(f"h{n}", weight=w, number=n) for n, w in enumerate(weights)]


def picks(service: Service, count: int) -> str:
    return " ".join(str(service.pick().host) for _ in range(count))


def shares(service: Service, count: int) -> Counter[str]:
    return Counter(picks(service, count).split())
