"""What clients cost that do nothing: signs of life and renewed leases."""

import time
from typing import Final

from peer_systems.measure.running import (
    SHORT_LEASE_SECONDS,
    Load,
    Meter,
    System,
    connected,
    running,
)
from peer_systems.processes import ask_all

PROCESSES: Final = 2
EACH: Final = 50
# Registering has to leave no work behind.
SETTLE_SECONDS: Final = 2.0


def measure_idle(system: System, load: Load) -> dict[str, float]:
    """Let 100 clients with a registration and a subscription each be idle."""
    seconds = max(load.seconds, 2 * SHORT_LEASE_SECONDS)
    with (
        running(system, SHORT_LEASE_SECONDS) as server,
        connected(system, server, PROCESSES, EACH, SHORT_LEASE_SECONDS) as clients,
    ):
        ask_all(clients, "follow", service="quiet")
        for number, worker in enumerate(clients):
            worker.ask("register_each", service="crowd", first=number * EACH)
        time.sleep(SETTLE_SECONDS)
        meter = Meter(server, clients)
        began = time.monotonic()
        time.sleep(seconds)
        return meter.microseconds_per(PROCESSES * EACH * (time.monotonic() - began), "idle")
