"""What `Client.subscribe` hands out: a view that follows a datum, and who wants to be told."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from zreg.client.core.commands import DropSubscription, SubscriptionRefused, ViewChanged
from zreg.client.view import UNKNOWN_VIEW, View, ViewChange, change_between
from zreg.errors import refusal
from zreg.model import DataInfoId, Scope

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime import Runtime

Callback = Callable[[ViewChange], object]
C = TypeVar("C", bound=Callback)


class Listener:
    """Somebody who wants every change, merged into one while he is busy with the last."""

    def __init__(self, subscription: "Subscription") -> None:
        self._subscription = subscription
        self._seen = UNKNOWN_VIEW
        self._touched: dict[bytes, None] = {}
        self.is_ready = False

    def touch(self, publisher_ids: Iterable[bytes]) -> bool:
        """Note what changed; return whether there is news now and was none before."""
        self._touched.update(dict.fromkeys(publisher_ids))
        was_ready = self.is_ready
        self.is_ready = was_ready or bool(self._touched) or not self._seen.is_known
        return self.is_ready and not was_ready

    def take(self) -> ViewChange | None:
        """Return all that changed since the last time; None if it amounts to nothing."""
        with self._subscription.lock:
            seen, view = self._seen, self._subscription.view
            touched, self._touched = self._touched, {}
            self._seen, self.is_ready = view, False
        if not seen.is_known:
            return ViewChange(view, added=tuple(view))
        change = change_between(seen, view, touched)
        return change if change.added or change.removed or change.updated else None


class Subscription:
    """A followed datum. Call it with a function, or decorate one, to be told of changes."""

    def __init__(
        self, runtime: "Runtime", feed_id: int, data_info_id: DataInfoId, scope: Scope
    ) -> None:
        self.data_info_id = data_info_id
        self.scope = scope
        self.feed_id = feed_id
        self._runtime = runtime
        self.lock = runtime.changed
        # What follows is guarded by that lock; the view itself never changes.
        self._view = UNKNOWN_VIEW
        self._is_closed = False
        self._refusal: SubscriptionRefused | None = None
        self._iterators: list[Listener] = []
        self._callbacks: list[tuple[Listener, Callable[[], None]]] = []

    @property
    def view(self) -> View:
        """What is known now; empty and not `is_known` until the first answer."""
        self._runtime.check_not_forked()
        return self._view

    def wait_for(self, min_count: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until the view is known and has so many publishers."""
        return self.wait_until(
            lambda: self._view.is_known and len(self._view) >= min_count,
            timeout_seconds=timeout_seconds,
            wanted=lambda: (
                f"{len(self._view)} of {min_count} publishers are there"
                if min_count
                else "no answer has come"
            ),
        )

    def wait_until(
        self, condition: Callable[[], bool], *, timeout_seconds: float, wanted: Callable[[], str]
    ) -> "Self":
        """Wait for a condition on the view; `wanted` says how far it is, for the error."""

        def is_met() -> bool:
            if self._refusal is not None and self._refusal.is_final:
                raise refusal(self._refusal.code, self._refusal.detail)
            return condition()

        def why() -> str:
            return f"{self.data_info_id}: {wanted()}; {self.why_waiting()}"

        self._runtime.wait(is_met, timeout_seconds, why)
        return self

    def changes(self) -> Iterator[ViewChange]:
        """Yield the known view, then every change; ends when subscription or client is closed."""
        listener = Listener(self)
        self._runtime.check_open()
        with self.lock:
            self._iterators.append(listener)
            if self._view.is_known:
                listener.touch(())
        try:
            while self._wait_ready(listener):
                change = listener.take()
                if change is not None:
                    yield change
        finally:
            with self.lock:
                self._iterators.remove(listener)

    def __call__(self, callback: C) -> C:
        """Call the function with every change, first with the view as it is once it is known."""
        listener = Listener(self)

        def deliver() -> None:
            change = listener.take()
            if change is not None and not self._is_closed:
                callback(change)

        self._runtime.check_open()
        with self.lock:
            self._callbacks.append((listener, deliver))
            if self._view.is_known and listener.touch(()):
                self._runtime.dispatcher.submit(deliver)
        return callback

    def close(self) -> None:
        """Follow no more: no callback begins after this; twice is fine."""
        self._runtime.check_not_forked()
        with self.lock:
            if not self._is_closed:
                self._is_closed = True
                self._runtime.remove_subscription(self)
                self._runtime.post(DropSubscription(self.feed_id))
                self.lock.notify_all()

    unsubscribe = close

    def __enter__(self) -> "Self":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close; in a forked child there is nothing to close."""
        if self._runtime.is_usable:
            self.close()

    def __repr__(self) -> str:
        """Show the name and the view."""
        return f"<Subscription {self.data_info_id} {self.scope.name} {self._view!r}>"

    def why_waiting(self) -> str:
        """Return a sentence on what stands in the way of more publishers."""
        if self._refusal is not None:
            name = type(refusal(self._refusal.code, "")).__name__
            return f"refused with {name}: {self._refusal.detail}"
        connection = self._runtime.why_waiting()
        return connection if self._view.is_known else f"nothing is known of it yet: {connection}"

    # --- for the runtime, which holds the lock ------------------------------------------------

    def take(self, event: ViewChanged | SubscriptionRefused) -> None:
        """Take a new view, or a no, and tell everybody who listens."""
        if isinstance(event, SubscriptionRefused):
            self._refusal = event
            return
        self._refusal = None
        difference = event.difference
        stale_since = None if event.is_confirmed else self._view.stale_since or time.monotonic()
        self._view = self._view.with_changes(
            difference.upserts,
            difference.removals,
            version=difference.version,
            stale_since=stale_since,
        )
        touched = [*difference.upserts, *difference.removals]
        for listener in self._iterators:
            listener.touch(touched)
        for listener, deliver in self._callbacks:
            if listener.touch(touched):
                self._runtime.dispatcher.submit(deliver)

    def session_lost(self, now: float) -> None:
        """Mark the view stale."""
        if not self._view.is_stale:
            self._view = self._view.with_staleness(now)

    def _wait_ready(self, listener: Listener) -> bool:
        """Wait for news; False when there will be none any more."""
        with self.lock:
            while not listener.is_ready:
                if self._is_closed or not self._runtime.is_usable:
                    return False
                self.lock.wait()
        return not self._is_closed
