"""How long a subscriber takes to hear that the owner of registrations was killed."""

import time

from peer_systems.measure.running import SHORT_LEASE_SECONDS, Load, System, connected, running


def measure_kill(system: System, _: Load) -> dict[str, float]:
    """Kill the owner of one registration, then the owner of 1,000, each with a lease of 3 s."""
    figures: dict[str, float] = {}
    with (
        running(system, SHORT_LEASE_SECONDS) as server,
        connected(system, server, 1, 1, SHORT_LEASE_SECONDS) as (follower,),
    ):
        for count in (1, 1000):
            follower.ask("clear")
            follower.ask("follow", service=f"fleet-{count}")
            with connected(system, server, 1, 1, SHORT_LEASE_SECONDS) as (owner,):
                names = [f"fleet-{count}/{number}" for number in range(count)]
                owner.ask("register", names=names, value="owned")
                follower.ask("times_of", value="owned", count=count)
                owner.kill()
                killed_at = time.monotonic()
            gone = follower.ask("times_of", value=None, count=count)
            figures[f"kill_{count}_ms"] = (gone[-1] - killed_at) * 1000
    return figures
