"""What the server of a system holds for each registration."""

from typing import Final

from peer_systems.measure.publish import VALUE
from peer_systems.measure.running import LONG_LEASE_SECONDS, Load, System, connected, running
from peer_systems.processes import ask_all

CLIENTS: Final = 4


def measure_memory(system: System, load: Load) -> dict[str, float]:
    """Register names through four clients, and compare the memory with that before."""
    with (
        running(system, LONG_LEASE_SECONDS) as server,
        connected(system, server, CLIENTS, 1, LONG_LEASE_SECONDS) as clients,
    ):
        before = server.memory_bytes()
        ask_all(clients, "register_new", count=load.new_count, value=VALUE)
        return {"publisher_bytes": (server.memory_bytes() - before) / (CLIENTS * load.new_count)}
