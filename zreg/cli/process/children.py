"""Nodes as child processes, which never outlive this process."""

import asyncio
import ctypes
import json
import os
import signal
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
import typer

import zreg
from zreg.cli.exits import CommandFailedError
from zreg.cli.options.node_options import variable
from zreg.cli.process.sd_notify import OF_ONE_PROCESS

_PR_SET_PDEATHSIG: Final = 1
_PACKAGE_FOLDER: Final = str(Path(zreg.__file__).absolute().parent.parent)

ParentPid = Annotated[int, typer.Option("--parent-pid", hidden=True)]
START_SECONDS_MAX: Final = 30.0
END_SECONDS_MAX: Final = 3.0


class NodeLine(msgspec.Struct, frozen=True):
    """The line that a node writes once its sockets are bound (`-o json`)."""

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
        """The `host:port` at which the node is bound."""
        assert self.line is not None
        return self.line.address

    async def start(self) -> None:
        """Start the process, and wait until it says where the node is bound.

        Raises `CommandFailedError` if the node does not start.
        """
        log = self._opened_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # Ctrl-C then reaches this process only, which ends its children in good order.
                start_new_session=True,
                env=inherited(os.environ),
            )
        finally:
            if log is not None:
                log.close()
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS_MAX)
        except TimeoutError:
            raise CommandFailedError(
                f"{self.node_id} did not start within {START_SECONDS_MAX:g} s: see "
                f"{self._log_place()}"
            ) from None
        if not line:
            code = await self._process.wait()
            raise CommandFailedError(
                f"{self.node_id} did not start and ended with exit code {code}: see "
                f"{self._log_place()}"
            )
        self.line = msgspec.convert(json.loads(line), NodeLine)

    async def ended(self) -> str:
        """Wait until the process ends by itself; return a sentence that says how it ended."""
        assert self._process is not None
        code = await self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"see {self._log_place()}"
        return f"{self.node_id} (pid {self._process.pid}) ended with exit code {code}: {how}"

    async def end(self) -> None:
        """Stop the node; kill it if it takes too long."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS_MAX)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _opened_log(self) -> IO[bytes] | None:
        try:
            return None if self._log is None else self._log.open("ab")
        except OSError as error:
            raise CommandFailedError(
                f"{self._log} cannot be written ({error.strerror}): name another --dir"
            ) from error

    def _command(self) -> list[str]:
        return [
            # -P: no module of the working directory takes the place of one that zreg needs.
            *(sys.executable, "-P", "-m", "zreg", self.role, f"--id={self.node_id}"),
            *self._arguments,
            *("-o", "json", f"--parent-pid={os.getpid()}"),
        ]

    def _log_place(self) -> str:
        return "its log lines above" if self._log is None else str(self._log)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: without settings, and without what is meant for us alone.

    A child gets its settings as flags: an inherited directory, id or list of peers would be the
    same for all nodes. It finds the package that this process runs, wherever it was started.
    """
    log_level = variable("log_level")
    kept = {
        name: value
        for name, value in environment.items()
        if name not in OF_ONE_PROCESS and (not name.startswith("ZREG_") or name == log_level)
    }
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if _PACKAGE_FOLDER not in map(sysconfig.get_path, ("purelib", "platlib")):
        # Not installed, as in a checkout. Python would look into the working directory instead.
        paths.insert(0, _PACKAGE_FOLDER)
    kept.pop("PYTHONPATH", None)
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)} if paths else kept


def end_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends, however the parent ends.

    Raises `CommandFailedError` if the parent has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise CommandFailedError(
            f"the process that started this node ({parent_pid}) has ended: start that one again"
        )
