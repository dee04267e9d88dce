"""When a turn is due: a descriptor is readable, the timer is due, or a turn was asked for.

A ZeroMQ descriptor is edge-triggered: it becomes readable once, and means "read EVENTS". If a
socket is used and its EVENTS are not read again, the wake-up for its input is lost for good. Code
that sends on a socket, or stops reading it early, therefore notes it in `used`, and the turn looks
at it once more before it ends.

The callback of a readable descriptor runs the turn itself: a turn scheduled on the loop would cost
each hop of each message another round of the loop.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from zreg.reactor.descriptor_watch import DescriptorWatch
from zreg.reactor.sockets.link_socket import LinkSocket

# A core whose next tick is always due must not use the whole processor.
TIMER_SECONDS_MIN: Final = 0.001


class Wakeups:
    """Watches sockets on one loop and runs a turn when one is due; at most one is scheduled."""

    def __init__(self, run_turn: Callable[[], None], watch: DescriptorWatch) -> None:
        self._run_turn = run_turn
        self._watch = watch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        # The descriptor of each socket, and that of its monitor.
        self._descriptors: dict[LinkSocket, tuple[int, int | None]] = {}
        # Of each descriptor: its socket, and whether it is the monitor's.
        self._owners: dict[int, tuple[LinkSocket, bool]] = {}
        # Sockets that the next turn reads, and sockets whose monitor it reads, in order.
        self.readable: dict[LinkSocket, None] = {}
        self.eventful: dict[LinkSocket, None] = {}
        # Sockets that were used since the turn last looked for their input: they may have input
        # that makes no wake-up.
        self.used: dict[LinkSocket, None] = {}

    def __len__(self) -> int:
        """Return how many sockets are watched."""
        return len(self._descriptors)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch; nothing is scheduled before."""
        self._loop = loop
        self._watch.start(loop, self._on_ready)

    def time(self) -> float:
        """Return the loop's time."""
        assert self._loop is not None
        return self._loop.time()

    def stop(self) -> None:
        """End: no further turn is run."""
        for handle in (self._handle, self._timer):
            if handle is not None:
                handle.cancel()
        for socket in list(self._descriptors):
            self.unwatch(socket)
        self._watch.stop()
        self._loop = None

    def schedule(self) -> None:
        """Have a turn soon; further calls until then ask for the same turn."""
        if self._handle is None and self._loop is not None:
            self._handle = self._loop.call_soon(self._run_scheduled)

    def run_now(self) -> None:
        """Run a turn, in place of one that may be scheduled; nothing before the start."""
        if self._loop is not None:
            self._run_now()

    def pause(self, seconds: float) -> None:
        """Ignore descriptors for this time, then have a turn that reads everything."""
        if self._loop is not None:
            self._watch.pause()
            self._loop.call_later(seconds, self._resume)
            self.look_at_all()

    def arm(self, due_at: float | None, now: float) -> None:
        """Set the one timer."""
        if due_at is None or self._loop is None:
            return
        # A timer that fires too early costs one empty turn; setting it in every turn costs more.
        if self._timer is not None and self._timer_at <= due_at:
            return
        due_at = max(due_at, now + TIMER_SECONDS_MIN)
        if self._timer is not None:
            if self._timer_at <= due_at:
                return
            self._timer.cancel()
        self._timer_at = due_at
        self._timer = self._loop.call_at(due_at, self._on_timer)

    def watch(self, socket: LinkSocket) -> None:
        """Begin to watch a socket and its monitor."""
        assert self._loop is not None
        own, monitor = self._descriptors[socket] = socket.descriptors()
        for descriptor, is_monitor in ((own, False), (monitor, True)):
            if descriptor is not None:
                self._owners[descriptor] = (socket, is_monitor)
                self._watch.add(descriptor)
        # What came before the descriptor was watched makes no wake-up.
        self.look_at(socket)
        self.schedule()

    def unwatch(self, socket: LinkSocket) -> None:
        """Stop watching; must come before the socket is closed, because descriptors are reused."""
        for descriptor in self._descriptors.pop(socket, ()):
            if descriptor is not None:
                self._watch.remove(descriptor)
                del self._owners[descriptor]
        self.readable.pop(socket, None)
        self.eventful.pop(socket, None)
        self.used.pop(socket, None)

    def look_at(self, socket: LinkSocket) -> None:
        """Have the next turn read the socket and its monitor."""
        self.readable[socket] = None
        self.eventful[socket] = None

    def look_at_all(self) -> None:
        """Have the next turn read everything."""
        for socket in self._descriptors:
            self.look_at(socket)

    def take_readable(self) -> dict[LinkSocket, None]:
        """Return the sockets to read, and start collecting anew."""
        readable, self.readable = self.readable, {}
        return readable

    def take_eventful(self) -> dict[LinkSocket, None]:
        """Return the sockets whose monitors are to be read, and start collecting anew."""
        eventful, self.eventful = self.eventful, {}
        return eventful

    def _run_scheduled(self) -> None:
        self._handle = None
        self._run_turn()

    def _run_now(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._run_turn()

    def _resume(self) -> None:
        if self._loop is not None:
            self._watch.resume()
            self.schedule()

    def _on_timer(self) -> None:
        self._timer = None
        # What is due may be a lease, and the sign of life that renews it may have come just now.
        self._note_ready()
        self._run_now()

    def _on_ready(self) -> None:
        # The turn receives without reading EVENTS first. Nearly always there is a message, so the
        # look would cost more than the few empty turns when libzmq only reports that a peer has
        # read something.
        if self._note_ready():
            self._run_now()

    def _note_ready(self) -> bool:
        """Note which sockets and monitors became readable; return whether any did."""
        ready = self._watch.ready()
        for descriptor in ready:
            socket, is_monitor = self._owners[descriptor]
            if is_monitor:
                self.eventful[socket] = None
            else:
                self.readable[socket] = None
        return bool(ready)
