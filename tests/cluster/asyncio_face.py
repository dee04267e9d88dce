"""An `AsyncClient` behind the face of `Client`, so that one suite of tests runs against both.

The event loop runs on a thread of its own. Each call of the test is made there, and waited for.
"""

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import zreg
from zreg.client.aio.async_publication import AsyncDraining

_WRAPPED = (
    AsyncDraining,
    zreg.AsyncClient,
    zreg.AsyncPublication,
    zreg.AsyncService,
    zreg.AsyncSubscription,
)


class LoopOfTheProgram:
    """An event loop on a thread, as a program with asyncio has it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Make a call on the loop, await what it returns, and return the result."""

        async def run() -> Any:
            result = function(*arguments, **named)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout=60)

    def end(self) -> None:
        """End the loop and its thread, once calls of other threads have returned."""
        self.call(_wait_for_others)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


class Face:
    """One object of the asyncio API; its methods block the test instead of being awaited."""

    def __init__(self, target: Any, program: LoopOfTheProgram) -> None:
        self._target = target
        self._program = program

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name == "changes":
            return self._iterate
        if not inspect.ismethod(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            return self._shown(self._program.call(value, *arguments, **named))

        return call

    def __call__(self, *arguments: Any) -> Any:
        return self._program.call(self._target, *arguments)

    def __enter__(self) -> Any:
        return self._shown(self._program.call(self._target.__aenter__))

    def __exit__(self, *error: object) -> None:
        self._program.call(self._target.__aexit__, *error)

    def __repr__(self) -> str:
        return repr(self._target).replace("<Async", "<")

    def __len__(self) -> int:
        return len(self._target)

    def _shown(self, result: Any) -> Any:
        if result is self._target:
            return self
        return Face(result, self._program) if isinstance(result, _WRAPPED) else result

    def _iterate(self) -> Iterator[zreg.ViewChange]:
        changes = self._program.call(self._target.changes)
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._program.call(_next, changes)


async def _wait_for_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=10)


async def _next(changes: Any) -> Awaitable[zreg.ViewChange]:
    try:
        return await anext(changes)
    except StopAsyncIteration:
        raise EndOfChangesError from None


@contextlib.contextmanager
def client_maker(kind: str) -> Iterator[Callable[..., Any]]:
    """Return what makes a client with threads, or one for asyncio behind the same face."""
    if kind == "threads":
        yield zreg.Client
        return
    program = LoopOfTheProgram()

    def new(*arguments: Any, **named: Any) -> Any:
        return Face(zreg.AsyncClient(*arguments, **named), program)

    yield new
    program.end()


class EndOfChangesError(StopAsyncIteration):
    """A coroutine may not raise `StopAsyncIteration` itself."""


def settings_of(client: Any) -> Callable[..., Any]:
    """Return what calls a method of the settings; for asyncio on the loop of the program."""

    def call(method: str, *arguments: Any) -> Any:
        bound = getattr(client.settings, method)
        program = getattr(client, "_program", None)
        return program.call(bound, *arguments) if program else bound(*arguments)

    return call
