"""A machine of the LAN announces sessions that are not there: clients find the one that is."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from machine_programs import FORGER, PUBLISHER, Nodes, machines, show

from zreg.testing.processes import wait_until
from zreg.testing.processes.machines import Machine

LIES = 20
SECONDS_MAX = 60.0
# Prints how long a client without an address needed for its first view, and what is in it.
THREADS = """
import json, time, zreg
began_at = time.monotonic()
with zreg.Client() as client:
    subscription = client.subscribe("web").wait_for(min_count=1)
    seconds = time.monotonic() - began_at
    print(json.dumps([seconds, client.status.session, len(subscription.view)]), flush=True)
"""
ASYNCIO = """
import asyncio, json, time, zreg
async def main():
    began_at = time.monotonic()
    async with zreg.AsyncClient() as client:
        subscription = await client.subscribe("web").wait_for(min_count=1)
        seconds = time.monotonic() - began_at
        print(json.dumps([seconds, client.status.session, len(subscription.view)]), flush=True)
asyncio.run(main())
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def first_view_seconds(machine: Machine, program: str) -> float:
    done = machine.run(sys.executable, "-c", program, timeout_seconds=SECONDS_MAX)
    assert done.returncode == 0, done.stderr
    seconds, address, count = json.loads(done.stdout)
    assert (address, count) == ("10.77.0.1:9600", 1)
    return float(seconds)


def test_forged_sessions_delay_a_client_by_a_second_or_two(
    stack: ExitStack, tmp_path: Path
) -> None:
    one, two, three = stack.enter_context(machines(3))
    nodes = Nodes(stack, tmp_path)
    nodes.start(one, "meta")
    nodes.start(one, "data")
    nodes.start(one, "session")
    stack.enter_context(one.start_python(PUBLISHER, "web", "zreg://10.77.0.1:9600"))
    forger = stack.enter_context(two.start_python(FORGER, two.address, str(LIES)))
    assert forger.line(SECONDS_MAX) == "forged"

    def are_announced() -> bool:
        listed = three.run_zreg("discover", "-o", "json", timeout_seconds=SECONDS_MAX)
        roles = [each["role"] for each in json.loads(listed.stdout)["announcements"]]
        return roles.count("session") == LIES + 1

    wait_until(are_announced, timeout_seconds=SECONDS_MAX, describe=nodes.logs)
    for name, program in (("threads", THREADS), ("asyncio", ASYNCIO)):
        began_at = time.monotonic()
        seconds = first_view_seconds(three, program)
        show(f"a program ({name}) among {LIES} forged sessions", began_at)
        print(f"  its first view: {seconds:.1f} s")  # noqa: T201 -- a figure to look at
        # One second for the lies; the rest is multicast DNS, and the machine's other work.
        assert seconds < 10.0
