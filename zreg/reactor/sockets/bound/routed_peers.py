"""The peers of a ROUTER: the descriptor of each, and which of them must be probed, and when.

libzmq names a closed connection by its descriptor only, so the descriptor of each peer is kept.
The pipe of a closed connection may outlive the event by a moment: a probe is repeated a few times,
then the core's lease decides. This module uses no socket and no clock.

libzmq reads one message of each peer in turn, as long as that peer has input. So when a peer is
heard for the second time, each other peer that had input in between was heard too: that is a round.
"""

from collections import deque
from typing import Final

# Seconds between a probe and its repetition; after the last one the probing ends.
PROBE_AGAIN_SECONDS: Final = (0.01, 0.03, 0.1, 0.3)
# After so many rounds each peer that had input before was heard. The first one may have begun
# before; one more is for libzmq, which changes its order when a connection ends.
ROUNDS: Final = 3
# How many peers one turn probes. To lose a peer is work, and thousands may be lost at once.
PROBES_MAX: Final = 64


class _Probe:
    """A peer that may be gone, how often it was probed, and when it was heard."""

    __slots__ = ("count", "heard_in", "noted_in", "peer")

    def __init__(self, peer: bytes, round_count: int) -> None:
        self.peer = peer
        self.count = 0
        # The round in which its time came, and that in which it was heard since.
        self.noted_in = self.heard_in = round_count


class RoutedPeers:
    """The peers of one ROUTER, by routing id and by descriptor.

    Descriptors are reused. A descriptor maps to the peer that was heard on it last; a peer whose
    descriptor went to another peer, or was closed, is probed.
    """

    def __init__(self) -> None:
        # Of each peer that was heard, the descriptor of its connection.
        self.descriptors: dict[bytes, int] = {}
        self._peer_by_descriptor: dict[int, bytes] = {}
        # Closed descriptors. A message that came over one of them may still wait to be read.
        self._closed: set[int] = set()
        # The peers to be probed. A probe in a queue that is not the one here is outdated.
        self.probes: dict[bytes, _Probe] = {}
        # Those whose time has come, in the order of the rounds in which it came.
        self._due: deque[_Probe] = deque()
        # Those that wait for their repetition: when each is due, in order, as all in one queue
        # wait for the same time.
        self._waiting: list[deque[tuple[float, _Probe]]] = [deque() for _ in PROBE_AGAIN_SECONDS]
        # How many rounds have ended, and the peers that were heard in the present one.
        self.round_count = 0
        self._heard: set[bytes] = set()

    def __len__(self) -> int:
        """Return how many peers are known."""
        return len(self.descriptors)

    def add(self, routing_id: bytes, descriptor: int) -> None:
        """Remember a peer that was heard for the first time."""
        former = self._peer_by_descriptor.get(descriptor)
        if former is not None:
            self.probe(former)
        self.descriptors[routing_id] = descriptor
        self._peer_by_descriptor[descriptor] = routing_id
        if descriptor in self._closed:
            self.probe(routing_id)

    def hear(self, routing_id: bytes) -> None:
        """Note whose message was read."""
        heard = self._heard
        if routing_id in heard:
            self.round_count += 1
            heard.clear()
        heard.add(routing_id)
        if routing_id in self.probes:
            self.probes[routing_id].heard_in = self.round_count

    def on_accepted(self, descriptor: int) -> None:
        """Note a new connection: the descriptor is in use again."""
        self._closed.discard(descriptor)

    def on_closed(self, descriptor: int) -> None:
        """Note a closed connection, and probe the peer that used it."""
        self._closed.add(descriptor)
        peer = self._peer_by_descriptor.get(descriptor)
        if peer is not None:
            self.probe(peer)

    def probe(self, routing_id: bytes) -> None:
        """Ask for a probe once the input is drained, and for its repetitions."""
        probe = self.probes[routing_id] = _Probe(routing_id, self.round_count)
        self._due.append(probe)

    def forget(self, routing_id: bytes) -> None:
        """Drop all that is known of a peer."""
        self.probes.pop(routing_id, None)
        descriptor = self.descriptors.pop(routing_id, None)
        if descriptor is not None and self._peer_by_descriptor.get(descriptor) == routing_id:
            del self._peer_by_descriptor[descriptor]

    def take_due(
        self, now: float, *, has_input: bool = False, round_count: int | None = None
    ) -> list[bytes]:
        """Return up to `PROBES_MAX` peers to probe now, and schedule their next probe.

        While the ROUTER has input, a peer waits until rounds without it show that it has none: its
        last message, a goodbye, must reach the core before the core hears that the peer is gone.
        `round_count` is that of the messages that have reached the core, if some were only read.
        """
        self._note_due(now)
        round_count = self.round_count if round_count is None else round_count
        due: list[bytes] = []
        while self._due and len(due) < PROBES_MAX:
            probe = self._due[0]
            if has_input and round_count - probe.noted_in < ROUNDS:
                break
            self._due.popleft()
            if self.probes.get(probe.peer) is not probe:
                continue
            if has_input and round_count - probe.heard_in < ROUNDS:
                probe.noted_in = self.round_count
                self._due.append(probe)
                continue
            due.append(probe.peer)
            self._wait_to_repeat(probe, now)
        return due

    def _note_due(self, now: float) -> None:
        """Move the probes whose repetition is due to those whose time has come."""
        for queue in self._waiting:
            while queue and queue[0][0] <= now:
                _, probe = queue.popleft()
                probe.noted_in = self.round_count
                self._due.append(probe)

    def _wait_to_repeat(self, probe: _Probe, now: float) -> None:
        if probe.count == len(PROBE_AGAIN_SECONDS):
            del self.probes[probe.peer]
            return
        self._waiting[probe.count].append((now + PROBE_AGAIN_SECONDS[probe.count], probe))
        probe.count += 1

    def next_due_at(self) -> float | None:
        """Return when the next probe is due."""
        if not self.probes:
            return None
        if self._due:
            return 0.0
        return min((queue[0][0] for queue in self._waiting if queue), default=None)

    def __repr__(self) -> str:
        """Show the state."""
        return f"<RoutedPeers peers={len(self.descriptors)} probes={len(self.probes)}>"
