"""Run callbacks on the event loop of the program: functions at once, coroutines one at a time."""

import asyncio
import contextvars
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import partial

from zreg.client.runtime.callbacks.inline_callbacks import InlineCallbacks
from zreg.reactor.log_lines import LOG_AT_ONCE

# The callback in which code runs, also in a task that the callback has made.
_CALLBACK: ContextVar[object] = ContextVar("zreg_callback")


class CoroutineCallbacks:
    """The tasks of one client in which coroutine callbacks run.

    Callbacks may close the client, several at the same time. A close waits for callbacks, so two
    that close would wait for each other.

    Invariant: no callback that closes the client waits for itself, or for another one that does.
    """

    def __init__(self) -> None:
        # A loop keeps its tasks weakly. The key is what a callback finds in `_CALLBACK`.
        self._tasks: dict[object, asyncio.Task[None]] = {}
        # The callbacks that have called `close`, by the same key.
        self._closers: set[object] = set()
        self.is_closed = False

    def start(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task of its own."""
        key = object()
        # The task inherits it.
        token = _CALLBACK.set(key)
        try:
            task = asyncio.get_running_loop().create_task(coroutine)
        finally:
            _CALLBACK.reset(token)
        self._tasks[key] = task
        task.add_done_callback(partial(self._forget, key))
        return task

    def close(self) -> None:
        """Begin no callback any more; those that run go on."""
        self.is_closed = True

    def note_closer(self) -> None:
        """Note that the caller closes the client, if it is a callback."""
        if (own := _CALLBACK.get(None)) is not None:
            self._closers.add(own)

    async def wait_ended(self) -> None:
        """Wait until no callback runs; a callback does not wait for those that close the client."""
        if tasks := self._others():
            await asyncio.wait(tasks)

    def cancel(self) -> None:
        """Cancel the callbacks that run; a callback does not cancel those that close the client."""
        for task in self._others():
            task.cancel()

    def closers(self) -> list[asyncio.Task[None]]:
        """Return the callbacks that close the client."""
        return [task for key, task in self._tasks.items() if key in self._closers]

    def _others(self) -> list[asyncio.Task[None]]:
        spared = self._closers if _CALLBACK.get(None) in self._closers else ()
        return [task for key, task in self._tasks.items() if key not in spared]

    def _forget(self, key: object, _task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        self._closers.discard(key)

    def __repr__(self) -> str:
        """Show how many callbacks run."""
        return f"<CoroutineCallbacks running={len(self._tasks)}>"


class LoopCallbackRunner:
    """Runs one callback of a subscription on the loop, in the context in which it was added.

    Invariants:
    - A function runs after the event that made it due, before the next event is handled.
    - While a coroutine runs, the callback is not called again. What comes meanwhile is merged, and
      one more call gets it.
    - What a callback raises is logged and costs that call. Only what ends a program goes on to the
      loop, as it would from any other code there; and a call that is cancelled ends as such.
    """

    def __init__(self, functions: InlineCallbacks, coroutines: CoroutineCallbacks) -> None:
        self._functions = functions
        self._coroutines = coroutines
        self._context = contextvars.copy_context()
        self._is_running = False
        # What is due while a coroutine runs.
        self._next: Callable[[], object] | None = None

    def submit(self, job: Callable[[], object]) -> None:
        """Run the job after the present event, or after the coroutine that runs."""
        self._functions.submit(partial(self._run, job))

    def retry(self) -> None:
        """Have the loop run what waits."""
        self._functions.retry()

    def _run(self, job: Callable[[], object]) -> None:
        if self._is_running:
            self._next = job
            return
        awaitable = self._begin(job)
        if awaitable is not None:
            self._is_running = True
            self._context.run(self._coroutines.start, self._finish_all(awaitable))

    def _begin(self, job: Callable[[], object]) -> Awaitable[object] | None:
        """Call the callback; return what it wants to be awaited."""
        try:
            result = self._context.run(job)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 -- also `CancelledError`, of a future that it looks at
            _log_failure()
            return None
        return result if inspect.isawaitable(result) else None

    async def _finish_all(self, first: Awaitable[object]) -> None:
        """Await a call, then those that became due meanwhile, one after the other."""
        awaitable: Awaitable[object] | None = first
        try:
            while True:
                if awaitable is not None:
                    await _finish(awaitable)
                job, self._next = self._next, None
                if job is None or self._coroutines.is_closed:
                    return
                # In the context of this task, which is a copy of the callback's.
                awaitable = self._begin(job)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            self._pass_on()
            raise
        finally:
            self._is_running = False

    def _pass_on(self) -> None:
        """Have a task of its own make the call that is due: this one is cancelled."""
        job, self._next = self._next, None
        if job is not None and not self._coroutines.is_closed:
            self.submit(job)
            self.retry()


async def _finish(awaitable: Awaitable[object]) -> None:
    try:
        await awaitable
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        # What the callback awaited was cancelled, and not the callback.
        _log_failure()
    except Exception:  # noqa: BLE001 -- a callback may raise anything
        _log_failure()


def _log_failure() -> None:
    LOG_AT_ONCE.write("zreg.client", logging.ERROR, "client.callback.failed", sys.exc_info())
