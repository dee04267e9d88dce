"""A node's HTTP over real sockets: what is answered, what is refused, how clients are bounded."""

import asyncio
import logging
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from http_cluster import Answered
from reactor_fakes import LOOPBACK, wait_until

from zreg.config import Config
from zreg.errors import UnavailableError, UsageError
from zreg.health import STUCK_SECONDS, Harm, Health, Problem
from zreg.http import connections
from zreg.http.connections import CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADERS_MAX, LINE_BYTES_MAX
from zreg.http.server import HttpServer
from zreg.nodes.base import Node, NodeSettings
from zreg.nodes.data import DataNode
from zreg.nodes.meta import MetaNode, MetaPlace

PAGES = ("/healthz", "/readyz", "/v1/status")
GET = b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n"


class Served:
    """A running node, and its HTTP server."""

    def __init__(self, node: Node, server: HttpServer) -> None:
        self.node = node
        self.server = server

    async def send(self, data: bytes) -> Answered:
        """Send bytes over a new connection; return the answer after it was closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(data)
            async with asyncio.timeout(10):
                return Answered(await reader.read())
        except ConnectionError:
            return Answered(b"")
        finally:
            writer.close()

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answered:
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return await self.send(f"{method} {path} HTTP/1.1\r\nHost: node\r\n{more}\r\n".encode())

    def count(self, name: str) -> int:
        return self.server.counts[name]


def meta_node(directory: Path) -> MetaNode:
    place = MetaPlace(address=LOOPBACK, membership_address=LOOPBACK, directory=directory)
    return MetaNode(NodeSettings(config=Config.for_loopback(), node_id="meta-1"), place)


@asynccontextmanager
async def served(node: Node | None = None) -> AsyncIterator[Served]:
    with tempfile.TemporaryDirectory() as directory:
        node = node or meta_node(Path(directory))
        node.bind_http(HttpServer, 0)
        assert node._http is not None
        assert node.http_address == f"127.0.0.1:{node._http.port}"
        running = asyncio.create_task(node.run())
        try:
            await wait_until(lambda: node.statistics().get("turns", 0))
            yield Served(node, node._http)
        finally:
            node.stop()
            await running


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give connections a deadline that a test can wait for."""
    monkeypatch.setattr(connections, "CONNECTION_SECONDS_MAX", 0.3)


def test_a_healthy_node_answers_ok() -> None:
    async def run() -> None:
        async with served() as node:
            for path in ("/healthz", "/readyz"):
                answer = await node.get(path)
                assert answer.status == 200
                assert answer.headers["content-type"] == "application/json"
                assert answer.headers["cache-control"] == "no-store"
                assert answer.headers["connection"] == "close"
                assert {**answer.json, "version": ""} == {
                    "status": "ok",
                    "ready": True,
                    "role": "meta",
                    "node_id": "meta-1",
                    "version": "",
                    "problems": [],
                }

    asyncio.run(run())


def test_the_status_shows_all_counters_of_the_node() -> None:
    async def run() -> None:
        async with served() as node:
            body = (await node.get("/v1/status")).json
            assert body["status"] == "ok"
            assert body["cluster"] == "zreg"
            assert body["epoch"] == node.node.epoch == 1
            assert body["address"] == node.node.address
            assert body["addresses"] == dict(node.node.addresses)
            assert set(node.node.addresses) == {"nodes", "membership"}
            assert isinstance(body["uptime_seconds"], float)
            assert "MetaCore" in str(body["core"])
            statistics = body["statistics"]
            assert isinstance(statistics, dict)
            assert statistics.keys() == node.node.statistics().keys()
            assert body["http"] == {**node.server.counts, "http_requests": 0}

    asyncio.run(run())


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_the_body(path: str) -> None:
    async def run() -> None:
        async with served() as node:
            answer = await node.get(path, "HEAD")
            assert (answer.status, answer.body) == (200, b"")
            assert int(answer.headers["content-length"]) > 100

    asyncio.run(run())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused_with_the_allowed_ones(method: str) -> None:
    async def run() -> None:
        async with served() as node:
            answer = await node.get("/healthz", method)
            assert answer.status == 405
            assert answer.headers["allow"] == "GET, HEAD"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json == {
                "status": 405,
                "code": "method-not-allowed",
                "title": "method not allowed",
                "detail": "/healthz takes GET, HEAD only",
            }

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/", "/healthz/", "/v1", "/v2/status", "/%00", "/" + "x" * 1000])
def test_an_unknown_path_is_answered_with_the_known_ones(path: str) -> None:
    async def run() -> None:
        async with served() as node:
            answer = await node.get(path)
            assert answer.status == 404
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json["code"] == "not-found"
            assert "/healthz, /readyz, /v1/status" in str(answer.json["detail"])
            assert len(answer.body) < 500

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f" + bytes(64),
        b"rubbish\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * (LINE_BYTES_MAX + 1) + b" HTTP/1.1\r\nHost: node\r\n\r\n",
        GET[:-2] + b"A: " + b"x" * (HEADER_BYTES_MAX + 1) + b"\r\n\r\n",
        GET[:-2] + b"A: x\r\n" * (HEADERS_MAX + 1) + b"\r\n",
        GET[:-2] + b"Content-Length: nonsense\r\n\r\n",
        GET[:-2] + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["tls", "zeromq", "words", "version", "line", "header", "headers", "length", "smuggling"],
)
def test_a_malformed_request_is_refused_counted_and_not_logged(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with served() as node:
            answer = await node.send(data)
            assert answer.status == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json["code"] == "bad-request"
            assert node.count("http_bad_requests") == 1
            assert (await node.get("/healthz")).status == 200
            assert node.node.health(node.server.counts) == Health()

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert "zreg.http" not in caplog.text
    assert "aiohttp" not in caplog.text


def test_an_endless_header_is_refused_before_it_fills_a_buffer() -> None:
    async def run() -> None:
        async with served() as node:
            answer = await node.send(GET[:-2] + b"A: " + b"x" * (1 << 20))
            # Bytes that were not read may reset the connection before the answer is read.
            assert answer.status in (400, 0)
            assert node.count("http_bad_requests") == 1

    asyncio.run(run())


def test_an_unknown_expectation_is_refused_and_a_body_is_dropped() -> None:
    async def run() -> None:
        async with served() as node:
            answer = await node.get("/healthz", Expect="wonders")
            assert (answer.status, answer.json["code"]) == (417, "expectation-failed")
            length = f"Content-Length: {1 << 16}\r\n\r\n".encode()
            answer = await node.send(GET[:-2] + length + bytes(1 << 16))
            assert answer.status == 200

    asyncio.run(run())


def test_a_connection_carries_one_request() -> None:
    async def run() -> None:
        async with served() as node:
            answer = await node.send(GET * 20)
            assert answer.status == 200
            assert answer.body.count(b"HTTP/1.1") == 0
            assert node.count("http_requests") == 1

    asyncio.run(run())


@pytest.mark.usefixtures("short_deadline")
@pytest.mark.parametrize("data", [b"", GET[:10], GET[:-2] + b"Content-Length: 9\r\n\r\n123"])
def test_a_connection_with_an_unfinished_request_is_closed(data: bytes) -> None:
    """If the head is complete, the answer comes first."""

    async def run() -> None:
        async with served() as node:
            answer = await node.send(data)
            assert answer.status == (200 if len(data) > len(GET) else 0)
            await wait_until(lambda: not node.server._connections.open)
            assert (await node.get("/healthz")).status == 200

    asyncio.run(run())


@pytest.mark.usefixtures("short_deadline")
def test_a_request_that_comes_byte_by_byte_is_closed_at_the_deadline() -> None:
    """A byte does not extend the deadline."""

    async def run() -> None:
        async with served() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.server.port)
            writer.write(GET[:-2] + b"A: ")
            closed = asyncio.create_task(reader.read())

            async def trickle() -> None:
                while True:
                    writer.write(b"x")
                    await asyncio.sleep(0.01)

            trickling = asyncio.create_task(trickle())
            async with asyncio.timeout(10):
                (result,) = await asyncio.gather(closed, return_exceptions=True)
            trickling.cancel()
            writer.close()
            assert result == b"" or isinstance(result, ConnectionError)
            assert node.count("http_timeouts") == 1

    asyncio.run(run())


def test_a_new_connection_takes_the_place_of_the_oldest() -> None:
    """A probe gets its answer however many idle connections clients hold."""

    async def run() -> None:
        async with served() as node:
            held = [
                await asyncio.open_connection("127.0.0.1", node.server.port)
                for _ in range(CONNECTIONS_MAX)
            ]
            await wait_until(lambda: len(node.server._connections.open) == CONNECTIONS_MAX)

            assert [(await node.send(GET)).status for _ in range(3)] == [200, 200, 200]

            assert 1 <= node.count("http_crowded_out") <= 3
            assert await held[0][0].read() == b""
            reader, writer = held[-1]
            writer.write(GET)
            assert Answered(await reader.read()).status == 200
            for _, writer in held:
                writer.close()
            await wait_until(lambda: not node.server._connections.open)

    asyncio.run(run())


def test_hundreds_of_requests_at_once_leave_the_node_healthy() -> None:
    async def run() -> None:
        async with served() as node:
            answers = await asyncio.gather(*(node.get("/v1/status") for _ in range(300)))
            statuses = [answer.status for answer in answers]
            assert set(statuses) <= {200, 0}
            assert statuses.count(200) >= CONNECTIONS_MAX
            assert statuses.count(0) <= node.count("http_crowded_out")
            assert node.node.health(node.server.counts) == Health()

    asyncio.run(run())


def test_an_exception_in_a_page_is_answered_logged_and_shown_in_the_health(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with served() as node:
            with monkeypatch.context() as patched:
                patched.setattr(node.node, "statistics", lambda: 1 / 0)
                answer = await node.get("/v1/status")
            assert answer.status == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json["code"] == "internal-error"
            assert "ZeroDivisionError" not in str(answer.json)
            answer = await node.get("/healthz")
            assert (answer.status, answer.json["status"]) == (200, "degraded")
            assert "internal-errors" in str(answer.json["problems"])
            assert "http_errors 1" in str(answer.json["problems"])

    asyncio.run(run())
    assert "http.request.failed path='/v1/status'" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("harm", "healthz", "readyz"),
    [(Harm.DEGRADES, 200, 200), (Harm.STOPS_WORK, 200, 503), (Harm.STUCK, 503, 503)],
)
def test_the_status_code_follows_the_harm_of_a_problem(
    harm: Harm, healthz: int, readyz: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with served() as node:
            health = Health((Problem("some-code", "what to do", harm),))
            monkeypatch.setattr(node.node, "health", lambda _counts: health)
            for path, status in (("/healthz", healthz), ("/readyz", readyz), ("/v1/status", 200)):
                answer = await node.get(path)
                assert answer.status == status
                assert answer.json["status"] == health.status
                assert answer.json["ready"] is (readyz == 200)
                assert answer.json["problems"] == [{"code": "some-code", "detail": "what to do"}]

    asyncio.run(run())


def test_a_reactor_that_runs_no_turns_while_its_loop_runs_is_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        async with served() as node:
            due_at = asyncio.get_running_loop().time() - STUCK_SECONDS - 1
            monkeypatch.setattr(node.node._core, "next_tick_at", lambda: due_at)
            answer = await node.get("/healthz")
            assert (answer.status, answer.json["status"]) == (503, "stuck")

    asyncio.run(run())


def test_the_health_includes_problems_of_the_node_around_the_core(tmp_path: Path) -> None:
    settings = NodeSettings(config=Config.for_loopback(), node_id="data-1")
    node = DataNode(settings, address=LOOPBACK, changes_address=LOOPBACK, directory=tmp_path)
    assert [problem.code for problem in node.health().problems] == ["not-admitted"]
    assert (node.bound_host, node.http_address) == ("127.0.0.1", None)

    assert node._membership_cache is not None
    node._membership_cache.failure = "the disk is full: free space"
    node._reactor._counts["core_errors"] += 1
    node._is_stopping = True
    codes = [problem.code for problem in node.health({"http_errors": 1}).problems]
    node.close()

    assert codes == ["stopping", "not-admitted", "membership-not-kept", "internal-errors"]


def test_a_node_that_was_told_to_end_is_not_ready() -> None:
    async def run() -> None:
        async with served() as node:
            node.node.stop()
            (problem,) = node.node.health().problems
            assert (problem.code, problem.harm) == ("stopping", Harm.STOPS_WORK)

    asyncio.run(run())


def test_connections_that_are_open_do_not_keep_a_node_from_ending() -> None:
    async def run() -> None:
        async with asyncio.timeout(5):
            async with served() as node:
                held = [
                    await asyncio.open_connection("127.0.0.1", node.server.port) for _ in range(5)
                ]
                await wait_until(lambda: len(node.server._connections.open) == 5)
            for reader, writer in held:
                assert await reader.read() == b""
                writer.close()

    asyncio.run(run())


def test_an_address_that_cannot_be_bound_is_refused_with_what_to_do(tmp_path: Path) -> None:
    node = meta_node(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"http://127.0.0.1:{port} is already in use"):
            HttpServer(node, "127.0.0.1", port)
    with pytest.raises(UsageError, match=r"http://192\.0\.2\.1:0 is no address of this machine"):
        HttpServer(node, "192.0.2.1", 0)
    with pytest.raises(UsageError, match="is no address of this machine"):
        HttpServer(node, "no host at all", 0)
    node.close()


def test_a_node_that_never_ran_closes_its_http(tmp_path: Path) -> None:
    node = meta_node(tmp_path)
    node.bind_http(HttpServer, 0)
    assert node._http is not None
    port = node._http.port

    node.close()

    with socket.create_server(("127.0.0.1", port)):
        pass


def test_it_serves_over_ipv6(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    node = meta_node(tmp_path)
    try:
        server = HttpServer(node, "::1", 0)
    except UsageError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    finally:
        node.close()
    with closing(server):
        assert server.port > 0
