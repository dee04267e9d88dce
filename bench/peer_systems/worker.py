"""A process with clients of one system. It reads commands as JSON lines, and answers each with one.

    python -m peer_systems.worker zreg zreg://127.0.0.1:9600 60

All times are of the machine's monotonic clock, which the processes of a machine share.
"""

import itertools
import json
import logging
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from peer_systems.clients.connect import connect

if TYPE_CHECKING:
    from peer_systems.clients.protocol import RegistryClient

# As many services as a client of the publish figures registers in, and names that it republishes.
SERVICES: Final = 100
REPUBLISHED: Final = 128
HEAR_SECONDS_MAX: Final = 60.0


class Heard:
    """What the subscribers of this process heard, with the time of each call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._times: defaultdict[str | None, list[float]] = defaultdict(list)
        self._wanted: tuple[str | None, int] = ("", 0)

    def note(self, _: str, value: str | None) -> None:
        """Note a value, or that an instance is gone."""
        now = time.monotonic()
        with self._changed:
            times = self._times[value]
            times.append(now)
            # Each wake-up of the waiting thread would take time from the subscribers' threads.
            if (value, len(times)) == self._wanted:
                self._changed.notify_all()

    def times_of(self, value: str | None, count: int) -> list[float]:
        """Wait until a value was heard `count` times; return when, in order."""
        with self._changed:
            self._wanted = (value, count)
            times = self._times[value]
            if not self._changed.wait_for(lambda: len(times) >= count, HEAR_SECONDS_MAX):
                raise TimeoutError(f"heard {value!r} {len(times)} times instead of {count}")
            return sorted(times)

    def delays(self) -> list[float]:
        """Return the milliseconds from the time in each value until it was heard."""
        with self._changed:
            return [
                (at - float(value.split()[1])) * 1000
                for value, times in self._times.items()
                if value is not None and value.startswith("at ")
                for at in times
            ]

    def clear(self) -> None:
        """Forget all."""
        with self._changed:
            self._times.clear()


class Worker:
    """The clients of this process; each method without an underscore is a command."""

    def __init__(self, system: str, address: str, lease_seconds: float) -> None:
        self._arguments = (system, address, lease_seconds)
        self._clients: list[RegistryClient] = []
        self._heard = Heard()
        self._numbers = itertools.count()

    def connect(self, count: int) -> int:
        """Connect so many more clients."""
        self._clients += [connect(*self._arguments) for _ in range(count)]
        return len(self._clients)

    def register(self, names: list[str], value: str) -> float:
        """Register names through the first client; return when all were acknowledged."""
        self._clients[0].register(names, value)
        return time.monotonic()

    def register_each(self, service: str, first: int) -> int:
        """Register one name through each client."""
        for number, client in enumerate(self._clients, first):
            client.register([f"{service}/{number}"], "idle")
        return len(self._clients)

    def republish(self, name: str, value: str) -> float:
        """Change a value; return when that began."""
        began = time.monotonic()
        self._clients[0].republish([name], value)
        return began

    def register_new(self, count: int, value: str) -> tuple[int, float]:
        """Register so many new names; return how many, and in how many seconds."""
        names = (self._name(number) for number in itertools.islice(self._numbers, count))
        began = time.monotonic()
        return self._clients[0].register(names, value), time.monotonic() - began

    def republish_many(self, seconds: float, value: str) -> tuple[int, float]:
        """Republish the first names in turns; return how many times, and in how many seconds."""
        names = [self._name(number) for number in range(REPUBLISHED)]
        began = time.monotonic()
        count = self._clients[0].republish(_for_seconds(itertools.cycle(names), seconds), value)
        return count, time.monotonic() - began

    def _name(self, number: int) -> str:
        return f"pay-{os.getpid()}-{number % SERVICES}/{number}"

    def publish_paced(self, name: str, count: int, pause_seconds: float) -> int:
        """Publish the time so many times, one after the other, at an even pace."""
        next_at = time.monotonic()
        for _ in range(count):
            next_at += pause_seconds
            time.sleep(max(0.0, next_at - time.monotonic()))
            self._clients[0].republish([name], f"at {time.monotonic()}")
        return count

    def follow(self, service: str) -> int:
        """Follow a service through each client."""
        for client in self._clients:
            client.follow(service, self._heard.note)
        return len(self._clients)

    def times_of(self, value: str | None, count: int) -> list[float]:
        """Wait until all clients of this process heard a value; return when they did."""
        return self._heard.times_of(value, count)

    def delays(self) -> list[float]:
        """Return how long each change took in milliseconds."""
        return self._heard.delays()

    def clear(self) -> None:
        """Forget what was heard."""
        self._heard.clear()


def _for_seconds(names: Iterable[str], seconds: float) -> Iterator[str]:
    until = time.monotonic() + seconds
    for name in names:
        if time.monotonic() >= until:
            return
        yield name


def main() -> None:
    """Answer each command until the end of the input; then end without goodbyes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Clients of a server that stops would log a line each.
    logging.getLogger().addHandler(logging.NullHandler())
    worker = Worker(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        try:
            answer = {"value": getattr(worker, command.pop("do"))(**command)}
        except Exception as error:  # noqa: BLE001 -- the benchmark reports it, and ends
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
