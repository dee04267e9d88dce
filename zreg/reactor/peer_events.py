"""Tell the core what happened to its peers: connections that came up or ended, slow peers.

Four sources report about peers: the monitors of sockets, the results of sending, deadlines of
connection attempts, and probes of a ROUTER's peers.
"""

from collections import Counter
from typing import Final

from zreg.effects import CLOSED, TIMED_OUT, PeerHeard, PeerLost, PeerSlow, PeerUp
from zreg.reactor.core_calls import CoreCalls
from zreg.reactor.link_table import OUTSIDE
from zreg.reactor.lookups.local_host import find_local_host
from zreg.reactor.outgoing.effect_runner import EffectRunner
from zreg.reactor.outgoing.headers import Headers
from zreg.reactor.sockets.backlog import Outcome
from zreg.reactor.sockets.bound.bound_sockets import RouterSocket
from zreg.reactor.sockets.link_socket import LinkSocket
from zreg.reactor.sockets.peer_connections import PeerConnection
from zreg.reactor.wakeups import Wakeups
from zreg.wire.codec import encode_frames
from zreg.wire.records.common_messages import Ping

# A connection attempt without an outcome in this time will never have one. It is longer than the
# connect time (2 s) and the handshake time (3 s) of `socket_options`.
CONNECT_SECONDS_MAX: Final = 6.0
_PING_FRAME: Final = encode_frames([Ping()])[0]


class ConnectionPhases:
    """The connections that are not up yet, and those that have ended and are not closed yet.

    All other watched connections are up. `connecting` is in order of the deadlines.
    """

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        # When the attempt is given up, by connection.
        self.connecting: dict[PeerConnection, float] = {}
        # Ended connections stay open until their last input has been read.
        self.ended: dict[PeerConnection, None] = {}

    def watch(self, connection: PeerConnection) -> None:
        """Begin to watch a connection that was opened."""
        self._wakeups.watch(connection)
        self.connecting[connection] = self._wakeups.time() + CONNECT_SECONDS_MAX

    def wake(self) -> None:
        """Have a turn soon."""
        self._wakeups.schedule()

    def unwatch(self, connection: PeerConnection) -> None:
        """Stop watching a connection, which is closed next."""
        self._wakeups.unwatch(connection)
        self.connecting.pop(connection, None)
        self.ended.pop(connection, None)


class PeerEvents:
    """Reports `PeerUp`, `PeerLost`, `PeerSlow` and `PeerHeard` to the core."""

    def __init__(
        self,
        phases: ConnectionPhases,
        wakeups: Wakeups,
        runner: EffectRunner,
        core_calls: CoreCalls,
        headers: Headers,
        counts: Counter[str],
    ) -> None:
        self.phases = phases
        self._wakeups = wakeups
        self._runner = runner
        self._core_calls = core_calls
        self._headers = headers
        self._counts = counts

    def drain_monitors(self, now: float) -> None:
        """Take events of all monitors that became readable; what is left has the next turn."""
        for socket in self._wakeups.take_eventful():
            if socket.is_closed:
                continue
            if isinstance(socket, RouterSocket):
                self._counts["handshakes_failed"] += socket.drain_events()
                if socket.has_more_events:
                    self._wakeups.eventful[socket] = None
                    self._wakeups.schedule()
            elif isinstance(socket, PeerConnection):
                self.drain_connection(socket, now)

    def drain_connection(self, connection: PeerConnection, now: float) -> None:
        """Take the events of a connection, and tell the core if it has come up.

        If it has ended, its input is read first; `close_ended` tells the core.
        """
        was_up = connection.is_up
        connection.drain_events()
        if connection.lost_reason:
            self.phases.ended[connection] = None
        self._wakeups.readable[connection] = None
        if connection.is_up and not was_up:
            self.phases.connecting.pop(connection, None)
            # Clients publish it. It belongs to the connection: another one may take another route.
            local_host = find_local_host(connection.address) if connection.link in OUTSIDE else ""
            self._core_calls.tell(PeerUp(connection.link, connection.peer, local_host), now)

    def tell_newcomers(self, router: LinkSocket, now: float) -> None:
        """Tell the core where the peers are that were heard for the first time."""
        newcomers, router.newcomers = router.newcomers, []
        for peer, host in newcomers:
            self._core_calls.tell(PeerHeard(router.link, peer, host), now)

    def tell_send_results(self, now: float) -> None:
        """Tell the core about the peers that the last turn's sends found gone or slow."""
        lost, slow = self._runner.send_results.lost, self._runner.send_results.slow
        # Over copies: the core's effects may remove entries, and add some, which wait for a turn.
        for (link, peer), reason in list(lost.items()):
            if (link, peer) in lost:
                del lost[link, peer]
                self._runner.connections.forget_routed(link, peer)
                self._core_calls.tell(PeerLost(link, peer, reason), now)
        for link, peer in list(slow):
            if (link, peer) in slow:
                del slow[link, peer]
                self._core_calls.tell(PeerSlow(link, peer), now)

    def close_ended(self, now: float) -> None:
        """Close the connections that ended and have been read, and attempts that took too long."""
        for connection, deadline in list(self.phases.connecting.items()):
            if deadline > now:
                break
            connection.lost_reason = connection.lost_reason or TIMED_OUT
            self.phases.ended[connection] = None
        for connection in list(self.phases.ended):
            if connection in self._wakeups.readable and not connection.is_closed:
                continue
            del self.phases.ended[connection]
            if not connection.is_closed and not self._runner.connections.close_ended(connection):
                lost = PeerLost(connection.link, connection.peer, connection.lost_reason)
                self._core_calls.tell(lost, now)

    def probe(self, router: RouterSocket, now: float) -> None:
        """Send a Ping to each peer of a ROUTER whose probe is due; one that is gone is lost."""
        has_input = router in self._wakeups.readable
        rounds = router.round_count
        for peer in router.peers.take_due(now, has_input=has_input, round_count=rounds):
            self._wakeups.used[router] = None
            if router.send(peer, self._headers.of(router.link), _PING_FRAME) is Outcome.GONE:
                self._runner.connections.forget_routed(router.link, peer)
                self._core_calls.tell(PeerLost(router.link, peer, CLOSED), now)
