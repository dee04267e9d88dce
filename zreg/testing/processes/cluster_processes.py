"""The nodes of a cluster as processes: signals, restarts, logs, statistics, and their end.

`RunningCluster` and `ProxiedCluster` start them. No process outlives the process that uses this.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from zreg.cli.options.node_options import roles_of_flag
from zreg.testing.processes.node_process import NodeProcess, ReportedHealth
from zreg.testing.processes.reserved_ports import ReservedPorts
from zreg.testing.processes.running_command import (
    END_SECONDS_MAX,
    LineReader,
    clean_environment,
    wait_until,
    zreg_command,
)
from zreg.testing.processes.with_block import WithBlock

# The options of each role that name a port.
PORT_OPTIONS: Final = {
    "meta": ("port", "pub-port", "http-port"),
    "session": ("port", "http-port"),
    "data": ("port", "pub-port", "http-port"),
}
_STATISTICS: Final = "node.statistics "

Statistics = dict[str, int | float | str]


class ClusterProcesses(WithBlock):
    """The processes of a cluster, which run until the `with` block ends."""

    def __init__(
        self,
        directory: Path,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.nodes: dict[str, NodeProcess] = {}
        self._options = options
        self._environment = clean_environment(environment)
        # The nodes that this object started itself, by node id.
        self._started: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[LineReader] = []
        self._reserved: list[ReservedPorts] = []

    def _options_of(self, role: str) -> list[str]:
        """Return the options that a node of this role has: others would end it."""
        return [
            option
            for option in self._options
            if role in (roles_of_flag(option.partition("=")[0]) or (role,))
        ]

    # --- addresses ------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL of all sessions."""
        return self.url_of(*(node.node_id for node in self.of("session")))

    def url_of(self, *node_ids: str) -> str:
        """Return the URL of these sessions."""
        return "zreg://" + ",".join(self.nodes[node_id].address for node_id in node_ids)

    @property
    def meta_address(self) -> str:
        """The addresses of all meta nodes, `host:port[,host:port...]`."""
        return ",".join(node.address for node in self.of("meta"))

    def of(self, role: str) -> list[NodeProcess]:
        """Return the nodes of a role, in the order of their start."""
        return [node for node in self.nodes.values() if node.role == role]

    # --- signals ----------------------------------------------------------------------------------

    def kill(self, node_id: str) -> None:
        """Kill a node, so that it says no goodbye; wait until its process is gone."""
        self.nodes[node_id].signal(signal.SIGKILL)
        self._wait_gone(node_id)

    def terminate(self, node_id: str) -> None:
        """Stop a node in good order; wait until its process is gone."""
        self.nodes[node_id].signal(signal.SIGTERM)
        self._wait_gone(node_id)

    def stop(self, node_id: str) -> None:
        """Freeze a node: its connections stay open, and it answers nothing."""
        self.nodes[node_id].signal(signal.SIGSTOP)

    def cont(self, node_id: str) -> None:
        """Continue a frozen node."""
        self.nodes[node_id].signal(signal.SIGCONT)

    # --- logs, statistics, health ---------------------------------------------------------------

    def log(self, node_id: str) -> str:
        """Return all that a node has logged."""
        path = self.directory / f"{node_id}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def statistics(self, node_id: str, *, timeout_seconds: float = 5.0) -> Statistics:
        """Return the counters of a node, which writes them to its log on SIGUSR1."""
        count = len(self._statistics_lines(node_id))
        self.nodes[node_id].signal(signal.SIGUSR1)
        wait_until(
            lambda: len(self._statistics_lines(node_id)) > count, timeout_seconds=timeout_seconds
        )
        line = self._statistics_lines(node_id)[-1].partition(_STATISTICS)[2]
        statistics: Statistics = json.loads(line)
        return statistics

    def _statistics_lines(self, node_id: str) -> list[str]:
        # The node may be in the middle of its last line.
        whole = self.log(node_id).rpartition("\n")[0]
        return [line for line in whole.split("\n") if _STATISTICS in line]

    def http_url(self, node_id: str, path: str = "/") -> str:
        """Return the URL of a page that a node serves."""
        return self.nodes[node_id].http_url(path)

    def health(self, node_id: str, *, path: str = "/healthz") -> ReportedHealth:
        """Return the health that a node reports at `/healthz`, `/readyz` or `/v1/status`."""
        return self.nodes[node_id].health(path)

    def describe(self) -> str:
        """Return the statistics of every node that answers, and the last lines of its log."""
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
        """Wait for the condition; return the seconds that it took.

        Raises `AssertionError` with the statistics of every node if the time is over.
        """
        return wait_until(condition, timeout_seconds=timeout_seconds, describe=self.describe)

    # --- end ------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all processes, by force if they take too long; give their ports back."""
        for node in self.nodes.values():
            # A frozen process could not end.
            node.signal(signal.SIGCONT)
        processes = self._processes()
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.close()
        for reserved in self._reserved:
            reserved.close()

    # --- helpers ------------------------------------------------------------------------------

    def _processes(self) -> "list[subprocess.Popen[str]]":
        """Return all processes that have to be ended."""
        return list(self._started.values())

    def _reserve_ports(self, count: int) -> range:
        """Return ports that nodes of this cluster alone can bind until its end."""
        self._reserved.append(ReservedPorts(count))
        return self._reserved[-1].ports

    def _start(self, role: str, node_id: str, arguments: list[str]) -> NodeProcess:
        """Start a node; return it once its sockets are bound."""
        return self._wait_bound(node_id, self._launch(role, node_id, arguments), arguments)

    def _launch(self, role: str, node_id: str, arguments: list[str]) -> LineReader:
        """Start the process of a node; return the reader of the line that it writes once bound."""
        with (self.directory / f"{node_id}.log").open("ab") as log:
            process = self._popen(
                [
                    *(role, *arguments, f"--id={node_id}"),
                    *("-o", "json", f"--parent-pid={os.getpid()}"),
                ],
                stderr=log,
            )
        former = self._started.get(node_id)
        if former is not None:
            former.wait()
        self._started[node_id] = process
        return self._readers[-1]

    def _wait_bound(self, node_id: str, reader: LineReader, arguments: list[str]) -> NodeProcess:
        """Wait for the line that a node writes once its sockets are bound."""
        line = reader.next()
        code = None if line else self._started[node_id].wait()
        assert line, f"{node_id} ended with exit code {code}: {self.log(node_id)}"
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
        process = self._started.get(node_id)
        if process is not None:
            process.wait(END_SECONDS_MAX)
        wait_until(
            lambda: not self.nodes[node_id].is_alive, describe=lambda: f"{node_id} still runs"
        )
