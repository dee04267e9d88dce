"""zreg through `zreg.Client`: a publication for each name, a subscription with a callback."""

from collections.abc import Iterable

import zreg
from peer_systems.clients.protocol import ANSWER_SECONDS_MAX, Hear, keep_in_flight


class ZregClient:
    """A `zreg.Client` that pings three times a lease, as it does by default."""

    def __init__(self, address: str, lease_seconds: float) -> None:
        config = zreg.Config(lease_seconds=lease_seconds, ping_seconds=lease_seconds / 3)
        self._client = zreg.Client(address, config=config).wait_connected(ANSWER_SECONDS_MAX)
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
