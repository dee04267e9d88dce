"""The network of the simulator: virtual time, processes, and the connections between them.

Connections keep their order and lose what is under way when they break; PUB reaches whoever
listens; a dead process refuses connections, one that is cut off lets them time out.
"""

import heapq
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from zreg.effects import (
    CLOSED,
    REFUSED,
    TIMED_OUT,
    Connect,
    Core,
    Disconnect,
    Effect,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerUp,
)
from zreg.testing.sim.sent_records import SentRecords
from zreg.wire.codec import record_name

if TYPE_CHECKING:
    import msgspec

    from zreg.testing.sim.disk import SimDisk
    from zreg.wire.messages import Message

_PUB_LINKS: Final = (Link.CHANGES, Link.MEMBERSHIP)
_DELAY_SECONDS: Final = (0.0001, 0.001)
_START_SECONDS: Final = 1000.0


class Connection:
    """One connection: who made it, under which name, and who took it, under which routing id."""

    def __init__(self, client: "Process", link: Link, peer: str, routing_id: bytes) -> None:
        self.client = client
        self.link = link
        self.peer = peer
        self.routing_id = routing_id
        self.server: Process | None = None
        self.server_link = link
        self.is_open = False
        self.topics: set[bytes] = set()
        # How many requests a REQ has sent: an answer to any but the last is dropped.
        self.request_count = 0
        # When the last frame of each direction arrives: what is sent later arrives later.
        self.arrives_at = {True: 0.0, False: 0.0}

    def hear(self, topics: set[bytes]) -> None:
        """Take the topics that the listening end wants now."""
        self.topics = topics


class Process:
    """One simulated process: a core, what it binds, its connections, what it told."""

    def __init__(
        self, name: str, core: Core, binds: dict[Link, str], disk: "SimDisk | None" = None
    ) -> None:
        self.name = name
        self.core = core
        self.binds = binds
        self.disk = disk
        # What comes next to be saved is written, never synced, and the process dies.
        self.dies_at_save = False
        # The request that its REP has to answer in this turn, and which of its connection's.
        self.owed: tuple[Peer, Connection, int] | None = None
        self.is_alive = True
        self.frozen_until = 0.0
        # What has come meanwhile, in its order.
        self.deferred: list[Callable[[], Sequence[Effect]]] = []
        self.dialled: dict[tuple[Link, str], Connection] = {}
        self.taken: dict[tuple[Link, Peer], Connection] = {}
        self.topics: dict[Link, dict[bytes, None]] = {}
        self.events: list[msgspec.Struct] = []
        self.outbox: dict[tuple[Link, Peer], list[Message]] = {}
        self.broadcasts: dict[tuple[Link, bytes], list[Message]] = {}
        self.tick_at: float | None = None


class VirtualTime:
    """A clock that jumps from event to event, with one source of randomness."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)  # noqa: S311 -- a simulation wants a seed
        self.now = _START_SECONDS
        self.trace: list[str] = []
        self.sent = SentRecords()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], seconds_max: float) -> bool:
        """Let time pass until a condition holds; return whether it does."""
        end = self.now + seconds_max
        while not condition():
            if not self._events or self._events[0][0] > end:
                self.now = end
                return condition()
            self.now, _, event = heapq.heappop(self._events)
            event()
        return True

    def _delay(self) -> float:
        return self.rng.uniform(*_DELAY_SECONDS)

    def _at(self, wait: float, event: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now + wait, self._sequence, event))

    def _note(self, line: str) -> None:
        self.trace.append(f"{self.now - _START_SECONDS:.6f} {line}")
        logging.getLogger("zreg.testing").debug("%s", self.trace[-1])


class Network(VirtualTime, ABC):
    """Which process is connected to which, what is under way between them, and what is cut."""

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
                    self._happen(client, lost)
                else:
                    self._open(connection, server, link)
                    self._happen(client, PeerUp(connection.link, connection.peer))
                return
        del client.dialled[key]
        self._happen(client, PeerLost(connection.link, connection.peer, REFUSED))

    def _open(self, connection: Connection, server: Process, link: Link) -> None:
        if connection.link is Link.CHECKS:
            # Nothing is said on it, and no reactor tells its core of it.
            del connection.client.dialled[connection.link, connection.peer]
            return
        connection.server, connection.server_link = server, link
        connection.is_open = True
        server.taken[link, connection.routing_id] = connection
        self._tell_topics(connection.client, connection.link)

    def _tell_topics(self, process: Process, link: Link) -> None:
        topics = set(process.topics.get(link, ()))
        for connection in process.dialled.values():
            if connection.link is link and connection.is_open:
                self._at(self._delay(), partial(connection.hear, topics))

    def _disconnect(self, process: Process, disconnect: Disconnect) -> None:
        dialled = process.dialled.pop((disconnect.link, str(disconnect.peer)), None)
        taken = process.taken.pop((disconnect.link, disconnect.peer), None)
        for connection in (dialled, taken):
            if connection is not None:
                self._break(connection, but=process)

    def _break(self, connection: Connection, but: Process | None = None) -> None:
        """Break a connection: both ends but one are told."""
        connection.is_open = False
        client, server = connection.client, connection.server
        if client is not but and client.is_alive:
            key = (connection.link, connection.peer)
            if client.dialled.get(key) is connection:
                del client.dialled[key]
                self._later(client, PeerLost(connection.link, connection.peer, CLOSED))
        if server is not None and server is not but and server.is_alive:
            lost = (connection.server_link, connection.routing_id)
            if server.taken.pop(lost, None) is not None and connection.link not in _PUB_LINKS:
                self._later(server, PeerLost(*lost, CLOSED))

    def cut(self, left: str, right: str) -> None:
        """Cut two processes off from each other: what is sent is lost, nobody is told."""
        self._cut |= {(left, right), (right, left)}
        self._note(f"cut {left} {right}")

    def heal(self) -> None:
        """End all cuts; connections that stood through one are broken, as after a time-out."""
        cut, self._cut = self._cut, set()
        self._note("heal")
        for left, right in sorted(cut):
            self.drop(left, right)

    def drop(self, left: str, right: str) -> None:
        """Break the connections that one process made to another, if both live."""
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
        assert connection.server is not None
        ends = (connection.client.name, connection.server.name)
        sender, receiver = ends if to_server else ends[::-1]
        for message in messages:
            self.sent.add(self.now - _START_SECONDS, sender, receiver, message)
            self.trace.append(
                f"{self.now - _START_SECONDS:.6f} send {sender}>{receiver} {record_name(message)}"
            )

    def _carry(
        self, connection: Connection, frame: bytes, *, to_server: bool, number: int = 0
    ) -> None:
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

    # --- what a simulation does with it -------------------------------------------------------

    @abstractmethod
    def _turn(self, process: Process, what: Callable[[], Sequence[Effect]]) -> None:
        """Have a process take something."""

    @abstractmethod
    def _take(
        self,
        process: Process,
        connection: Connection,
        sender: tuple[Link, Peer],
        frame: bytes,
        number: int,
    ) -> Sequence[Effect]:
        """Hand a frame that has arrived to the core."""

    def _happen(self, process: Process, event: Local) -> None:
        self._turn(process, lambda: process.core.receive(Link.LOCAL, "", event, self.now))

    def _later(self, process: Process, event: Local) -> None:
        self._at(self._delay(), lambda: self._happen(process, event))
