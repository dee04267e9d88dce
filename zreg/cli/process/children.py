"""Nodes as child processes: started, heard, ended; none of them survives this process."""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from zreg.cli.exits import CommandFailedError
from zreg.cli.process.node_options import variable

_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG

ParentPid = Annotated[int, typer.Option("--parent-pid", hidden=True)]
START_SECONDS_MAX: Final = 30.0
END_SECONDS_MAX: Final = 3.0


class NodeLine(msgspec.Struct, frozen=True):
    """What a node says of itself once it is bound (`-o json`)."""

    role: str
    node_id: str
    pid: int
    address: str
    http: str | None = None


class Child:
    """One node in a process of its own."""

    def __init__(
        self, role: str, node_id: str, arguments: list[str], directory: Path | None
    ) -> None:
        self.role = role
        self.node_id = node_id
        self.line: NodeLine | None = None
        self._arguments = arguments
        self._log = None if directory is None else directory / f"{node_id}.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Where it is bound, `host:port`."""
        assert self.line is not None
        return self.line.address

    async def start(self) -> None:
        """Start it, and wait until it says where it is bound."""
        log = None if self._log is None else self._log.open("ab")
        try:
            # A session of its own, so that Ctrl-C reaches this process, which then ends it.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "zreg", self.role, f"--id={self.node_id}",
                *self._arguments, "-o", "json", f"--parent-pid={os.getpid()}",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                start_new_session=True, env=_inherited(os.environ),
            )  # fmt: skip
        finally:
            if log is not None:
                log.close()
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS_MAX)
        if not line:
            code = await self._process.wait()
            raise CommandFailedError(
                f"{self.node_id} did not start, exit code {code}: see {self._why()}"
            )
        self.line = msgspec.convert(json.loads(line), NodeLine)

    async def ended(self) -> str:
        """Wait for its end; return a sentence on how it came."""
        assert self._process is not None
        code = await self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else "see " + self._why()
        return f"{self.node_id} (pid {self._process.pid}) ended with exit code {code}: {how}"

    async def end(self) -> None:
        """Have it stop, by force if it takes too long."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS_MAX)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _why(self) -> str:
        return "what it said above" if self._log is None else str(self._log)


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child without settings: all of them are flags of its own.

    A directory, an id or a list of peers is one node's, and would be all nodes'.
    """
    kept = variable("log_level")
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("ZREG_") or name == kept
    }


def end_with_parent(parent_pid: int) -> None:
    """Die when the parent does, however it does; a parent that is gone already counts too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise CommandFailedError("the process that started this one is gone: start it again")
