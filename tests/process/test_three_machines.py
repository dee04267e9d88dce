"""Three machines from zero, without an address: the commands of docs/three-machines.md."""

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from machine_programs import FORGER, PARTICIPANT, Recording, hosts, show
from page_blocks import blocks_of

from zreg.testing.processes import Running, wait_until
from zreg.testing.processes.machines import Machine, MachineLan, why_no_machines

# What a step may take on a busy machine; the figures that the test prints are what counts.
SECONDS_MAX = 120.0
PAGE = Path(__file__).parents[2] / "docs" / "three-machines.md"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class ThreeMachines:
    """The machines, the nodes that run on them, and what `zreg` commands on them show."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        if (reason := why_no_machines()) is not None:
            pytest.skip(reason)
        self._stack = stack
        self._directory = directory
        self.lan = stack.enter_context(MachineLan(4))
        self.nodes: dict[str, Running] = {}

    def commands(self, title: str) -> list[list[str]]:
        """Return the words of the `zreg` commands of a block of the page, after `zreg`."""
        (block,) = [each for each in blocks_of(PAGE, "sh") if each.title == title]
        return [shlex.split(line)[1:] for line in block.text.splitlines()]

    def start(self, machine: Machine) -> None:
        """Type the commands of the page on a machine."""
        for role, *options in self.commands("each machine"):
            here = [
                each.replace("/var/lib/zreg", str(self._directory / machine.name))
                for each in options
            ]
            running = machine.start_zreg(role, *here)
            self.nodes[f"{role}-{machine.name}"] = self._stack.enter_context(running)

    def participate(self, machine: Machine) -> Recording:
        """Run a program on a machine that publishes and subscribes, without an address."""
        return Recording(self._stack.enter_context(machine.start_python(PARTICIPANT, "web")))

    def table(self, machine: Machine, *command: str) -> list[dict[str, str]]:
        """Return what a command shows on a machine; empty if it fails."""
        words = (*command, "-o", "json", "--timeout-seconds", "2")
        done = machine.run_zreg(*words, timeout_seconds=SECONDS_MAX)
        found = json.loads(done.stdout or "[]")
        return list(found)

    def wait_working(self, machine: Machine, addresses: set[str]) -> None:
        """Wait until a node of each role works at each address, as one machine sees it."""

        def are_working() -> bool:
            found = self.table(machine, "nodes")
            working = [
                each["address"].split(":")[0] for each in found if each["status"] == "WORKING"
            ]
            return sorted(working) == sorted([*addresses] * 3)

        wait_until(
            are_working, timeout_seconds=SECONDS_MAX, describe=lambda: self.describe(machine)
        )

    def leading_machine(self) -> Machine:
        """Return the machine on which meta's leader runs, as soon as the first one knows it."""
        one = self.lan.machines[0]
        leaders: list[str] = []

        def is_known() -> bool:
            listed = self.table(one, "meta", "ls")
            leaders[:] = [each["node_id"] for each in listed if each["state"] == "leader"]
            return bool(leaders)

        wait_until(is_known, timeout_seconds=SECONDS_MAX, describe=lambda: self.describe(one))
        (found,) = [each for each in self.lan.machines if leaders == [f"meta-{each.name}-9610"]]
        return found

    def describe(self, machine: Machine) -> str:
        """Return the members and the logs."""
        logs = (
            f"{name}: {line}" for name, node in self.nodes.items() for line in node.error_lines()
        )
        return "\n".join((str(self.table(machine, "nodes")), *logs))


def test_three_machines_form_a_cluster_and_replace_that_of_the_leader(
    stack: ExitStack, tmp_path: Path
) -> None:
    world = ThreeMachines(stack, tmp_path)
    one, two, three, four = world.lan.machines
    stack.enter_context(four.start_python(FORGER, four.address, "2"))
    started_at = time.monotonic()
    for machine in (one, two, three):
        world.start(machine)
    world.wait_working(one, {"10.77.0.1", "10.77.0.2", "10.77.0.3"})
    show("from cold start to nine nodes WORKING", started_at)

    # Programs without an address, also on a machine without a node.
    began_at = time.monotonic()
    recordings = {machine.name: world.participate(machine) for machine in (one, two, three, four)}
    everyone = {"10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.4"}
    wait_for_hosts(recordings, everyone)
    show("from the start of programs to whole views", began_at)

    # DHCP gives a machine another address.
    changed_at = time.monotonic()
    two.take_address()
    two.give_address("10.77.0.50")
    world.wait_working(one, {"10.77.0.1", "10.77.0.50", "10.77.0.3"})
    everyone = {"10.77.0.1", "10.77.0.50", "10.77.0.3", "10.77.0.4"}
    wait_for_hosts(recordings, everyone)
    show("from another address of a machine to all nodes WORKING with it", changed_at)

    check_loss_of_the_leader(world, recordings, everyone)


def check_loss_of_the_leader(
    world: ThreeMachines, recordings: dict[str, Recording], everyone: set[str]
) -> None:
    """Lose the machine of meta's leader for good, and have a new one take its place.

    The program on it ends before, so that every later change of a view would be wrong.
    """
    while (lost := world.leading_machine()).name in recordings:
        recordings.pop(lost.name).end()
        everyone.remove(lost.address)
        wait_for_hosts(recordings, everyone)
    removed = {name: list(recording.removed) for name, recording in recordings.items()}
    lost_at = time.monotonic()
    world.lan.remove_machine(lost)
    left = [each for each in world.lan.machines[:3] if each is not lost]
    five = world.lan.add_machine()
    world.start(five)
    replace_meta(world, left[0], f"meta-{lost.name}-9610", "meta-m5-9610=10.77.0.5:9611")
    world.wait_working(left[0], {five.address, *(machine.address for machine in left)})
    show("from the loss of the leader's machine to a new one in its place", lost_at)
    for name, recording in recordings.items():
        assert recording.removed == removed[name], "no view changed"
        assert hosts(recording.view) == everyone


def wait_for_hosts(recordings: Mapping[str, Recording], expected: set[str]) -> None:
    """Wait until every recorder sees exactly the endpoints of these hosts."""
    for recording in recordings.values():
        recording.wait(lambda view: hosts(view) == expected, SECONDS_MAX)


def replace_meta(world: ThreeMachines, machine: Machine, old: str, new: str) -> None:
    """Type the commands of the page that replace a meta node, again until meta can do it."""
    listing, removal, addition = world.commands("replace")
    assert listing == ["meta", "ls"]
    for command, was, now in ((removal, "OLD", old), (addition, "NEW=HOST:9611", new)):
        words = [each.replace(was, now) for each in command]

        def is_done(words: list[str] = words) -> bool:
            return machine.run_zreg(*words, timeout_seconds=SECONDS_MAX).returncode == 0

        wait_until(is_done, timeout_seconds=SECONDS_MAX, describe=lambda: world.describe(machine))


def test_all_machines_get_other_addresses_at_once(stack: ExitStack, tmp_path: Path) -> None:
    """DHCP renumbers the site: no node reaches another one where it was."""
    world = ThreeMachines(stack, tmp_path)
    machines = world.lan.machines[:3]
    for machine in machines:
        world.start(machine)
    world.wait_working(machines[0], {"10.77.0.1", "10.77.0.2", "10.77.0.3"})
    recordings = {machine.name: world.participate(machine) for machine in machines}
    wait_for_hosts(recordings, {"10.77.0.1", "10.77.0.2", "10.77.0.3"})

    changed_at = time.monotonic()
    for machine in machines:
        machine.take_address()
    for number, machine in enumerate(machines, start=51):
        machine.give_address(f"10.77.0.{number}")
    everyone = {"10.77.0.51", "10.77.0.52", "10.77.0.53"}
    world.wait_working(machines[0], everyone)
    show("from other addresses of all machines to nine nodes WORKING with them", changed_at)
    wait_for_hosts(recordings, everyone)
    show("from other addresses of all machines to whole views", changed_at)


def test_two_clusters_side_by_side_keep_apart(stack: ExitStack, tmp_path: Path) -> None:
    """One meta node and one session for each, without an address: the sessions see both metas."""
    if (reason := why_no_machines()) is not None:
        pytest.skip(reason)
    red, blue = stack.enter_context(MachineLan(2)).machines
    began_at = time.monotonic()
    clusters = {"red": red, "blue": blue}
    # The meta node of a session's machine, which it asks first, is of the other cluster.
    sessions = {"red": blue, "blue": red}
    logs = {}
    for cluster, machine in clusters.items():
        common = (f"--cluster={cluster}", "--host=0.0.0.0", "--insecure")
        place = (f"--dir={tmp_path / cluster}", "--announce=on")
        stack.enter_context(machine.start_zreg("meta", *common, *place))
        there = sessions[cluster]
        logs[cluster] = stack.enter_context(there.start_zreg("session", *common))

    def listed(cluster: str) -> dict[str, str]:
        where = (f"--cluster={cluster}", f"--url=zreg://{sessions[cluster].address}")
        words = ("nodes", *where, "-o", "json", "--timeout-seconds", "2")
        done = clusters[cluster].run_zreg(*words, timeout_seconds=SECONDS_MAX)
        members = json.loads(done.stdout or "[]")
        return {each["role"]: each["address"].split(":")[0] for each in members}

    for cluster, machine in clusters.items():
        expected = {"meta": machine.address, "session": sessions[cluster].address}
        wait_until(
            lambda cluster=cluster, expected=expected: listed(cluster) == expected,
            timeout_seconds=SECONDS_MAX,
            describe=lambda cluster=cluster: f"{listed(cluster)} {logs[cluster].error_lines()}",
        )
    show("from cold start to two whole clusters on one LAN", began_at)
