"""Programs that call services with each HTTP library, behind one face for the tests."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import aiohttp
import httpx
import requests
from asyncio_face import LoopOfTheProgram
from fake_session import CONFIG

import zreg
from zreg.integrations.aiohttp import Middleware
from zreg.integrations.httpx import AsyncTransport, Transport
from zreg.integrations.requests import Adapter

# To load all certificates takes longer than a test.
TLS = ssl.create_default_context()


class Answer(NamedTuple):
    status: int
    text: str


class Caller:
    """Calls with one library. `body` is bytes, or an iterator that can be read once."""

    # What the library raises for a call that failed.
    error: type[Exception]

    def __init__(self, url: str, **options: Any) -> None:
        self._client = zreg.Client(url, config=CONFIG)
        self._open(self._client, options)

    def _open(self, client: Any, options: Any) -> None:
        raise NotImplementedError

    def call(self, method: str, url: str, body: Any = None, seconds: float = 5) -> Answer:
        raise NotImplementedError

    def get(self, url: str = "http://orders.zreg/") -> str:
        answer = self.call("GET", url)
        assert answer.status == 200
        return answer.text.strip()

    def open(self, url: str) -> Callable[[], None]:
        """Call without reading the answer; return what closes it."""
        raise NotImplementedError

    def service(self, name: str = "orders") -> Any:
        return self._table().find(name)

    def _table(self) -> Any:
        raise NotImplementedError

    def body(self, *parts: bytes) -> Iterator[bytes] | AsyncIterator[bytes]:
        return iter(parts)

    def close(self) -> None:
        self._client.close()


class HttpxCaller(Caller):
    error = httpx.TransportError

    def _open(self, client: Any, options: Any) -> None:
        self._transport = Transport(client, transport=httpx.HTTPTransport(verify=TLS), **options)
        self._http = httpx.Client(transport=self._transport, follow_redirects=True)

    def _table(self) -> Any:
        return self._transport._services

    def call(self, method: str, url: str, body: Any = None, seconds: float = 5) -> Answer:
        answer = self._http.request(method, url, content=body, timeout=seconds)
        return Answer(answer.status_code, answer.text)

    def open(self, url: str) -> Callable[[], None]:
        return self._http.send(self._http.build_request("GET", url), stream=True).close

    def close(self) -> None:
        self._http.close()
        super().close()


class RequestsCaller(Caller):
    error = requests.exceptions.RequestException

    def _open(self, client: Any, options: Any) -> None:
        self._adapter = Adapter(client, **options)
        self._http = requests.Session()
        self._http.mount("http://", self._adapter)
        self._http.mount("zreg://", self._adapter)

    def _table(self) -> Any:
        return self._adapter._services

    def call(self, method: str, url: str, body: Any = None, seconds: float = 5) -> Answer:
        answer = self._http.request(method, url, data=body, timeout=seconds)
        return Answer(answer.status_code, answer.text)

    def open(self, url: str) -> Callable[[], None]:
        return self._http.get(url, stream=True, timeout=5).close

    def close(self) -> None:
        self._http.close()
        super().close()


class _LoopCaller(Caller):
    """One of the libraries for asyncio, on a loop on a thread of its own."""

    def __init__(self, url: str, **options: Any) -> None:
        self._program = LoopOfTheProgram()
        self._client = zreg.AsyncClient(url, config=CONFIG)  # type: ignore[assignment]
        self._program.call(self._begin, options)

    async def _begin(self, options: Any) -> None:
        self._open(self._client, options)

    async def body(self, *parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    def _run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return self._program.call(function, *arguments, **named)

    def close(self) -> None:
        self._run(self._end)
        self._program.end()

    async def _end(self) -> None:
        await self._close_http()
        await self._client.close()  # type: ignore[func-returns-value]

    async def _close_http(self) -> None:
        raise NotImplementedError


class AsyncHttpxCaller(_LoopCaller):
    error = httpx.TransportError

    def _open(self, client: Any, options: Any) -> None:
        self._transport = AsyncTransport(
            client, transport=httpx.AsyncHTTPTransport(verify=TLS), **options
        )
        self._http = httpx.AsyncClient(transport=self._transport, follow_redirects=True)

    def _table(self) -> Any:
        return self._transport._services

    def call(self, method: str, url: str, body: Any = None, seconds: float = 5) -> Answer:
        answer = self._run(self._http.request, method, url, content=body, timeout=seconds)
        return Answer(answer.status_code, answer.text)

    def open(self, url: str) -> Callable[[], None]:
        answer = self._run(self._http.send, self._http.build_request("GET", url), stream=True)
        return lambda: self._run(answer.aclose)

    async def _close_http(self) -> None:
        await self._http.aclose()


class AiohttpCaller(_LoopCaller):
    error = aiohttp.ClientError

    def _open(self, client: Any, options: Any) -> None:
        self._middleware = Middleware(client, **options)
        self._http = aiohttp.ClientSession(middlewares=[self._middleware])

    def _table(self) -> Any:
        return self._middleware._services

    def call(self, method: str, url: str, body: Any = None, seconds: float = 5) -> Answer:
        timeout = aiohttp.ClientTimeout(sock_read=seconds)

        async def request() -> Answer:
            async with self._http.request(method, url, data=body, timeout=timeout) as answer:
                return Answer(answer.status, await answer.text())

        return self._run(request)

    def open(self, url: str) -> Callable[[], None]:
        async def request() -> aiohttp.ClientResponse:
            return await self._http.get(url)

        answer = self._run(request)
        return lambda: self._run(answer.close)

    async def _close_http(self) -> None:
        self._middleware.close()
        await self._http.close()
        # The transports close with a later turn of the loop.
        await asyncio.sleep(0)


CALLERS = [HttpxCaller, AsyncHttpxCaller, RequestsCaller, AiohttpCaller]
