"""zreg through `zreg.Client`: a publication for each name, a subscription with a callback."""

from collections.abc import Iterable

import zreg
from peer_systems.clients.protocol import ANSWER_SECONDS_MAX, Hear, keep_in_flight


class ZregClient:
    """A `zreg.Client` with default settings, so its lease is that of the cluster."""

    def __init__(self, address: str, _lease_seconds: float) -> None:
        self._client = zreg.Client(address).wait_connected(ANSWER_SECONDS_MAX)
        self._publications: dict[str, zreg.Publication] = {}
        self._subscriptions: list[zreg.Subscription] = []

    def register(self, names: Iterable[str], value: str) -> int:
        """Publish each name under its service."""
        return keep_in_flight((self._publish(name, value) for name in names), _wait)

    def _publish(self, name: str, value: str) -> zreg.Publication:
        publication = self._client.publish(name.partition("/")[0], value)
        self._publications[name] = publication
        return publication

    def republish(self, names: Iterable[str], value: str) -> int:
        """Republish; a name returns only after its former publish was acknowledged."""
        return keep_in_flight((self._republish(name, value) for name in names), _wait)

    def _republish(self, name: str, value: str) -> zreg.Publication:
        publication = self._publications[name]
        publication.republish(value)
        return publication

    def follow(self, service: str, hear: Hear) -> None:
        """Subscribe with a callback."""

        def on_change(change: zreg.ViewChange) -> None:
            for publisher in (*change.added, *change.updated):
                hear(publisher.publisher_id.hex(), str(publisher.values[0]))
            for publisher in change.removed:
                hear(publisher.publisher_id.hex(), None)

        subscription = self._client.subscribe(service, on_change)
        self._subscriptions.append(subscription.wait_for(0, ANSWER_SECONDS_MAX))


def _wait(publication: zreg.Publication) -> None:
    publication.wait_registered(ANSWER_SECONDS_MAX)
