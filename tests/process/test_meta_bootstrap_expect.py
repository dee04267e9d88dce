"""Three `zreg meta --bootstrap-expect 3` on loopback find each other, and found one cluster."""

import json
import random
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from zreg.cli.process.ports import free_ports
from zreg.testing.processes import Running, run_zreg, wait_until
from zreg.testing.processes.node_process import NodeProcess, ReportedHealth
from zreg.testing.processes.running_command import zreg_command

NAMES = ("meta-1", "meta-2", "meta-3")
# Announcements, listening and an election, on a busy machine.
FOUNDING_SECONDS_MAX = 60.0


class Machines:
    """Empty meta nodes on this machine, each with its directory and fixed ports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Other tests announce nodes on the same loopback interface.
        self.cluster = f"gathering-{secrets.token_hex(4)}"
        ports = free_ports(4 * len(NAMES))
        self.ports = {name: ports[4 * n : 4 * n + 4] for n, name in enumerate(NAMES)}
        self.running: dict[str, Running] = {}
        self.nodes: dict[str, NodeProcess] = {}
        self.logs: dict[str, list[str]] = {name: [] for name in NAMES}
        self._stack = ExitStack()

    def start(self, name: str, *more: str) -> None:
        port, raft, pub, http = self.ports[name]
        command = zreg_command(
            "meta",
            f"--id={name}",
            f"--dir={self.directory / name}",
            f"--cluster={self.cluster}",
            f"--port={port}",
            f"--pub-port={pub}",
            f"--http-port={http}",
            f"--peer={name}=127.0.0.1:{raft}",
            "--bootstrap-expect=3",
            "--output=json",
            *more,
        )
        self.running[name] = self._stack.enter_context(Running(command))
        self.nodes[name] = NodeProcess(**json.loads(self.running[name].line()))

    def kill(self, name: str) -> None:
        self.log(name)
        running = self.running.pop(name)
        running.send(signal.SIGKILL)
        running.wait()

    def log(self, name: str) -> str:
        self.logs[name] += self.running[name].error_lines()
        return "\n".join(self.logs[name])

    def health(self, name: str) -> ReportedHealth:
        return self.nodes[name].health()

    def detail(self, name: str, code: str) -> str:
        return " ".join(each.detail for each in self.health(name).problems if each.code == code)

    def nodes_command(self, name: str) -> "tuple[int, str]":
        address = self.nodes[name].address
        result = run_zreg(
            "nodes", "--meta", address, "--cluster", self.cluster, "--timeout-seconds", "1"
        )
        return result.returncode, result.stdout + result.stderr

    def lists_all(self, name: str) -> bool:
        code, text = self.nodes_command(name)
        return code == 0 and all(each in text for each in NAMES)

    def describe(self) -> str:
        return "\n".join(f"{self.health(name)}\n{self.log(name)}" for name in self.running)

    def wait(self, condition: object) -> None:
        wait_until(condition, timeout_seconds=FOUNDING_SECONDS_MAX, describe=self.describe)  # type: ignore[arg-type]

    def has_founded(self) -> bool:
        return all(not self.health(name).problems for name in self.running)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    yield machines
    machines.close()


def test_three_nodes_found_one_cluster_although_one_is_killed_meanwhile(
    machines: Machines,
) -> None:
    first, second, last = random.sample(NAMES, len(NAMES))
    machines.start(first)
    machines.start(second)
    waiting = "2 of 3 found: waiting for one more; seen "
    machines.wait(lambda: waiting in machines.detail(first, "not-founded"))
    for name in (first, second):
        _, raft, *_ = machines.ports[name]
        assert f"{name} at 127.0.0.1:{raft}" in machines.detail(first, "not-founded")
    code, text = machines.nodes_command(first)
    assert code != 0
    assert waiting in text
    assert waiting in machines.log(first)

    machines.start(last)
    machines.wait(lambda: "bootstrap.agreed" in machines.log(first))
    machines.kill(first)
    machines.start(first)

    machines.wait(machines.has_founded)
    # A meta node is listed once the leader knows its addresses, a moment after the election.
    for name in NAMES:
        machines.wait(lambda name=name: machines.lists_all(name))

    # With an empty directory, one of them finds its cluster again, and founds none.
    machines.kill(last)
    (machines.directory / last / "raft.db").unlink()
    machines.start(last)
    machines.wait(lambda: "has met cluster" in machines.detail(last, "not-founded"))
    assert f"zreg meta add {last}=" in machines.detail(last, "not-founded")


def test_settings_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    both = run_zreg(
        "meta",
        f"--dir={tmp_path}",
        "--id=meta-1",
        "--bootstrap-expect=3",
        "--peer=meta-1=127.0.0.1:1",
        "--peer=meta-2=127.0.0.1:2",
    )

    assert both.returncode == 2
    assert "name this node alone with --peer" in both.stderr
