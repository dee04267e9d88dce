"""Run `zreg` commands as processes of their own, and wait for what they write."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from zreg.testing.processes.with_block import WithBlock

START_SECONDS_MAX: Final = 30.0
END_SECONDS_MAX: Final = 10.0
_PAUSE_SECONDS: Final = 0.01
_pause: Final = threading.Event()


def wait_until(
    condition: Callable[[], object],
    *,
    timeout_seconds: float = 10.0,
    describe: Callable[[], str] = lambda: "",
) -> float:
    """Wait for the condition; return the seconds that it took.

    Raises `AssertionError` with the text of `describe` if the time is over.
    """
    started_at = time.monotonic()
    while not condition():
        if time.monotonic() - started_at > timeout_seconds:
            raise AssertionError(f"not within {timeout_seconds:g} s\n{describe()}")
        _pause.wait(_PAUSE_SECONDS)
    return time.monotonic() - started_at


def zreg_command(*arguments: str) -> list[str]:
    """Return the command line that runs `zreg` with this interpreter."""
    return [sys.executable, "-m", "zreg", *arguments]


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process without the settings of zreg, and with `more`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("ZREG_")
    }
    if paths := environment.get("PYTHONPATH"):
        # Processes start in other folders, and must find the package that is tested.
        absolute = [str(Path(each).absolute()) for each in paths.split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(absolute)
    return {**environment, **(more or {})}


def run_zreg(
    *arguments: str, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a `zreg` command until it ends."""
    return subprocess.run(  # noqa: S603 -- zreg itself
        zreg_command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS_MAX,
        env=clean_environment(environment),
        cwd=directory,
        check=False,
    )


class Running(WithBlock):
    """A command that runs until its `with` block ends; its output is read line by line."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(  # noqa: S603 -- zreg itself, and its examples
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(environment),
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._out, self._err = LineReader(self.process.stdout), LineReader(self.process.stderr)

    def line(self, timeout_seconds: float = START_SECONDS_MAX) -> str:
        """Return the next line of stdout; empty at its end."""
        return self._out.next(timeout_seconds)

    def error_line(self, timeout_seconds: float = START_SECONDS_MAX) -> str:
        """Return the next line of stderr; empty at its end."""
        return self._err.next(timeout_seconds)

    def lines(self) -> list[str]:
        """Return the lines of stdout that have come since the last call, without waiting."""
        return self._out.present()

    def error_lines(self) -> list[str]:
        """Return the lines of stderr that have come since the last call, without waiting."""
        return self._err.present()

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_seconds: float = END_SECONDS_MAX) -> int:
        """Wait until the process ends; return the exit code."""
        return self.process.wait(timeout_seconds)

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._err.close()


class LineReader:
    """Reads lines of a pipe, each with a deadline."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self, timeout_seconds: float = START_SECONDS_MAX) -> str:
        """Return the next line; empty at the end. Raises `AssertionError` if none comes in time."""
        try:
            return self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            raise AssertionError(f"no line within {timeout_seconds:g} s") from None

    def present(self) -> list[str]:
        """Return the lines that are there, without waiting."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._lines.get_nowait())
        return [line for line in found if line]

    def close(self) -> None:
        """Close the pipe, after its writer has ended."""
        self._thread.join(END_SECONDS_MAX)
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")
