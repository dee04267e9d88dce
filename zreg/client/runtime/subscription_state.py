"""What a client knows of one of its subscriptions, whether the program keeps its handle or not."""

import inspect
import threading
import time
from collections.abc import Callable, Iterable

from zreg.client.core.commands import SubscriptionRefused, ViewChanged
from zreg.client.runtime.threads.inline_callbacks import CallbackRunner
from zreg.client.view.view import UNKNOWN_VIEW
from zreg.client.view.view_change import PendingChange, ViewChange, change_since
from zreg.errors import UsageError

Callback = Callable[[ViewChange], object]
Delivery = tuple[PendingChange, Callable[[], None]]


class SubscriptionState:
    """The view of a subscription, and the callbacks and iterators that are told its changes.

    The runtime's lock, `changed`, guards it; a view itself never changes. It does not refer to the
    runtime, which refers to it.
    """

    def __init__(self, changed: threading.Condition, runner: CallbackRunner) -> None:
        self._changed = changed
        self._runner = runner
        self.view = UNKNOWN_VIEW
        self.is_closed = False
        self.refusal: SubscriptionRefused | None = None
        self._iterators: list[PendingChange] = []
        self._callbacks: list[Delivery] = []

    def add_callback(self, callback: Callback) -> None:
        """Call the function with the view once it is known, then with each change."""
        pending = PendingChange()

        def deliver() -> None:
            change = self.take_change(pending)
            if change is not None and not self.is_closed:
                _call(callback, change)

        with self._changed:
            self._callbacks.append((pending, deliver))
            if self.view.is_known:
                self._note_for_callback(pending, deliver, ())
                self._runner.retry()

    def add_iterator(self) -> PendingChange:
        """Return what an iterator has not got yet; it begins with the view as it is."""
        pending = PendingChange()
        with self._changed:
            self._iterators.append(pending)
            if self.view.is_known:
                pending.note(())
        return pending

    def remove_iterator(self, pending: PendingChange) -> None:
        """Note nothing more for an iterator."""
        with self._changed:
            self._iterators.remove(pending)

    def take_change(self, pending: PendingChange) -> ViewChange | None:
        """Return what is new to a callback or iterator; None if nothing is."""
        with self._changed:
            view = self.view
            seen, touched = pending.take(view)
        # Outside the lock: comparing unpacks the bodies.
        return change_since(seen, view, touched)

    # --- for the runtime, which holds the lock ------------------------------------------------

    def on_view_changed(self, event: ViewChanged) -> None:
        """Make a new view, and tell the callbacks and iterators."""
        self.refusal = None
        difference = event.difference
        stale_since = None if event.is_confirmed else self.view.stale_since or time.monotonic()
        self.view = self.view.with_changes(
            difference.upserts,
            difference.removals,
            version=difference.version,
            stale_since=stale_since,
        )
        touched = [*difference.upserts, *difference.removals]
        # Copies: a finalizer of the program may end an iterator meanwhile, on this thread.
        for pending in tuple(self._iterators):
            pending.note(touched)
        for pending, deliver in tuple(self._callbacks):
            self._note_for_callback(pending, deliver, touched)

    def on_refused(self, event: SubscriptionRefused) -> None:
        """Note the refusal."""
        self.refusal = event

    def on_session_lost(self, now: float) -> None:
        """Mark the view stale."""
        if not self.view.is_stale:
            self.view = self.view.with_staleness(now)

    def _note_for_callback(
        self, pending: PendingChange, deliver: Callable[[], None], touched: Iterable[bytes]
    ) -> None:
        """Note a change; one delivery is under way at most, and it takes all that is noted."""
        was_ready = pending.is_ready
        pending.note(touched)
        if pending.is_ready and not was_ready:
            self._runner.submit(deliver)
        elif was_ready:
            self._runner.retry()


def _call(callback: Callback, change: ViewChange) -> None:
    """Call a callback; one that returns a coroutine has done nothing, and no code would run it."""
    result = callback(change)
    if inspect.iscoroutine(result):
        result.close()
        raise UsageError(
            f"callback {callback!r:.80} returned a coroutine, and nothing would run it: pass the "
            "change on to a loop, for example with asyncio.run_coroutine_threadsafe"
        )
