"""A browser and small clusters for the tests of the dashboard; everything stays on loopback.

Every page of a test is watched: an error on its console, an uncaught exception, a broken rule of
its security policy, a dialog and a request to another host each fail the test.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

import zreg
from zreg.testing.processes import RunningCluster, clean_environment

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
expect.set_options(timeout=20_000)

DESK = {"width": 1280, "height": 860}
PHONE = {"width": 360, "height": 740}


class Watched:
    """A page of the dashboard, and what went wrong in it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.faults: list[str] = []
        # What the browser itself says of answers that are missing; a test that ends a node sets it.
        self.expected = re.compile(r"(?!)")
        self._base = base
        host = urlsplit(base).netloc
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("dialog", lambda dialog: (self.faults.append("a dialog"), dialog.dismiss()))
        page.on("console", self._on_console)
        page.on(
            "request",
            lambda request: (
                urlsplit(request.url).netloc == host
                or self.faults.append(f"asked another host: {request.url}")
            ),
        )

    def open(self, address: str = "#/") -> Page:
        """Show a page of the dashboard and wait until it is there."""
        self.page.goto(self._base + address)
        expect(self.page.locator("#state")).not_to_have_text("Connecting …")
        expect(self.page.locator("main")).not_to_contain_text("Loading …")
        return self.page

    def _on_console(self, message: object) -> None:
        kind, text = message.type, message.text  # type: ignore[attr-defined]
        if kind in ("error", "warning") and not self.expected.search(text):
            self.faults.append(f"console: {text}")


@pytest.fixture(scope="session", autouse=True)
def _hide_settings() -> Iterator[None]:
    """Hide the settings of this machine and of the shell from the clusters and clients."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ZREG_")]:
            patch.delenv(name)
        for name, value in clean_environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(reason=f"no browser: none of {', '.join(_NAMES)} is installed")
    # Root has no namespaces of its own, which the sandbox needs.
    flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else _FLAGS
    playwright: Playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def cluster(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Return a cluster that all tests share which end none of its nodes."""
    with RunningCluster(tmp_path_factory.mktemp("shared"), sessions=1, data=2) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: RunningCluster) -> Iterator[zreg.Client]:
    with zreg.Client(cluster.url, app="checkout", zone="z1") as client:
        yield client


Open = Callable[..., Watched]


@pytest.fixture
def watch(browser: Browser) -> Iterator[Open]:
    """Return a function that returns a watched page of a cluster's first session."""
    contexts: list[BrowserContext] = []
    pages: list[Watched] = []

    def new(cluster: RunningCluster, **options: object) -> Watched:
        options = {"viewport": DESK, "reduced_motion": "reduce", **options}
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        pages.append(Watched(context.new_page(), cluster.nodes["session-1"].http_url()))
        return pages[-1]

    yield new
    for context in contexts:
        context.close()
    assert [fault for page in pages for fault in page.faults] == []


@pytest.fixture
def own_cluster(browser: Browser, tmp_path: Path) -> Iterator[RunningCluster]:
    """Return a cluster for one test, which may end its nodes."""
    with RunningCluster(tmp_path, sessions=1, data=2) as cluster:
        yield cluster
