"""How long one change takes to the last of many subscribers, and what their connections take."""

import statistics
from typing import Final

from peer_systems.measure.running import LONG_LEASE_SECONDS, Load, Meter, System, connected, running
from peer_systems.processes import ask_all

CHANGES: Final = 10
# Subscribers, and in how many processes: a thousand Pythons would not fit into small machines.
CROWDS: Final = {100: 2, 1000: 10}


def measure_fanout(system: System, _: Load) -> dict[str, float]:
    """Change a value that 100 and that 1,000 clients follow."""
    figures: dict[str, float] = {}
    for subscribers, processes in CROWDS.items():
        figures |= _measure(system, subscribers, processes)
    return figures


def _measure(system: System, subscribers: int, processes: int) -> dict[str, float]:
    each = subscribers // processes
    with (
        running(system, LONG_LEASE_SECONDS) as server,
        connected(system, server, 1, 1, LONG_LEASE_SECONDS) as (owner,),
    ):
        owner.ask("register", names=["news/1"], value="first")
        before = server.memory_bytes()
        with connected(system, server, processes, each, LONG_LEASE_SECONDS) as followers:
            ask_all(followers, "follow", service="news")
            ask_all(followers, "times_of", value="first", count=each)
            held = server.memory_bytes() - before
            took = []
            meter = Meter(server, [owner, *followers])
            for number in range(CHANGES):
                value = f"change {number}"
                began = owner.ask("republish", name="news/1", value=value)
                heard = ask_all(followers, "times_of", value=value, count=each)
                took.append((max(times[-1] for times in heard) - began) * 1000)
            times = meter.microseconds_per(CHANGES * subscribers, f"fanout_{subscribers}")
    return {
        f"fanout_{subscribers}_ms": statistics.median(took),
        f"connection_{subscribers}_bytes": held / subscribers,
        **times,
    }
