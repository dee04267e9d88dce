"""The network of the simulator: which process is connected to which, and what is under way.

Connections keep their order and lose what is under way when they break. A PUB reaches the SUBs that
listen to the topic. A dead process refuses connections; a process that is cut off lets them time
out.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
    PeerSlow,
    PeerUp,
)
from zreg.testing.sim.link_faults import (
    CONNECT_TIMEOUT_SECONDS,
    HEARTBEAT_SECONDS,
    RAFT_HEARTBEAT_SECONDS,
    LinkFaults,
    heartbeats_of,
)
from zreg.testing.sim.sim_process import Arrived, Connection, Process
from zreg.testing.sim.virtual_time import START_SECONDS, VirtualTime
from zreg.testing.sim.work_counts import WorkCounts
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
        self.faults = LinkFaults()
        self.work = WorkCounts(*(Counter() for _ in WorkCounts._fields))

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
                if self._is_unreachable(client, server):
                    # A SYN is lost: nothing happens until the attempt times out.
                    self.faults.fired["dial timed out"] += 1
                    self._at(CONNECT_TIMEOUT_SECONDS, lambda: self._time_out(connection))
                else:
                    self._open(connection, server, link)
                    self._deliver_event(client, PeerUp(connection.link, connection.peer))
                return
        del client.dialled[key]
        self._deliver_event(client, PeerLost(connection.link, connection.peer, REFUSED))

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
            self._break(dialled, except_for=process)
        accepted = process.accepted.get((disconnect.link, disconnect.peer))
        if accepted is not None:
            # A ROUTER only forgets the peer: the other end keeps its connection.
            accepted.is_forgotten = True
            self.faults.fired["forgotten by a ROUTER"] += 1

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
            if was_known and connection.link not in _PUB_LINKS:
                self._deliver_event_later(server, PeerLost(*lost, CLOSED))

    def cut(self, left: str, right: str) -> None:
        """Cut two processes off from each other: what they send is lost, and neither notices."""
        self.cut_one_way(left, right)
        self.cut_one_way(right, left)

    def cut_one_way(self, sender: str, receiver: str) -> None:
        """Lose all that `sender` sends to `receiver`; heartbeats end their connections later."""
        self.faults.cut[sender, receiver] = self.now
        self._note(f"cut {sender}>{receiver}")
        for seconds in (RAFT_HEARTBEAT_SECONDS, HEARTBEAT_SECONDS):
            self._at(seconds, partial(self._miss_heartbeats, sender, receiver, seconds))

    def _miss_heartbeats(self, sender: str, receiver: str, seconds: float) -> None:
        """End the connections over which `receiver` has heard nothing for `seconds`."""
        cut_at = self.faults.cut.get((sender, receiver))
        if cut_at is not None and self.now - cut_at >= seconds:
            self.drop(sender, receiver, heartbeat_seconds=seconds)
            self.drop(receiver, sender, heartbeat_seconds=seconds)

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

    def drop(self, left: str, right: str, *, heartbeat_seconds: float | None = None) -> None:
        """Break the connections that `left` made to `right`; only those with such heartbeats."""
        client, server = self.processes.get(left), self.processes.get(right)
        if client is None or server is None:
            return
        for connection in list(client.dialled.values()):
            is_meant = heartbeat_seconds in (None, heartbeats_of(connection.link))
            if connection.server is server and connection.is_open and is_meant:
                self.faults.fired["heartbeats missed"] += heartbeat_seconds is not None
                self._break(connection)

    # --- carrying -----------------------------------------------------------------------------

    def _note_sent(
        self, connection: Connection, messages: "Sequence[Message]", *, to_server: bool
    ) -> None:
        """Add the records to the digest and the trace."""
        assert connection.server is not None
        ends = (connection.client.name, connection.server.name)
        sender, receiver = ends if to_server else ends[::-1]
        for message in messages:
            name = record_name(message)
            self.work.messages[name] += 1
            self.sent.add(self.now - START_SECONDS, sender, receiver, message)
            self.trace.append(f"{self.now - START_SECONDS:.6f} send {sender}>{receiver} {name}")

    def _carry(
        self,
        connection: Connection,
        frame: bytes,
        *,
        to_server: bool,
        number: int = 0,
        is_broadcast: bool = False,
    ) -> None:
        """Let a frame arrive in order, unless a fault of the network loses it."""
        assert connection.server is not None
        self.frame_count += 1
        self.work.carried["frames"] += 1
        self.work.carried["bytes"] += len(frame)
        ends = (connection.client, connection.server)
        sender, receiver = ends if to_server else ends[::-1]
        arrives_at = self._next_arrival(
            connection, to_server=to_server, late_seconds=self.faults.late.get(sender.name, 0.0)
        )
        if self._is_lost(sender.name, receiver.name, is_broadcast=is_broadcast):
            return
        arrive = partial(
            self._arrive, connection, frame, sender.core.epoch, to_server=to_server, number=number
        )
        if receiver.name in self.faults.deaf:
            self._keep_unread(connection, arrive, sender, to_server=to_server)
        else:
            self._at_time(arrives_at, arrive)

    def _next_arrival(
        self, connection: Connection, *, to_server: bool, late_seconds: float = 0.0
    ) -> float:
        """Draw when what is sent now arrives: after all that was sent before it."""
        arrives_at = max(connection.arrives_at[to_server], self.now + self._delay() + late_seconds)
        connection.arrives_at[to_server] = arrives_at
        return arrives_at

    def _is_lost(self, sender: str, receiver: str, *, is_broadcast: bool) -> bool:
        if (sender, receiver) in self.faults.cut:
            self.faults.fired["frame cut"] += 1
            return True
        share = self.faults.lossy.get((sender, receiver), 0.0) if is_broadcast else 0.0
        if share and self.rng.random() < share:
            self.faults.fired["broadcast lost"] += 1
            return True
        return False

    def _keep_unread(
        self,
        connection: Connection,
        arrive: Callable[[], None],
        sender: Process,
        *,
        to_server: bool,
    ) -> None:
        """Let a frame wait for a receiver that does not read; drop it beyond the bound."""
        unread = connection.unread[to_server]
        if connection.is_overrun[to_server] or len(unread) >= self.faults.backlog_frames_max:
            if not connection.is_overrun[to_server]:
                connection.is_overrun[to_server] = True
                self.faults.fired["peer slow"] += 1
                peer: Peer = connection.peer if to_server else connection.routing_id
                link = connection.link if to_server else connection.server_link
                if link not in _PUB_LINKS:
                    self._deliver_event_later(sender, PeerSlow(link, peer))
            return
        unread.append(arrive)

    def read_again(self, name: str) -> None:
        """Let a process that did not read take what waited for it, in as few turns as a reactor."""
        self.faults.deaf.discard(name)
        process = self.processes.get(name)
        if process is None:
            return
        waiting: list[Callable[[], None]] = []
        connections = [*process.dialled.values(), *process.accepted.values()]
        arrives_at = self.now
        for connection in connections:
            to_server = connection.client is not process
            unread, connection.unread[to_server] = connection.unread[to_server], []
            connection.is_overrun[to_server] = False
            waiting += unread
            arrives_at = max(arrives_at, self._next_arrival(connection, to_server=to_server))
        for connection in connections:
            # What is sent from now on arrives later.
            connection.arrives_at[connection.client is not process] = arrives_at
        if waiting:
            self._at_time(arrives_at, partial(self._arrive_together, process, waiting))

    def _arrive_together(self, process: Process, waiting: list[Callable[[], None]]) -> None:
        until, process.frozen_until = process.frozen_until, math.inf
        for arrive in waiting:
            arrive()
        process.frozen_until = until
        self._take_deferred(process)

    def _arrive(
        self, connection: Connection, frame: bytes, epoch: int, *, to_server: bool, number: int
    ) -> None:
        target = connection.server if to_server else connection.client
        if target is None or not connection.is_open or not target.is_alive:
            return
        pace = self.faults.slow.get(target.name, 0.0)
        if pace or target.busy_until > self.now:
            self.faults.fired["served slowly"] += 1
            target.busy_until = max(target.busy_until, self.now) + pace
            take = partial(
                self._begin_turn, connection, frame, epoch, to_server=to_server, number=number
            )
            self._at(target.busy_until - self.now, take)
        else:
            self._begin_turn(connection, frame, epoch, to_server=to_server, number=number)

    def _begin_turn(
        self, connection: Connection, frame: bytes, epoch: int, *, to_server: bool, number: int
    ) -> None:
        target = connection.server if to_server else connection.client
        if target is None or not connection.is_open:
            return
        link = connection.server_link if to_server else connection.link
        peer: Peer = connection.routing_id if to_server else connection.peer
        if to_server:
            connection.is_forgotten = False
        if link is Link.RAFT_ANSWER:
            self._request_count += 1
            peer = self._request_count.to_bytes(8)
        message = Arrived(link, peer, frame, epoch, number)
        self._turn(target, lambda: self._take(target, connection, message))

    # --- turns of processes -------------------------------------------------------------------

    @abstractmethod
    def _turn(self, process: Process, work: Callable[[], Sequence[Effect]]) -> None:
        """Run one turn of a process, which begins with `work`."""

    @abstractmethod
    def _take_deferred(self, process: Process) -> None:
        """Let a process work off what it could not do before; not if it is stopped."""

    @abstractmethod
    def _take(self, process: Process, connection: Connection, arrived: Arrived) -> Sequence[Effect]:
        """Give the core the records of a frame that has arrived."""

    def _deliver_event(self, process: Process, event: Local) -> None:
        """Give a core a local event, in a turn of its own."""
        self._turn(process, lambda: process.core.receive(Link.LOCAL, "", event, self.now))

    def _deliver_event_later(self, process: Process, event: Local) -> None:
        self._at(self._delay(), lambda: self._deliver_event(process, event))
