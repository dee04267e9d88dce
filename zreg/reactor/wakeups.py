"""When a turn is due: descriptors of sockets, one timer, and at most one turn scheduled.

A ZeroMQ descriptor is edge-triggered: it says "look at EVENTS", once. A wake-up is lost for good if
a socket is used and not looked at again, so whoever sends or stops reading early says so here.

The descriptors are in an epoll of their own, of which the loop watches the one descriptor. So one
callback learns of all that is readable, and runs the turn itself: asking the loop for one more
callback would cost each hop of each message another round of the loop.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final

from zreg.reactor.links import Channel

# A core whose next tick is always due must not take the whole processor.
TIMER_SECONDS_MIN: Final = 0.001


class Wakeups:
    """Watches channels on one loop and calls `turn` when there is something to do."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._epoll: select.epoll
        self._descriptors: dict[Channel, tuple[int, int | None]] = {}
        # Of each descriptor: its channel, and whether it is the monitor's.
        self._owners: dict[int, tuple[Channel, bool]] = {}
        # Channels whose descriptor, or whose monitor's, became readable; a dict keeps their order.
        self.readable: dict[Channel, None] = {}
        self.eventful: dict[Channel, None] = {}

    def __len__(self) -> int:
        """Return how many channels are watched."""
        return len(self._descriptors)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin: nothing is scheduled before."""
        self._loop = loop
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def stop(self) -> None:
        """End: no further turn is called."""
        for handle in (self._handle, self._timer):
            if handle is not None:
                handle.cancel()
        for channel in list(self._descriptors):
            self.unwatch(channel)
        if self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        self._loop = None

    def schedule(self) -> None:
        """Have a turn soon, one for all that is asked for until then."""
        if self._handle is None and self._loop is not None:
            self._handle = self._loop.call_soon(self._run)

    def pause(self, seconds: float) -> None:
        """Be deaf to descriptors for so long, then have a turn that reads everything."""
        if self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._loop.call_later(seconds, self._go_on)
            self.look_at_all()

    def arm(self, due_at: float | None, now: float) -> None:
        """Set the one timer."""
        if due_at is None or self._loop is None:
            return
        # A timer that rings too early costs one empty turn; setting it every turn costs more.
        if self._timer is not None and self._timer_at <= due_at:
            return
        due_at = max(due_at, now + TIMER_SECONDS_MIN)
        if self._timer is not None:
            if self._timer_at <= due_at:
                return
            self._timer.cancel()
        self._timer_at = due_at
        self._timer = self._loop.call_at(due_at, self._on_timer)

    def watch(self, channel: Channel) -> None:
        """Begin to watch a channel and its monitor."""
        assert self._loop is not None
        socket, monitor = self._descriptors[channel] = channel.descriptors()
        for descriptor, is_monitor in ((socket, False), (monitor, True)):
            if descriptor is not None:
                self._owners[descriptor] = (channel, is_monitor)
                self._epoll.register(descriptor, select.EPOLLIN)
        # What came before the descriptor was watched makes no wake-up of its own.
        self.look_at(channel)
        self.schedule()

    def unwatch(self, channel: Channel) -> None:
        """Stop watching; must come before the channel is closed, as descriptors are reused."""
        for descriptor in self._descriptors.pop(channel, ()):
            if descriptor is not None:
                self._epoll.unregister(descriptor)
                del self._owners[descriptor]
        self.readable.pop(channel, None)
        self.eventful.pop(channel, None)

    def look_at(self, channel: Channel) -> None:
        """Have the next turn read the channel and its monitor."""
        self.readable[channel] = None
        self.eventful[channel] = None

    def look_at_all(self) -> None:
        """Have the next turn read everything."""
        for channel in self._descriptors:
            self.look_at(channel)

    def take_readable(self) -> dict[Channel, None]:
        """Return the channels to read, and start collecting anew."""
        readable, self.readable = self.readable, {}
        return readable

    def take_eventful(self) -> dict[Channel, None]:
        """Return the channels whose monitors are to be read, and start collecting anew."""
        eventful, self.eventful = self.eventful, {}
        return eventful

    def _run(self) -> None:
        self._handle = None
        self._turn()

    def _run_now(self) -> None:
        """Run the turn that may be scheduled already."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._turn()

    def _go_on(self) -> None:
        if self._loop is not None:
            self._loop.add_reader(self._epoll.fileno(), self._on_ready)
            self.schedule()

    def _on_timer(self) -> None:
        self._timer = None
        self._run_now()

    def _on_ready(self) -> None:
        # Nearly always there is a message: to look first whether there is costs more than a turn
        # for nothing now and then, when libzmq only says that a peer has read something.
        events = self._epoll.poll(0)
        for descriptor, _ in events:
            channel, is_monitor = self._owners[descriptor]
            if is_monitor:
                self.eventful[channel] = None
            else:
                self.readable[channel] = None
        if events:
            self._run_now()
