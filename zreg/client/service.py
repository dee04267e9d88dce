"""Endpoints and load balancing on top of a subscription."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from zreg.client.view import Endpoint, View
from zreg.errors import NoInstanceError, UsageError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.subscription import Subscription

# An instance that was reported as failing is not picked for so long.
ASIDE_SECONDS: Final = 5.0


class _Instance:
    """One endpoint, with its place in the round."""

    __slots__ = ("aside_until", "endpoint", "turn")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.turn = 0
        self.aside_until = 0.0


class Service:
    """The instances of a service. Any thread may pick and report."""

    def __init__(
        self, subscription: "Subscription", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._subscription = subscription
        self._clock = clock
        self._lock = threading.Lock()
        self._view: View | None = None
        self._instances: dict[str, _Instance] = {}
        self._skipped_count = 0

    @property
    def view(self) -> View:
        """The view that the instances come from."""
        return self._subscription.view

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All instances, also those set aside."""
        view = self.view
        with self._lock:
            self._look(view)
            return tuple(instance.endpoint for instance in self._instances.values())

    @property
    def skipped_count(self) -> int:
        """How many values are no endpoints, and never picked."""
        view = self.view
        with self._lock:
            self._look(view)
            return self._skipped_count

    def pick(self) -> Endpoint:
        """Return the instance whose turn it is, by weight; `NoInstanceError` if there is none."""
        # Looked up outside the lock, which a forked child would never get.
        view = self.view
        with self._lock:
            self._look(view)
            now = self._clock()
            usable = [i for i in self._instances.values() if i.endpoint.weight]
            # Trying an instance that failed a moment ago beats giving up.
            candidates = [i for i in usable if i.aside_until <= now] or usable
            if candidates:
                return _next_of(candidates).endpoint
        raise NoInstanceError(self._why_none())

    def report(self, endpoint: Endpoint, *, ok: bool) -> None:
        """Say how a call went: an instance that failed is set aside for a while."""
        view = self.view
        with self._lock:
            self._look(view)
            instance = self._instances.get(endpoint.address)
            if instance is not None:
                instance.aside_until = 0.0 if ok else self._clock() + ASIDE_SECONDS

    def wait_up(self, min_up: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until so many instances are there."""
        self._subscription.wait_until(
            lambda: len(self.endpoints) >= min_up,
            timeout_seconds=timeout_seconds,
            wanted=lambda: f"{len(self.endpoints)} of {min_up} instances are there",
        )
        return self

    def close(self) -> None:
        """Follow the service no more."""
        self._subscription.close()

    def __enter__(self) -> "Self":
        """Return itself; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Show the name and the number of instances."""
        return f"<Service {self._subscription.data_info_id} instances={len(self.endpoints)}>"

    def _look(self, view: View) -> None:
        """Take over the present view; who stays keeps turn and pause."""
        if view is self._view:
            return
        instances: dict[str, _Instance] = {}
        self._skipped_count = view.skipped_count
        for value in view.values:
            endpoint = _endpoint_of(value)
            if endpoint is None:
                self._skipped_count += 1
                continue
            instance = self._instances.get(endpoint.address) or _Instance(endpoint)
            instance.endpoint = endpoint
            instances[endpoint.address] = instance
        self._view, self._instances = view, instances

    def _why_none(self) -> str:
        return (
            f"no instance of {self._subscription.data_info_id} can be picked: "
            f"{self._subscription.why_waiting()}; call wait_up() first, and check that a producer "
            "runs and publishes this id as an Endpoint or as host:port"
        )


def _endpoint_of(value: str | bytes | Endpoint) -> Endpoint | None:
    """Return the endpoint that a value is, None if it is not one that can be reached."""
    if isinstance(value, str):
        try:
            return Endpoint.parse(value)
        except UsageError:
            return None
    return value if isinstance(value, Endpoint) and value.host is not None else None


def _next_of(candidates: list[_Instance]) -> _Instance:
    """Choose by smooth weighted round robin, as nginx does: no bursts, whatever the weights."""
    for candidate in candidates:
        candidate.turn += candidate.endpoint.weight
    chosen = max(candidates, key=lambda candidate: candidate.turn)
    chosen.turn -= sum(candidate.endpoint.weight for candidate in candidates)
    return chosen
