"""Join one core to its links: drain, hand over, judge, settle, flush.

One turn of a `Reactor`: monitors first, then local messages, then one message of each readable
socket, at most `MESSAGES_MAX` where several come at once; then what closed, probes, `tick` if it is
due, one `settle`, and one message for each peer that something was sent to. Nothing here waits, and
nothing that comes from outside, or out of a core, raises past it. Only the thread of the loop may
call a reactor.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from zreg.effects import (
    CLOSED,
    TIMED_OUT,
    Core,
    Effect,
    Link,
    Local,
    PeerLost,
    PeerSlow,
    PeerUp,
    Stop,
)
from zreg.reactor.effect_runner import Disk, EffectRunner, EventCallback, Hooks
from zreg.reactor.intake import Intake
from zreg.reactor.link_table import BETWEEN_META_NODES, LinkTable
from zreg.reactor.links import Channel, DialChannel, RouterChannel
from zreg.reactor.outbox import Outcome
from zreg.reactor.socket_set import SocketSet
from zreg.reactor.wakeups import Wakeups
from zreg.storage.failures import NodeEndError
from zreg.wire.codec import encode_frames
from zreg.wire.common_messages import Ping
from zreg.wire.envelope import Envelope

# One link may not keep the others, and the timers, waiting for longer than this.
MESSAGES_MAX: Final = 256
# A connection that shows no outcome in this time never will: a host name that does not resolve
# makes no event at all. Above the connect (2 s) and handshake (3 s) times of `options`.
CONNECT_SECONDS_MAX: Final = 6.0
# A peer's backlog is tried again this often, beside every turn.
RETRY_SECONDS: Final = 0.02
# A core that cannot say when it is due next is asked again after this.
_FAILED_TICK_SECONDS: Final = 1.0
_PING_FRAME: Final = encode_frames([Ping()])[0]

logger = logging.getLogger("zreg.reactor")


class Reactor:
    """Runs one core on the sockets of one link table, on one asyncio loop."""

    def __init__(
        self,
        core: Core,
        cluster: str,
        links: LinkTable | SocketSet,
        *,
        on_event: EventCallback | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._core = core
        self._envelope = Envelope(cluster)
        # One that stays the same is known at the other end, whatever the epoch.
        self._plain_header = Envelope(cluster).header(0)
        self._doors = links if isinstance(links, SocketSet) else SocketSet(links)
        self._counts: Counter[str] = Counter()
        hooks = Hooks(self._header, self._watch, self._unwatch, self.post, on_event, disk)
        self._performer = EffectRunner(self._doors, self._counts, hooks)
        self._sends, self._news = self._performer.sends, self._performer.news
        self._intake = Intake(core, self._envelope, self._performer, self._counts, self._tell)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished: asyncio.Future[NodeEndError | None] | None = None
        self._wakeups = Wakeups(self._turn)
        self._posted: deque[Local] = deque()
        self._connecting: dict[DialChannel, float] = {}
        self._dying: dict[DialChannel, None] = {}
        self._routers = list(self._doors.routers.values())
        self._tick_at: float | None = None
        self._is_stopping = False
        # Whether the core has heard of the stop: the turn in which it does is the last.
        self._has_told_stop = False
        self._is_stopped = False

    # --- for the node around it --------------------------------------------------------------

    @property
    def addresses(self) -> Mapping[Link, str]:
        """The real address of each link that binds; known before the core starts."""
        return self._doors.addresses

    async def run(self) -> None:
        """Start the core and serve it until `stop` was called; closes everything.

        Raises `NodeEndError` when the node must not go on.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._finished = loop.create_future()
        self._wakeups.start(loop)
        try:
            for channel in self._doors.channels():
                self._wakeups.watch(channel)
            self._guard(self._core.start, loop.time())
            self._turn()
            if (error := await self._finished) is not None:
                raise error
        finally:
            await self._close(loop)

    def stop(self) -> None:
        """Hand `Stop` to the core; `run` returns when what the core then asks for has left."""
        if not self._is_stopping:
            self._is_stopping = True
            self.post(Stop())

    def post(self, message: Local) -> None:
        """Hand a local message to the core in the next turn."""
        self._posted.append(message)
        self._wakeups.schedule()

    def close(self) -> None:
        """Close the sockets of a reactor that was never run."""
        self._doors.close()
        self._doors.terminate(lambda: None)

    def statistics(self) -> dict[str, int]:
        """Return counters, by code where a peer was at fault, and sizes."""
        return {
            **self._counts,
            **self._sends.statistics(),
            "connections": len(self._wakeups),
            "routed_peers": sum(len(router.peers) for router in self._doors.routers.values()),
        }

    def __repr__(self) -> str:
        """Show the state."""
        return f"<Reactor {self._core!r} addresses={self.addresses}>"

    # --- one turn ----------------------------------------------------------------------------

    def _turn(self) -> None:
        """Run one turn, surviving even a bug of the reactor's own, unless the node has to end."""
        assert self._loop is not None
        if self._is_stopped:
            return
        now = self._loop.time()
        try:
            self._run_turn(now)
            self._arm(now)
        except NodeEndError as error:
            self._finish(error)
        except Exception:
            self._counts["reactor_errors"] += 1
            logger.exception("reactor.turn.failed")
            if self._has_told_stop:
                self._finish(None)
            # What was readable may still be, and then its descriptor is: a lasting bug would spin.
            self._wakeups.pause(RETRY_SECONDS)

    def _run_turn(self, now: float) -> None:
        self._counts["turns"] += 1
        if self._wakeups.eventful:
            self._drain_monitors(now)
        if self._news.lost or self._news.slow:
            self._tell_news(now)
        if self._posted:
            self._take_posted(now)
        for channel in self._wakeups.take_readable():
            self._read(channel, now)
        if self._connecting or self._dying:
            self._bury(now)
        for router in self._routers:
            if router.peers.probes and router not in self._wakeups.readable:
                self._probe(router, now)
        # As the last turn left it: what this turn makes due sooner gets a turn of its own.
        if self._tick_at is not None and self._tick_at <= now:
            self._guard(self._core.tick, now)
        self._guard(self._core.settle, now)
        self._performer.flush()
        self._look_again()
        if self._has_told_stop:
            self._finish(None)

    def _finish(self, error: NodeEndError | None) -> None:
        """Have `run` return, or raise: no further turn is run, nothing more leaves."""
        self._is_stopped = True
        assert self._finished is not None
        if not self._finished.done():
            self._finished.set_result(error)

    def _guard(self, call: Callable[[float], Iterable[Effect]], now: float) -> None:
        """Call the core; what it raises is a bug that costs the call and nothing more."""
        try:
            self._performer.carry_out(call(now))
        except NodeEndError:
            raise
        except Exception:  # noqa: BLE001 -- whatever a core raises
            self._performer.core_failed(f"core={self._core!r}")

    def _tell(self, message: Local, now: float) -> None:
        self._guard(partial(self._core.receive, Link.LOCAL, "", message), now)

    def _take_posted(self, now: float) -> None:
        """Hand over what was posted before this turn."""
        posted, receive, carry_out = self._posted, self._core.receive, self._performer.carry_out
        for _ in range(len(posted)):
            message = posted.popleft()
            self._has_told_stop = self._has_told_stop or type(message) is Stop
            # As `_tell` does, without its two calls: a client's publishes all come this way.
            try:
                carry_out(receive(Link.LOCAL, "", message, now))
            except NodeEndError:
                raise
            except Exception:  # noqa: BLE001 -- whatever a core raises
                self._performer.core_failed(f"core={self._core!r}")

    def _drain_monitors(self, now: float) -> None:
        for channel in self._wakeups.take_eventful():
            if channel.is_closed:
                continue
            if isinstance(channel, RouterChannel):
                self._counts["handshakes_failed"] += channel.drain_events()
            elif isinstance(channel, DialChannel):
                self._drain_dial(channel, now)

    def _drain_dial(self, channel: DialChannel, now: float) -> None:
        came_up = channel.drain_events()
        if channel.lost_reason:
            # What it brought before it closed is read first, then the core is told.
            self._dying[channel] = None
        self._wakeups.readable[channel] = None
        if came_up:
            self._connecting.pop(channel, None)
            self._tell(PeerUp(channel.link, channel.peer), now)

    def _tell_news(self, now: float) -> None:
        """Tell the core what the last turn's sending found out."""
        lost, slow = self._news.lost, self._news.slow
        # One look: what the core does about it may well fail at once, and waits for a turn.
        for (link, peer), reason in list(lost.items()):
            if lost.pop((link, peer), None) is not None:
                self._performer.forget_routed(link, peer)
                self._tell(PeerLost(link, peer, reason), now)
        for link, peer in list(slow):
            if slow.pop((link, peer), self) is None:
                self._tell(PeerSlow(link, peer), now)

    # --- input -------------------------------------------------------------------------------

    def _read(self, channel: Channel, now: float) -> None:
        receive = channel.receive
        take = self._intake.take
        for count in range(MESSAGES_MAX):
            if count == 1:
                self._news.touched[channel] = None
                # All that a peer said is read before the core is told that it is gone.
                if channel.may_wait(is_ending=bool(self._dying)):
                    return
            if channel.is_closed:
                return
            message = receive()
            if message is None:
                return
            if not channel.is_up and isinstance(channel, DialChannel):
                # A message can overtake the event that the connection stands, never in libzmq, but
                # between our two looks at it.
                self._drain_dial(channel, now)
            take(channel, *message, now)
        # The bound was hit: the descriptor will not wake us for what is left.
        self._wakeups.readable[channel] = None
        self._wakeups.schedule()

    # --- what is gone ------------------------------------------------------------------------

    def _bury(self, now: float) -> None:
        """Close connections that are gone and read to their end, or that never came to be."""
        for channel, deadline in list(self._connecting.items()):
            if deadline > now:
                break
            channel.lost_reason = channel.lost_reason or TIMED_OUT
            self._dying[channel] = None
        for channel in list(self._dying):
            if channel in self._wakeups.readable and not channel.is_closed:
                continue
            del self._dying[channel]
            if not channel.is_closed:
                self._performer.close(channel)
                self._tell(PeerLost(channel.link, channel.peer, channel.lost_reason), now)

    def _probe(self, router: RouterChannel, now: float) -> None:
        """Send a Ping to peers that may be gone, now that their input has been read."""
        for peer in router.peers.take_due(now):
            self._news.touched[router] = None
            if router.send(peer, self._header(router.link), _PING_FRAME) is Outcome.GONE:
                self._performer.forget_routed(router.link, peer)
                self._tell(PeerLost(router.link, peer, CLOSED), now)

    # --- loop and timers ---------------------------------------------------------------------

    def _header(self, link: Link) -> bytes:
        if link in BETWEEN_META_NODES:
            return self._plain_header
        return self._envelope.header(self._core.epoch)

    def _look_again(self) -> None:
        """Look at sockets that sent: sending can swallow the wake-up for what has come in."""
        readable, news = self._wakeups.readable, self._news
        for channel in news.touched:
            if channel not in readable and channel.has_silent_input():
                readable[channel] = None
                channel.is_busy = True
        news.touched.clear()
        if readable or self._posted or news.slow or news.lost:
            self._wakeups.schedule()

    def _arm(self, now: float) -> None:
        """Set the timer to whatever is due first."""
        try:
            due_at = self._core.next_tick_at()
        except Exception:  # noqa: BLE001 -- whatever a core raises
            self._performer.core_failed(f"core={self._core!r}")
            due_at = now + _FAILED_TICK_SECONDS
        self._tick_at = due_at
        for router in self._routers:
            if router.peers.probes:
                due_at = _earlier(due_at, router.peers.next_due_at())
        if self._sends.is_waiting:
            due_at = _earlier(due_at, now + RETRY_SECONDS)
        if self._connecting:
            due_at = _earlier(due_at, next(iter(self._connecting.values())))
        self._wakeups.arm(due_at, now)

    def _watch(self, channel: DialChannel) -> None:
        assert self._loop is not None
        self._wakeups.watch(channel)
        self._connecting[channel] = self._loop.time() + CONNECT_SECONDS_MAX

    def _unwatch(self, channel: DialChannel) -> None:
        self._wakeups.unwatch(channel)
        self._connecting.pop(channel, None)
        self._dying.pop(channel, None)

    async def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close everything; what was handed to the sockets has the linger time to leave."""
        self._is_stopped = True
        self._wakeups.stop()
        self._performer.checks.stop()
        await self._doors.end(loop)


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or (other is not None and other < one):
        return other
    return one
