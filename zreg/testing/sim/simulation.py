"""Run production cores in one process, in virtual time, from one seed.

The cores are those of real nodes, and messages go through the real codec. A REP answers a request
in the turn in which it arrived, and a REQ takes only the answer to its last request. A disk
outlives its process and forgets what was not synced. The same seed gives the same trace.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from zreg.effects import (
    Broadcast,
    Connect,
    Core,
    Disconnect,
    Effect,
    Emit,
    EpochSeen,
    Flush,
    HostChanged,
    Link,
    Listen,
    Local,
    Log,
    Peer,
    PeerLost,
    Probe,
    Save,
    Send,
    Stop,
    Unlisten,
)
from zreg.errors import NotReadyError
from zreg.membership.cluster_member import NodeFailed
from zreg.reactor.link_table import WITHOUT_EPOCH, records_max
from zreg.reactor.turn import TICK_LATE_SECONDS_MAX
from zreg.storage.failures import NodeEndError
from zreg.tcp_address import with_host
from zreg.testing.sim.network.link_faults import (
    HEARTBEAT_SECONDS,
    RAFT_HEARTBEAT_SECONDS,
    silence_seconds_max,
)
from zreg.testing.sim.network.network import Network
from zreg.testing.sim.sim_process import Arrived, Connection, Process
from zreg.wire.codec import BadRecord, decode_frame, encode_frames
from zreg.wire.records.common_messages import Refused

if TYPE_CHECKING:
    from zreg.testing.sim.disk import SimDisk
    from zreg.wire.messages import Message


# So many of the messages that wait are read in a turn.
MESSAGES_MAX: Final = 256
# How long the sockets of a process that has ended still send.
_LINGER_SECONDS: Final = 0.05


class ProcessEndedError(Exception):
    """The process died in the middle of a turn, so the rest of the turn does not happen."""


class Simulation(Network):
    """A virtual network and clock, and the processes on it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.record_counts: dict[str, int] = {}

    # --- for tests ----------------------------------------------------------------------------

    def add(
        self, name: str, core: Core, binds: dict[Link, str], disk: "SimDisk | None" = None
    ) -> Process:
        """Start a process; a core with a disk has been loaded from it before."""
        process = self.processes[name] = Process(name, core, binds, disk)
        self._note(f"start {name}")
        self._turn(process, lambda: core.start(self.now))
        return process

    def kill(self, name: str) -> None:
        """Kill a process: its connections break, and what it has not sent is lost."""
        self._end(self.processes[name])

    def _end(self, process: Process) -> None:
        if not process.is_alive:
            return
        process.is_alive = False
        self._note(f"kill {process.name}")
        # Its successor may have begun while its sockets still sent.
        if self.processes.get(process.name) is process:
            del self.processes[process.name]
        if process.disk is not None:
            process.disk.crash()
        for connection in [*process.dialled.values(), *process.accepted.values()]:
            self._break(connection)

    def stop(self, name: str) -> None:
        """Let a process end in order: it takes no more turn, and what it has sent may arrive."""
        self.post(name, Stop())
        process = self.processes[name]
        process.is_stopping, process.frozen_until = True, inf
        self._at(_LINGER_SECONDS, lambda: self._end(process))

    def change_host(self, name: str, host: str, process_id: bytes) -> None:
        """Give the machine of a process another address: nothing answers at the former one.

        Its connections end, and its node notices the change, as after another lease of DHCP.
        """
        process = self.processes[name]
        self.faults.silent_addresses.update(process.binds.values())
        process.binds = {link: with_host(at, host) for link, at in process.binds.items()}
        self.faults.silent_addresses.difference_update(process.binds.values())
        self._note(f"host {name} {host}")
        self.faults.fired["host changed"] += 1
        for connection in [*process.dialled.values(), *process.accepted.values()]:
            self._break(connection)
        self.post(name, HostChanged(host, process_id))

    def freeze(self, name: str, seconds: float) -> None:
        """Stop a process for `seconds`: connections stay open, and it receives everything later."""
        process = self.processes[name]
        process.frozen_until = self.now + seconds
        self._note(f"freeze {name} {seconds}")
        process.tick_at = None
        self._at(seconds, lambda: self._take_deferred(process))
        for heartbeat in (RAFT_HEARTBEAT_SECONDS, HEARTBEAT_SECONDS):
            if seconds > heartbeat:
                self._at(heartbeat, partial(self._miss_heartbeats_of, process, heartbeat))

    def resume(self, name: str) -> None:
        """Let a stopped process run before its time."""
        process = self.processes[name]
        process.frozen_until = self.now
        self._note(f"resume {name}")
        self._at(0.0, lambda: self._take_deferred(process))

    def _miss_heartbeats_of(self, process: Process, seconds: float) -> None:
        """End the connections of a process that has been stopped for `seconds`.

        Those of clients stay: the kernel of a stopped process answers its probes.
        """
        if process.is_alive and self.now < process.frozen_until:
            for connection in [*process.dialled.values(), *process.accepted.values()]:
                if connection.is_open and silence_seconds_max(connection.link) == seconds:
                    self.faults.fired["heartbeats missed"] += 1
                    self._break(connection)

    def _take_deferred(self, process: Process) -> None:
        """Give a process what it could not take before, unless it is stopped, or stopped again.

        A reactor reads many messages in a turn, a REP socket one.
        """
        if self.now < process.frozen_until:
            return
        deferred, process.deferred = process.deferred, []
        self._turn(process, lambda: ())
        step = 1 if Link.RAFT_ANSWER in process.binds else MESSAGES_MAX
        for first in range(0, len(deferred), step):
            self._turn(process, partial(self._work_off, process, deferred[first : first + step]))

    def _work_off(
        self, process: Process, works: Sequence[Callable[[], Sequence[Effect]]]
    ) -> Sequence[Effect]:
        for work in works:
            self._perform(process, work())
        return ()

    def post(self, name: str, message: Local) -> None:
        """Give a process a local message, such as a command of the application."""
        process = self.processes[name]
        self._turn(process, lambda: process.core.receive(Link.LOCAL, "", message, self.now))

    # --- turns --------------------------------------------------------------------------------

    def _turn(self, process: Process, work: Callable[[], Sequence[Effect]]) -> None:
        """Run one turn of a process's reactor: `work`, tick, settle, send."""
        if not process.is_alive:
            return
        # What comes between the end of a stop and the waking waits behind what came before.
        if self.now < process.frozen_until or process.deferred:
            process.deferred.append(work)
            return
        try:
            self._run_turn(process, work)
        except ProcessEndedError:
            self.kill(process.name)

    def _run_turn(self, process: Process, work: Callable[[], Sequence[Effect]]) -> None:
        core, calls = process.core, self.work.calls
        self._perform(process, work())
        due = core.next_tick_at()
        if due is not None and due <= self.now and not self._must_read_first(process):
            calls["tick"] += 1
            process.tick_late_since = None
            self._perform(process, core.tick(self.now))
        calls["settle"] += 1
        self._perform(process, core.settle(self.now))
        self._flush(process)
        self._refuse_unanswered(process)
        due = core.next_tick_at()
        if due is not None and due != process.tick_at:
            # A tick that is due at once runs a moment later, as in a real loop.
            process.tick_at = due
            wait = max(due - self.now, 0.001)
            self._at(wait, lambda: self._tick(process, due))

    def _must_read_first(self, process: Process) -> bool:
        """Return whether a tick that is due waits for input that is left, as in the reactor."""
        if process.busy_until <= self.now:
            process.tick_late_since = None
            return False
        if process.tick_late_since is None:
            process.tick_late_since = self.now
        return self.now - process.tick_late_since < TICK_LATE_SECONDS_MAX

    def _tick(self, process: Process, due: float) -> None:
        if process.tick_at != due:
            return
        if self._must_read_first(process):
            # A reactor handles the input that waits before its core judges any time.
            assert process.tick_late_since is not None
            at = min(process.busy_until, process.tick_late_since + TICK_LATE_SECONDS_MAX)
            self._at(max(at - self.now, 0.001), lambda: self._tick(process, due))
            return
        process.tick_at = None
        self._turn(process, lambda: ())

    def _perform(  # noqa: C901, PLR0912, PLR0915 -- one case per effect
        self, process: Process, effects: Iterable[Effect]
    ) -> None:
        counts = self.work.effects
        for effect in effects:
            counts[type(effect).__name__] += 1
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
                    # As in the reactor: what the turn has collected for the peer leaves first.
                    key = (effect.link, effect.peer)
                    if key in process.outbox:
                        self._send(process, *key, process.outbox.pop(key))
                    self._disconnect(process, effect)
                case Listen():
                    process.topics.setdefault(effect.link, {})[effect.topic] = None
                    self._tell_topics(process, effect.link)
                case Unlisten():
                    process.topics.setdefault(effect.link, {}).pop(effect.topic, None)
                    self._tell_topics(process, effect.link)
                case Probe():
                    if (effect.link, effect.peer) not in process.accepted:
                        self._deliver_event(process, PeerLost(effect.link, effect.peer))
                case Save():
                    self._save(process, effect)
                case Flush():
                    self._flush(process)
                case Log():
                    fields = " ".join(f"{key}={value}" for key, value in effect.fields.items())
                    self._note(f"log {process.name} {effect.event} {fields}")
                    if process.event_ring is not None:
                        process.event_ring.note(effect.level, effect.event, effect.fields, self.now)
                case Emit():
                    process.events.append(effect.event)
                    process.has_failed |= isinstance(effect.event, NodeFailed)
                case _:
                    raise AssertionError(f"unknown effect {effect}")

    def _save(self, process: Process, save: Save) -> None:
        # As in the reactor: earlier messages leave first, and arrive even if the process dies now.
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

    def _refuse_unanswered(self, process: Process) -> None:
        """Refuse the request that the core did not answer in this turn, as the reactor does."""
        if process.owed is not None:
            refused = Refused(0, NotReadyError.code, "this node has no answer to that: ask again")
            self._answer(process, process.owed[0], [refused])

    def _answer(self, process: Process, peer: Peer, messages: "list[Message]") -> None:
        """Answer the request that is owed an answer; any other was answered before."""
        if process.owed is not None and process.owed[0] == peer:
            _, connection, number = process.owed
            process.owed = None
            if connection.is_open:
                self._note_sent(connection, messages, to_server=False)
                for frame in encode_frames(messages):
                    self._carry(connection, frame, to_server=False, number=number)

    def _flush(self, process: Process) -> None:
        outbox, process.outbox = process.outbox, {}
        broadcasts, process.broadcasts = process.broadcasts, {}
        for (link, peer), messages in outbox.items():
            self._send(process, link, peer, messages)
        for (link, topic), messages in broadcasts.items():
            for connection in list(process.accepted.values()):
                if connection.server_link is link and topic in connection.topics:
                    self._note_sent(connection, messages, to_server=False)
                    for frame in encode_frames(messages):
                        self._carry(connection, frame, to_server=False, is_broadcast=True)

    def _send(self, process: Process, link: Link, peer: Peer, messages: "list[Message]") -> None:
        """Send what a turn has collected for one peer."""
        if link is Link.RAFT_ANSWER:
            self._answer(process, peer, messages)
            return
        connection = process.dialled.get((link, str(peer))) or process.accepted.get((link, peer))
        if connection is not None and connection.is_open:
            connection.request_count += link is Link.RAFT_ASK
            to_server = connection.client is process
            self._note_sent(connection, messages, to_server=to_server)
            for frame in encode_frames(messages, records_max(connection.link)):
                number = connection.request_count
                self._carry(connection, frame, to_server=to_server, number=number)

    def _take(self, process: Process, connection: Connection, arrived: Arrived) -> Sequence[Effect]:
        """Give the core the epoch of a frame's header if it is news, and then its records."""
        link, peer = arrived.link, arrived.peer
        if link is Link.RAFT_ANSWER:
            process.owed = (peer, connection, arrived.number)
        elif link is Link.RAFT_ASK and arrived.number != connection.request_count:
            return ()
        core, epoch = process.core, arrived.epoch
        is_news = epoch > core.epoch and epoch not in process.epochs_seen
        if link not in WITHOUT_EPOCH and is_news:
            process.epochs_seen.add(epoch)
            self.faults.fired["epoch seen"] += 1
            self._perform(process, core.receive(Link.LOCAL, "", EpochSeen(epoch), self.now))
        for record in decode_frame(arrived.frame):
            assert not isinstance(record, BadRecord), record
            name = type(record).__name__
            self.record_counts[name] = self.record_counts.get(name, 0) + 1
            self.work.calls["receive"] += 1
            self._perform(process, core.receive(link, peer, record, self.now))
        return ()
