"""What a client knows of one of its subscriptions, whether the program keeps its handle or not."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from zreg.client.core.commands import SubscriptionRefused, ViewChanged
from zreg.client.runtime.callbacks.callback_runner import CallbackRunner
from zreg.client.runtime.events.changed import Changed
from zreg.client.view.view import UNKNOWN_VIEW, View
from zreg.client.view.view_change import PendingChange, ViewChange, change_since
from zreg.model import DataInfoId, Scope

Callback = Callable[[ViewChange], object]


class KeptViews(Protocol):
    """Keeps the last known views of subscriptions on disk: a `ViewCache`."""

    def load(self, followed: tuple[DataInfoId, Scope], /) -> View | None:
        """Return the last known view; None if there is none."""
        ...

    def follow(self, followed: tuple[DataInfoId, Scope], /) -> None:
        """Note one more subscription."""
        ...

    def leave(self, followed: tuple[DataInfoId, Scope], /) -> None:
        """Note that a subscription has ended."""
        ...

    def note(self, followed: tuple[DataInfoId, Scope], view: View, /) -> None:
        """Keep a view that a session confirms."""
        ...

    def lose(self, followed: tuple[DataInfoId, Scope], /) -> None:
        """Note that no session confirms the view any more."""
        ...


class _Delivery(NamedTuple):
    """How one callback gets what is new to it."""

    pending: PendingChange
    deliver: Callable[[], object]
    runner: CallbackRunner


class SubscriptionState:
    """The view of a subscription, and the callbacks and iterators that are told its changes.

    The runtime's lock, `changed`, guards it; a view itself never changes. It does not refer to the
    runtime, which refers to it.
    """

    def __init__(self, changed: Changed, data_info_id: DataInfoId, scope: Scope) -> None:
        self._changed = changed
        self.followed = data_info_id, scope
        # Whether the view is not from this client's own core: what a forked child has inherited,
        # or what the cache on disk had.
        self._is_inherited = False
        # None if nothing is kept on disk.
        self._kept_views: KeptViews | None = None
        self.view = UNKNOWN_VIEW
        self.is_closed = False
        self.refusal: SubscriptionRefused | None = None
        self._iterators: list[PendingChange] = []
        self._callbacks: list[_Delivery] = []

    def add_callback(self, callback: Callback, runner: CallbackRunner) -> None:
        """Have the runner call the function with the view once it is known, then at each change."""
        pending = PendingChange()

        def deliver() -> object:
            change = self.take_change(pending)
            return None if change is None or self.is_closed else callback(change)

        delivery = _Delivery(pending, deliver, runner)
        with self._changed:
            self._callbacks.append(delivery)
            if self.view.is_known:
                _note(delivery, ())
                runner.retry()

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

    def begin_kept(self, kept_views: KeptViews, view: View | None) -> None:
        """Begin with the last known view, if there is one, and keep this one's views from now on.

        Callbacks get it as their first view: it is known.
        """
        self._kept_views = kept_views
        kept_views.follow(self.followed)
        if view is None:
            return
        self._is_inherited, self.view = True, view
        for delivery in self._callbacks:
            _note(delivery, ())
            delivery.runner.retry()

    def end(self) -> None:
        """Note that the program has closed the subscription."""
        self.is_closed = True
        if self._kept_views is not None:
            self._kept_views.leave(self.followed)

    def on_view_changed(self, event: ViewChanged) -> None:
        """Make a new view, and tell the callbacks and iterators."""
        self.refusal = None
        difference = event.difference
        removals: Iterable[bytes] = difference.removals
        if self._is_inherited:
            # The first difference of this client's own core begins with nothing.
            self._is_inherited = False
            removals = self.view.publisher_ids() - difference.upserts.keys()
        stale_since = None if event.is_confirmed else self.view.stale_since or time.monotonic()
        self.view = self.view.with_changes(
            difference.upserts,
            removals,
            version=difference.version,
            stale_since=stale_since,
        )
        if self._kept_views is not None and event.is_confirmed:
            self._kept_views.note(self.followed, self.view)
        touched = [*difference.upserts, *removals]
        # Copies: a finalizer of the program may end an iterator meanwhile, on this thread.
        for pending in tuple(self._iterators):
            pending.note(touched)
        for delivery in tuple(self._callbacks):
            _note(delivery, touched)

    def begin_in_child(self) -> None:
        """Go on in a forked child with the view of the parent; what was due is due again."""
        self._is_inherited = self.view.is_known
        self.on_session_lost(time.monotonic())
        for delivery in self._callbacks:
            if delivery.pending.is_ready:
                delivery.runner.submit(delivery.deliver)

    def on_refused(self, event: SubscriptionRefused) -> None:
        """Note the refusal."""
        self.refusal = event

    def on_session_lost(self, now: float) -> None:
        """Mark the view stale."""
        if self._kept_views is not None:
            self._kept_views.lose(self.followed)
        if not self.view.is_stale:
            self.view = self.view.with_staleness(now)


def _note(delivery: _Delivery, touched: Iterable[bytes]) -> None:
    """Note a change; one delivery is under way at most, and it takes all that is noted."""
    pending, deliver, runner = delivery
    was_ready = pending.is_ready
    pending.note(touched)
    if pending.is_ready and not was_ready:
        runner.submit(deliver)
    elif was_ready:
        runner.retry()
