"""A call of `grpc.aio` that goes on to another instance."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import grpc
import grpc.aio

from zreg.integrations.grpc.balanced_calls import Deadline, NoInstanceRpcError


class RepeatedCall(grpc.aio.UnaryUnaryCall):
    """A call that may have several attempts; what it tells is what the last one told."""

    task: asyncio.Task[Any]

    def __init__(self, timeout: float | None) -> None:
        self.deadline = Deadline(timeout)
        self.last: Any = None

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the answer; to cancel the wait cancels the call."""
        return self.task.__await__()

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self.task.cancelled()

    def done(self) -> bool:
        """Return whether it is over."""
        return self.task.done()

    def cancel(self) -> bool:
        """Cancel it; return false if it was over."""
        return self.task.cancel()

    def time_remaining(self) -> float | None:
        """Return how many seconds are left; None for no limit."""
        return self.deadline.left()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back when it is over, with this call."""
        self.task.add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> Any:
        """Wait for the end, and return what came before the answer."""
        last = await self._last()
        return grpc.aio.Metadata() if last is None else await last.initial_metadata()

    async def trailing_metadata(self) -> Any:
        """Wait for the end, and return what came after the answer."""
        last = await self._last()
        return grpc.aio.Metadata() if last is None else await last.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        """Wait for the end, and return the code."""
        last = await self._last()
        return self._error().code() if last is None else await last.code()

    async def details(self) -> str:
        """Wait for the end, and return what the server says about the code."""
        last = await self._last()
        return self._error().details() if last is None else str(await last.details())

    async def wait_for_connection(self) -> None:
        """Wait for the end: before it the next attempt may need another connection."""
        await self._last()

    async def _last(self) -> Any:
        """Return the last attempt when the call is over; None if it never had an instance."""
        await asyncio.wait([self.task])
        return self.last

    def _error(self) -> NoInstanceRpcError:
        error = None if self.task.cancelled() else self.task.exception()
        if isinstance(error, NoInstanceRpcError):
            return error
        return NoInstanceRpcError("the call was cancelled before it had an instance")
