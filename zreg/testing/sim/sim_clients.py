"""The clients of a simulated cluster: they publish and subscribe, and log what they are told."""

from collections.abc import Iterable
from random import Random

from zreg.client.core.commands import (
    AddSubscription,
    SetPublication,
    ViewChanged,
    WithdrawPublication,
)
from zreg.client.core.core import ClientCore
from zreg.config import Config
from zreg.model import DataInfoId, Scope
from zreg.testing.sim.observations.view_log import ViewLog
from zreg.testing.sim.sim_process import Process
from zreg.testing.sim.simulation import Simulation
from zreg.wire.body import pack_body


class SimClients:
    """Clients by name on one `Simulation`, and a `ViewLog` for each of their subscriptions."""

    def __init__(self, sim: Simulation, config: Config) -> None:
        self.sim = sim
        self.config = config
        self._id_count = 0
        self._views: dict[tuple[str, int], ViewLog] = {}
        # By client: how many events of its core were handed to its views.
        self._read_counts: dict[str, int] = {}

    def _new_id(self) -> bytes:
        self._id_count += 1
        return self.sim.rng.randbytes(12) + self._id_count.to_bytes(4)

    def _new_rng(self) -> Random:
        return Random(self.sim.rng.getrandbits(64))  # noqa: S311 -- a simulation wants a seed

    def client(self, name: str, sessions: Iterable[int] = (1,)) -> Process:
        """Start a client that tries these sessions; of none, one that looks at the LAN."""
        addresses = [f"tcp://session-{number}:9600" for number in sessions]
        core = ClientCore(
            self.config,
            client_id=self._new_id(),
            addresses=addresses or ["tcp://127.0.0.1:9600"],
            app="",
            rng=self._new_rng(),
            discovers=not addresses,
        )
        self._read_counts[name] = 0
        self._views = {key: view for key, view in self._views.items() if key[0] != name}
        return self.sim.add(name, core, {})

    def publish(
        self, client: str, name: DataInfoId, value: str, publisher_id: bytes | None = None
    ) -> bytes:
        """Let a client publish, or republish under `publisher_id`; return the publisher's id."""
        publisher_id = publisher_id or self._new_id()
        body = pack_body([value], attributes={}, registered_at=self.sim.now)
        self.sim.post(client, SetPublication(publisher_id, name, body))
        return publisher_id

    def unpublish(self, client: str, publisher_id: bytes) -> None:
        """Let a client withdraw a publication."""
        self.sim.post(client, WithdrawPublication(publisher_id))

    def subscribe(
        self, client: str, name: DataInfoId, scope: Scope = Scope.GLOBAL, feed_id: int = 1
    ) -> ViewLog:
        """Let a client subscribe; return the log of what it is told."""
        view = self._views[client, feed_id] = ViewLog()
        self.sim.post(client, AddSubscription(feed_id, name, scope))
        return view

    def read_events(self) -> None:
        """Hand the events that the clients' cores emitted to their views."""
        for name in self._read_counts:
            process = self.sim.processes.get(name)
            if process is None:
                continue
            for event in process.events[self._read_counts[name] :]:
                view = self._views.get((name, getattr(event, "feed_id", 0)))
                if isinstance(event, ViewChanged) and view is not None:
                    view.on_changed(event)
            self._read_counts[name] = len(process.events)

    def settles(self, view: ViewLog, values: Iterable[str], seconds_max: float = 5.0) -> bool:
        """Wait until a view holds exactly these values, in any order; return whether it does."""
        wanted = sorted(values)

        def holds() -> bool:
            self.read_events()
            return view.is_known and sorted(map(str, view.values())) == wanted

        return self.sim.run_until(holds, seconds_max)
