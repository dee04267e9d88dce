"""The code blocks of documentation pages, and terminals that run them.

A block may have a title. `python` with a title is a file, `sh` with a title is typed into the
terminal of this name, and `text` with a title is what this terminal then shows. In it `…` stands
for any text, and a line `^C` in `sh` is the key.
"""

import os
import pty
import queue
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from zreg.testing.processes import END_SECONDS_MAX, clean_environment
from zreg.testing.processes.with_block import WithBlock

SHOWN_SECONDS_MAX = 20.0
_BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"\n]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INTERRUPT = b"\x03"


class Block(NamedTuple):
    language: str
    title: str
    text: str


def blocks_of(page: Path, language: str | None = None) -> list[Block]:
    """Return the code blocks of a page that name a language, or those of one language."""
    found = [Block(*match.groups("")) for match in _BLOCK.finditer(page.read_text())]
    return [block for block in found if language in {None, block.language}]


class Terminal(WithBlock):
    """An interactive shell on a terminal of its own, as a person uses it, in one folder."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.shown: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._keyboard, screen = pty.openpty()
        modes = termios.tcgetattr(screen)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(screen, termios.TCSANOW, modes)
        # The first program of a session that opens a terminal gets its signals, such as Ctrl-C.
        shell = 'exec env PS1= PS2= bash --norc --noprofile --noediting -i < "$0" > "$0" 2>&1'
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._shell = subprocess.Popen(
            ["bash", "-c", shell, os.ttyname(screen)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=folder,
            env=clean_environment(environment) | {"PATH": path, "TERM": "dumb", "HISTFILE": ""},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._screen = screen

    def enter(self, text: str) -> None:
        """Type the lines of a block."""
        for line in text.splitlines():
            os.write(self._keyboard, _INTERRUPT if line == "^C" else f"{line}\n".encode())

    def wait_shown(self, line: str) -> None:
        """Wait for a line that the page shows."""
        pattern = ".*".join(map(re.escape, line.split("…")))
        while True:
            try:
                self.shown.append(self._lines.get(timeout=SHOWN_SECONDS_MAX))
            except queue.Empty:
                shown = "\n".join(self.shown)
                raise AssertionError(f"{self.name} never showed {line!r}, but:\n{shown}") from None
            if re.fullmatch(pattern, self.shown[-1]):
                return

    def close(self) -> None:
        """End the shell, and every process that was started in it."""
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)
        self._shell.wait(END_SECONDS_MAX)
        os.close(self._screen)
        self._reader.join(END_SECONDS_MAX)
        os.close(self._keyboard)

    def _processes(self) -> Iterator[int]:
        """Yield all processes of the shell's session, which has the process id of the shell."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[3]) == self._shell.pid and fields[0] != "Z":
                yield int(stat.parent.name)

    def _read(self) -> None:
        """Read lines until no process has the terminal open."""
        rest = b""
        while True:
            try:
                rest += os.read(self._keyboard, 65536)
            except OSError:
                return
            *lines, rest = rest.split(b"\n")
            for line in lines:
                self._lines.put(line.decode(errors="replace").rstrip("\r"))
