"""What every client of a registry can do, so that one worker drives all systems alike.

A name is `service/instance`. Subscribers follow a service and hear each of its instances.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol, TypeVar

IN_FLIGHT: Final = 64
ANSWER_SECONDS_MAX: Final = 30.0
PREFIX: Final = "registry"
T = TypeVar("T")

# Called with the name of an instance and its value, None once the instance is gone.
Hear = Callable[[str, str | None], None]


class RegistryClient(Protocol):
    """One connection of a program to the registry; it ends with its process, without goodbye."""

    def register(self, names: Iterable[str], value: str) -> int:
        """Register each name once, `IN_FLIGHT` at a time; return how many were acknowledged."""

    def republish(self, names: Iterable[str], value: str) -> int:
        """Change the value of registered names in the same way; return how many."""

    def follow(self, service: str, hear: Hear) -> None:
        """Hear each change of a service; return once no later change can be missed."""


def keep_in_flight(requests: Iterable[T], wait: Callable[[T], object]) -> int:
    """Start requests by taking them, and wait for the oldest while `IN_FLIGHT` are started."""
    started: deque[T] = deque()
    count = 0
    for request in requests:
        started.append(request)
        count += 1
        if len(started) == IN_FLIGHT:
            wait(started.popleft())
    while started:
        wait(started.popleft())
    return count


def batches(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield the names in lists of `IN_FLIGHT`, for a client that pipelines."""
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == IN_FLIGHT:
            yield batch
            batch = []
    if batch:
        yield batch
