"""A cluster in real processes, to be killed, stopped, continued and restarted, node by node.

`RunningCluster` runs `zreg cluster --json` on ports that the kernel chooses. Nodes that are started
later (`restart`, `add`) are children of the test. Nothing outlives the process that uses this.

    with RunningCluster(tmp_path, sessions=2, data=3) as cluster:
        client = zreg.Client(cluster.url)
        cluster.kill("data-1")
        cluster.restart("data-1")
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

START_SECONDS_MAX: Final = 30.0
END_SECONDS_MAX: Final = 10.0
_STATISTICS: Final = "node.statistics "
_PAUSE_SECONDS: Final = 0.01
_pause: Final = threading.Event()

Statistics = dict[str, int | float | str]


def wait_until(
    condition: Callable[[], object],
    *,
    timeout_seconds: float = 10.0,
    describe: Callable[[], str] = lambda: "",
) -> float:
    """Wait for the condition and return the seconds it took; fail with what `describe` says."""
    started_at = time.monotonic()
    while not condition():
        if time.monotonic() - started_at > timeout_seconds:
            raise AssertionError(f"not within {timeout_seconds:g} s\n{describe()}")
        _pause.wait(_PAUSE_SECONDS)
    return time.monotonic() - started_at


def zreg_command(*arguments: str) -> list[str]:
    """Return the command line that runs `zreg` with this interpreter."""
    return [sys.executable, "-m", "zreg", *arguments]


def own_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without settings of zreg, and with more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZREG_")}
    if paths := kept.get("PYTHONPATH"):
        # Processes are started in other folders, and must find the package that is tested.
        absolute = [str(Path(each).absolute()) for each in paths.split(os.pathsep)]
        kept["PYTHONPATH"] = os.pathsep.join(absolute)
    return {**kept, **(more or {})}


def run_zreg(
    *arguments: str, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(  # noqa: S603 -- zreg itself
        zreg_command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS_MAX,
        env=own_environment(environment),
        cwd=directory,
        check=False,
    )


class Running:
    """A command that runs, its lines, and its end."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(  # noqa: S603 -- zreg itself, and its examples
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=own_environment(environment),
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

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_seconds: float = END_SECONDS_MAX) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(timeout_seconds)

    def __enter__(self) -> Self:
        """Return itself; leaving the block ends it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, by force."""
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._err.close()


class LineReader:
    """Lines of a pipe, each with a deadline."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self, timeout_seconds: float = START_SECONDS_MAX) -> str:
        """Return the next line; empty at the end; fails if nothing comes in time."""
        try:
            return self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            raise AssertionError(f"no line within {timeout_seconds:g} s") from None

    def close(self) -> None:
        """Close the pipe, after its writer has ended."""
        self._thread.join(END_SECONDS_MAX)
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")


class NodeProcess(msgspec.Struct):
    """One node: what it said of itself, and how it was started."""

    role: str
    node_id: str
    pid: int
    address: str
    http: str | None = None
    arguments: list[str] = []

    def signal(self, number: int) -> None:
        """Send a signal; a process that is gone gets none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, be it stopped."""
        try:
            status = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] != "Z"


class ProblemSeen(msgspec.Struct, frozen=True):
    """One thing that is the matter with a node."""

    code: str
    detail: str


class HealthSeen(msgspec.Struct, frozen=True):
    """What a node says of itself over HTTP."""

    http_status: int
    status: str
    ready: bool
    role: str
    node_id: str
    problems: list[ProblemSeen]

    @property
    def codes(self) -> list[str]:
        """The codes of its problems."""
        return [problem.code for problem in self.problems]


class RunningCluster:
    """A cluster of real processes, as long as a `with` block."""

    def __init__(
        self,
        directory: Path,
        *,
        sessions: int = 1,
        data: int = 1,
        metas: int = 1,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.nodes: dict[str, NodeProcess] = {}
        self._options = options
        self._environment = own_environment(environment)
        self._own: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[LineReader] = []
        counts = [f"--session={sessions}", f"--data={data}", f"--meta={metas}"]
        arguments = [*counts, f"--dir={directory}", *options]
        own = ["--json", f"--parent-pid={os.getpid()}"]
        self.process = self._popen(["cluster", *arguments, *own])
        try:
            self._read_nodes()
        except BaseException:
            self.close()
            raise

    # --- where it is --------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL of all sessions."""
        return self.url_of(*(node.node_id for node in self.of("session")))

    def url_of(self, *node_ids: str) -> str:
        """Return the URL of these sessions."""
        return "zreg://" + ",".join(self.nodes[node_id].address for node_id in node_ids)

    @property
    def meta_address(self) -> str:
        """Where meta is, `host:port[,host:port...]`."""
        return ",".join(node.address for node in self.of("meta"))

    def of(self, role: str) -> list[NodeProcess]:
        """Return the nodes of a role, in the order of their start."""
        return [node for node in self.nodes.values() if node.role == role]

    # --- what happens to nodes ----------------------------------------------------------------

    def kill(self, node_id: str) -> None:
        """End a node without a goodbye, and wait until the process is gone."""
        self.nodes[node_id].signal(signal.SIGKILL)
        self._wait_gone(node_id)

    def terminate(self, node_id: str) -> None:
        """Have a node stop in good order, and wait until the process is gone."""
        self.nodes[node_id].signal(signal.SIGTERM)
        self._wait_gone(node_id)

    def stop(self, node_id: str) -> None:
        """Freeze a node: its connections stand, it answers nothing."""
        self.nodes[node_id].signal(signal.SIGSTOP)

    def cont(self, node_id: str) -> None:
        """Let a frozen node go on."""
        self.nodes[node_id].signal(signal.SIGCONT)

    def restart(self, node_id: str) -> NodeProcess:
        """Start a node that has ended again: same id, same settings, and the address that is known.

        Clients and nodes know those of sessions and meta; a data node's, and where nodes announce,
        they learn from the membership, so the kernel chooses them anew: somebody may have taken the
        port meanwhile. On Linux it lives no longer than the thread that calls this.
        """
        former = self.nodes[node_id]
        self._wait_gone(node_id)
        port = "0" if former.role == "data" else former.address.rpartition(":")[2]
        pub_port = [] if former.role == "session" else ["--pub-port=0"]
        chosen = ("--port=", "--pub-port=", "--http-port=")
        kept = [each for each in former.arguments if not each.startswith(chosen)]
        more = [f"--port={port}", "--http-port=0", *pub_port]
        return self._start(former.role, node_id, [*kept, *more])

    def add(self, role: str, node_id: str, *options: str) -> NodeProcess:
        """Start one more node; it joins by itself."""
        arguments = ["--port=0", f"--meta={self.meta_address}", *self._options, *options]
        return self._start(role, node_id, arguments)

    # --- what is known of them ----------------------------------------------------------------

    def log(self, node_id: str) -> str:
        """Return all that a node has logged."""
        path = self.directory / f"{node_id}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def statistics(self, node_id: str, *, timeout_seconds: float = 5.0) -> Statistics:
        """Ask a node for its counters, over SIGUSR1 and its log."""
        count = self.log(node_id).count(_STATISTICS)
        self.nodes[node_id].signal(signal.SIGUSR1)
        wait_until(
            lambda: self.log(node_id).count(_STATISTICS) > count, timeout_seconds=timeout_seconds
        )
        line = self.log(node_id).rpartition(_STATISTICS)[2].partition("\n")[0]
        statistics: Statistics = json.loads(line)
        return statistics

    def http_url(self, node_id: str, path: str = "/") -> str:
        """Return the URL of a page of a node."""
        return f"http://{self.nodes[node_id].http}{path}"

    def health(self, node_id: str, *, path: str = "/healthz") -> HealthSeen:
        """Ask a node over HTTP how it is; `/readyz` and `/v1/status` say so too."""
        try:
            with urllib.request.urlopen(self.http_url(node_id, path), timeout=5.0) as response:  # noqa: S310 -- http, as above
                http_status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                http_status, body = error.code, error.read()
        return msgspec.convert({**json.loads(body), "http_status": http_status}, HealthSeen)

    def describe(self) -> str:
        """Return the statistics of every node that answers, and the ends of their logs."""
        lines = []
        for node_id, node in self.nodes.items():
            try:
                state = str(self.statistics(node_id, timeout_seconds=1.0)) if node.is_alive else "-"
            except AssertionError:
                state = "does not answer"
            log = "\n    ".join(self.log(node_id).splitlines()[-5:])
            lines.append(f"{node_id} (pid {node.pid}): {state}\n    {log}")
        return "\n".join(lines)

    def wait_until(
        self, condition: Callable[[], object], *, timeout_seconds: float = 10.0
    ) -> float:
        """Wait for the condition; fail with the statistics of every node."""
        return wait_until(condition, timeout_seconds=timeout_seconds, describe=self.describe)

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything."""
        for node in self.nodes.values():
            node.signal(signal.SIGCONT)
        for process in [*self._own.values(), self.process]:
            if process.poll() is None:
                process.terminate()
        for process in [*self._own.values(), self.process]:
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.close()

    def __enter__(self) -> Self:
        """Return itself; leaving the block ends everything."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything."""
        self.close()

    # --- helpers ------------------------------------------------------------------------------

    def _read_nodes(self) -> None:
        reader = self._readers[0]
        while True:
            line = reader.next()
            assert line, f"zreg cluster ended with exit code {self.process.wait()}"
            said = json.loads(line)
            if said == {"ready": True}:
                return
            node = msgspec.convert(said, NodeProcess)
            node.arguments = _arguments_of(node.pid)
            self.nodes[node.node_id] = node

    def _start(self, role: str, node_id: str, arguments: list[str]) -> NodeProcess:
        log = (self.directory / f"{node_id}.log").open("ab")
        with log:
            more = [f"--id={node_id}", "-o", "json", f"--parent-pid={os.getpid()}"]
            process = self._popen([role, *arguments, *more], stderr=log)
        former = self._own.get(node_id)
        if former is not None:
            former.wait()
        self._own[node_id] = process
        line = self._readers[-1].next()
        assert line, f"{node_id} ended with exit code {process.wait()}: {self.log(node_id)}"
        node = msgspec.convert(json.loads(line), NodeProcess)
        node.arguments = arguments
        self.nodes[node_id] = node
        return node

    def _popen(
        self, arguments: list[str], stderr: IO[bytes] | None = None
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(  # noqa: S603 -- zreg itself
            zreg_command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=self._environment,
        )
        assert process.stdout is not None
        self._readers.append(LineReader(process.stdout))
        return process

    def _wait_gone(self, node_id: str) -> None:
        own = self._own.get(node_id)
        if own is not None:
            own.wait(END_SECONDS_MAX)
        wait_until(lambda: not self.nodes[node_id].is_alive, describe=lambda: f"{node_id} lives")


def _arguments_of(pid: int) -> list[str]:
    """Return what a node was started with, without what belongs to that one process."""
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    own = ("--id=", "--parent-pid=", "--pub-port=", "--http-port=")
    return [word for word in words if word.startswith("--") and not word.startswith(own)]
