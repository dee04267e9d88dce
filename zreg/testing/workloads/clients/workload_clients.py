"""The publishers and subscribers of a cluster workload, and what their views must show."""

from typing import TYPE_CHECKING, Final

from zreg.model import DataInfoId, data_info_id
from zreg.testing.sim.cluster import SimCluster

if TYPE_CHECKING:
    from zreg.testing.sim.observations.view_log import ViewLog

NAMES: Final = tuple(data_info_id(f"service-{number}") for number in range(4))
# After a freeze, clients have this long to connect and register again.
_RECOVERY_SECONDS: Final = 2.0


class WorkloadClients:
    """Clients that publish, and clients that subscribe to every datum.

    A publisher is *protected* once all views have shown it: then it may not disappear from a view
    until its client withdraws it, dies, or is frozen, or its session is.
    """

    def __init__(self, cluster: SimCluster, session_count: int) -> None:
        self.cluster = cluster
        self.rng = cluster.sim.rng
        self._sessions = list(range(1, session_count + 1))
        # What is published now: client -> publisher id -> (name, value).
        self.published: dict[str, dict[bytes, tuple[DataInfoId, str]]] = {}
        self.views: dict[tuple[str, DataInfoId], ViewLog] = {}
        self._protected: dict[bytes, tuple[DataInfoId, str]] = {}
        # Until then a client may be taken for dead, as it was frozen, or its session was.
        self._unprotected_until: dict[str, float] = {}
        self._count = 0
        self.killed_count = 0

    def start(self) -> None:
        """Start three publishers and three subscribers."""
        for number in range(3):
            self._new_publisher(f"publisher-{number}")
        for number in range(3):
            self._new_subscriber(f"subscriber-{number}")

    def _new_publisher(self, client: str) -> None:
        self.cluster.client(client, self._sessions)
        self.published[client] = {}
        self._publish_by(client)

    def _new_subscriber(self, client: str) -> None:
        self.cluster.client(client, self._sessions)
        for feed_id, name in enumerate(NAMES, start=1):
            view = self.cluster.subscribe(client, name, feed_id=feed_id)
            self.views[client, name] = view

    # --- what clients do ----------------------------------------------------------------------

    def publish(self) -> None:
        """Let a client publish another value."""
        self._publish_by(self.rng.choice(sorted(self.published)))

    def _publish_by(self, client: str) -> None:
        self._count += 1
        name, value = self.rng.choice(NAMES), f"value-{self._count}"
        publisher_id = self.cluster.publish(client, name, value)
        self.published[client][publisher_id] = (name, value)

    def republish(self) -> None:
        """Let a client change a value that it publishes."""
        client = self.rng.choice(sorted(self.published))
        if not self.published[client]:
            return
        publisher_id = self.rng.choice(sorted(self.published[client]))
        self._count += 1
        name, _ = self.published[client][publisher_id]
        value = f"value-{self._count}"
        self.cluster.publish(client, name, value, publisher_id)
        self.published[client][publisher_id] = (name, value)

    def unpublish(self) -> None:
        """Let a client withdraw a value."""
        client = self.rng.choice(sorted(self.published))
        if not self.published[client]:
            return
        publisher_id = self.rng.choice(sorted(self.published[client]))
        del self.published[client][publisher_id]
        self._protected.pop(publisher_id, None)
        self.cluster.unpublish(client, publisher_id)

    def kill_publisher(self) -> None:
        """Kill a publishing client, and start a new one."""
        client = self.rng.choice(sorted(self.published))
        for publisher_id in self.published.pop(client):
            self._protected.pop(publisher_id, None)
        self.cluster.sim.kill(client)
        self.killed_count += 1
        self._count += 1
        self._new_publisher(f"publisher-{self._count}")

    # --- what the views must show -------------------------------------------------------------

    def on_freeze(self, name: str, seconds: float) -> None:
        """Allow for a freeze: the publishers of its clients may be removed until it is over."""
        for client in self.published if name.startswith("session") else [name]:
            # The client's own freeze may last longer than that of its session.
            until = self.cluster.sim.now + seconds + _RECOVERY_SECONDS
            self._unprotected_until[client] = max(self._unprotected_until.get(client, 0.0), until)
            for publisher_id in self.published.get(client, ()):
                self._protected.pop(publisher_id, None)

    def false_removals(self) -> list[str]:
        """Return which views have lost a protected publisher since the last `protect_shown`."""
        return [
            f"{client} lost {self._protected[publisher_id]} of {name}"
            for (client, name), view in self.views.items()
            for publisher_id in view.removed
            if publisher_id in self._protected
        ]

    def protect_shown(self) -> None:
        """Protect the publishers that all views show now."""
        for view in self.views.values():
            view.removed.clear()
        for client, mine in self.published.items():
            if self._unprotected_until.get(client, 0.0) > self.cluster.sim.now:
                continue
            for publisher_id, (name, value) in mine.items():
                views = [v for (_, of), v in self.views.items() if of == name]
                if all(publisher_id in view.content for view in views):
                    self._protected.setdefault(publisher_id, (name, value))

    def protected(self) -> list[tuple[DataInfoId, bytes]]:
        """Return the publishers that no view may lose, and their ids."""
        return [(name, publisher_id) for publisher_id, (name, _) in self._protected.items()]

    def expected_values(self) -> dict[DataInfoId, list[str]]:
        """Return what each view must show, sorted: what is published now."""
        expected: dict[DataInfoId, list[str]] = {name: [] for name in NAMES}
        for mine in self.published.values():
            for name, value in mine.values():
                expected[name].append(value)
        return {name: sorted(values) for name, values in expected.items()}

    def do_views_show(self, expected: dict[DataInfoId, list[str]]) -> bool:
        """Return whether every view shows exactly the expected values."""
        return all(_shows(view, expected[name]) for (_, name), view in self.views.items())

    def differences(self, expected: dict[DataInfoId, list[str]]) -> list[str]:
        """Return a line for each view that shows other values."""
        return [
            f"{client} {name}: has {sorted(map(str, view.values()))}, "
            f"must have {expected[name]}, known={view.is_known}"
            for (client, name), view in self.views.items()
            if not _shows(view, expected[name])
        ]


def _shows(view: "ViewLog", expected: list[str]) -> bool:
    return view.is_known and sorted(map(str, view.values())) == expected
