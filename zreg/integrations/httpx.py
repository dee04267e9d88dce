"""httpx calls services by name: `httpx.Client(transport=Transport(client))`."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zreg.errors import NoInstanceError, TimeoutError  # noqa: A004 -- zreg's own
from zreg.integrations.attempts import Attempts
from zreg.integrations.service_table import (
    async_services_of,
    ready_async_service,
    ready_service,
    services_of,
    target_of,
)

try:
    import httpx
except ImportError as error:
    raise ImportError("zreg.integrations.httpx needs httpx: pip install httpx") from error

if TYPE_CHECKING:
    from typing import Unpack

    from zreg.client.aio.async_client import AsyncClient
    from zreg.client.api import Client
    from zreg.client.view.endpoint import Endpoint
    from zreg.integrations.service_table import CallOptions

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
# What an instance is blamed for. Others, such as a full pool, are the program's own.
_FAILURES = (
    httpx.NetworkError,
    httpx.ConnectTimeout,
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.RemoteProtocolError,
)


class Transport(httpx.BaseTransport):
    """Sends requests to `http://orders.zreg/` to an instance of `orders`, all others as they are.

    `transport` carries them: `httpx.HTTPTransport()` by default. `CallOptions` has the keywords.
    """

    def __init__(
        self,
        client: "Client",
        *,
        transport: httpx.BaseTransport | None = None,
        **options: "Unpack[CallOptions]",
    ) -> None:
        self._services = services_of(client, **options)
        self._transport = httpx.HTTPTransport() if transport is None else transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, to one instance after the other as long as that is safe."""
        name = self._services.name_of(request.url.scheme, request.url.host)
        if name is None:
            return self._transport.handle_request(request)
        with _as_connect_error(request):
            service = ready_service(self._services, name)
            attempts = self._services.begin(
                service, request, request.method, is_body_left=_has_body_left(request)
            )
        while True:
            sent = _to_instance(request, attempts.endpoint, keep_host=self._services.keep_host)
            try:
                response = self._transport.handle_request(sent)
            except BaseException as error:
                if _goes_on(attempts, error):
                    continue
                raise
            if self._services.is_failure(response.status_code) and attempts.go_on(was_sent=True):
                response.close()
                continue
            attempts.answered()
            response.stream = _Body(response.stream, attempts)
            return response

    def close(self) -> None:
        """Close the connections, and follow no service any more."""
        self._services.close()
        self._transport.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`, with a `zreg.AsyncClient`."""

    def __init__(
        self,
        client: "AsyncClient",
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: "Unpack[CallOptions]",
    ) -> None:
        self._services = async_services_of(client, **options)
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, to one instance after the other as long as that is safe."""
        name = self._services.name_of(request.url.scheme, request.url.host)
        if name is None:
            return await self._transport.handle_async_request(request)
        with _as_connect_error(request):
            service = await ready_async_service(self._services, name)
            attempts = self._services.begin(
                service, request, request.method, is_body_left=_has_body_left(request)
            )
        while True:
            sent = _to_instance(request, attempts.endpoint, keep_host=self._services.keep_host)
            try:
                response = await self._transport.handle_async_request(sent)
            except BaseException as error:
                if _goes_on(attempts, error):
                    continue
                raise
            if self._services.is_failure(response.status_code) and attempts.go_on(was_sent=True):
                await response.aclose()
                continue
            attempts.answered()
            response.stream = _AsyncBody(response.stream, attempts)
            return response

    async def aclose(self) -> None:
        """Close the connections, and follow no service any more."""
        self._services.close()
        await self._transport.aclose()


class _Body(httpx.SyncByteStream):
    """The body of an answer: the call is under way until it is closed."""

    def __init__(self, stream: object, attempts: Attempts) -> None:
        assert isinstance(stream, httpx.SyncByteStream)
        self._stream = stream
        self._attempts = attempts

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except _FAILURES:
            self._attempts.fail()
            raise

    def close(self) -> None:
        self._stream.close()
        self._attempts.succeed()


class _AsyncBody(httpx.AsyncByteStream):
    """The same, read with `async for`."""

    def __init__(self, stream: object, attempts: Attempts) -> None:
        assert isinstance(stream, httpx.AsyncByteStream)
        self._stream = stream
        self._attempts = attempts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except _FAILURES:
            self._attempts.fail()
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._attempts.succeed()


@contextmanager
def _as_connect_error(request: httpx.Request) -> Iterator[None]:
    """Raise the error of httpx that programs catch, if there is no instance."""
    try:
        yield
    except (NoInstanceError, TimeoutError) as error:
        raise httpx.ConnectError(str(error), request=request) from error


def _to_instance(request: httpx.Request, endpoint: "Endpoint", *, keep_host: bool) -> httpx.Request:
    """Return a copy for the instance; the original stays, as redirects are relative to it."""
    scheme, host, port = target_of(endpoint, request.url.scheme)
    headers, extensions = request.headers.copy(), request.extensions
    if keep_host:
        # The certificate of an instance is that of its service.
        extensions = {"sni_hostname": request.url.host, **extensions}
    else:
        headers["Host"] = endpoint.address
    url = request.url.copy_with(scheme=scheme, host=host, port=port)
    return httpx.Request(
        request.method, url, headers=headers, stream=request.stream, extensions=extensions
    )


def _has_body_left(request: httpx.Request) -> bool:
    # A stream of bytes may be read again; an iterator or a file may not.
    return isinstance(request.stream, httpx.ByteStream)


def _goes_on(attempts: Attempts, error: BaseException) -> bool:
    if isinstance(error, _FAILURES):
        return attempts.go_on(was_sent=not isinstance(error, _NOT_SENT))
    attempts.give_up()
    return False
