"""aiohttp calls services by name: `ClientSession(middlewares=[Middleware(client)])`."""

import asyncio
from typing import TYPE_CHECKING

from zreg.errors import NoInstanceError, TimeoutError  # noqa: A004 -- zreg's own
from zreg.integrations.attempts import Attempts
from zreg.integrations.service_table import async_services_of, ready_async_service, target_of

try:
    import aiohttp
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
except ImportError as error:
    raise ImportError(
        "zreg.integrations.aiohttp needs aiohttp 3.12 or later: pip install 'aiohttp>=3.12'"
    ) from error

if TYPE_CHECKING:
    from typing import Unpack

    from yarl import URL

    from zreg.client.aio.async_client import AsyncClient
    from zreg.client.view.endpoint import Endpoint
    from zreg.integrations.service_table import CallOptions

_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# What an instance is blamed for. Others, such as an invalid url, are the program's own.
_FAILURES = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, asyncio.TimeoutError)
_NO_FAILURES = (aiohttp.ClientProxyConnectionError, aiohttp.ClientSSLError)


class NoInstanceConnectionError(aiohttp.ClientConnectionError, NoInstanceError):
    """A service has no instance to pick; programs catch it as an error of aiohttp or of zreg."""


class Middleware:
    """Sends requests to `http://orders.zreg/` to an instance of `orders`, all others as they are.

    `CallOptions` has the keywords.
    """

    def __init__(self, client: "AsyncClient", **options: "Unpack[CallOptions]") -> None:
        self._services = async_services_of(client, **options)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request, to one instance after the other as long as that is safe."""
        url = request.url
        name = self._services.name_of(url.scheme, url.host or "")
        if name is None:
            return await handler(request)
        attempts = await self._begin(request, name)
        try:
            return await self._send(request, handler, attempts, url)
        finally:
            # aiohttp itself repeats a request whose connection was closed while it was idle.
            request.url = url

    def close(self) -> None:
        """Follow no service any more; the session of aiohttp does not do it."""
        self._services.close()

    async def _begin(self, request: ClientRequest, name: str) -> Attempts:
        # Bytes and text may be sent again; files and what is generated may not.
        is_body_left = isinstance(request.body, bytes | aiohttp.BytesPayload)
        try:
            service = await ready_async_service(self._services, name)
            return self._services.begin(service, request, request.method, is_body_left=is_body_left)
        except (NoInstanceError, TimeoutError) as error:
            raise NoInstanceConnectionError(str(error)) from error

    async def _send(
        self, request: ClientRequest, handler: ClientHandlerType, attempts: Attempts, url: "URL"
    ) -> ClientResponse:
        while True:
            self._direct(request, attempts.endpoint, url)
            try:
                response = await handler(request)
            except BaseException as error:
                if _goes_on(attempts, error):
                    continue
                raise
            if self._services.is_failure(response.status) and attempts.go_on(was_sent=True):
                response.close()
                continue
            attempts.answered()
            _end_with_connection(response, attempts)
            return response

    def _direct(self, request: ClientRequest, endpoint: "Endpoint", url: "URL") -> None:
        scheme, host, port = target_of(endpoint, url.scheme)
        request.url = url.with_scheme(scheme).with_host(host).with_port(port)
        if not self._services.keep_host:
            request.headers["Host"] = endpoint.address
        elif request.server_hostname is None and scheme == "https":
            # The certificate of an instance is that of its service.
            request.server_hostname = url.host


def _end_with_connection(response: ClientResponse, attempts: Attempts) -> None:
    """End the call when the connection is given back: the body was read, or the answer closed."""

    def end() -> None:
        if isinstance(response.content.exception(), aiohttp.ClientPayloadError):
            attempts.fail()
        else:
            attempts.succeed()

    if response.connection is None:
        attempts.succeed()
    else:
        response.connection.add_callback(end)


def _goes_on(attempts: Attempts, error: BaseException) -> bool:
    if isinstance(error, _FAILURES) and not isinstance(error, _NO_FAILURES):
        return attempts.go_on(was_sent=not isinstance(error, _NOT_SENT))
    attempts.give_up()
    return False
