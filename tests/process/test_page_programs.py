"""Python blocks of the pages run: in their order, and as one program for each page.

Their registry is one in memory. A page whose blocks need more has a test file of its own, whose
first line names the page.
"""

import ast
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_blocks import blocks_of

import zreg
from zreg.testing import FakeRegistry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DEFAULT_URL = "zreg://127.0.0.1:9600"
# What would only take time, and where a test may write.
REPLACED = {
    "draining(seconds=10)": "draining(seconds=0.01)",
    'cache_dir="/var/cache/shop"': 'cache_dir="views"',
}

Names = dict[str, Any]


class Enough(Exception):  # noqa: N818 -- no error: an endless block has shown what it shows
    """Ends a block that has no end."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def pages_with_own_tests() -> set[str]:
    """Return the pages that the first line of a test file names; those of tests/docs run none."""
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "docs"]
    files = [path.read_text() for path in paths]
    first_lines = [(ast.get_docstring(ast.parse(text)) or "").partition("\n")[0] for text in files]
    return {name for name in map(name_of, PAGES) if any(name in line for line in first_lines)}


WITH_BLOCKS = {name_of(page): page for page in PAGES if blocks_of(page, "python")}
PROGRAMS = sorted(WITH_BLOCKS.keys() - pages_with_own_tests())


def for_asyncio(registry: FakeRegistry, _folder: Path) -> Names:
    registry.put("orders", "10.0.0.1:80")
    return {}


def for_balancing(registry: FakeRegistry, _folder: Path) -> Names:
    registry.put("orders", "10.0.0.1:80?version=1.4.2&tag=blue", zone="z1")
    return {}


def for_cache(registry: FakeRegistry, _folder: Path) -> Names:
    registry.put("orders", "10.0.0.1:80")
    # The program has run before.
    with zreg.Client(registry.url, cache_dir="views") as client:
        client.service("orders").wait_up(timeout_seconds=5)
    return {}


def for_health(registry: FakeRegistry, _folder: Path) -> Names:
    requests = iter(range(3))

    class Pool:
        def has_free_connections(self) -> bool:
            return True

    def serve_next_request() -> None:
        if next(requests, None) is None:
            raise Enough

    return {
        "zreg": zreg,
        "pool": Pool(),
        "serve_next_request": serve_next_request,
        "publication": registry.client().publish("orders", zreg.Endpoint(port=8080)),
        "deploy": lambda: None,
    }


def for_testing(_registry: FakeRegistry, folder: Path) -> Names:
    return {"zreg": zreg, "tmp_path": folder}


def for_zones(registry: FakeRegistry, _folder: Path) -> Names:
    for zone, data_center in (("z1", "d1"), ("z2", "d1"), ("z3", "d2")):
        registry.put("orders", "10.0.0.1:80", zone=zone, data_center=data_center)
    registry.put("payments", "10.0.0.2:80", data_center="d2")
    return {}


# What the registry has, and the names that a page leaves to its reader.
SURROUNDINGS: dict[str, Callable[[FakeRegistry, Path], Names]] = {
    "docs/asyncio.md": for_asyncio,
    "docs/balancing.md": for_balancing,
    "docs/cache.md": for_cache,
    "docs/health.md": for_health,
    "docs/testing.md": for_testing,
    "docs/zones.md": for_zones,
}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry that each client of the page finds, also by the default url."""
    with FakeRegistry() as registry, registry.as_default():
        yield registry


@pytest.fixture(autouse=True)
def _keep_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a page sets for the log of its program."""
    logger, level = logging.getLogger("zreg"), logging.getLogger("zreg").level
    handlers = [*logging.getLogger().handlers]
    yield
    logger.setLevel(level)
    logging.getLogger().handlers[:] = handlers


@pytest.mark.parametrize("page", PROGRAMS)
def test_the_program_of_a_page_runs(page: str, registry: FakeRegistry, tmp_path: Path) -> None:
    names: Names = {"__name__": "page"}
    names |= SURROUNDINGS.get(page, lambda *_: {})(registry, tmp_path)
    try:
        for number, block in enumerate(blocks_of(WITH_BLOCKS[page], "python"), 1):
            text = block.text.replace(DEFAULT_URL, registry.url)
            for written, run in REPLACED.items():
                text = text.replace(written, run)
            try:
                exec(compile(text, f"{page}, block {number}", "exec"), names)  # noqa: S102 -- ours
            except Enough:
                continue
    finally:
        for client in [each for each in names.values() if isinstance(each, zreg.Client)]:
            client.close()


def test_what_a_page_is_given_belongs_to_a_page() -> None:
    assert set(SURROUNDINGS) <= set(PROGRAMS)
