"""What `Client.subscribe` returns: a view that follows a datum, and the callbacks to tell."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from zreg.client.core.commands import SubscriptionRefused, ViewChanged
from zreg.client.view.view import UNKNOWN_VIEW, View
from zreg.client.view.view_change import PendingChange, ViewChange, change_since
from zreg.errors import refusal
from zreg.model import DataInfoId, Scope

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.runtime import Runtime

Callback = Callable[[ViewChange], object]
C = TypeVar("C", bound=Callback)


class Subscription:
    """A followed datum. Call it with a function, or decorate one, to have changes passed to it."""

    def __init__(
        self, runtime: "Runtime", feed_id: int, data_info_id: DataInfoId, scope: Scope
    ) -> None:
        self.data_info_id = data_info_id
        self.scope = scope
        self.feed_id = feed_id
        self._runtime = runtime
        # The runtime's lock guards all of these; a view itself never changes.
        self._view = UNKNOWN_VIEW
        self._is_closed = False
        self._refusal: SubscriptionRefused | None = None
        self._iterators: list[PendingChange] = []
        self._callbacks: list[tuple[PendingChange, Callable[[], None]]] = []

    @property
    def view(self) -> View:
        """What is known now; empty and not `is_known` until the first answer."""
        self._runtime.check_not_forked()
        return self._view

    def wait_for(self, min_count: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until the view is known and has at least `min_count` publishers."""
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
        """Wait for a condition on the view; `wanted` says for the error how far it is met."""

        def is_met() -> bool:
            if self._refusal is not None and self._refusal.is_final:
                raise refusal(self._refusal.code, self._refusal.detail)
            return condition()

        def why() -> str:
            return f"{self.data_info_id}: {wanted()}; {self.why_waiting()}"

        self._runtime.wait(is_met, timeout_seconds, why)
        return self

    def changes(self) -> Iterator[ViewChange]:
        """Yield the known view, then each change, until the subscription or client is closed."""
        pending = PendingChange()
        self._runtime.check_open()
        with self._runtime.changed:
            self._iterators.append(pending)
            if self._view.is_known:
                pending.note(())
        try:
            while self._wait_ready(pending):
                change = self._take_change(pending)
                if change is not None:
                    yield change
        finally:
            with self._runtime.changed:
                self._iterators.remove(pending)

    def __call__(self, callback: C) -> C:
        """Call the function with the view once it is known, then with each change."""
        pending = PendingChange()

        def deliver() -> None:
            change = self._take_change(pending)
            if change is not None and not self._is_closed:
                callback(change)

        self._runtime.check_open()
        with self._runtime.changed:
            self._callbacks.append((pending, deliver))
            if self._view.is_known:
                self._note_for_callback(pending, deliver, ())
        return callback

    def close(self) -> None:
        """End the subscription: no callback begins after this; a second call does nothing."""
        self._runtime.check_not_forked()
        with self._runtime.changed:
            if not self._is_closed:
                self._is_closed = True
                self._runtime.unsubscribe(self.feed_id)
                self._runtime.changed.notify_all()

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
        """Return a sentence that says why the view does not have more publishers."""
        if self._refusal is not None:
            name = type(refusal(self._refusal.code, "")).__name__
            return f"refused with {name}: {self._refusal.detail}"
        connection = self._runtime.connection.why_waiting()
        return connection if self._view.is_known else f"the view is not known yet: {connection}"

    # --- for the runtime, which holds the lock ------------------------------------------------

    def on_view_changed(self, event: ViewChanged) -> None:
        """Make a new view, and tell the callbacks and iterators."""
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
        for pending in self._iterators:
            pending.note(touched)
        for pending, deliver in self._callbacks:
            self._note_for_callback(pending, deliver, touched)

    def on_refused(self, event: SubscriptionRefused) -> None:
        """Note the refusal."""
        self._refusal = event

    def on_session_lost(self, now: float) -> None:
        """Mark the view stale."""
        if not self._view.is_stale:
            self._view = self._view.with_staleness(now)

    # --- helpers ----------------------------------------------------------------------------

    def _note_for_callback(
        self, pending: PendingChange, deliver: Callable[[], None], touched: Iterable[bytes]
    ) -> None:
        """Note a change; one delivery is under way at most, and it takes all that is noted."""
        was_ready = pending.is_ready
        pending.note(touched)
        if pending.is_ready and not was_ready:
            self._runtime.dispatcher.submit(deliver)

    def _take_change(self, pending: PendingChange) -> ViewChange | None:
        with self._runtime.changed:
            view = self._view
            seen, touched = pending.take(view)
        # Outside the lock: comparing unpacks the bodies.
        return change_since(seen, view, touched)

    def _wait_ready(self, pending: PendingChange) -> bool:
        """Wait for a change; return False when none can come any more."""
        with self._runtime.changed:
            while not pending.is_ready:
                if self._is_closed or not self._runtime.is_usable:
                    return False
                self._runtime.changed.wait()
        return not self._is_closed
