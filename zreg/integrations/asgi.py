"""FastAPI and Starlette publish themselves: `FastAPI(lifespan=lifespan("orders", port=8000))`.

It needs no library of its own: a lifespan is a function of the application.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypedDict

from zreg.client.aio.async_client import AsyncClient
from zreg.client.handles.client_handle import checked_name
from zreg.client.view.endpoint import Endpoint
from zreg.errors import ClosedError, UsageError
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID

if TYPE_CHECKING:
    from typing import Unpack

    from zreg.client.aio.async_publication import AsyncPublication

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
_LOG: Final = logging.getLogger(__name__)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LOOPBACK: Final = "127.0.0.1"
_PROBE_SECONDS: Final = 0.02
_PROBE_SECONDS_MAX: Final = 1.0
# After so long the log says that the port does not accept connections.
_WARN_SECONDS: Final = 10.0


class PublishOptions(TypedDict, total=False):
    """The keywords of `AsyncClient.publish`."""

    group: str
    instance_id: str
    attributes: Mapping[str, str] | None


def lifespan(
    data_id: str | None = None,
    *,
    port: int | None = None,
    endpoint: Endpoint | None = None,
    inner: Lifespan | None = None,
    client: Callable[[], AsyncClient] = AsyncClient,
    **options: "Unpack[PublishOptions]",
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return a lifespan that publishes the application while its server accepts connections.

    Give `port`, or an `endpoint` with more. Without a `data_id` there is only the client, which
    handlers find as `request.state.zreg` and `app.state.zreg`. `inner` is a lifespan of your own:
    it begins before the application is published, and ends after it was withdrawn.
    """
    if endpoint is None and port is not None:
        endpoint = Endpoint(port=port)
    if data_id is not None:
        if endpoint is None:
            raise UsageError(f"{data_id!r:.80} cannot be published: give port=, or endpoint=")
        # Now, as later there is only a log to tell.
        group, instance_id = options.get("group"), options.get("instance_id")
        checked_name(data_id, instance_id or DEFAULT_INSTANCE_ID, group or DEFAULT_GROUP)

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[dict[str, Any]]:  # noqa: ANN401 -- any application
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(client())
            state: dict[str, Any] = {"zreg": running}
            if hasattr(app, "state"):
                app.state.zreg = running
            if inner is not None:
                of_program: Mapping[str, Any] | None
                of_program = await stack.enter_async_context(inner(app))
                state |= of_program or {}
            if data_id is not None and endpoint is not None:
                announcement = _Announcement(running, data_id, endpoint, options)
                await stack.enter_async_context(announcement.lasting())
            yield state

    return run


class _Announcement:
    """The publication of an application: once its port accepts connections, until it stops."""

    def __init__(
        self, client: AsyncClient, data_id: str, endpoint: Endpoint, options: PublishOptions
    ) -> None:
        self._client = client
        self._data_id = data_id
        self._endpoint = endpoint
        self._options = options
        self._publication: AsyncPublication | None = None
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """Publish; withdraw at the signal to stop, else when the block is left."""
        # Servers begin to accept connections after the lifespan has begun.
        self._task = asyncio.create_task(self._publish())
        try:
            with _on_signal(asyncio.get_running_loop(), self._withdraw):
                yield
        finally:
            self._withdraw()
            await asyncio.wait([self._task])

    async def _publish(self) -> None:
        host, port = self._endpoint.host or _LOOPBACK, self._endpoint.port
        pause, waited = _PROBE_SECONDS, 0.0
        while not await _does_accept(host, port):
            await asyncio.sleep(pause)
            if waited <= _WARN_SECONDS < waited + pause:
                _LOG.warning(
                    "%s is not published yet: port %s does not accept connections at %s; give "
                    "endpoint=zreg.Endpoint(host, port) if the server listens elsewhere",
                    self._data_id,
                    port,
                    host,
                )
            waited += pause
            pause = min(pause * 1.5, _PROBE_SECONDS_MAX)
        self._publication = self._client.publish(self._data_id, self._endpoint, **self._options)

    def _withdraw(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._publication is not None:
            # Whether the client has ended meanwhile does not matter.
            with suppress(ClosedError):
                self._publication.unpublish()


async def _does_accept(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


@contextmanager
def _on_signal(loop: asyncio.AbstractEventLoop, react: Callable[[], None]) -> Iterator[None]:
    """Call back on the loop at a signal to stop, before the server handles the signal.

    A server stops to accept connections before it ends the lifespan: if the application were
    published until then, calls would fail meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    theirs = {number: handler for number, handler in handlers.items() if callable(handler)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(react)
        theirs[signal.Signals(number)](number, frame)

    for number in theirs:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in theirs.items():
            if signal.getsignal(number) is on_signal:
                signal.signal(number, handler)
