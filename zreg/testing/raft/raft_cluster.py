"""A simulated Raft cluster: nodes with disks on a faulty network, in virtual time.

The checker sees every step of every node. What the cluster is put through is in `raft_sim`.
"""

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from zreg.raft.ready import Ready
from zreg.raft.status import Role
from zreg.storage.failures import JournalError
from zreg.testing.raft.checker import RaftChecker
from zreg.testing.raft.clients import Clients
from zreg.testing.raft.faults import Faults, FaultyNetwork
from zreg.testing.raft.raft_node import CrashError, SimNode
from zreg.testing.sim.observations.sent_records import SentRecords
from zreg.wire.records.raft_messages import RaftMessage, Request


class RaftCluster:
    """Nodes, network and clock of one run; times are milliseconds.

    `trace` has a line per event, `counts` how often things happened.
    """

    def __init__(self, rng: Random, faults: Faults | None = None) -> None:
        self.rng = rng
        self.trace: list[str] = []
        self.sent = SentRecords()
        self.counts: Counter[str] = Counter()
        self.now = 0
        self.nodes: dict[str, SimNode] = {}
        self.checker = RaftChecker(self.nodes)
        self.clients = Clients(rng)
        self.network = FaultyNetwork(rng, faults or Faults.draw(rng), self._deliver_at)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._event_number = 0
        self._leaders: dict[int, str] = {}

    # Time.

    def at(self, at: int, event: Callable[[], None]) -> None:
        """Run `event` at the time `at`."""
        self._event_number += 1
        heappush(self._events, (at, self._event_number, event))

    def run_next(self) -> None:
        """Jump to the next event and run it."""
        self.now, _, event = heappop(self._events)
        event()

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now} {line}")

    # Nodes.

    def running(self) -> list[SimNode]:
        """Return the nodes that are not down."""
        return [node for node in self.nodes.values() if node.core is not None]

    def leader(self) -> str | None:
        """Return the first node that leads a term, perhaps an old one."""
        for node in self.running():
            if node.core and node.core.role is Role.LEADER:
                return node.node_id
        return None

    def start(self, node_id: str) -> None:
        """Start a node that is down."""
        node = self.nodes[node_id]
        if node.core is None:
            node.start(Random(self.rng.getrandbits(64)))  # noqa: S311 - a simulation wants a seed
            self.checker.on_start(node)
            self.note(f"start {node_id}")
            self.settle(node)

    def tick(self, node_id: str, interval: int) -> None:
        """Tick a node now, and again every `interval`."""
        node = self.nodes[node_id]
        # After a pause there is one tick, not all that were missed.
        self.at(max(self.now + interval, node.paused_until), lambda: self.tick(node_id, interval))
        if node.core is not None and node.paused_until <= self.now:
            node.core.tick()
            self.settle(node)

    def crash(self, node: SimNode, reason: str) -> None:
        """Crash a node, and start it again some time later."""
        self.note(f"crash {node.node_id} {reason}")
        self.counts["crashes"] += 1
        node.crash()
        self.clients.on_crash(node)
        self.at(self.now + self.rng.randint(1, 2_000), lambda: self.start(node.node_id))

    def settle(self, node: SimNode) -> None:
        """Carry out what a node's core asks for; the node may crash at any point of it."""
        try:
            node.settle(self._send, self, self._crash_sometimes)
        except (CrashError, JournalError) as reason:
            self.crash(node, str(reason))
            return
        assert node.core is not None
        if node.core.role is Role.LEADER and node.core.term not in self._leaders:
            self._leaders[node.core.term] = node.node_id
            self.counts["elections"] += 1
            self.note(f"leader {node.node_id} t{node.core.term}")

    def _crash_sometimes(self, where: str) -> None:
        chance = self.network.faults.crash_in_step
        if chance and self.rng.random() < chance:
            raise CrashError(where)

    # Messages.

    def _send(self, message: RaftMessage) -> None:
        self.sent.add(self.now, message.sender, message.receiver, message)
        if not self.network.send(self.now, message) and isinstance(message, Request):
            core = self.nodes[message.sender].core
            assert core is not None
            self.at(self.now, lambda: core.unreachable(message.receiver, message.sequence))

    def _deliver_at(self, at: int, message: RaftMessage) -> None:
        self.at(at, lambda: self._deliver(message))

    def _deliver(self, message: RaftMessage) -> None:
        node = self.nodes[message.receiver]
        if node.paused_until > self.now:
            self._deliver_at(node.paused_until, message)
        elif node.core is not None:
            self.note(
                f"{type(message).__name__} {message.sender}>{message.receiver} t{message.term}"
                f" {message.sequence % 1000}"
            )
            if isinstance(message, Request):
                self.checker.requests_waiting[node.node_id] += 1
            node.core.step(message)
            self.settle(node)

    # What the checker and the clients see of a step.

    def on_ready(self, node: SimNode, ready: Ready) -> None:
        """Check what a core asks for."""
        self.checker.on_ready(node, ready)
        self.counts["snapshots"] += ready.restore is not None

    def on_saved(self, node: SimNode) -> None:
        """Check a disk that has changed."""
        self.checker.on_saved(node)

    def on_message(self, node: SimNode, message: RaftMessage) -> None:
        """Check that a message promises only what is on disk."""
        self.checker.on_message(node, message)

    def on_applied(self, node: SimNode, ready: Ready) -> None:
        """Check a state machine, and let the clients take its answers."""
        self.checker.on_applied(node, ready)
        self.clients.on_applied(node, ready)
