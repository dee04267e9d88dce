"""The fixtures of the plugin for pytest, in runs of pytest as a user starts them."""

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from zreg.testing.processes import clean_environment

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
# A checkout that is not installed has no entry point.
IS_INSTALLED = any(
    entry.value == "zreg.testing.pytest_plugin" for entry in entry_points(group="pytest11")
)
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a test file in a pytest of its own, with warnings as errors."""
    for name in [name for name in os.environ if name.startswith("ZREG_")]:
        monkeypatch.delenv(name)
    for name, value in clean_environment().items():
        monkeypatch.setenv(name, value)

    def run(test: str, *options: str, conftest: str = "", use: bool = True) -> pytest.RunResult:
        pytester.makepyfile(test)
        if conftest:
            pytester.makeconftest(conftest)
        plugin = [] if IS_INSTALLED or not use else ["-p", "zreg.testing.pytest_plugin"]
        return pytester.runpytest_subprocess(
            "-W", "error", "-p", "no:cacheprovider", *plugin, *options, timeout=120
        )

    return run


def test_the_entry_point_names_the_plugin() -> None:
    text = (ROOT / "pyproject.toml").read_text()

    assert '[project.entry-points.pytest11]\nzreg = "zreg.testing.pytest_plugin"\n' in text


def test_the_fake_is_new_for_each_test_and_clients_are_its_own(run: Run) -> None:
    result = run(
        """
        import asyncio
        import zreg
        from zreg.testing import FakeRegistry

        def test_one(zreg_fake, zreg_client, zreg_url):
            assert isinstance(zreg_fake, FakeRegistry)
            assert isinstance(zreg_client, zreg.Client)
            assert zreg_url == zreg_fake.url
            zreg_fake.put("orders", "a:1")
            assert zreg_client.subscribe("orders").wait_for(1, 5).view.values == ("a:1",)

        def test_two(zreg_fake, zreg_client):
            assert zreg_fake.publishers("orders") == ()

        def test_three(zreg_async_client):
            async def main():
                async with zreg_async_client as client:
                    await client.publish("orders", "a:1").wait_registered(5)
            asyncio.run(main())

        def test_four(zreg_async_client):
            "A client that is not used leaves nothing behind."
        """
    )
    result.assert_outcomes(passed=4)


def test_the_real_registry_is_shared_stops_and_restarts(run: Run) -> None:
    result = run(
        """
        import zreg

        def test_one(zreg_registry, zreg_client, zreg_url):
            assert zreg_url == zreg_registry.url
            publication = zreg_client.publish("orders", "a:1").wait_registered(10)
            zreg_registry.restart()
            assert zreg_url == zreg_registry.url
            publication.republish("a:2")
            publication.wait_registered(30)
            with zreg.Client(zreg_registry.url) as other:
                assert other.subscribe("orders").wait_for(1, 10).view.values == ("a:2",)

        def test_two(zreg_registry):
            assert zreg_registry.is_running
            zreg_registry.stop()
            zreg_registry.stop()
            assert not zreg_registry.is_running
            zreg_registry.restart()
            with zreg.Client(zreg_registry.url) as client:
                client.wait_connected(10)
        """,
        conftest="""
        import pytest

        @pytest.fixture
        def zreg_url(zreg_registry):
            return zreg_registry.url
        """,
    )
    result.assert_outcomes(passed=2)


def test_the_log_of_the_real_registry_is_in_the_report_of_a_failure(run: Run) -> None:
    result = run(
        """
        def test_one(zreg_registry):
            zreg_registry._log.write(" ".join(["a", "line", "of", "the", "log"]))
            assert False

        def test_two(zreg_registry):
            pass
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*log of zreg_registry*", "a line of the log"])
    assert result.stdout.str().count("a line of the log") == 1


def test_without_the_libraries_of_nodes_the_real_registry_is_skipped(run: Run) -> None:
    result = run(
        "def test_one(zreg_registry): pass",
        "-rs",
        conftest="""
        import importlib.util
        import zreg.testing.pytest_plugin as plugin

        plugin.find_spec = lambda name: None if name == "loguru" else importlib.util.find_spec(name)
        """,
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs loguru: pip install 'zreg*node*'*"])


def test_a_run_that_uses_no_fixture_loads_four_small_modules(run: Run) -> None:
    result = run(
        """
        import sys

        def test_one():
            packages = ("zreg", "zmq", "msgspec")
            ours = {name for name in sys.modules if name.split(".")[0] in packages}
            small = {"zreg", "zreg.forks_and_signals", "zreg.testing", "zreg.testing.pytest_plugin"}
            assert ours <= small
        """
    )
    result.assert_outcomes(passed=1)


def test_without_the_plugin_there_are_no_fixtures(run: Run) -> None:
    result = run("def test_one(zreg_fake): pass", "-p", "no:zreg", use=False)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'zreg_fake' not found*"])


def test_each_worker_of_xdist_has_a_registry_of_its_own(run: Run) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    result = run(
        """
        import os
        import pytest
        import zreg

        @pytest.mark.parametrize("number", range(4))
        def test_one(zreg_registry, number):
            worker = os.environ["PYTEST_XDIST_WORKER"]
            with zreg.Client(zreg_registry.url) as client:
                client.publish("workers", worker).wait_registered(10)
                sub = client.subscribe("workers", scope=zreg.Scope.GLOBAL).wait_for(1, 10)
                assert set(sub.view.values) == {worker}
        """,
        "-n",
        "2",
    )
    result.assert_outcomes(passed=4)
