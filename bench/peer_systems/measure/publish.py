"""Acknowledged registrations and republishes per second, with processor time per operation."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from peer_systems.measure.running import LONG_LEASE_SECONDS, Load, Meter, System, connected, running
from peer_systems.processes import WorkerProcess, ask_all
from peer_systems.servers.protocol import Server

VALUE: Final = "10.120.37.114:12200?weight=100&zone=z1&app=pay"
WARM_UP_COUNT: Final = 1000
# Java is slow until it has compiled what runs often.
WARM_UP_SECONDS: Final = 3.0


def measure_publish(system: System, load: Load) -> dict[str, float]:
    """Register new names, then republish, with 1 and with 8 client processes."""
    figures: dict[str, float] = {}
    for clients in (1, 8):
        with (
            running(system, LONG_LEASE_SECONDS) as server,
            connected(system, server, clients, 1, LONG_LEASE_SECONDS) as asked,
        ):
            new = partial(ask_all, asked, "register_new", value=VALUE)
            again = partial(ask_all, asked, "republish_many", value=VALUE)
            new(count=WARM_UP_COUNT)
            again(seconds=WARM_UP_SECONDS)
            figures |= _rate(server, asked, f"new_{clients}", partial(new, count=load.new_count))
            figures |= _rate(
                server, asked, f"again_{clients}", partial(again, seconds=load.seconds)
            )
    return figures


def _rate(
    server: Server, asked: list[WorkerProcess], figure: str, run: Callable[[], list[Any]]
) -> dict[str, float]:
    meter = Meter(server, asked)
    answers = run()
    times = meter.microseconds_per(sum(count for count, _ in answers), figure)
    return {figure: sum(count / seconds for count, seconds in answers), **times}
