"""On machines of their own, nodes and clients tell the right address, and follow its change."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from machine_programs import (
    PUBLISHER,
    RECORDER,
    Nodes,
    Recording,
    hosts,
    machines,
    members,
    show,
)

from zreg.testing.processes import Running, wait_until
from zreg.testing.processes.machines import Machine


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def refusal(machine: Machine, directory: Path, *options: str) -> str:
    """Return what a meta node that is bound to all addresses says when it does not start."""
    where = ("--host=0.0.0.0", "--insecure", f"--dir={directory}")
    done = machine.run_zreg("meta", *where, *options)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_node_tells_no_address_by_guess(stack: ExitStack, tmp_path: Path) -> None:
    one, two = stack.enter_context(machines(2))
    one.ip("link", "add", "docker0", "type", "bridge")
    one.ip("addr", "add", "172.17.0.1/16", "dev", "docker0")
    one.ip("link", "set", "docker0", "up")
    one.ip("link", "add", "lab", "type", "bridge")  # its name says nothing, but it has no card
    one.ip("addr", "add", "172.18.0.1/16", "dev", "lab")
    one.ip("link", "set", "lab", "up")
    nodes = Nodes(stack, tmp_path)

    nodes.start(one, "meta")
    assert nodes.address("meta-m1") == "10.77.0.1:9610"
    # A second network: the way to meta decides.
    nodes.start(two, "session", "--meta=10.77.0.1:9610")
    assert nodes.address("session-m2") == "10.77.0.2:9600"
    two.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth1p")
    two.ip("addr", "add", "192.168.7.2/24", "dev", "eth1")
    for name in ("eth1", "eth1p"):
        two.ip("link", "set", name, "up")
    nodes.start(two, "data", "--meta=10.77.0.1:9610")
    assert nodes.address("data-m2") == "10.77.0.2:9620"
    said = refusal(two, tmp_path / "m2")
    assert "which one others reach: 10.77.0.2 (eth0), 192.168.7.2 (eth1)" in said
    # Only what is inside the machine is left.
    one.take_down()
    said = refusal(one, tmp_path / "m1", "--port=9700")
    assert "docker0 172.17.0.1 (containers or virtual machines of this machine)" in said
    assert "lab 172.18.0.1 (containers" in said


def start_program(stack: ExitStack, machine: Machine, program: str, *arguments: str) -> Running:
    return stack.enter_context(machine.start_python(program, *arguments))


def test_nodes_and_endpoints_follow_the_address_of_their_machine(
    stack: ExitStack, tmp_path: Path
) -> None:
    one, two, three = stack.enter_context(machines(3))
    nodes, meta = Nodes(stack, tmp_path), "10.77.0.1:9610"
    started_at = time.monotonic()
    nodes.start(one, "meta")
    for machine in (one, two):
        nodes.start(machine, "session", f"--meta={meta}")
        nodes.start(machine, "data", f"--meta={meta}")
    sessions = "zreg://10.77.0.1:9600,10.77.0.2:9600"
    recording = Recording(start_program(stack, one, RECORDER, "web", sessions))
    for machine in (one, two, three):
        start_program(stack, machine, PUBLISHER, "web", sessions)
    recording.wait(lambda view: hosts(view) == {"10.77.0.1", "10.77.0.2", "10.77.0.3"})
    show("from cold start to a view of three machines", started_at)

    changed_at = time.monotonic()
    two.take_address()
    two.give_address("10.77.0.50")

    def moved() -> bool:
        found = members(one, meta)
        return all(
            found.get(f"{role}-m2", {}).get("status") == "WORKING"
            and found[f"{role}-m2"]["address"].endswith(f"10.77.0.50:{port}")
            for role, port in (("session", 9600), ("data", 9620))
        )

    wait_until(moved, timeout_seconds=40, describe=lambda: f"{members(one, meta)} {nodes.logs()}")
    show("from another address to both nodes WORKING with it", changed_at)
    recording.wait(lambda view: hosts(view) == {"10.77.0.1", "10.77.0.50", "10.77.0.3"}, 40)
    show("from another address to the endpoint with it", changed_at)
    assert hosts(recording.removed) <= {"10.77.0.2"}, "nothing of the others was removed"
    assert "node.address.changed host=10.77.0.50 former=10.77.0.2" in nodes.log("session-m2")
