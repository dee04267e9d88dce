"""The instances of a service, kept up to date with what is published."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from zreg.client.balancing.instance import Instance
from zreg.client.view.endpoint import Endpoint, published_endpoint
from zreg.errors import UsageError

if TYPE_CHECKING:
    from zreg.client.view.view import Publisher

# A publisher id, and the position of one of its values.
_Place = tuple[bytes, int]


class Renewal(NamedTuple):
    """What became of the instances. Those that changed have their new endpoint already."""

    added: list[Instance]
    changed: list[Instance]
    removed: list[Instance]


class _Published(NamedTuple):
    """What one publisher publishes, read."""

    publisher: "Publisher"
    endpoints: tuple[tuple[int, Endpoint], ...]
    # Why each value that is no endpoint is none.
    objections: tuple[str, ...]


class InstanceTable:
    """The instances by address.

    A publisher's values are read again only when they have changed. If several publish one address,
    the endpoint of the last one in the order of the view counts.
    """

    def __init__(self) -> None:
        self._publishers: set[Publisher] = set()
        # By publisher id.
        self._published: dict[bytes, _Published] = {}
        self._claims: dict[str, dict[_Place, tuple[Endpoint, str]]] = {}
        self._by_address: dict[str, Instance] = {}
        self._instance_number = 0
        self._skipped_count = 0

    def __len__(self) -> int:
        """Return how many instances there are."""
        return len(self._by_address)

    def __iter__(self) -> Iterator[Instance]:
        """Yield the instances in no order."""
        return iter(self._by_address.values())

    @property
    def skipped_count(self) -> int:
        """How many values are no endpoints."""
        return self._skipped_count

    def find(self, address: str) -> Instance | None:
        """Return the instance at an address; None if there is none."""
        return self._by_address.get(address)

    def in_order(self) -> list[Instance]:
        """Return the instances in the order of the view."""
        return sorted(self._by_address.values(), key=lambda each: each.order)

    def first_objection(self) -> str:
        """Return why a value is no endpoint; empty if all are endpoints."""
        for published in self._published.values():
            if published.objections:
                return published.objections[0]
        return ""

    def renew(self, publishers: Iterable["Publisher"]) -> Renewal:
        """Take over what is published now."""
        # A view keeps the objects of the publishers that did not change.
        before, now = self._publishers, set(publishers)
        self._publishers = now
        touched: dict[str, None] = {}
        published = self._published
        # In the order of the view, so that one seed gives one order of turns.
        for publisher in sorted(now - before, key=_publisher_id):
            was = published.get(publisher.publisher_id)
            published[publisher.publisher_id] = self._take_over(publisher, was, touched)
        for publisher in sorted(before - now, key=_publisher_id):
            if published[publisher.publisher_id].publisher is publisher:
                self._drop(published.pop(publisher.publisher_id), touched)
        return self._settle(touched)

    def _take_over(
        self, publisher: "Publisher", was: _Published | None, touched: dict[str, None]
    ) -> _Published:
        """Read what a publisher publishes, unless it is what was read before."""
        if was is not None:
            old, new = was.publisher.record, publisher.record
            if old.body == new.body and old.zone == new.zone:
                return was._replace(publisher=publisher)
            self._drop(was, touched)
        published = _read(publisher)
        self._skipped_count += len(published.objections)
        for index, endpoint in published.endpoints:
            claims = self._claims.setdefault(endpoint.address, {})
            claims[publisher.publisher_id, index] = (endpoint, publisher.zone)
            touched[endpoint.address] = None
        return published

    def _drop(self, published: _Published, touched: dict[str, None]) -> None:
        self._skipped_count -= len(published.objections)
        for index, endpoint in published.endpoints:
            del self._claims[endpoint.address][published.publisher.publisher_id, index]
            touched[endpoint.address] = None

    def _settle(self, addresses: Iterable[str]) -> Renewal:
        """Make, change and drop the instances of the addresses at which something changed."""
        renewal = Renewal([], [], [])
        for address in addresses:
            claims, instance = self._claims[address], self._by_address.get(address)
            if not claims:
                del self._claims[address]
                if instance is not None:
                    del self._by_address[address]
                    renewal.removed.append(instance)
                continue
            place = max(claims)
            endpoint, zone = claims[place]
            if instance is None:
                self._instance_number += 1
                instance = Instance(self._instance_number, endpoint, zone)
                self._by_address[address] = instance
                renewal.added.append(instance)
            elif (instance.endpoint, instance.zone) != (endpoint, zone):
                instance.endpoint, instance.zone = endpoint, zone
                renewal.changed.append(instance)
            instance.order = place
        return renewal


def _publisher_id(publisher: "Publisher") -> bytes:
    return publisher.publisher_id


def _read(publisher: "Publisher") -> _Published:
    endpoints: list[tuple[int, Endpoint]] = []
    objections: list[str] = []
    for index, value in enumerate(publisher.values):
        try:
            endpoints.append((index, published_endpoint(value)))
        except UsageError as error:
            objections.append(str(error))
    return _Published(publisher, tuple(endpoints), tuple(objections))
