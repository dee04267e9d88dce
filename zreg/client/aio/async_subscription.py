"""What `AsyncClient.subscribe` returns: a view that follows a datum, and the callbacks to tell."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from zreg.client.arguments import check_loop_callback, checked_count
from zreg.client.handles.subscription_handle import C, SubscriptionHandle
from zreg.client.runtime.aio.coroutine_callbacks import LoopCallbackRunner
from zreg.client.runtime.subscription_state import SubscriptionState
from zreg.client.view.view_change import PendingChange, ViewChange
from zreg.errors import TimeoutError  # noqa: A004 -- zreg's own
from zreg.model import Scope

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.aio.loop_runtime import LoopRuntime


class AsyncSubscription(SubscriptionHandle):
    """A followed datum. Call it with a function, or decorate one, to have changes passed to it.

    The function may be a coroutine function. It lasts until it is closed, or until its client ends;
    as long as you keep it, it keeps its client.
    """

    _runtime: "LoopRuntime"

    async def wait_for(self, min_count: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until the view is known and has at least `min_count` publishers."""
        checked_count(min_count, "min_count")
        return await self.wait_until(
            lambda: self._has(min_count),
            timeout_seconds=timeout_seconds,
            wanted=lambda: self._how_many(min_count),
        )

    async def wait_until(
        self, condition: Callable[[], bool], *, timeout_seconds: float, wanted: Callable[[], str]
    ) -> "Self":
        """Wait for a condition on the view; `wanted` says for the error how far it is met.

        The condition is called on the loop, after each event of this subscription.
        """

        def is_met() -> bool:
            return self._is_met(condition)

        def why() -> str:
            return f"{self.data_info_id}: {wanted()}; {self.why_waiting()}"

        def key() -> int:
            return self.feed_id

        runtime, look_seconds = self._runtime, self._look_seconds(timeout_seconds)
        if not look_seconds:
            await runtime.wait(is_met, timeout_seconds, why, key)
            return self
        try:
            await runtime.wait(is_met, float(timeout_seconds) - look_seconds, why, key)
        except TimeoutError:
            async with AsyncSubscription(runtime, self.data_info_id, Scope.GLOBAL) as everywhere:
                everywhere.begin_if_there_is_room()
                try:
                    await runtime.wait(is_met, look_seconds, why, key)
                except TimeoutError:
                    raise self._timed_out(everywhere.view, why(), timeout_seconds) from None
        return self

    def changes(self) -> "AsyncChanges":
        """Return what yields the known view, then each change, for `async for`.

        It ends with the subscription or the client. Raises `ClosedError` if the client failed.
        """
        self._runtime.lifecycle.check_open()
        return AsyncChanges(self._runtime, self._state, self.feed_id)

    def __call__(self, callback: C) -> C:
        """Call the function with the view once it is known, then with each change.

        A function is called on the loop and must be quick. A coroutine function is awaited, one
        call at a time: what changes meanwhile comes merged with the next call.
        """
        check_loop_callback(callback)
        runtime = self._runtime
        runtime.lifecycle.check_open()
        runner = LoopCallbackRunner(runtime.inline_callbacks, runtime.coroutine_callbacks)
        self._state.add_callback(callback, runner)
        return callback

    async def __aenter__(self) -> "Self":
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close; in a forked child there is nothing to close."""
        if self._runtime.lifecycle.is_running:
            self.close()


class AsyncChanges:
    """The changes of a subscription, for `async for`.

    A wait for the next change that is cancelled, for example by `asyncio.wait_for`, loses nothing:
    the next one gets what has come meanwhile, merged.
    """

    def __init__(self, runtime: "LoopRuntime", state: SubscriptionState, feed_id: int) -> None:
        self._runtime = runtime
        self._state = state
        self._feed_id = feed_id
        self._pending: PendingChange | None = state.add_iterator()

    def __aiter__(self) -> "AsyncChanges":
        """Return itself."""
        return self

    async def __anext__(self) -> ViewChange:
        """Wait for the next change and return it; end when none can come any more."""
        lifecycle, state = self._runtime.lifecycle, self._state
        lifecycle.check_thread()
        while (pending := self._pending) is not None:
            if state.is_closed:
                break
            if pending.is_ready:
                change = state.take_change(pending)
                if change is not None:
                    return change
            elif not lifecycle.is_usable:
                break
            else:
                await self._runtime.changed.wait(self._feed_id)
        await self.aclose()
        lifecycle.check_not_failed()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End, also for a coroutine that waits for a change; a second call does nothing."""
        self._drop()
        self._runtime.notify(self._feed_id)

    def _drop(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self._state.remove_iterator(pending)

    def __del__(self) -> None:
        """Have nothing noted any more for an iterator that the program has dropped."""
        if getattr(self, "_pending", None) is not None:
            self._drop()
