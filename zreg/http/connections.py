"""One connection of whoever asks, within bounds; every error leaves as problem+json.

A connection carries one request and lives for some seconds, whatever it does. Where there are too
many, the oldest goes: an answer takes a millisecond, so that one only waits, and those who hold
connections cannot keep a probe out, which would have a supervisor restart a node that is well.
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
# What a request brings is not wanted: so much of it is buffered, so long it is thrown away.
_BUFFER_BYTES: Final = 16 << 10
_LINGER_SECONDS: Final = 1.0
_SERVER_ERROR: Final = 500
_PATH_SHOWN_MAX: Final = 100

logger = logging.getLogger("zreg.http")


class Connections:
    """How many there are, and what became of them."""

    def __init__(self) -> None:
        # Oldest first.
        self.open: dict[Connection, None] = {}
        self.counts: Counter[str] = Counter(
            http_requests=0, http_bad_requests=0, http_errors=0, http_crowded_out=0, http_timeouts=0
        )

    def new(self, server: web.Server) -> "Connection":
        """Return the protocol of one connection."""
        return Connection(self, server)


class Connection(web.RequestHandler):
    """aiohttp's connection, with an end."""

    __slots__ = ("_all", "_deadline", "_raw")

    def __init__(self, connections: Connections, server: web.Server) -> None:
        self._all = connections
        self._deadline: asyncio.TimerHandle | None = None
        # aiohttp forgets its transport before all that was written has left.
        self._raw: asyncio.Transport | None = None
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
        """Take a connection, in place of the oldest if there are too many."""
        assert isinstance(transport, asyncio.Transport)
        if len(self._all.open) >= CONNECTIONS_MAX:
            next(iter(self._all.open)).end("http_crowded_out")
        self._all.open[self] = None
        self._raw = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(CONNECTION_SECONDS_MAX, self.end, "http_timeouts")
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give its place to another one."""
        self._all.open.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def end(self, cause: str) -> None:
        """Close it, whatever it is at, and count why."""
        self._all.counts[cause] += 1
        self._all.open.pop(self, None)
        assert self._raw is not None
        self._raw.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, the last one of this connection."""
        self._all.counts["http_requests"] += 1
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
        """Answer what could not be read, or what our own code raised."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if status < _SERVER_ERROR:
            self._all.counts["http_bad_requests"] += 1
            detail = "this is no HTTP request, or one beyond the limits: see docs/operating.md"
            return fault(status, detail)
        self._all.counts["http_errors"] += 1
        logger.error("http.request.failed path=%r", request.path[:_PATH_SHOWN_MAX], exc_info=exc)
        return fault(status, "an error in this node's own code: report the traceback in its log")


def _as_fault(request: web.BaseRequest, error: web.HTTPException) -> web.Response:
    path = request.path[:_PATH_SHOWN_MAX]
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{path} takes {allowed} only: nothing is changed over HTTP"
        return fault(error.status, detail, allow=allowed)
    if isinstance(error, web.HTTPNotFound):
        return fault(error.status, f"there is no {path}: see /healthz, /readyz, /v1/status")
    return fault(error.status, error.reason)
