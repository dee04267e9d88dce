"""The network of the simulator: what is under way on its connections.

Connections keep their order and lose what is under way when they break. A PUB reaches the SUBs that
listen to the topic.
"""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from zreg.effects import Effect, Link, Peer, PeerSlow
from zreg.testing.sim.network.sim_connections import PUB_LINKS, Connections
from zreg.testing.sim.observations.work_counts import WorkCounts
from zreg.testing.sim.sim_process import Arrived, Connection, Process
from zreg.testing.sim.virtual_time import DELAY_SECONDS_MAX, START_SECONDS
from zreg.wire.codec import record_name

if TYPE_CHECKING:
    from zreg.wire.messages import Message


class Network(Connections):
    """Carries frames from process to process, with the delays and losses that faults cause."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.frame_count = 0
        self._request_count = 0
        self.work = WorkCounts(*(Counter() for _ in WorkCounts._fields))

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
                if link not in PUB_LINKS:
                    self._deliver_event_later(sender, PeerSlow(link, peer))
            return
        unread.append(arrive)

    def read_again(self, name: str) -> None:
        """Let a process that did not read take what waited for it, in as few turns as a reactor."""
        self.faults.deaf.discard(name)
        process = self.processes.get(name)
        if process is None:
            return
        together: list[tuple[Connection, bool, list[Callable[[], None]]]] = []
        arrives_at = self.now
        for connection in [*process.dialled.values(), *process.accepted.values()]:
            to_server = connection.client is not process
            unread, connection.unread[to_server] = connection.unread[to_server], []
            connection.is_overrun[to_server] = False
            at = self._next_arrival(connection, to_server=to_server)
            if at <= self.now + DELAY_SECONDS_MAX:
                together.append((connection, to_server, unread))
                arrives_at = max(arrives_at, at)
                continue
            # What was sent before it is late and still on its way.
            for arrive in unread:
                self._at_time(at, arrive)
        waiting: list[Callable[[], None]] = []
        for connection, to_server, unread in together:
            # What is sent from now on arrives later.
            connection.arrives_at[to_server] = arrives_at
            waiting += unread
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
        if connection.is_closing and not to_server:
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

    @abstractmethod
    def _take_deferred(self, process: Process) -> None:
        """Let a process work off what it could not do before; not if it is stopped."""

    @abstractmethod
    def _take(self, process: Process, connection: Connection, arrived: Arrived) -> Sequence[Effect]:
        """Give the core the records of a frame that has arrived."""
