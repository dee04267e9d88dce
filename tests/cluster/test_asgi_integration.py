"""FastAPI applications publish themselves, under uvicorn and in tests, while the session dies."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest
from asgi_server import Served
from fake_session import CONFIG, FakeSession, wait_until
from starlette.applications import Starlette

import zreg
from zreg.integrations.asgi import lifespan

PROGRAM = """
import asyncio, os, pathlib, fastapi, zreg
from zreg.integrations.asgi import lifespan

app = fastapi.FastAPI(
    lifespan=lifespan(
        "orders",
        port=int(os.environ["PORT"]),
        attributes={"pid": str(os.getpid())},
        client=lambda: zreg.AsyncClient(os.environ["URL"], cluster="test"),
    )
)

@app.get("/")
async def root():
    return os.getpid()

@app.get("/slow")
async def slow():
    pathlib.Path("begun").touch()
    while not pathlib.Path("goes_on").exists():
        await asyncio.sleep(0.01)
    return "done"
"""


@pytest.fixture
def orders(client: zreg.Client) -> Iterator[zreg.Subscription]:
    with client.subscribe("orders") as orders:
        yield orders.wait_for(0, 5)


@pytest.fixture
def new_client(session: FakeSession) -> Callable[[], zreg.AsyncClient]:
    return lambda: zreg.AsyncClient(session.url, config=CONFIG)


def test_an_application_is_published_while_it_is_served(
    new_client: Callable[[], zreg.AsyncClient], orders: zreg.Subscription, port: int
) -> None:
    endpoint = zreg.Endpoint("127.0.0.1", port, version="2")
    app = fastapi.FastAPI(lifespan=lifespan("orders", endpoint=endpoint, client=new_client))

    @app.get("/")
    def state_of(request: fastapi.Request) -> str:
        assert request.state.zreg is request.app.state.zreg
        return str(request.state.zreg.state.value)

    with Served(app, port):
        orders.wait_for(1, 5)
        assert orders.view.values == (endpoint,)
        assert httpx.get(endpoint.url()).json() == "connected"
    wait_until(lambda: len(orders.view) == 0)


def test_an_application_serves_on_while_the_session_is_dead(
    session: FakeSession,
    new_client: Callable[[], zreg.AsyncClient],
    orders: zreg.Subscription,
    port: int,
) -> None:
    app = fastapi.FastAPI(lifespan=lifespan("orders", port=port, client=new_client))

    @app.get("/")
    def state_of(request: fastapi.Request) -> str:
        return str(request.state.zreg.state.value)

    with Served(app, port):
        orders.wait_for(1, 5)
        session.stop()
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/").json() != "connected")
        another = FakeSession(session.address)
        try:
            name = orders.data_info_id
            wait_until(lambda: len(another.core.publishers.get(name, {})) == 1)
        finally:
            another.stop()


def test_a_port_that_accepts_no_connection_is_not_published(
    session: FakeSession,
    new_client: Callable[[], zreg.AsyncClient],
    port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zreg.integrations.asgi._WARN_SECONDS", 0.05)

    async def run() -> None:
        async with lifespan("orders", port=port, client=new_client)(Starlette()) as state:
            await state["zreg"].wait_connected(5)
            while not caplog.records:  # noqa: ASYNC110 -- logging calls no one back
                await asyncio.sleep(0.01)
            assert await state["zreg"].subscribe("orders").wait_for(0, 5)
            assert session.core.publishers == {}

    asyncio.run(run())

    assert f"orders is not published yet: port {port} does not accept" in caplog.text


def test_a_lifespan_of_the_program_surrounds_the_publication(
    new_client: Callable[[], zreg.AsyncClient], session: FakeSession
) -> None:
    steps: list[str] = []
    app = Starlette()

    @contextlib.asynccontextmanager
    async def inner(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        assert isinstance(app.state.zreg, zreg.AsyncClient)
        steps.append(f"begins with {len(session.core.publishers)}")
        yield {"pool": "mine"}
        steps.append(f"ends, client {app.state.zreg.state.value}")

    async def run() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with lifespan("orders", port=port, client=new_client, inner=inner)(app) as state:
            assert state["pool"] == "mine"
            await state["zreg"].service("orders").wait_up(timeout_seconds=5)
        server.close()
        await server.wait_closed()

    asyncio.run(run())

    assert steps == ["begins with 0", "ends, client connected"]


def test_an_application_that_only_calls_has_the_client_alone(
    new_client: Callable[[], zreg.AsyncClient],
) -> None:
    async def run() -> None:
        async with lifespan(client=new_client)(object()) as state:
            await state["zreg"].wait_connected(5)

    asyncio.run(run())
    with pytest.raises(zreg.UsageError, match="give port="):
        lifespan("orders")
    with pytest.raises(zreg.UsageError, match="id"):
        lifespan("", port=1)


@contextlib.contextmanager
def uvicorn_process(
    folder: Path, url: str, port: int, *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "program.py").write_text(PROGRAM)
    environment = os.environ | {
        "URL": url,
        "PORT": str(port),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "program:app", f"--port={port}", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def others(dead: int, orders: zreg.Subscription) -> set[str]:
    return {publisher.attributes["pid"] for publisher in orders.view} - {str(dead)}


def test_each_worker_of_uvicorn_publishes_and_all_leave_before_the_port_closes(
    tmp_path: Path, session: FakeSession, orders: zreg.Subscription, port: int
) -> None:
    with uvicorn_process(tmp_path, session.url, port, "--workers=2") as process:
        orders.wait_for(2, 30)
        pids = {int(publisher.attributes["pid"]) for publisher in orders.view}
        assert len(pids) == 2
        assert httpx.get(f"http://127.0.0.1:{port}/").json() in pids
        # Its successor publishes itself. This session, unlike a real one, keeps the dead one.
        dead = min(pids)
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: len(others(dead, orders)) == 2, timeout_seconds=30)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: others(dead, orders) == set(), timeout_seconds=10)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_application_leaves_at_the_signal_while_it_still_answers(
    tmp_path: Path, session: FakeSession, orders: zreg.Subscription, port: int, loop: str
) -> None:
    answers: list[str] = []
    with uvicorn_process(tmp_path, session.url, port, f"--loop={loop}") as process:
        orders.wait_for(1, 30)
        call = threading.Thread(
            target=lambda: answers.append(
                httpx.get(f"http://127.0.0.1:{port}/slow", timeout=30).json()
            )
        )
        call.start()
        wait_until((tmp_path / "begun").exists)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(orders.view) == 0, timeout_seconds=10)
        assert answers == []
        (tmp_path / "goes_on").touch()
        call.join(10)
        assert answers == ["done"]
        assert process.wait(10) == -signal.SIGTERM
