"""Which descriptors are readable: two ways for a reactor to learn it from its loop.

A node has many sockets. Its descriptors are in an epoll of their own, and the loop watches the one
descriptor of that epoll: one callback then learns about all readable sockets. A reactor that only
connects, as a client's, has one connection with two descriptors. The loop watches them itself,
which saves a descriptor for each client, and works where there is no epoll, as under gevent.
"""

import asyncio
import select
from collections.abc import Callable, Sequence
from typing import Protocol


class DescriptorWatch(Protocol):
    """Watches descriptors on one loop."""

    def start(self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], None]) -> None:
        """Begin: call `on_ready` whenever a descriptor is readable."""
        ...

    def stop(self) -> None:
        """End; nothing is watched any more."""
        ...

    def add(self, descriptor: int) -> None:
        """Watch a descriptor."""
        ...

    def remove(self, descriptor: int) -> None:
        """Stop watching a descriptor."""
        ...

    def pause(self) -> None:
        """Call `on_ready` no more until `resume`."""
        ...

    def resume(self) -> None:
        """End a pause."""
        ...

    def ready(self) -> Sequence[int]:
        """Return the descriptors that are readable, and perhaps some that are not."""
        ...


class EpollWatch:
    """Watches many descriptors through one epoll."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_ready: Callable[[], None]
        self._epoll: select.epoll

    def start(self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], None]) -> None:
        """Begin."""
        self._loop, self._on_ready = loop, on_ready
        self._epoll = select.epoll()
        self.resume()

    def stop(self) -> None:
        """End."""
        if self._loop is not None:
            self.pause()
            self._epoll.close()
        self._loop = None

    def add(self, descriptor: int) -> None:
        """Watch a descriptor."""
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop watching a descriptor."""
        self._epoll.unregister(descriptor)

    def pause(self) -> None:
        """Ignore all descriptors."""
        if self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())

    def resume(self) -> None:
        """End a pause."""
        if self._loop is not None:
            self._loop.add_reader(self._epoll.fileno(), self._on_ready)

    def ready(self) -> Sequence[int]:
        """Return the descriptors that are readable."""
        return [descriptor for descriptor, _ in self._epoll.poll(0)]


class ReaderWatch:
    """Has the loop watch each descriptor."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_ready: Callable[[], None]
        self._descriptors: dict[int, None] = {}
        # The descriptor whose callback runs.
        self._noted: list[int] = []
        self._is_paused = False

    def start(self, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], None]) -> None:
        """Begin."""
        self._loop, self._on_ready = loop, on_ready

    def stop(self) -> None:
        """End."""
        self.pause()
        self._loop = None

    def add(self, descriptor: int) -> None:
        """Watch a descriptor."""
        self._descriptors[descriptor] = None
        if self._loop is not None and not self._is_paused:
            self._loop.add_reader(descriptor, self._note, descriptor)

    def remove(self, descriptor: int) -> None:
        """Stop watching a descriptor."""
        del self._descriptors[descriptor]
        if self._loop is not None:
            self._loop.remove_reader(descriptor)

    def pause(self) -> None:
        """Ignore all descriptors."""
        self._is_paused = True
        if self._loop is not None:
            for descriptor in self._descriptors:
                self._loop.remove_reader(descriptor)

    def resume(self) -> None:
        """End a pause."""
        self._is_paused = False
        if self._loop is not None:
            for descriptor in self._descriptors:
                self._loop.add_reader(descriptor, self._note, descriptor)

    def ready(self) -> Sequence[int]:
        """Return the descriptor that the loop found readable; all of them if a timer asks."""
        noted, self._noted = self._noted, []
        return noted or list(self._descriptors)

    def _note(self, descriptor: int) -> None:
        self._noted.append(descriptor)
        self._on_ready()
