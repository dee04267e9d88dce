"""The network of the simulator: which process is connected to which, and what is under way.

Connections keep their order and lose what is under way when they break. A PUB reaches the SUBs that
listen to the topic. A dead process refuses connections; a process that is cut off lets them time
out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from zreg.effects import (
    CLOSED,
    REFUSED,
    TIMED_OUT,
    Connect,
    Disconnect,
    Effect,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerUp,
)
from zreg.testing.sim.sim_process import Connection, Process
from zreg.testing.sim.virtual_time import START_SECONDS, VirtualTime
from zreg.wire.codec import record_name

if TYPE_CHECKING:
    from zreg.wire.messages import Message

_PUB_LINKS: Final = (Link.CHANGES, Link.MEMBERSHIP)


class Network(VirtualTime, ABC):
    """The processes by name, their connections, and which pairs of them are cut off."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.frame_count = 0
        self.processes: dict[str, Process] = {}
        self._routing_id = 0
        self._request_count = 0
        self._cut: set[tuple[str, str]] = set()

    # --- connections --------------------------------------------------------------------------

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
                if self._is_cut(client, server):
                    del client.dialled[key]
                    lost = PeerLost(connection.link, connection.peer, TIMED_OUT)
                    self._deliver_event(client, lost)
                else:
                    self._open(connection, server, link)
                    self._deliver_event(client, PeerUp(connection.link, connection.peer))
                return
        del client.dialled[key]
        self._deliver_event(client, PeerLost(connection.link, connection.peer, REFUSED))

    def _open(self, connection: Connection, server: Process, link: Link) -> None:
        if connection.link is Link.CHECKS:
            # No record is sent on this link, and no reactor reports the connection to its core.
            del connection.client.dialled[connection.link, connection.peer]
            return
        connection.server, connection.server_link = server, link
        connection.is_open = True
        server.accepted[link, connection.routing_id] = connection
        self._tell_topics(connection.client, connection.link)

    def _tell_topics(self, process: Process, link: Link) -> None:
        topics = set(process.topics.get(link, ()))
        for connection in process.dialled.values():
            if connection.link is link and connection.is_open:
                self._at(self._delay(), partial(connection.set_topics, topics))

    def _disconnect(self, process: Process, disconnect: Disconnect) -> None:
        dialled = process.dialled.pop((disconnect.link, str(disconnect.peer)), None)
        accepted = process.accepted.pop((disconnect.link, disconnect.peer), None)
        for connection in (dialled, accepted):
            if connection is not None:
                self._break(connection, except_for=process)

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
            if server.accepted.pop(lost, None) is not None and connection.link not in _PUB_LINKS:
                self._deliver_event_later(server, PeerLost(*lost, CLOSED))

    def cut(self, left: str, right: str) -> None:
        """Cut two processes off from each other: what they send is lost, and neither notices."""
        self._cut |= {(left, right), (right, left)}
        self._note(f"cut {left} {right}")

    def heal(self) -> None:
        """End all cuts, and break the connections across them, as after a time-out."""
        cut, self._cut = self._cut, set()
        self._note("heal")
        for left, right in sorted(cut):
            self.drop(left, right)

    def drop(self, left: str, right: str) -> None:
        """Break the connections that `left` made to `right`, if both live."""
        client, server = self.processes.get(left), self.processes.get(right)
        if client is None or server is None:
            return
        for connection in list(client.dialled.values()):
            if connection.server is server:
                self._break(connection)

    def _is_cut(self, left: Process, right: Process) -> bool:
        return (left.name, right.name) in self._cut

    # --- carrying -----------------------------------------------------------------------------

    def _note_sent(
        self, connection: Connection, messages: "Sequence[Message]", *, to_server: bool
    ) -> None:
        """Add the records to the digest and the trace."""
        assert connection.server is not None
        ends = (connection.client.name, connection.server.name)
        sender, receiver = ends if to_server else ends[::-1]
        for message in messages:
            self.sent.add(self.now - START_SECONDS, sender, receiver, message)
            self.trace.append(
                f"{self.now - START_SECONDS:.6f} send {sender}>{receiver} {record_name(message)}"
            )

    def _carry(
        self, connection: Connection, frame: bytes, *, to_server: bool, number: int = 0
    ) -> None:
        """Let a frame arrive in order, unless the connection is cut now."""
        assert connection.server is not None
        self.frame_count += 1
        arrives_at = max(connection.arrives_at[to_server], self.now + self._delay())
        connection.arrives_at[to_server] = arrives_at
        if not self._is_cut(connection.client, connection.server):
            wait = arrives_at - self.now
            self._at(
                wait, lambda: self._arrive(connection, frame, to_server=to_server, number=number)
            )

    def _arrive(
        self, connection: Connection, frame: bytes, *, to_server: bool, number: int
    ) -> None:
        target = connection.server if to_server else connection.client
        if target is None or not connection.is_open:
            return
        link = connection.server_link if to_server else connection.link
        peer: Peer = connection.routing_id if to_server else connection.peer
        if link is Link.RAFT_ANSWER:
            self._request_count += 1
            peer = self._request_count.to_bytes(8)
        self._turn(target, lambda: self._take(target, connection, (link, peer), frame, number))

    # --- turns of processes -------------------------------------------------------------------

    @abstractmethod
    def _turn(self, process: Process, work: Callable[[], Sequence[Effect]]) -> None:
        """Run one turn of a process, which begins with `work`."""

    @abstractmethod
    def _take(
        self,
        process: Process,
        connection: Connection,
        sender: tuple[Link, Peer],
        frame: bytes,
        number: int,
    ) -> Sequence[Effect]:
        """Give the core the records of a frame that has arrived."""

    def _deliver_event(self, process: Process, event: Local) -> None:
        """Give a core a local event, in a turn of its own."""
        self._turn(process, lambda: process.core.receive(Link.LOCAL, "", event, self.now))

    def _deliver_event_later(self, process: Process, event: Local) -> None:
        self._at(self._delay(), lambda: self._deliver_event(process, event))
