"""Three machines with a node of each role: one is cut off, or has no network, and returns."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from machine_programs import PARTICIPANT, Nodes, Recording, hosts, machines, members, show

from zreg.testing.processes import wait_until
from zreg.testing.processes.machines import Machine

ALL = {"10.77.0.1", "10.77.0.2", "10.77.0.3"}
# Publishers that vanish together with their session stay for so long.
GRACE = "--session-grace-seconds=5"
METAS = ",".join(f"{host}:9610" for host in sorted(ALL))
SESSIONS = "zreg://" + ",".join(f"{host}:9600" for host in sorted(ALL))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start_all(nodes: Nodes, lan: list[Machine]) -> None:
    """Start a node of each role on each machine."""
    peers = [f"--peer=meta-{machine.name}={machine.address}:9611" for machine in lan]
    for machine in lan:
        nodes.start(machine, "meta", GRACE, *peers)
        nodes.start(machine, "session", f"--meta={METAS}", GRACE)
        nodes.start(machine, "data", f"--meta={METAS}", GRACE)


def are_working(machine: Machine, count: int) -> bool:
    """Return whether so many nodes of each role are WORKING, as meta shows it on a machine."""
    found = [each["status"] for each in members(machine, METAS).values()]
    return found == ["WORKING"] * 3 * count


def cut(machine: Machine) -> Callable[[], None]:
    """Cut the wire of a machine; return how that is undone."""
    machine.cut()
    return machine.mend


def take_down(machine: Machine) -> Callable[[], None]:
    """Take the interface of a machine down; return how that is undone."""
    machine.take_down()
    return machine.bring_up


def check_absence(
    lan: list[Machine],
    recordings: list[Recording],
    number: int,
    fault: Callable[[Machine], Callable[[], None]],
) -> None:
    """Let one machine be away until no other one sees its endpoint, and return."""
    away, others = lan[number], lan[:number] + lan[number + 1 :]
    seen_by_others = recordings[:number] + recordings[number + 1 :]
    before = [len(recording.removed) for recording in seen_by_others]
    undo, began_at = fault(away), time.monotonic()
    for recording in seen_by_others:
        recording.wait(lambda view: hosts(view) == ALL - {away.address}, 40)
    show(f"from a machine that is gone ({fault.__name__}) to views without it", began_at)
    undo()
    healed_at = time.monotonic()
    for recording in recordings:
        recording.wait(lambda view: hosts(view) == ALL, 40)
    wait_until(lambda: are_working(others[0], 3), timeout_seconds=40)
    show("from its return to all nodes WORKING and all views whole", healed_at)
    # What the machine itself saw meanwhile is its own side of the partition.
    for count, recording in zip(before, seen_by_others, strict=True):
        assert hosts(recording.removed[count:]) == {away.address}


def test_a_machine_that_is_cut_off_or_down_returns_and_nothing_else_changes(
    stack: ExitStack, tmp_path: Path
) -> None:
    lan = stack.enter_context(machines(3))
    nodes, started_at = Nodes(stack, tmp_path), time.monotonic()
    start_all(nodes, lan)
    recordings = []
    for machine in lan:
        participant = machine.start_python(PARTICIPANT, "web", SESSIONS)
        recordings.append(Recording(stack.enter_context(participant)))
    for recording in recordings:
        recording.wait(lambda view: hosts(view) == ALL, 60)
    wait_until(lambda: are_working(lan[0], 3), timeout_seconds=60, describe=nodes.logs)
    show("from cold start to three machines that see each other", started_at)

    check_absence(lan, recordings, 0, cut)
    check_absence(lan, recordings, 1, take_down)
