"""A terminal shows how far a command is that takes over a second; a pipe gets nothing of it."""

import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from zreg.testing.processes import RunningCluster, clean_environment, zreg_command

SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster with a data node that hangs for less than its lease: a ping waits for it."""
    directory, options = tmp_path_factory.mktemp("cluster"), ["--lease-seconds=60"]
    with RunningCluster(directory, data=2, options=options) as cluster:
        cluster.nodes["data-2"].signal(signal.SIGSTOP)
        yield cluster
        cluster.nodes["data-2"].signal(signal.SIGCONT)


def shown_on_a_terminal(*arguments: str) -> bytes:
    """Return what a command writes to the terminal that is its stderr."""
    keyboard, screen = pty.openpty()
    environment = clean_environment({"TERM": "xterm", "COLUMNS": "80"})
    command = subprocess.Popen(
        zreg_command(*arguments), stdout=subprocess.DEVNULL, stderr=screen, env=environment
    )
    os.close(screen)
    shown = b""
    try:
        while read := os.read(keyboard, 65536):
            shown += read
    except OSError:  # no process has the terminal open any more
        pass
    finally:
        os.close(keyboard)
        command.wait(SECONDS_MAX)
    return shown


# With --meta a command asks each node itself; a session knows sooner that one does not answer.
@pytest.mark.parametrize("command", ["ping", "doctor", "events", "trace never"])
def test_a_terminal_shows_how_many_nodes_have_answered(
    cluster: RunningCluster, command: str
) -> None:
    (meta,) = cluster.of("meta")
    address = meta.address.removeprefix("tcp://")
    shown = shown_on_a_terminal(*command.split(), "--meta", address)

    assert re.search(rb"asking.*(2 of 3|3 of 4) nodes", shown), shown


def test_a_terminal_shows_whom_a_command_asks(cluster: RunningCluster) -> None:
    address = cluster.nodes["data-2"].address.removeprefix("tcp://")

    shown = shown_on_a_terminal("ls", "--url", f"zreg://{address}", "--timeout-seconds", "2")

    assert f"asking {address}".encode() in shown or b"listing" in shown, shown


def test_a_pipe_shows_no_progress(cluster: RunningCluster) -> None:
    done = subprocess.run(
        zreg_command("ping", "--url", cluster.url),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
        env=clean_environment({}),
    )

    assert "asking" not in done.stderr
    assert "no answer" in done.stdout
    assert "data-2" in done.stderr
