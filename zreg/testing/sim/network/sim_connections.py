"""The connections of the simulator: made, closed by one end, broken, cut off, and mended.

A dead process refuses connections; a process that is cut off lets them time out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from zreg.effects import (
    CLOSED,
    REFUSED,
    TIMED_OUT,
    Connect,
    Disconnect,
    Effect,
    Link,
    Local,
    PeerHeard,
    PeerLost,
    PeerUp,
)
from zreg.testing.sim.network.link_faults import (
    CONNECT_TIMEOUT_SECONDS,
    SILENCES_SECONDS,
    LinkFaults,
    silence_seconds_max,
)
from zreg.testing.sim.sim_process import Connection, Process
from zreg.testing.sim.virtual_time import VirtualTime

_CLIENT_HOST: Final = "10.0.0.1"
PUB_LINKS: Final = (Link.CHANGES, Link.MEMBERSHIP)


class Connections(VirtualTime, ABC):
    """The processes by name, their connections, and which pairs of them are cut off."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.processes: dict[str, Process] = {}
        self._routing_id = 0
        self.faults = LinkFaults()

    # --- made and closed ----------------------------------------------------------------------

    def _connect(self, process: Process, connect: Connect) -> None:
        self._routing_id += 1
        routing_id = self._routing_id.to_bytes(5)
        connection = Connection(process, connect.link, connect.peer, routing_id)
        process.dialled[connect.link, connect.peer] = connection
        self._at(self._delay(), lambda: self._finish_connect(connection, connect.address))

    def _finish_connect(self, connection: Connection, address: str) -> None:
        client = connection.client
        key = (connection.link, connection.peer)
        if not client.is_alive or client.dialled.get(key) is not connection:
            return
        for server in self.processes.values():
            for link, bound in server.binds.items():
                if bound != address:
                    continue
                if self._is_unreachable(client, server):
                    self._lose_dial(connection)
                else:
                    self._open(connection, server, link)
                    self._deliver_event(client, PeerUp(connection.link, connection.peer))
                return
        if address in self.faults.silent_addresses:
            self._lose_dial(connection)
            return
        del client.dialled[key]
        self._deliver_event(client, PeerLost(connection.link, connection.peer, REFUSED))

    def _lose_dial(self, connection: Connection) -> None:
        """Lose a SYN: nothing happens until the attempt times out."""
        self.faults.fired["dial timed out"] += 1
        self._at(CONNECT_TIMEOUT_SECONDS, lambda: self._time_out(connection))

    def _is_unreachable(self, client: Process, server: Process) -> bool:
        is_black_hole = server.name in self.faults.black_holes
        return is_black_hole or self.faults.is_cut(client.name, server.name)

    def _time_out(self, connection: Connection) -> None:
        client, key = connection.client, (connection.link, connection.peer)
        if client.is_alive and client.dialled.get(key) is connection:
            del client.dialled[key]
            lost = PeerLost(connection.link, connection.peer, TIMED_OUT)
            self._deliver_event(client, lost)

    def _open(self, connection: Connection, server: Process, link: Link) -> None:
        if connection.link is Link.CHECKS:
            # No record is sent on this link, and no reactor reports the connection to its core.
            del connection.client.dialled[connection.link, connection.peer]
            return
        connection.server, connection.server_link = server, link
        connection.is_open = True
        server.accepted[link, connection.routing_id] = connection
        if link is Link.CLIENTS:
            self._deliver_event(server, PeerHeard(link, connection.routing_id, _CLIENT_HOST))
        self._tell_topics(connection.client, connection.link)

    def _tell_topics(self, process: Process, link: Link) -> None:
        topics = set(process.topics.get(link, ()))
        for connection in process.dialled.values():
            if connection.link is link and connection.is_open:
                arrives_at = self._next_arrival(connection, to_server=True)
                self._at_time(arrives_at, partial(connection.set_topics, topics))

    def _disconnect(self, process: Process, disconnect: Disconnect) -> None:
        dialled = process.dialled.pop((disconnect.link, str(disconnect.peer)), None)
        if dialled is not None:
            self._close(dialled)
        accepted = process.accepted.get((disconnect.link, disconnect.peer))
        if accepted is not None:
            # A ROUTER only forgets the peer: the other end keeps its connection.
            accepted.is_forgotten = True
            self.faults.fired["forgotten by a ROUTER"] += 1

    def _close(self, connection: Connection) -> None:
        """Close a connection from the client's end: the server reads what was sent, then the end.

        Through a cut the server hears nothing of the end, until the silence or a lease tells it.
        """
        client, server = connection.client, connection.server
        if server is None or not connection.is_open:
            return
        connection.is_closing = True
        if (client.name, server.name) in self.faults.cut:
            seconds = silence_seconds_max(connection.link)
            self._at(seconds, partial(self._break, connection, except_for=client))
            return
        arrives_at = self._next_arrival(connection, to_server=True)
        self._at_time(arrives_at, partial(self._end_after_input, connection))

    def _end_after_input(self, connection: Connection) -> None:
        """Break a connection that its client has closed, once the server has read its input."""
        server = connection.server
        assert server is not None
        again = partial(self._end_after_input, connection)
        if server.name in self.faults.deaf:
            connection.unread[True].append(again)
        elif server.busy_until > self.now:
            self._at(server.busy_until - self.now, again)
        else:
            self._break(connection, except_for=connection.client)

    def _break(self, connection: Connection, except_for: Process | None = None) -> None:
        """Break a connection; tell both ends, except the end that broke it."""
        connection.is_open = False
        client, server = connection.client, connection.server
        if client is not except_for and client.is_alive:
            key = (connection.link, connection.peer)
            if client.dialled.get(key) is connection:
                del client.dialled[key]
                self._deliver_event_later(
                    client, PeerLost(connection.link, connection.peer, CLOSED)
                )
        if server is not None and server is not except_for and server.is_alive:
            lost = (connection.server_link, connection.routing_id)
            was_known = server.accepted.pop(lost, None) is not None and not connection.is_forgotten
            if was_known and connection.link not in PUB_LINKS:
                self._deliver_event_later(server, PeerLost(*lost, CLOSED))

    def cut(self, left: str, right: str) -> None:
        """Cut two processes off from each other: what they send is lost, and neither notices."""
        self.cut_one_way(left, right)
        self.cut_one_way(right, left)

    def cut_one_way(self, sender: str, receiver: str) -> None:
        """Lose all that `sender` sends to `receiver`; the silence ends their connections later."""
        self.faults.cut[sender, receiver] = self.now
        self._note(f"cut {sender}>{receiver}")
        for seconds in SILENCES_SECONDS:
            self._at(seconds, partial(self._end_silent, sender, receiver, seconds))

    def _end_silent(self, sender: str, receiver: str, seconds: float) -> None:
        """End the connections over which `receiver` has heard nothing for `seconds`."""
        cut_at = self.faults.cut.get((sender, receiver))
        if cut_at is not None and self.now - cut_at >= seconds:
            self.drop(sender, receiver, silence_seconds=seconds)
            self.drop(receiver, sender, silence_seconds=seconds)

    def heal(self) -> None:
        """End all cuts, and break the connections across them, as after a time-out."""
        cut = sorted(self.faults.cut)
        self.faults.cut.clear()
        self._note("heal")
        for left, right in cut:
            self.drop(left, right)
            self.drop(right, left)

    def mend(self, pairs: Iterable[tuple[str, str]]) -> None:
        """End some cuts, and break the connections that stood through them."""
        for left, right in pairs:
            for pair in ((left, right), (right, left)):
                if self.faults.cut.pop(pair, None) is not None:
                    self._note(f"mend {pair[0]}>{pair[1]}")
                    self.drop(*pair)
                    self.drop(*pair[::-1])

    def drop(self, left: str, right: str, *, silence_seconds: float | None = None) -> None:
        """Break the connections that `left` made to `right`, or only those that a silence ends."""
        client, server = self.processes.get(left), self.processes.get(right)
        if client is None or server is None:
            return
        for connection in list(client.dialled.values()):
            is_meant = silence_seconds in (None, silence_seconds_max(connection.link))
            if connection.server is server and connection.is_open and is_meant:
                self.faults.fired["heartbeats missed"] += silence_seconds is not None
                self._break(connection)

    def _next_arrival(
        self, connection: Connection, *, to_server: bool, late_seconds: float = 0.0
    ) -> float:
        """Draw when what is sent now arrives: after all that was sent before it."""
        arrives_at = max(connection.arrives_at[to_server], self.now + self._delay() + late_seconds)
        connection.arrives_at[to_server] = arrives_at
        return arrives_at

    # --- events -------------------------------------------------------------------------------

    @abstractmethod
    def _turn(self, process: Process, work: Callable[[], Sequence[Effect]]) -> None:
        """Run one turn of a process, which begins with `work`."""

    def _deliver_event(self, process: Process, event: Local) -> None:
        """Give a core a local event, in a turn of its own."""
        self._turn(process, lambda: process.core.receive(Link.LOCAL, "", event, self.now))

    def _deliver_event_later(self, process: Process, event: Local) -> None:
        self._at(self._delay(), lambda: self._deliver_event(process, event))
