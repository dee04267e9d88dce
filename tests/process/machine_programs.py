"""Programs and nodes that tests run on machines of a LAN, and what they write."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from zreg.testing.processes import Running, wait_until
from zreg.testing.processes.machines import Machine, MachineLan, why_no_machines

# Publishes an endpoint without a host.
PUBLISHER = """
import sys, threading, zreg
client = zreg.Client(*sys.argv[2:])
client.publish(sys.argv[1], zreg.Endpoint(port=8080))
threading.Event().wait()
"""
# Prints each change of a view, as a JSON line.
RECORDER = """
import json, sys, threading, zreg
client = zreg.Client(*sys.argv[2:])
def changed(change):
    names = ("added", "removed", "updated")
    found = {n: [str(v) for p in getattr(change, n) for v in p.values] for n in names}
    print(json.dumps({**found, "view": [str(v) for v in change.view.values]}), flush=True)
client.subscribe(sys.argv[1], changed)
threading.Event().wait()
"""
# Does both with one client.
PARTICIPANT = RECORDER.replace("threading.Event", PUBLISHER.splitlines()[3] + "\nthreading.Event")

# Announces so many meta nodes and sessions that are not there, under the name of the cluster.
FORGER = """
import asyncio, socket, sys
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf
from zreg.discovery.announcement import Announcement
from zreg.discovery.txt_record import written_txt
from zreg.model import Role
here, count = sys.argv[1], int(sys.argv[2])
def info(role, kind, number):
    lie = Announcement(role=role, node_id=f"a{number}", cluster="zreg", cluster_id=b"x" * 16,
        addresses=(f"tcp://10.77.0.{100 + number}:9610",), raft_address="tcp://10.77.0.99:9611",
        journal_id="lie")
    return ServiceInfo(
        f"_zreg-{kind}._tcp.local.", f"lie{number}._zreg-{kind}._tcp.local.", port=9610,
        addresses=[socket.inet_aton("10.77.0.99")], properties=written_txt(lie))
async def main():
    lan = AsyncZeroconf(interfaces=[here])
    for role, kind in ((Role.META, "meta"), (Role.SESSION, "session")):
        for number in range(count):
            lie = info(role, kind, number)
            await lan.async_register_service(lie, cooperating_responders=True)
    print("forged", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """Make machines, or skip the test with the reason why there are none."""
    if (reason := why_no_machines()) is not None:
        pytest.skip(reason)
    with MachineLan(count) as lan:
        yield lan.machines


class Nodes:
    """The nodes that a test runs on machines, with their logs; they end with the LAN."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self.running: dict[str, Running] = {}

    def start(self, machine: Machine, role: str, *options: str) -> Running:
        """Start a node that is bound to all addresses, and wait until it is bound."""
        node_id = f"{role}-{machine.name}"
        directory = self._directory / node_id
        common = (f"--id={node_id}", f"--dir={directory}", "--host=0.0.0.0", "--insecure")
        running = machine.start_zreg(role, *common, "--output=json", *options)
        self.running[node_id] = self._stack.enter_context(running)
        return running

    def address(self, node_id: str) -> str:
        """Return the address that a node tells others, from the line that it writes at first."""
        line = self.running[node_id].line()
        assert line, self.log(node_id)
        return str(json.loads(line)["address"])

    def log(self, node_id: str) -> str:
        """Return what a node has logged since the last call, without waiting."""
        return "\n".join(self.running[node_id].error_lines())

    def logs(self) -> str:
        """Return what all nodes have logged since the last call."""
        return "\n".join(self.log(node_id) for node_id in self.running)


def members(machine: Machine, meta: str) -> dict[str, dict[str, Any]]:
    """Return the members by id, as `zreg nodes` shows them on a machine; empty if it fails."""
    done = machine.run_zreg("nodes", "--meta", meta, "-o", "json", "--timeout-seconds", "2")
    return {each["node_id"]: each for each in json.loads(done.stdout or "[]")}


class Recording:
    """What a recorder has printed."""

    def __init__(self, recorder: Running) -> None:
        self._recorder = recorder
        self.changes: list[Mapping[str, Sequence[str]]] = []

    @property
    def view(self) -> Sequence[str]:
        """The values in the view after the last change."""
        self._take()
        return self.changes[-1]["view"] if self.changes else ()

    @property
    def removed(self) -> list[str]:
        """All values that were removed so far."""
        self._take()
        return [value for change in self.changes for value in change["removed"]]

    def wait(self, condition: Callable[[Sequence[str]], bool], seconds: float = 30.0) -> float:
        """Wait until the view fulfils a condition; return the seconds."""
        return wait_until(
            lambda: condition(self.view),
            timeout_seconds=seconds,
            describe=lambda: f"{self.changes} {self._recorder.error_lines()}",
        )

    def end(self) -> None:
        """Kill the recorder, and with it what it publishes."""
        self._recorder.process.kill()
        self._recorder.wait()

    def _take(self) -> None:
        self.changes += map(json.loads, self._recorder.lines())


def hosts(view: Sequence[str]) -> set[str]:
    """Return the hosts of the endpoints in a view."""
    found = (re.search(r"[\d.]+(?=:8080)", value) for value in view)
    return {match[0] for match in found if match is not None}


def show(what: str, started_at: float) -> None:
    """Print how long something took; `pytest -s` shows it."""
    print(f"{what}: {time.monotonic() - started_at:.1f} s")  # noqa: T201 -- a figure to look at
