"""Fixtures for tests over real sockets: loopback only, ports chosen by the kernel, no sleep."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from fake_session import CONFIG, FakeSession
from reactor_fakes import Harness, wait_until

import zreg

__all__ = ["wait_until"]


@pytest.fixture
def harness() -> Iterator[Harness]:
    """Run reactors for one test; all are stopped and all plain sockets closed after it."""
    with asyncio.Runner() as runner:
        harness = Harness(runner)
        try:
            yield harness
        finally:
            runner.run(harness.close())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Return a TCP listener that accepts connections and never sends anything."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener


@pytest.fixture
def session() -> Iterator[FakeSession]:
    session = FakeSession()
    try:
        yield session
    finally:
        session.stop()


@pytest.fixture
def client(session: FakeSession) -> Iterator[zreg.Client]:
    with zreg.Client(session.url, config=CONFIG, zone="z1", app="tests") as client:
        yield client


@pytest.fixture
def port() -> int:
    """Return a port of the kernel that is free again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
