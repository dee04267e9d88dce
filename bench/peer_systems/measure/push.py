"""How long a change takes to its subscribers, one change at a time."""

import statistics
from functools import partial
from typing import Final

from peer_systems.measure.running import LONG_LEASE_SECONDS, Load, Meter, System, connected, running
from peer_systems.processes import ask_all

SUBSCRIBERS: Final = 10
PAUSE_SECONDS: Final = 0.02
# Java is slow until it has compiled what runs often.
WARM_UP_COUNT: Final = 600
WARM_UP_PAUSE_SECONDS: Final = 0.005
_NAME: Final = "latency/1"


def measure_push(system: System, load: Load) -> dict[str, float]:
    """Change a value 50 times a second, with ten subscribers in ten and in two processes."""
    figures: dict[str, float] = {}
    for processes in (10, 2):
        figures |= _measure(system, processes, round(load.seconds / PAUSE_SECONDS))
    return figures


def _measure(system: System, processes: int, count: int) -> dict[str, float]:
    each = SUBSCRIBERS // processes
    figure = f"push_{processes}"
    with (
        running(system, LONG_LEASE_SECONDS) as server,
        connected(system, server, 1, 1, LONG_LEASE_SECONDS) as (publisher,),
        connected(system, server, processes, each, LONG_LEASE_SECONDS) as followers,
    ):
        publisher.ask("register", names=[_NAME], value="first")
        ask_all(followers, "follow", service="latency")
        ask_paced = partial(publisher.ask, "publish_paced", name=_NAME)
        ask_paced(count=WARM_UP_COUNT, pause_seconds=WARM_UP_PAUSE_SECONDS)
        publisher.ask("republish", name=_NAME, value="warm")
        ask_all(followers, "times_of", value="warm", count=each)
        ask_all(followers, "clear")
        meter = Meter(server, [publisher, *followers])
        ask_paced(count=count, pause_seconds=PAUSE_SECONDS)
        publisher.ask("republish", name=_NAME, value="end")
        ask_all(followers, "times_of", value="end", count=each)
        times = meter.microseconds_per(count, figure)
        delays = [delay for part in ask_all(followers, "delays") for delay in part]
    cuts = statistics.quantiles(delays, n=100)
    return {f"{figure}_p50_ms": cuts[49], f"{figure}_p99_ms": cuts[98], **times}
