"""One turn of a reactor: read what has come in, call the core, send what it asks for.

The steps, in the order in which `Turn.run` takes them, and the reason for their order:

1.  Monitors: `PeerUp` reaches the core before the first message of that peer.
2.  Send results of the last turn: the core learns that a peer is gone before it sends to it again.
3.  Local messages that were posted before this turn.
4.  Input: one message of each readable socket; if several came at once, messages of up to
    `RECORDS_MAX` records, for at most `READ_SECONDS_MAX`. The bounds are on the work and not on the
    messages, since a message holds up to 1,024 records. They keep one socket from delaying the
    others, and many peers from delaying the answers to one. A ROUTER reads one message of each peer
    in turn, so each peer has its share of a turn. While clients come in crowds, a session reads
    ahead, and those that are here go first (ADR 0044).
5.  Ended connections: closed after step 4 has read their last input, a goodbye or an answer.
    Connection attempts that took too long are closed too.
6.  Probes: a ROUTER's peers are probed after their input is read, since input shows that they live.
7.  `tick`, if it is due: a lease is judged after the input that may have renewed it. If the bounds
    of step 4 leave some, the tick waits for the next turns: until a socket has no more input, or,
    under load, until a ROUTER has read each peer in turn.
8.  `settle`: the core joins what steps 1 to 7 told it.
9.  Send: one message per peer for the whole turn. Then requests that the core left unanswered are
    refused, or their REP socket would be stuck.
10. Look again at each socket that was used. ZeroMQ descriptors are edge-triggered, and sending can
    swallow the wake-up for input.

Nothing here waits.
"""

import itertools
import math
from collections import deque
from typing import Final

from zreg.effects import Link, Local, Stop
from zreg.reactor.core_calls import CoreCalls
from zreg.reactor.intake import Intake
from zreg.reactor.outgoing.effect_runner import EffectRunner
from zreg.reactor.peer_events import PeerEvents
from zreg.reactor.sockets.bound.routed_peers import ROUNDS
from zreg.reactor.sockets.link_socket import LinkSocket
from zreg.reactor.sockets.peer_connections import PeerConnection
from zreg.reactor.sockets.socket_set import SocketSet
from zreg.reactor.wakeups import Wakeups
from zreg.storage.failures import NodeEndError

# When messages with so many records of one socket were read, the rest waits for the next turn: a
# session takes about 4 ms for them.
RECORDS_MAX: Final = 512
# The same after so much time, for records that cost more than others.
READ_SECONDS_MAX: Final = 0.02
# How long a tick waits for input that is left. A quarter of the default lease is less, so the core
# takes a node that is behind for so long for one that stalled, and judges no lease.
TICK_LATE_SECONDS_MAX: Final = 1.0
# With a REP the node takes part in Raft: followers must hear a leader several times within their
# election timeout, and its heartbeats leave in ticks.
RAFT_TICK_LATE_SECONDS_MAX: Final = 0.1
# A peer's backlog is tried again after this time, and in every turn.
RETRY_SECONDS: Final = 0.02


class Turn:
    """Runs the turns of one core, one after the other."""

    def __init__(
        self,
        core_calls: CoreCalls,
        runner: EffectRunner,
        intake: Intake,
        peer_events: PeerEvents,
        wakeups: Wakeups,
        socket_set: SocketSet,
    ) -> None:
        self._core = core_calls.core
        self._core_calls = core_calls
        self._runner = runner
        self._send_results = runner.send_results
        self._intake = intake
        self._peer_events = peer_events
        self._phases = peer_events.phases
        self._wakeups = wakeups
        self._routers = list(socket_set.routers.values())
        # Local messages for the next turn.
        self.posted: deque[Local] = deque()
        self._tick_at: float | None = None
        self._tick_late_seconds_max = (
            RAFT_TICK_LATE_SECONDS_MAX if socket_set.reps else TICK_LATE_SECONDS_MAX
        )
        # Since when a tick waits for input that is left, and the rounds of each ROUTER then.
        self._late_since: float | None = None
        self._rounds_then: dict[LinkSocket, int] = {}
        # Whether the core has received `Stop`: the turn in which it does is the last.
        self.has_told_stop = False

    def run(self, now: float) -> None:
        """Take the steps of one turn. The numbers are those of the list above."""
        wakeups, peer_events, phases = self._wakeups, self._peer_events, self._phases
        if wakeups.eventful:  # 1
            peer_events.drain_monitors(now)
        if self._send_results.lost or self._send_results.slow:  # 2
            peer_events.tell_send_results(now)
        if self.posted:  # 3
            self._take_posted(now)
        # As the last turn left it. What becomes due in this turn gets a turn of its own.
        is_tick_due = self._tick_at is not None and self._tick_at <= now
        for socket in wakeups.take_readable():  # 4
            self._read(socket, now, is_tick_due=is_tick_due)
        if phases.connecting or phases.ended:  # 5
            peer_events.close_ended(now)
        for router in self._routers:  # 6
            if router.peers.probes:
                peer_events.probe(router, now)
        if is_tick_due and not self._must_read_first(now):  # 7
            self._core_calls.call(self._core.tick, now)
        self._core_calls.call(self._core.settle, now)  # 8
        self._runner.flush()  # 9
        self._look_again()  # 10

    def arm(self, now: float) -> None:
        """Set the timer to what is due first."""
        due_at = self._tick_at = self._core_calls.next_tick_at(now)
        for router in self._routers:
            if router.peers.probes:
                due_at = _earlier(due_at, router.peers.next_due_at())
        if self._runner.sends.retry_queue.waiting:
            due_at = _earlier(due_at, now + RETRY_SECONDS)
        if self._phases.connecting:
            due_at = _earlier(due_at, next(iter(self._phases.connecting.values())))
        self._wakeups.arm(due_at, now)

    def _must_read_first(self, now: float) -> bool:
        """Return whether a tick that is due has to wait, as there is input left to read."""
        if self._late_since is None:
            self._late_since = now
            # Of what is read, which is ahead of what is taken.
            self._rounds_then = {router: router.peers.round_count for router in self._routers}
        is_in_time = now - self._late_since < self._tick_late_seconds_max
        if is_in_time and any(map(self._may_have_unheard, self._wakeups.readable)):
            return True
        self._late_since = None
        return False

    def _may_have_unheard(self, socket: LinkSocket) -> bool:
        """Return whether a peer may not have been heard since the tick was due."""
        rounds, then = socket.round_count, self._rounds_then.get(socket)
        return rounds is None or then is None or rounds - then < ROUNDS

    def _take_posted(self, now: float) -> None:
        """Hand over what was posted before this turn."""
        posted, receive, carry_out = self.posted, self._core.receive, self._runner.carry_out
        for _ in range(len(posted)):
            message = posted.popleft()
            self.has_told_stop = self.has_told_stop or type(message) is Stop
            # As `CoreCalls.tell`, without its two calls: all publishes of a client come this way.
            try:
                carry_out(receive(Link.LOCAL, "", message, now))
            except NodeEndError:
                raise
            except Exception:  # noqa: BLE001 -- a core may raise anything
                self._core_calls.on_failure(f"core={self._core!r}")

    def _read(self, socket: LinkSocket, now: float, *, is_tick_due: bool) -> None:
        receive = socket.receive
        take, time = self._intake.take, self._wakeups.time
        records, ends_at = 0, math.inf
        socket.read_at = now
        for count in itertools.count():
            if count == 1:
                self._wakeups.used[socket] = None
                # One message is mostly the only one, and a look for the next costs as much as a
                # message. It is worth it if several came at once lately. It is needed if a peer is
                # gone or may be: all that the peer sent is read before the core hears of its end.
                # And it is needed before a tick.
                if socket.is_alternating or not (
                    socket.is_busy or socket.is_probing or self._phases.ended or is_tick_due
                ):
                    return
                socket.is_busy = socket.has_input()
                if not socket.is_busy:
                    return
                ends_at = time() + READ_SECONDS_MAX
            if socket.is_closed:
                return
            message = receive()
            if message is None:
                if socket.holds_back:
                    break
                return
            if socket.newcomers or not socket.is_up:
                self._tell_before(socket, now)
            records += take(socket, *message, now)
            if records >= RECORDS_MAX or (count and time() >= ends_at):
                break
        # A bound was reached: the descriptor makes no wake-up for the messages that are left.
        self._wakeups.readable[socket] = None
        self._wakeups.schedule()

    def _tell_before(self, socket: LinkSocket, now: float) -> None:
        """Tell the core what it has to know of a peer before it gets the peer's first message."""
        if socket.newcomers:
            self._peer_events.tell_newcomers(socket, now)
        if not socket.is_up and isinstance(socket, PeerConnection):
            # libzmq reports the connection before its first message, but both can come between the
            # look at the monitor and the look at the socket.
            self._peer_events.drain_connection(socket, now)

    def _look_again(self) -> None:
        """Look for input that makes no wake-up, and have another turn if there is any work left."""
        readable, used, results = self._wakeups.readable, self._wakeups.used, self._send_results
        for socket in used:
            if socket not in readable and socket.has_silent_input():
                readable[socket] = None
                socket.is_busy = True
        used.clear()
        if readable or self.posted or results.slow or results.lost:
            self._wakeups.schedule()


def _earlier(one: float | None, other: float | None) -> float | None:
    if one is None or (other is not None and other < one):
        return other
    return one
