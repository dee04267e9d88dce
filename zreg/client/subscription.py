"""What `Client.subscribe` returns: a view that follows a datum, and the callbacks to tell."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from zreg.client.arguments import check_callback, checked_count
from zreg.client.handles.subscription_handle import C, SubscriptionHandle
from zreg.client.runtime.callbacks.dispatcher import refusing_coroutines
from zreg.client.runtime.callbacks.inline_callbacks import InlineRunner
from zreg.client.signal_safe_condition import WAIT_SECONDS_MAX
from zreg.client.view.view_change import PendingChange, ViewChange
from zreg.errors import TimeoutError  # noqa: A004 -- zreg's own
from zreg.model import DataInfoId, Scope

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.callbacks.callback_runner import CallbackRunner
    from zreg.client.runtime.threads.thread_runtime import ThreadRuntime


class Subscription(SubscriptionHandle):
    """A followed datum. Call it with a function, or decorate one, to have changes passed to it.

    It lasts until it is closed, or until its client ends; as long as you keep it, it keeps its
    client.
    """

    _runtime: "ThreadRuntime"

    def __init__(
        self,
        runtime: "ThreadRuntime",
        data_info_id: DataInfoId,
        scope: Scope,
        *,
        inline: bool = False,
    ) -> None:
        super().__init__(runtime, data_info_id, scope)
        self._runner: CallbackRunner = runtime.dispatcher
        if inline:
            self._runner = InlineRunner(runtime.inline_callbacks, data_info_id)

    def wait_for(self, min_count: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until the view is known and has at least `min_count` publishers."""
        checked_count(min_count, "min_count")
        return self.wait_until(
            lambda: self._has(min_count),
            timeout_seconds=timeout_seconds,
            wanted=lambda: self._how_many(min_count),
        )

    def wait_until(
        self, condition: Callable[[], bool], *, timeout_seconds: float, wanted: Callable[[], str]
    ) -> "Self":
        """Wait for a condition on the view; `wanted` says for the error how far it is met.

        The condition is called on this thread, at least after every event.
        """

        def is_met() -> bool:
            return self._is_met(condition)

        def why() -> str:
            return f"{self.data_info_id}: {wanted()}; {self.why_waiting()}"

        runtime, look_seconds = self._runtime, self._look_seconds(timeout_seconds)
        if not look_seconds:
            runtime.wait(is_met, timeout_seconds, why)
            return self
        try:
            runtime.wait(is_met, float(timeout_seconds) - look_seconds, why)
        except TimeoutError:
            with Subscription(runtime, self.data_info_id, Scope.GLOBAL) as everywhere:
                with runtime.changed:
                    everywhere.begin_if_there_is_room()
                try:
                    runtime.wait(is_met, look_seconds, why)
                except TimeoutError:
                    raise self._timed_out(everywhere.view, why(), timeout_seconds) from None
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
            self._state.remove_iterator(pending)

    def __call__(self, callback: C) -> C:
        """Call the function with the view once it is known, then with each change."""
        check_callback(callback)
        self._runtime.lifecycle.check_open()
        self._state.add_callback(refusing_coroutines(callback), self._runner)
        return callback

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
        if self._runtime.lifecycle.is_running:
            self.close()

    def _wait_ready(self, pending: PendingChange) -> bool:
        """Wait for a change; return False when none can come any more."""
        lifecycle = self._runtime.lifecycle
        lifecycle.enter_process()
        lifecycle.check_may_wait()
        with self._runtime.changed:
            while not pending.is_ready:
                if self._state.is_closed or not self._runtime.lifecycle.is_usable:
                    return False
                self._runtime.changed.wait(WAIT_SECONDS_MAX)
        return not self._state.is_closed
