"""Fixtures of the tests with real processes: loopback only, ports that no other process uses."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from zreg.testing.processes import RunningCluster, clean_environment
from zreg.testing.processes.reserved_ports import ReservedPorts

StartCluster = Callable[..., RunningCluster]


def first_free_port(count: int = 12) -> int:
    """Return the first of `count` free ports in a row, outside the range of the kernel."""
    reserved = ReservedPorts(count)
    reserved.close()
    return reserved.ports.start


@pytest.fixture(autouse=True)
def _heed_signals() -> Iterator[None]:
    """Let the processes of a test heed SIGHUP and SIGINT.

    Under `nohup`, and behind `&` in a script, they would inherit that these are ignored.
    """
    handlers = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _hide_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of this machine and of the shell from the tests."""
    for name, value in clean_environment().items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("ZREG_")]:
        monkeypatch.delenv(name)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[StartCluster]:
    """Return a function that starts a cluster (see `RunningCluster`), which ends after the test.

    start_cluster(sessions=2, data=3, options=["--lease-seconds=2"])
    """
    with ExitStack() as stack:
        numbers = itertools.count(1)

        def start(
            sessions: int = 1, data: int = 1, options: list[str] | None = None
        ) -> RunningCluster:
            directory = tmp_path / f"cluster-{next(numbers)}"
            return stack.enter_context(
                RunningCluster(directory, sessions=sessions, data=data, options=options or ())
            )

        yield start


@pytest.fixture
def cluster(start_cluster: StartCluster) -> RunningCluster:
    """Return the smallest cluster: one node of each role."""
    return start_cluster()
