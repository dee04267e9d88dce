"""A `grpc.Channel` to all instances of a service: each call picks one of them."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from zreg.client.service import Service
from zreg.client.subscription import Subscription
from zreg.errors import TimeoutError  # noqa: A004 -- zreg's own
from zreg.integrations.attempts import Attempts
from zreg.integrations.grpc.balanced_calls import BalancedCalls, Deadline, end, goes_on
from zreg.integrations.grpc.subchannels import Subchannels

if TYPE_CHECKING:
    from typing import Self

Watcher = Callable[[grpc.ChannelConnectivity], None]
# Makes the call of one instance, out of its channel.
Make = Callable[[Any], Any]


class ThreadChannel(grpc.Channel):
    """Calls go to the instances of a service, with a channel of gRPC for each. For threads."""

    def __init__(
        self,
        calls: BalancedCalls[Service],
        follow: Subscription,
        credentials: object,
        options: list[tuple[str, Any]],
    ) -> None:
        self.calls = calls

        def open_channel(address: str) -> Any:
            if credentials is None:
                return grpc.insecure_channel(address, options)
            return grpc.secure_channel(address, credentials, options)

        self.subchannels = Subchannels(open_channel, lambda channel: channel.close())
        self._watchers: dict[Watcher, None] = {}
        self._lock = threading.Lock()
        follow(lambda _: self._on_change())

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

    def subscribe(self, callback: Watcher, try_to_connect: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- as in gRPC
        """Call back now and with each change of the view: READY while an instance gets calls."""
        with self._lock:
            self._watchers[callback] = None
        callback(self._state())

    def unsubscribe(self, callback: Watcher) -> None:
        """Call back no more."""
        with self._lock:
            self._watchers.pop(callback, None)

    def close(self) -> None:
        """Close all channels, cancel their calls, and end the subscription."""
        self.calls.service.close()
        self.subchannels.close()

    def __enter__(self) -> "Self":
        """Return itself; leaving the block closes it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.close()

    def begin(self, method: str | None, request: object, named: dict[str, Any]) -> Attempts:
        """Begin a call; the first one waits until there is an instance."""
        calls = self.calls
        # gRPC would wait for the instance that is picked, while others could serve.
        waits = named.pop("wait_for_ready", None)
        if waits or not calls.was_awaited:
            timeout = named.get("timeout")
            seconds = calls.rules.wait_seconds if timeout is None or not waits else timeout
            with suppress(TimeoutError):
                calls.service.wait_up(timeout_seconds=seconds)
            calls.was_awaited = True
        return calls.begin(method or "", None if method is None else request)

    def _on_change(self) -> None:
        self.subchannels.keep(self.calls.addresses)
        with self._lock:
            watchers = list(self._watchers)
        for callback in watchers:
            callback(self._state())

    def _state(self) -> grpc.ChannelConnectivity:
        state = grpc.ChannelConnectivity
        return state.READY if self.calls.is_up else state.TRANSIENT_FAILURE


class _Calls:
    """What makes calls of one method: one attempt each, whose answer may be a stream."""

    is_stream = False

    def __init__(self, channel: ThreadChannel, method: str | None, make: Make) -> None:
        self._channel = channel
        # None if the requests are a stream: it can neither be repeated nor have a key.
        self._method = method
        self._make = make

    def _start(self, name: str, request: object, timeout: object, rest: Any, named: Any) -> Any:
        """Begin a call that goes on while the program does something else."""
        options = named | {"timeout": timeout}
        attempts = self._channel.begin(self._method, request, options)
        subchannels = self._channel.subchannels
        used = subchannels.take(attempts.endpoint.address)
        try:
            call = getattr(self._make(used.channel), name)(request, *rest, **options)
        except BaseException:
            attempts.give_up()
            subchannels.give_back(used)
            raise

        def on_end() -> None:
            end(attempts, call.code(), is_stream=self.is_stream)
            subchannels.give_back(used)

        if not call.add_callback(on_end):
            on_end()
        return call


class _StreamCalls(_Calls, grpc.UnaryStreamMultiCallable, grpc.StreamStreamMultiCallable):
    """Calls with a stream of answers. The program, which has read a part, repeats them itself."""

    is_stream = True

    def __call__(
        self, request: object, timeout: float | None = None, *rest: Any, **named: Any
    ) -> Any:
        return self._start("__call__", request, timeout, rest, named)


class _UploadCalls(_Calls, grpc.StreamUnaryMultiCallable):
    """Calls with a stream of requests, which is consumed: they are made once."""

    def __call__(
        self, request: object, timeout: float | None = None, *rest: Any, **named: Any
    ) -> Any:
        return self.with_call(request, timeout, *rest, **named)[0]

    def with_call(
        self, request: object, timeout: float | None = None, *rest: Any, **named: Any
    ) -> Any:
        call = self.future(request, timeout, *rest, **named)
        return call.result(), call

    def future(
        self, request: object, timeout: float | None = None, *rest: Any, **named: Any
    ) -> Any:
        return self._start("future", request, timeout, rest, named)


class _UnaryCalls(_UploadCalls, grpc.UnaryUnaryMultiCallable):
    """Calls with one request and one answer: another instance may get the request as well."""

    def with_call(
        self, request: object, timeout: float | None = None, *rest: Any, **named: Any
    ) -> Any:
        deadline = Deadline(timeout)
        options = named | {"timeout": timeout}
        attempts = self._channel.begin(self._method, request, options)
        subchannels = self._channel.subchannels
        while True:
            used = subchannels.take(attempts.endpoint.address)
            options["timeout"] = deadline.left()
            try:
                result = self._make(used.channel).with_call(request, *rest, **options)
            except grpc.RpcError as error:
                if not goes_on(attempts, error.code(), error.details()):
                    raise
            except BaseException:
                attempts.give_up()
                raise
            else:
                attempts.succeed()
                return result
            finally:
                subchannels.give_back(used)
