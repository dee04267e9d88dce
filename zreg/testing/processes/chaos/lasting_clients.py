"""Clients that live through a campaign, and a record of what their subscribers must never see."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

import msgspec

import zreg
from zreg.testing.processes.chaos.loop_clients import LoopClient, ProgramLoop

_PUBLISHERS_PER_ID: Final = 2
_REPUBLISH_SECONDS: Final = 0.02
_ACCEPT_SECONDS_MAX: Final = 10.0
_START_SECONDS_MAX: Final = 30.0
# A process that did not run for so long may have lost its clients' leases.
_STALL_SECONDS: Final = 0.3

AnyClient = zreg.Client | LoopClient


class Removal(msgspec.Struct, frozen=True):
    """A publisher that a subscriber saw removed although its client lives."""

    at: float
    data_id: str
    watcher: int
    publisher_id: str
    # How long its client has been without a session; 0 while it has one.
    away_seconds: float


class LastingClients:
    """Publishers that never withdraw, subscribers of all of it, and a thread that republishes.

    Every second client is an asyncio client. `clock` returns the seconds since the faults began.
    """

    def __init__(
        self,
        urls: Sequence[str],
        rng: Random,
        *,
        id_count: int,
        publisher_count: int,
        watcher_count: int,
    ) -> None:
        self.removals: list[Removal] = []
        # Seconds from each republish until it was accepted; `late` counts those above the maximum.
        self.accepted: list[float] = []
        self.late = 0
        # When this process did not run, and for how long.
        self.stalls: list[tuple[float, float]] = []
        self._clock: Callable[[], float] = time.monotonic
        self._rng = rng
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._republish, self._tick)]
        self._loop = ProgramLoop()
        self._publishers = [self._new_client(n, rng.choice(urls)) for n in range(publisher_count)]
        self._watchers = [self._new_client(n, rng.choice(urls)) for n in range(watcher_count)]
        self._ids = [f"chaos-{number}" for number in range(id_count)]
        # Since when clients are without a session.
        self._away_since: dict[AnyClient, float] = {}
        self.publications = [
            (data_id, client.publish(data_id, "value-0"))
            for number, data_id in enumerate(self._ids * _PUBLISHERS_PER_ID)
            for client in [self._publisher_of(number)]
        ]
        self._client_of = {
            publication.publisher_id: self._publisher_of(number)
            for number, (_, publication) in enumerate(self.publications)
        }
        self._subscriptions = {
            (data_id, watcher): client.subscribe(
                data_id, partial(self._on_change, data_id, watcher)
            )
            for watcher, client in enumerate(self._watchers)
            for data_id in self._ids
        }
        for _, publication in self.publications:
            publication.wait_registered(_START_SECONDS_MAX)
        for subscription in self._subscriptions.values():
            subscription.wait_for(min_count=_PUBLISHERS_PER_ID, timeout_seconds=_START_SECONDS_MAX)

    def start(self, clock: Callable[[], float]) -> None:
        """Begin to republish."""
        self._clock = clock
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End republishing; the clients stay."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def close(self) -> None:
        """Close the clients, the subscribers first: what closing removes is no fault."""
        for client in (*self._watchers, *self._publishers):
            client.close()
        self._loop.end()

    def wrong_views(self) -> list[str]:
        """Return how each view differs from what is published."""
        wanted: dict[str, list[str]] = {data_id: [] for data_id in self._ids}
        for data_id, publication in self.publications:
            wanted[data_id].append(str(publication.values[0]))
        return [
            f"{data_id} at watcher {watcher}: shows {shown}, must show {sorted(wanted[data_id])}"
            for (data_id, watcher), subscription in self._subscriptions.items()
            for shown in [sorted(map(str, subscription.view.values))]
            if shown != sorted(wanted[data_id])
        ]

    def _new_client(self, number: int, url: str) -> AnyClient:
        return LoopClient(self._loop, url) if number % 2 else zreg.Client(url)

    def _publisher_of(self, number: int) -> AnyClient:
        """Return the client of a publication: those of one id have different clients."""
        return self._publishers[(number + number // len(self._ids)) % len(self._publishers)]

    def _on_change(self, data_id: str, watcher: int, change: zreg.ViewChange) -> None:
        for publisher in change.removed:
            now = time.monotonic()
            away_since = self._away_since.get(self._client_of[publisher.publisher_id], now)
            gone = publisher.publisher_id.hex()[:8]
            self.removals.append(Removal(self._clock(), data_id, watcher, gone, now - away_since))

    def _republish(self) -> None:
        number = 0
        while not self._stopping.wait(_REPUBLISH_SECONDS):
            number += 1
            _, publication = self._rng.choice(self.publications)
            began_at = time.monotonic()
            publication.republish(f"value-{number}")
            try:
                publication.wait_registered(_ACCEPT_SECONDS_MAX)
            except zreg.TimeoutError:
                self.late += 1
            else:
                self.accepted.append(time.monotonic() - began_at)

    def _tick(self) -> None:
        ran_at = time.monotonic()
        while not self._stopping.wait(_REPUBLISH_SECONDS):
            now = time.monotonic()
            if now - ran_at > _STALL_SECONDS:
                self.stalls.append((self._clock(), now - ran_at))
            ran_at = now
            for client in self._publishers:
                if client.state is zreg.ClientState.CONNECTED:
                    self._away_since.pop(client, None)
                else:
                    self._away_since.setdefault(client, now)
