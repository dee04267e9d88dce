"""Fixtures for pytest: a fake registry, a real one, and clients of either.

pytest imports this module in each run, also where no test uses zreg. So it imports nothing but
pytest: each fixture imports what it needs. `-p no:zreg` leaves the fixtures out.
"""

from collections.abc import Generator, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    import zreg
    from zreg.testing import DevRegistry, FakeRegistry

# The libraries of the extra `zreg[node]`.
_NODE_MODULES: Final = ("aiohttp", "loguru", "rich", "typer")
# The end of a log is what a failure needs.
_LOG_CHARACTERS_MAX: Final = 20_000


@pytest.fixture
def zreg_fake() -> "Iterator[FakeRegistry]":
    """Return an empty registry in memory, which this test alone uses."""
    from zreg.testing import FakeRegistry  # noqa: PLC0415 -- only where a test uses it

    with FakeRegistry() as registry:
        yield registry


@pytest.fixture(scope="session")
def zreg_registry() -> "Iterator[DevRegistry]":
    """Return a real registry, `zreg dev` in a process of its own, for all tests of this worker.

    Skips without the libraries of `zreg[node]`.
    """
    missing = [name for name in _NODE_MODULES if find_spec(name) is None]
    if missing:
        pytest.skip(
            f"zreg_registry runs `zreg dev`, which needs {', '.join(missing)}: "
            "pip install 'zreg[node]'"
        )
    from zreg.testing import DevRegistry  # noqa: PLC0415 -- only where a test uses it

    with DevRegistry() as registry:
        yield registry


@pytest.fixture
def zreg_url(zreg_fake: "FakeRegistry") -> str:
    """Return the url of `zreg_client` and `zreg_async_client`: by default that of `zreg_fake`.

    A conftest.py may define it anew, to return `zreg_registry.url`.
    """
    return zreg_fake.url


@pytest.fixture
def zreg_client(zreg_url: str) -> "Iterator[zreg.Client]":
    """Return a `zreg.Client`, which is closed after the test."""
    from zreg import Client  # noqa: PLC0415 -- only where a test uses it

    with Client(zreg_url) as client:
        yield client


@pytest.fixture
def zreg_async_client(zreg_url: str) -> "zreg.AsyncClient":
    """Return a `zreg.AsyncClient` that was not used yet: it lives on the loop that uses it first.

    So the fixture needs no plugin for asyncio. The test writes `async with zreg_async_client`.
    """
    from zreg import AsyncClient  # noqa: PLC0415 -- only where a test uses it

    return AsyncClient(zreg_url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the log of the real registry to the report of a test that used it and failed."""
    report = yield
    registry = getattr(item, "funcargs", {}).get("zreg_registry")
    if registry is not None and report.failed and (log := registry.log):
        report.sections.append(("log of zreg_registry", log[-_LOG_CHARACTERS_MAX:]))
    return report
