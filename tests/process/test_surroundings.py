"""Commands and nodes in the surroundings that people have: streams, folders, signals and so on."""

import fcntl
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import zreg
from zreg.testing.processes import Running, clean_environment, wait_until, zreg_command


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run one registry for all tests of this module."""
    with Running(zreg_command("dev", "--port", "0", "--http-port", "0", "-o", "json")) as registry:
        while "url" not in (line := json.loads(registry.line())):
            pass
        yield line["url"]


def in_shell(redirection: str, *arguments: str, seconds: float = 0) -> tuple[int, str]:
    """Run a command with a redirection of the shell; return its exit code and its stderr.

    With `seconds` it is stopped after that time, with code 124.
    """
    prefix = ["timeout", str(seconds)] if seconds else []
    line = f"{shlex.join([*prefix, *zreg_command(*arguments)])} {redirection}"
    result = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    return result.returncode, result.stderr


# --- streams ------------------------------------------------------------------------------------

CLOSED = "zreg: the output cannot be written (it is closed): redirect it to another place\n"
FULL = CLOSED.replace("it is closed", "No space left on device")


@pytest.mark.parametrize(
    ("redirection", "arguments", "ending"),
    [
        (">&-", ["version"], (1, CLOSED)),
        ("<&- >&- 2>&-", ["version"], (1, "")),
        (">/dev/full", ["--help"], (1, FULL)),
        ("2>&-", ["get", "nothing"], (3, "")),
        ("2>/dev/full", ["get", "nothing"], (3, "")),
        ("| head -1 >/dev/null; exit ${PIPESTATUS[0]}", ["meta", "--help"], (0, "")),
        (">&-", ["publish", "closed", "v", "--hold"], (1, CLOSED)),
    ],
)
def test_a_stream_that_cannot_be_written_has_the_documented_code(
    url: str,
    redirection: str,
    arguments: list[str],
    ending: tuple[int, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZREG_URL", url)

    assert in_shell(redirection, *arguments) == ending


@contextmanager
def unread_subscribe(url: str, name: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a `zreg subscribe` until the end of the block, which waits for a reader of its output."""
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    # Unbuffered, Python would have nothing left to flush when it ends.
    environment = clean_environment({"PYTHONUNBUFFERED": "", **environment})
    command = subprocess.Popen(
        zreg_command("subscribe", name, "--url", url), stdout=writer, env=environment
    )
    try:
        with zreg.Client(url) as client:
            client.publish(name, "x" * 3 * size).wait_registered(5)
            wait_until(lambda: waiting_bytes(reader) == size)
            yield command
    finally:
        command.kill()
        command.wait()
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_subscribe_whose_output_is_not_read_ends_on_a_signal(
    url: str, number: signal.Signals
) -> None:
    with unread_subscribe(url, f"unread-{number.name}") as command:
        command.send_signal(number)
        assert command.wait(5) == 0


def test_a_subscribe_whose_output_is_not_read_is_alive_to_its_watchdog(
    url: str, tmp_path: Path
) -> None:
    """systemd would kill it, and the reader that comes back would find the output ended."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(20)
        with unread_subscribe(url, "fed", NOTIFY_SOCKET=path, WATCHDOG_USEC="200000") as command:
            # From before it had to wait; a socket keeps ten, and then loses those that follow.
            receiver.settimeout(0)
            with suppress(BlockingIOError):
                while receiver.recv(100):
                    pass
            receiver.settimeout(20)
            assert [receiver.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
            command.terminate()
            assert command.wait(5) == 0


def waiting_bytes(reader: int) -> int:
    """Return how many bytes of a pipe are not read yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4))
    return int(count)


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_registry_runs_without_streams(redirection: str) -> None:
    arguments = ("dev", "--port=0", "--http-port=off")

    assert in_shell(redirection, *arguments, seconds=2) == (124, "")


def test_a_command_writes_in_the_encoding_of_its_output(url: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with zreg.Client(url) as client:
        client.publish("smile.\U0001f600", "\u00e9").wait_registered(5)

        def output(*arguments: str) -> str:
            command = zreg_command(*arguments, "--url", url)
            result = subprocess.run(
                command, capture_output=True, check=True, timeout=30, env=environment
            )
            assert result.stderr == b""
            return result.stdout.decode("ascii")

        assert r"smile.\U0001f600" in output("ls")
        found = json.loads(output("get", "smile.\U0001f600", "-o", "json"))
        assert found["publishers"][0]["values"] == ["\u00e9"]


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_command_works_in_a_folder_that_its_user_may_not_enter(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`zreg.cli.app.run` is the command line: what has to be loaded is loaded as root."""
    (tmp_path / "private").mkdir(mode=0o700)
    program = f"""
import os, sys, zreg.cli.app
zreg.cli.app.run(["nodes", "--url", {url!r}])
os.chdir({str(tmp_path / "private")!r})
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(zreg.cli.app.run(["nodes", "--url", {url!r}]))
"""

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )

    assert result.stderr == (
        f"zreg: {tmp_path}/private/zreg.toml may not be read by this user (Permission denied): "
        "permit it, or start this in another folder; until then its settings are left out\n"
    )
    assert (result.stdout.count("session-1"), result.returncode) == (2, 0)


# --- environment, signals -----------------------------------------------------------------------


def test_a_cluster_speaks_for_itself_to_systemd_and_its_nodes_keep_out_of_its_folder(
    tmp_path: Path,
) -> None:
    """No node takes the socket of the command, nor a module of the folder where it runs."""
    path, here = tmp_path / "notify", tmp_path / "shadow"
    here.mkdir()
    for module in ("zreg", "msgspec", "typer"):
        (here / f"{module}.py").write_text("raise SystemExit('a module of the working directory')")
    command = [sys.executable, "-P", *zreg_command("cluster", "--json")[1:]]
    environment = clean_environment({"NOTIFY_SOCKET": str(path)})
    said: list[tuple[int, bytes]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        receiver.bind(str(path))
        receiver.settimeout(20)
        with subprocess.Popen(command, env=environment, cwd=here, stdout=subprocess.DEVNULL) as run:
            try:
                for _ in range(2):
                    state, credentials, *_ = receiver.recvmsg(100, 100)
                    said.append((struct.unpack("3i", credentials[0][2])[0], state))
                    # It is ready now. It ends in good order when its terminal is closed.
                    run.send_signal(signal.SIGHUP)
                assert run.wait(10) == 0
            finally:
                run.kill()

    assert said == [(run.pid, b"READY=1"), (run.pid, b"STOPPING=1")]


def test_a_held_publish_is_ready_when_it_is_registered_and_withdraws_on_sighup(
    url: str, tmp_path: Path
) -> None:
    path = tmp_path / "notify"
    command = zreg_command("publish", "held", "v", "--hold", "--url", url)
    with zreg.Client(url) as client, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(20)
        subscription = client.subscribe("held")
        with Running(command, environment={"NOTIFY_SOCKET": str(path)}) as hold:
            assert receiver.recv(100) == b"READY=1"
            subscription.wait_for(min_count=1, timeout_seconds=5)
            hold.send(signal.SIGHUP)
            assert receiver.recv(100) == b"STOPPING=1"
            assert hold.wait() == 0
        wait_until(lambda: len(subscription.view) == 0)


def test_a_command_ends_on_a_signal_that_its_parent_had_blocked(url: str) -> None:
    program = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = zreg_command("publish", "blocked", "v", "--hold", "--url", url)
    with Running([sys.executable, "-c", program, *command]) as hold:
        assert hold.line() == "blocked is published until Ctrl-C."
        hold.send(signal.SIGTERM)
        assert hold.wait() == 0
