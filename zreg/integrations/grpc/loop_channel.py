"""A `grpc.aio.Channel` to all instances of a service: each call picks one of them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from zreg.client.aio.async_service import AsyncService
from zreg.client.aio.async_subscription import AsyncSubscription
from zreg.errors import TimeoutError  # noqa: A004 -- zreg's own
from zreg.integrations.attempts import Attempts
from zreg.integrations.grpc.balanced_calls import BalancedCalls, end, goes_on
from zreg.integrations.grpc.repeated_call import RepeatedCall
from zreg.integrations.grpc.subchannels import Subchannel, Subchannels

if TYPE_CHECKING:
    from typing import Self

# Makes the call of one instance, out of its channel.
Make = Callable[[Any], Any]


class AsyncChannel(grpc.aio.Channel):
    """Calls go to the instances of a service, with a channel of gRPC for each. For asyncio.

    `async with` waits for the first instance; calls with streams, which cannot wait, rely on it.
    """

    def __init__(
        self,
        calls: BalancedCalls[AsyncService],
        follow: AsyncSubscription,
        credentials: object,
        options: list[tuple[str, Any]],
    ) -> None:
        self.calls = calls
        self._follow = follow
        self._tasks: set[asyncio.Task[Any]] = set()

        def open_channel(address: str) -> Any:
            if credentials is None:
                return grpc.aio.insecure_channel(address, options)
            return grpc.aio.secure_channel(address, credentials, options)

        self.subchannels = Subchannels(open_channel, lambda channel: self.spawn(channel.close()))
        follow(lambda _: self.subchannels.keep(calls.addresses))

    def unary_unary(self, method: str, *arguments: object, **named: object) -> "_UnaryCalls":
        """Return what makes calls of a method; they are repeated on another instance if safe."""
        return _UnaryCalls(self, method, lambda to: to.unary_unary(method, *arguments, **named))

    def unary_stream(self, method: str, *arguments: object, **named: object) -> "_StreamCalls":
        """Return what makes calls of a method, each with a stream of answers."""
        return _StreamCalls(self, method, lambda to: to.unary_stream(method, *arguments, **named))

    def stream_unary(self, method: str, *arguments: object, **named: object) -> "_UploadCalls":
        """Return what makes calls of a method, each with a stream of requests."""
        return _UploadCalls(self, None, lambda to: to.stream_unary(method, *arguments, **named))

    def stream_stream(self, method: str, *arguments: object, **named: object) -> "_StreamCalls":
        """Return what makes calls of a method, with streams both ways."""
        return _StreamCalls(self, None, lambda to: to.stream_stream(method, *arguments, **named))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: ARG002, FBT001, FBT002 -- as in gRPC
        """Return READY while an instance gets calls."""
        state = grpc.ChannelConnectivity
        return state.READY if self.calls.is_up else state.TRANSIENT_FAILURE

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state is another one."""
        async for _ in self._follow.changes():
            if self.get_state() is not last_observed_state:
                return

    async def channel_ready(self) -> None:
        """Wait until an instance gets calls."""
        await self.wait_up(float("inf"))

    async def wait_up(self, seconds: float) -> None:
        """Wait until an instance gets calls, but not for longer than so many seconds."""
        with suppress(TimeoutError):
            await self.calls.service.wait_up(timeout_seconds=seconds)
        self.calls.was_awaited = True

    async def close(self, grace: float | None = None) -> None:  # noqa: ARG002 -- as in gRPC
        """Close all channels, cancel their calls, and end the subscription."""
        self.calls.service.close()
        self.subchannels.close()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> "Self":
        """Wait for the first instance, and return itself; leaving the block closes it."""
        await self.wait_up(self.calls.rules.wait_seconds)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something meanwhile, which `close` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _UploadCalls(grpc.aio.StreamUnaryMultiCallable):
    """Calls of one method with one attempt each; those here have a stream of requests."""

    is_stream = False

    def __init__(self, channel: AsyncChannel, method: str | None, make: Make) -> None:
        self._channel = channel
        # None if the requests are a stream: it can neither be repeated nor have a key.
        self._method = method
        self._make = make

    def __call__(self, request: Any = None, *rest: Any, **named: Any) -> Any:
        named.pop("wait_for_ready", None)
        calls, subchannels = self._channel.calls, self._channel.subchannels
        attempts = calls.begin(self._method or "", None if self._method is None else request)
        used = subchannels.take(attempts.endpoint.address)
        try:
            call = self._make(used.channel)(request, *rest, **named)
        except BaseException:
            attempts.give_up()
            subchannels.give_back(used)
            raise
        call.add_done_callback(lambda _: self._channel.spawn(self._end(call, attempts, used)))
        return call

    async def _end(self, call: Any, attempts: Attempts, used: Subchannel[Any]) -> None:
        end(attempts, await call.code(), is_stream=self.is_stream)
        self._channel.subchannels.give_back(used)


class _StreamCalls(
    _UploadCalls, grpc.aio.UnaryStreamMultiCallable, grpc.aio.StreamStreamMultiCallable
):
    """Calls with a stream of answers. The program, which has read a part, repeats them itself."""

    is_stream = True


class _UnaryCalls(_UploadCalls, grpc.aio.UnaryUnaryMultiCallable):
    """Calls with one request and one answer: another instance may get the request as well."""

    def __call__(
        self, request: Any = None, *rest: Any, timeout: float | None = None, **named: Any
    ) -> RepeatedCall:
        waits = named.pop("wait_for_ready", None)
        call = RepeatedCall(timeout)
        call.task = asyncio.get_running_loop().create_task(
            self._run(call, request, rest, named, waits=waits)
        )
        return call

    async def _run(
        self, call: RepeatedCall, request: Any, rest: Any, named: Any, *, waits: bool | None
    ) -> Any:
        calls, subchannels = self._channel.calls, self._channel.subchannels
        left = call.deadline.left()
        if waits or not calls.was_awaited:
            seconds = calls.rules.wait_seconds if left is None or not waits else left
            await self._channel.wait_up(seconds)
        attempts = calls.begin(self._method or "", request)
        while True:
            used = subchannels.take(attempts.endpoint.address)
            make = self._make(used.channel)
            call.last = make(request, *rest, timeout=call.deadline.left(), **named)
            try:
                answer = await call.last
            except grpc.aio.AioRpcError as error:
                if not goes_on(attempts, error.code(), error.details()):
                    raise
            except BaseException:
                attempts.give_up()
                raise
            else:
                attempts.succeed()
                return answer
            finally:
                subchannels.give_back(used)
