"""Pick an instance of a service for each call: endpoints and load balancing over a view."""

import threading
import time
from collections.abc import Callable
from typing import Final

from zreg.client.handles.subscription_handle import SubscriptionHandle
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.view import View
from zreg.errors import NoInstanceError, UsageError

# How long an instance is not picked after it was reported as failing.
ASIDE_SECONDS: Final = 5.0


class _Instance:
    """One endpoint, its credit in the weighted round robin, and until when it is set aside."""

    __slots__ = ("aside_until", "endpoint", "turn")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.turn = 0
        self.aside_until = 0.0


class InstancePicker:
    """The instances of a service. Any thread may pick and report."""

    def __init__(
        self, subscription: SubscriptionHandle, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._subscription = subscription
        self._clock = clock
        # A signal handler or finalizer may call a method in the middle of another one.
        self._lock = threading.RLock()
        self._view: View | None = None
        self._instances: dict[str, _Instance] = {}
        self._skipped_count = 0

    @property
    def view(self) -> View:
        """The view that the endpoints come from."""
        return self._subscription.view

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of all instances, also of those that are set aside."""
        view = self.view
        with self._lock:
            self._update(view)
            return tuple(instance.endpoint for instance in self._instances.values())

    @property
    def skipped_count(self) -> int:
        """How many values are not endpoints, so that they are never picked."""
        view = self.view
        with self._lock:
            self._update(view)
            return self._skipped_count

    def pick(self) -> Endpoint:
        """Return the endpoint whose turn it is, by weight; raise `NoInstanceError` without one."""
        # Read it before taking the lock, which a forked child might never get: `view` raises there.
        view = self.view
        with self._lock:
            self._update(view)
            now = self._clock()
            usable = [i for i in self._instances.values() if i.endpoint.weight]
            # If all failed a moment ago, trying one of them again is better than giving up.
            candidates = [i for i in usable if i.aside_until <= now] or usable
            if candidates:
                return _next_of(candidates).endpoint
        raise NoInstanceError(self._why_none())

    def report(self, endpoint: Endpoint, *, ok: bool) -> None:
        """Report how a call went: an instance that failed is set aside for five seconds."""
        if not isinstance(endpoint, Endpoint):
            raise UsageError(f"{endpoint!r:.80} is no endpoint: report what pick() returned")
        view = self.view
        with self._lock:
            self._update(view)
            instance = self._instances.get(endpoint.address)
            if instance is not None:
                instance.aside_until = 0.0 if ok else self._clock() + ASIDE_SECONDS

    def close(self) -> None:
        """End the subscription."""
        self._subscription.close()

    def __repr__(self) -> str:
        """Show the name and the number of instances, and what ended it."""
        ended = self._subscription.why_ended()
        ended = f" ended: {ended}" if ended else ""
        name = self._subscription.data_info_id
        return f"<{type(self).__name__} {name} instances={len(self.endpoints)}{ended}>"

    def _has(self, min_up: int) -> bool:
        return len(self.endpoints) >= min_up

    def _how_many(self, min_up: int) -> str:
        return f"{len(self.endpoints)} of {min_up} instances are there"

    def _update(self, view: View) -> None:
        """Take the instances from a new view; those that stay keep their turn and pause."""
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
        if self._instances:
            return (
                f"no instance of {self._subscription.data_info_id} can be picked: all "
                f"{len(self._instances)} have weight 0, so they are drained; give one a weight "
                "above 0"
            )
        return (
            f"no instance of {self._subscription.data_info_id} can be picked: "
            f"{self._subscription.why_waiting()}; call wait_up() first, and check that a producer "
            "runs and publishes this id as an Endpoint or as host:port"
        )


def _endpoint_of(value: str | bytes | Endpoint) -> Endpoint | None:
    """Return the value as an endpoint; None if it is not one that can be reached."""
    if isinstance(value, str):
        try:
            return Endpoint.parse(value)
        except UsageError:
            return None
    return value if isinstance(value, Endpoint) and value.host is not None else None


def _next_of(candidates: list[_Instance]) -> _Instance:
    """Choose by smooth weighted round robin, as nginx does: high weights make no bursts."""
    for candidate in candidates:
        candidate.turn += candidate.endpoint.weight
    chosen = max(candidates, key=lambda candidate: candidate.turn)
    chosen.turn -= sum(candidate.endpoint.weight for candidate in candidates)
    return chosen
