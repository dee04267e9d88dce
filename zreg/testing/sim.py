"""Run production cores in one process, in virtual time, from one seed.

Every core is the one that runs in a node; messages go through the real codec. Connections keep
their order and lose what is under way when they break; PUB reaches whoever listens; a request of a
REQ is answered in the turn in which it came, and only the answer to the last one is taken. A disk
outlives its process and forgets what was not synced. The same seed gives the same trace.
"""

import heapq
import logging
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from zreg.effects import (
    Broadcast,
    Connect,
    Core,
    Disconnect,
    Effect,
    Emit,
    Link,
    Listen,
    Local,
    Log,
    Peer,
    PeerLost,
    PeerUp,
    Probe,
    Save,
    Send,
    Unlisten,
)
from zreg.errors import NotReadyError
from zreg.reactor.failures import NodeEndError
from zreg.wire.codec import BadRecord, decode_frame, encode_frames
from zreg.wire.messages import Refused

if TYPE_CHECKING:
    import msgspec

    from zreg.testing.sim_disk import SimDisk
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


class ProcessEndedError(Exception):
    """The process died within a turn, and does nothing of what is left of it."""


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


class Simulation(VirtualTime):
    """A virtual network and clock, and the processes on it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.frame_count = 0
        self.record_counts: dict[str, int] = {}
        self.processes: dict[str, Process] = {}
        self._routing_id = 0
        self._request_count = 0
        self._cut: set[tuple[str, str]] = set()

    # --- what tests do ------------------------------------------------------------------------

    def add(
        self, name: str, core: Core, binds: dict[Link, str], disk: "SimDisk | None" = None
    ) -> Process:
        """Start a process; it loaded its core from the disk, if it has one."""
        process = self.processes[name] = Process(name, core, binds, disk)
        self._note(f"start {name}")
        self._turn(process, lambda: core.start(self.now))
        return process

    def kill(self, name: str) -> None:
        """Kill a process: its connections break, what it did not send is gone."""
        process = self.processes.pop(name)
        process.is_alive = False
        self._note(f"kill {name}")
        if process.disk is not None:
            process.disk.crash()
        for connection in [*process.dialled.values(), *process.taken.values()]:
            self._break(connection)

    def freeze(self, name: str, seconds: float) -> None:
        """Stop a process for a while: its connections stand, and it hears everything later."""
        process = self.processes[name]
        process.frozen_until = self.now + seconds
        self._note(f"freeze {name} {seconds}")
        process.tick_at = None
        self._at(seconds, lambda: self._wake(process))

    def _wake(self, process: Process) -> None:
        """Let a frozen process take what has come meanwhile, unless it was frozen for longer."""
        if self.now < process.frozen_until:
            return
        self._turn(process, lambda: ())
        deferred, process.deferred = process.deferred, []
        for what in deferred:
            self._turn(process, what)

    def post(self, name: str, message: Local) -> None:
        """Give a process a local message."""
        process = self.processes[name]
        self._turn(process, lambda: process.core.receive(Link.LOCAL, "", message, self.now))

    # --- turns --------------------------------------------------------------------------------

    def _turn(self, process: Process, what: Callable[[], Sequence[Effect]]) -> None:
        """One turn of a process's reactor: take something, tick, settle, send."""
        if not process.is_alive:
            return
        if self.now < process.frozen_until:
            process.deferred.append(what)
            return
        try:
            self._run_turn(process, what)
        except ProcessEndedError:
            self.kill(process.name)

    def _run_turn(self, process: Process, what: Callable[[], Sequence[Effect]]) -> None:
        core = process.core
        self._perform(process, what())
        due = core.next_tick_at()
        if due is not None and due <= self.now:
            self._perform(process, core.tick(self.now))
        self._perform(process, core.settle(self.now))
        self._flush(process)
        self._answer_rest(process)
        due = core.next_tick_at()
        if due is not None and due != process.tick_at:
            # A tick that is due at once comes a moment later, like that of a real loop.
            process.tick_at = due
            wait = max(due - self.now, 0.001)
            self._at(wait, lambda: self._tick(process, due))

    def _tick(self, process: Process, due: float) -> None:
        if process.tick_at == due:
            process.tick_at = None
            self._turn(process, lambda: ())

    def _perform(  # noqa: C901, PLR0912 -- one case per effect
        self, process: Process, effects: Sequence[Effect]
    ) -> None:
        for effect in effects:
            match effect:
                case Send():
                    key = (effect.link, effect.peer)
                    process.outbox.setdefault(key, []).append(effect.message)
                case Broadcast():
                    topic = (effect.link, effect.topic)
                    process.broadcasts.setdefault(topic, []).append(effect.message)
                case Connect():
                    self._connect(process, effect)
                case Disconnect():
                    self._disconnect(process, effect)
                case Listen():
                    process.topics.setdefault(effect.link, {})[effect.topic] = None
                    self._tell_topics(process, effect.link)
                case Unlisten():
                    process.topics.setdefault(effect.link, {}).pop(effect.topic, None)
                    self._tell_topics(process, effect.link)
                case Probe():
                    if (effect.link, effect.peer) not in process.taken:
                        self._happen(process, PeerLost(effect.link, effect.peer))
                case Save():
                    self._save(process, effect)
                case Log():
                    fields = " ".join(f"{key}={value}" for key, value in effect.fields.items())
                    self._note(f"log {process.name} {effect.event} {fields}")
                case Emit():
                    process.events.append(effect.event)
                case _:
                    raise AssertionError(f"unknown effect {effect}")

    def _save(self, process: Process, save: Save) -> None:
        # As in the reactor: what was sent before leaves, and is under way when the process dies.
        self._flush(process)
        assert process.disk is not None, f"{process.name} has no disk"
        try:
            process.disk.write(save)
        except NodeEndError as error:
            self._note(f"disk {process.name} {error}")
            raise ProcessEndedError from error
        if process.dies_at_save:
            raise ProcessEndedError
        process.disk.sync()

    def _answer_rest(self, process: Process) -> None:
        """Answer what the core did not, as the reactor does."""
        if process.owed is not None:
            refused = Refused(0, NotReadyError.code, "this node has no answer to that: ask again")
            self._answer(process, process.owed[0], [refused])

    def _answer(self, process: Process, peer: Peer, messages: "list[Message]") -> None:
        """Answer the request that is owed an answer; any other was answered before."""
        if process.owed is not None and process.owed[0] == peer:
            _, connection, number = process.owed
            process.owed = None
            if connection.is_open:
                for frame in encode_frames(messages):
                    self._carry(connection, frame, to_server=False, number=number)

    def _flush(self, process: Process) -> None:
        outbox, process.outbox = process.outbox, {}
        broadcasts, process.broadcasts = process.broadcasts, {}
        for (link, peer), messages in outbox.items():
            if link is Link.RAFT_ANSWER:
                self._answer(process, peer, messages)
                continue
            connection = process.dialled.get((link, str(peer))) or process.taken.get((link, peer))
            if connection is not None and connection.is_open:
                connection.request_count += link is Link.RAFT_ASK
                for frame in encode_frames(messages):
                    self._carry(
                        connection,
                        frame,
                        to_server=connection.client is process,
                        number=connection.request_count,
                    )
        for (link, topic), messages in broadcasts.items():
            for connection in list(process.taken.values()):
                if connection.server_link is link and topic in connection.topics:
                    for frame in encode_frames(messages):
                        self._carry(connection, frame, to_server=False)

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
                is_cut = self._is_cut(client, server)
                if bound == address and not is_cut:
                    connection.server, connection.server_link = server, link
                    connection.is_open = True
                    server.taken[link, connection.routing_id] = connection
                    self._tell_topics(client, connection.link)
                    self._happen(client, PeerUp(connection.link, connection.peer))
                    return
        del client.dialled[key]
        self._happen(client, PeerLost(connection.link, connection.peer, "refused"))

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
                self._later(client, PeerLost(connection.link, connection.peer, "closed"))
        if server is not None and server is not but and server.is_alive:
            lost = (connection.server_link, connection.routing_id)
            if server.taken.pop(lost, None) is not None and connection.link not in _PUB_LINKS:
                self._later(server, PeerLost(connection.server_link, connection.routing_id))

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

        def take() -> Sequence[Effect]:
            if link is Link.RAFT_ANSWER:
                target.owed = (peer, connection, number)
            elif link is Link.RAFT_ASK and number != connection.request_count:
                return ()
            for record in decode_frame(frame):
                assert not isinstance(record, BadRecord), record
                name = type(record).__name__
                self.record_counts[name] = self.record_counts.get(name, 0) + 1
                self._perform(target, target.core.receive(link, peer, record, self.now))
            return ()

        self._turn(target, take)

    def _happen(self, process: Process, event: Local) -> None:
        self._turn(process, lambda: process.core.receive(Link.LOCAL, "", event, self.now))

    def _later(self, process: Process, event: Local) -> None:
        self._at(self._delay(), lambda: self._happen(process, event))
