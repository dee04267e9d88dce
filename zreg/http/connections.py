"""The connections of HTTP clients, within bounds; every error leaves as problem+json.

A connection carries one request and is closed after a few seconds at the latest. Only a watch stays
open; watches do not count here, and have their own bound (`watches/`). If there are too
many, a new connection takes the place of the oldest. An answer takes a millisecond, so the oldest
one is only waiting. Clients that hold connections therefore cannot keep out a probe, whose failure
would make a supervisor restart a healthy node.
"""

import asyncio
import logging
from collections import Counter
from typing import Final

from aiohttp import web

from zreg.http.responses import fault

CONNECTIONS_MAX: Final = 64
CONNECTION_SECONDS_MAX: Final = 5.0
LINE_BYTES_MAX: Final = 2048
HEADER_BYTES_MAX: Final = 4096
HEADERS_MAX: Final = 64
# Of a body that is not read yet, or not used, this much is buffered at most.
_BUFFER_BYTES: Final = 16 << 10
# A body is read and dropped for this time at most.
_LINGER_SECONDS: Final = 1.0
_SERVER_ERROR: Final = 500
_PATH_SHOWN_MAX: Final = 100
_KNOWN: Final = "/healthz, /readyz, /v1/status, and /v1/openapi.json for all"

logger = logging.getLogger("zreg.http")


class Connections:
    """The open connections, and counts of how requests and connections ended."""

    def __init__(self) -> None:
        # Oldest first.
        self.open: dict[Connection, None] = {}
        self.watches: dict[Connection, None] = {}
        self.counts: Counter[str] = Counter(
            http_requests=0,
            http_bad_requests=0,
            http_errors=0,
            http_crowded_out=0,
            http_timeouts=0,
            http_watches=0,
            http_watches_dropped=0,
        )

    def new(self, server: web.Server) -> "Connection":
        """Return the protocol of one connection."""
        return Connection(self, server)


class Connection(web.RequestHandler):
    """aiohttp's connection, with a deadline."""

    __slots__ = ("_connections", "_deadline", "_own_transport", "_watch_ended")

    def __init__(self, connections: Connections, server: web.Server) -> None:
        self._connections = connections
        self._deadline: asyncio.TimerHandle | None = None
        # Set when the connection of a watch ends; None if it is no watch.
        self._watch_ended: asyncio.Future[None] | None = None
        # Kept here because aiohttp forgets its transport before all that was written has left.
        self._own_transport: asyncio.Transport | None = None
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=0,
            tcp_keepalive=False,
            logger=logger,
            access_log=None,  # type: ignore[arg-type]  # None switches it off
            max_line_size=LINE_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=_LINGER_SECONDS,
            read_bufsize=_BUFFER_BYTES,
            auto_decompress=False,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a connection; it takes the place of the oldest if there are too many."""
        assert isinstance(transport, asyncio.Transport)
        if len(self._connections.open) >= CONNECTIONS_MAX:
            next(iter(self._connections.open)).end("http_crowded_out")
        self._connections.open[self] = None
        self._own_transport = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(CONNECTION_SECONDS_MAX, self.end, "http_timeouts")
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget a connection that was closed."""
        self._connections.open.pop(self, None)
        if self._connections.watches.pop(self, False) is None:
            self._connections.counts["http_watches"] = len(self._connections.watches)
        self._end_watch()
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    # --- a watch --------------------------------------------------------------------------------

    def become_watch(self, ended: asyncio.Future[None]) -> None:
        """Stay open for long; `ended` is done when the connection ends, or has ended already."""
        assert self._deadline is not None
        assert self._own_transport is not None
        self._watch_ended = ended
        if self._own_transport.is_closing():
            self._end_watch()
            return
        self._deadline.cancel()
        self._connections.open.pop(self, None)
        self._connections.watches[self] = None
        self._connections.counts["http_watches"] = len(self._connections.watches)

    def unsent_bytes(self) -> int:
        """Return how many bytes wait for the reader."""
        assert self._own_transport is not None
        return self._own_transport.get_write_buffer_size()

    def write(self, chunk: bytes) -> None:
        """Send a chunk of a watch; what cannot leave now is buffered."""
        assert self._own_transport is not None
        if not self._own_transport.is_closing():
            self._own_transport.write(chunk)

    def drop(self) -> None:
        """Close the connection of a watch at once."""
        assert self._own_transport is not None
        self._own_transport.abort()

    def _end_watch(self) -> None:
        if self._watch_ended is not None and not self._watch_ended.done():
            self._watch_ended.set_result(None)

    def end(self, cause: str) -> None:
        """Close the connection at once, and count the cause."""
        self._connections.counts[cause] += 1
        self._connections.open.pop(self, None)
        assert self._own_transport is not None
        self._own_transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the only answer of this connection."""
        self._connections.counts["http_requests"] += 1
        if isinstance(resp, web.HTTPException):
            resp = _as_fault(request, resp)
        resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or that our own code failed to answer."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if status < _SERVER_ERROR:
            self._connections.counts["http_bad_requests"] += 1
            detail = "this is no HTTP request, or it exceeds the limits: see docs/operating.md"
            return fault(status, detail)
        self._connections.counts["http_errors"] += 1
        logger.error("http.request.failed path=%r", request.path[:_PATH_SHOWN_MAX], exc_info=exc)
        return fault(status, "an error in this node's own code: report the traceback in its log")


def _as_fault(request: web.BaseRequest, error: web.HTTPException) -> web.Response:
    path = request.path[:_PATH_SHOWN_MAX]
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{path} takes {allowed} only"
        return fault(error.status, detail, allow=allowed)
    if isinstance(error, web.HTTPNotFound):
        return fault(error.status, f"there is no {path}: see {_KNOWN}")
    return fault(error.status, error.reason)
