"""The clients of a large cluster: what they publish, and what their views must show."""

from typing import TYPE_CHECKING, NamedTuple

from zreg.model import DataInfoId, data_info_id
from zreg.testing.sim.cluster import SimCluster

if TYPE_CHECKING:
    from zreg.testing.sim.observations.view_log import ViewLog


class Size(NamedTuple):
    """How many of each there are; publishers and subscriptions are spread over clients and ids."""

    clients: int
    ids: int
    publishers: int
    subscriptions: int


def size_of(seed: int) -> Size:
    """Return the size of a seed: many clients, many ids, or many publishers of few ids."""
    thousands = 1 + seed // 3 % 3
    match seed % 3:
        case 0:
            return Size(20, 1500 * thousands, 2000 * thousands, 1000 * thousands)
        case 1:
            return Size(1000 * thousands, 500, 1000 * thousands, 1000 * thousands)
        case _:
            return Size(60, 4, 1500 * thousands, 60)


class LargeClients:
    """Clients that publish and subscribe by turns; publishers never end unless they withdraw."""

    def __init__(self, cluster: SimCluster, size: Size, *, session_count: int) -> None:
        self._cluster = cluster
        self._size = size
        self._sessions = list(range(1, session_count + 1))
        self.clients = [f"client-{number}" for number in range(size.clients)]
        self.names = [data_info_id(f"service-{number}") for number in range(size.ids)]
        # publisher id -> (client, name, value)
        self.published: dict[bytes, tuple[str, DataInfoId, str]] = {}
        self.views: dict[tuple[str, DataInfoId], ViewLog] = {}
        # How often each id is subscribed to.
        self.watchers: dict[DataInfoId, int] = dict.fromkeys(self.names, 0)
        self._registered: set[bytes] = set()
        self._value_count = 0

    def come(self) -> None:
        """Start all clients."""
        for client in self.clients:
            self._cluster.client(client, self._sessions)

    def publish_all(self) -> None:
        """Publish as often as the size says, over all clients and ids."""
        for number in range(self._size.publishers):
            client = self.clients[number % len(self.clients)]
            self.publish(client, self.names[number % len(self.names)])

    def subscribe_all(self) -> None:
        """Subscribe as often as the size says, each client to ids at random."""
        rng = self._cluster.sim.rng
        for number in range(self._size.subscriptions):
            client, name = self.clients[number % len(self.clients)], rng.choice(self.names)
            if (client, name) not in self.views:
                view = self._cluster.subscribe(client, name, feed_id=number + 1)
                self.views[client, name] = view
                self.watchers[name] += 1

    def publish(self, client: str, name: DataInfoId, publisher_id: bytes | None = None) -> None:
        """Publish a new value, or republish under `publisher_id`."""
        self._value_count += 1
        value = f"value-{self._value_count}"
        publisher_id = self._cluster.publish(client, name, value, publisher_id)
        self.published[publisher_id] = (client, name, value)

    def replace(self, publisher_id: bytes) -> None:
        """Withdraw a publication, and publish another one in its place."""
        client, name, _ = self.published.pop(publisher_id)
        self._cluster.unpublish(client, publisher_id)
        self.publish(client, name)

    def at_session(self, number: int) -> list[str]:
        """Return the clients that are connected to a session."""
        address = f"tcp://session-{number}:9600"
        processes = self._cluster.sim.processes
        return [c for c in self.clients if processes[c].core.statistics()["session"] == address]

    def lasting(self) -> list[tuple[DataInfoId, bytes]]:
        """Return the registered publishers that are not withdrawn, and their ids."""
        published = self.published.items()
        return [(name, key) for key, (_, name, _) in published if key in self._registered]

    def note_registered(self) -> None:
        """Note that all that is published is registered now."""
        self._registered = set(self.published)

    # --- what must hold -----------------------------------------------------------------------

    def lost(self) -> list[str]:
        """Return which publishers views have lost although their clients live and publish them."""
        removed = [key for view in self.views.values() for key in view.removed]
        return [f"lost {self.published[key]}" for key in removed if key in self.published]

    def differences(self) -> list[str]:
        """Return the views that do not show what is published, and whose requests wait."""
        wanted: dict[DataInfoId, list[str]] = {name: [] for name in self.names}
        for _, name, value in self.published.values():
            wanted[name].append(value)
        found = [
            f"{client} {name}"
            for (client, name), view in self.views.items()
            if not view.is_known or sorted(map(str, view.values())) != sorted(wanted[name])
        ]
        for node, process in self._cluster.sim.processes.items():
            if node.startswith("client") and process.core.statistics()["unanswered"]:
                found.append(f"{node} waits for an answer")
            if node.startswith("session") and process.core.statistics()["pending"]:
                found.append(f"{node} waits for a data node")
        return found
