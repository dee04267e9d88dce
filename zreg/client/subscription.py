"""What `Client.subscribe` returns: a view that follows a datum, and the callbacks to tell."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from zreg.client.arguments import check_callback, checked_count, seconds_to_wait
from zreg.client.core.commands import AddSubscription
from zreg.client.runtime.subscription_state import Callback, SubscriptionState
from zreg.client.runtime.threads.inline_callbacks import CallbackRunner, InlineRunner
from zreg.client.view.outside_scope import what_is_outside
from zreg.client.view.view import View
from zreg.client.view.view_change import PendingChange, ViewChange
from zreg.errors import ClosedError, TimeoutError, refusal  # noqa: A004 -- zreg's own
from zreg.model import DataInfoId, Scope

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.runtime import Runtime

C = TypeVar("C", bound=Callback)
# Before a wait runs out, the client looks for so long at what is outside of the scope, so that the
# error can tell: this share of the wait, and not for longer.
_LOOK_SHARE: Final = 0.25
_LOOK_SECONDS_MAX: Final = 1.0


class Subscription:
    """A followed datum. Call it with a function, or decorate one, to have changes passed to it.

    It lasts until it is closed, or until its client ends; as long as you keep it, it keeps its
    client.
    """

    def __init__(
        self,
        runtime: "Runtime",
        feed_id: int,
        data_info_id: DataInfoId,
        scope: Scope,
        *,
        inline: bool = False,
    ) -> None:
        self.data_info_id = data_info_id
        self.scope = scope
        self.feed_id = feed_id
        self._runtime = runtime
        # The runtime refers to the state only, so that it does not keep itself.
        runner: CallbackRunner = runtime.dispatcher
        if inline:
            runner = InlineRunner(runtime.inline_callbacks, data_info_id)
        self._state = SubscriptionState(runtime.changed, runner)

    def begin(self) -> None:
        """Subscribe. Needs the runtime's lock."""
        command = AddSubscription(self.feed_id, self.data_info_id, self.scope)
        self._runtime.subscribe(command, self._state)

    @property
    def view(self) -> View:
        """What is known now; empty and not `is_known` until the first answer."""
        self._runtime.lifecycle.check_not_forked()
        return self._state.view

    @property
    def own_zone(self) -> str:
        """The zone of the client; empty if it has none, and its session gives it one."""
        return self._runtime.settings.config.zone

    def wait_for(self, min_count: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until the view is known and has at least `min_count` publishers."""
        checked_count(min_count, "min_count")
        state = self._state
        return self.wait_until(
            lambda: state.view.is_known and len(state.view) >= min_count,
            timeout_seconds=timeout_seconds,
            wanted=lambda: (
                f"{len(state.view)} of {min_count} publishers are there"
                if min_count
                else "no answer has come"
            ),
        )

    def wait_until(
        self, condition: Callable[[], bool], *, timeout_seconds: float, wanted: Callable[[], str]
    ) -> "Self":
        """Wait for a condition on the view; `wanted` says for the error how far it is met.

        The condition is called on this thread, at least after every event.
        """

        def is_met() -> bool:
            refused = self._state.refusal
            if refused is not None and refused.is_final:
                raise refusal(refused.code, refused.detail)
            is_true = condition()
            if not is_true and self._state.is_closed:
                raise ClosedError("this subscription was closed: subscribe again")
            return is_true

        def why() -> str:
            return f"{self.data_info_id}: {wanted()}; {self.why_waiting()}"

        seconds = seconds_to_wait(timeout_seconds)
        if seconds is None or self.scope is Scope.GLOBAL:
            self._runtime.wait(is_met, timeout_seconds, why)
            return self
        look_seconds = min(_LOOK_SECONDS_MAX, seconds * _LOOK_SHARE)
        try:
            self._runtime.wait(is_met, seconds - look_seconds, why)
        except TimeoutError:
            if not look_seconds:
                raise
            with self._look_everywhere() as everywhere:
                try:
                    self._runtime.wait(is_met, look_seconds, why)
                except TimeoutError:
                    outside = self._what_is_outside(everywhere.view)
                    sentences = f"{why()}; {outside}" if outside else why()
                    raise TimeoutError(f"{sentences} (waited {seconds:g} s)") from None
        return self

    def changes(self) -> Iterator[ViewChange]:
        """Yield the known view, then each change, until the subscription or client is closed.

        Raises `ClosedError` if the client failed.
        """
        self._runtime.lifecycle.check_open()
        pending = self._state.add_iterator()
        try:
            while self._wait_ready(pending):
                change = self._state.take_change(pending)
                if change is not None:
                    yield change
            self._runtime.lifecycle.check_not_failed()
        finally:
            # In a forked child the parent's thread may have held the lock for ever.
            if not self._runtime.lifecycle.is_forked:
                self._state.remove_iterator(pending)

    def __call__(self, callback: C) -> C:
        """Call the function with the view once it is known, then with each change."""
        check_callback(callback)
        self._runtime.lifecycle.check_open()
        self._state.add_callback(callback)
        return callback

    def close(self) -> None:
        """End the subscription: no callback begins after this; a second call does nothing."""
        self._runtime.lifecycle.check_not_forked()
        with self._runtime.changed:
            if not self._state.is_closed:
                self._state.is_closed = True
                self._runtime.unsubscribe(self.feed_id)
                self._runtime.notify_all()

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
        if self._runtime.lifecycle.is_usable:
            self.close()

    def __repr__(self) -> str:
        """Show the name and the view."""
        ended = f" ended: {end}" if (end := self.why_ended()) else ""
        return f"<Subscription {self.data_info_id} {self.scope.name} {self._state.view!r}{ended}>"

    def why_ended(self) -> str:
        """Return a sentence that says what ended it; empty if it goes on."""
        closed = "this subscription was closed" if self._state.is_closed else ""
        return self._runtime.lifecycle.why_closed() or closed

    def why_waiting(self) -> str:
        """Return a sentence that says why the view does not have more publishers."""
        refused = self._state.refusal
        if refused is not None:
            name = type(refusal(refused.code, "")).__name__
            return f"refused with {name}: {refused.detail}"
        connection = self._runtime.why_waiting()
        return (
            connection if self._state.view.is_known else f"the view is not known yet: {connection}"
        )

    def _look_everywhere(self) -> "Subscription":
        """Return a subscription to the same id in all data centers."""
        runtime = self._runtime
        look = Subscription(runtime, runtime.new_feed_id(), self.data_info_id, Scope.GLOBAL)
        with runtime.changed:
            look.begin()
        return look

    def _what_is_outside(self, everywhere: View) -> str:
        config = self._runtime.settings.config
        return what_is_outside(
            self._state.view,
            everywhere,
            scope=self.scope,
            zone=config.zone,
            data_center=config.data_center,
        )

    def _wait_ready(self, pending: PendingChange) -> bool:
        """Wait for a change; return False when none can come any more."""
        lifecycle = self._runtime.lifecycle
        lifecycle.check_may_wait()
        if lifecycle.is_forked:
            return False
        with self._runtime.changed:
            while not pending.is_ready:
                if self._state.is_closed or not self._runtime.lifecycle.is_usable:
                    return False
                self._runtime.changed.wait()
        return not self._state.is_closed
