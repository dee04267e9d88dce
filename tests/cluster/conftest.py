"""What tests over real sockets share: loopback only, ports chosen by the kernel, no sleep."""

import asyncio
from collections.abc import Iterator

import pytest
from reactor_fakes import Harness, wait_until

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
