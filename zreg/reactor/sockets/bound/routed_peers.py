"""The peers of a ROUTER: the descriptor of each, and which of them must be probed, and when.

libzmq names a closed connection by its descriptor only, so the descriptor of each peer is kept.
The pipe of a closed connection may outlive the event by a moment: a probe is repeated a few times,
then the core's lease decides. This module uses no socket and no clock.

libzmq reads one message of each peer in turn, as long as that peer has input. So when a peer is
heard for the second time, each other peer that had input in between was heard too: that is a round.
"""

from typing import Final

# Seconds between a probe and its repetition; after the last one the probing ends.
PROBE_AGAIN_SECONDS: Final = (0.01, 0.03, 0.1, 0.3)
# After so many rounds each peer that had input before was heard. The first one may have begun
# before; one more is for libzmq, which changes its order when a connection ends.
ROUNDS: Final = 3


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
        # Routing id -> how often it was probed, and when it is due again.
        self.probes: dict[bytes, tuple[int, float]] = {}
        # How many rounds have ended, and the peers that were heard in the present one.
        self.round_count = 0
        self._heard: set[bytes] = set()
        # Of peers to be probed while there is input: the round in which each was heard last.
        self._heard_in: dict[bytes, int] = {}

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
        if routing_id in self._heard_in:
            self._heard_in[routing_id] = self.round_count

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
        self.probes[routing_id] = (0, 0.0)

    def forget(self, routing_id: bytes) -> None:
        """Drop all that is known of a peer."""
        self.probes.pop(routing_id, None)
        self._heard_in.pop(routing_id, None)
        descriptor = self.descriptors.pop(routing_id, None)
        if descriptor is not None and self._peer_by_descriptor.get(descriptor) == routing_id:
            del self._peer_by_descriptor[descriptor]

    def take_due(self, now: float, *, has_input: bool = False) -> list[bytes]:
        """Return the peers to probe now, and schedule their next probe.

        While the ROUTER has input, a peer waits until rounds without it show that it has none: its
        last message, a goodbye, must reach the core before the core hears that the peer is gone.
        """
        due = [peer for peer, (_, due_at) in self.probes.items() if due_at <= now]
        if has_input:
            heard_in, rounds = self._heard_in, self.round_count
            due = [peer for peer in due if rounds - heard_in.setdefault(peer, rounds) >= ROUNDS]
        for peer in due:
            self._heard_in.pop(peer, None)
            count = self.probes[peer][0]
            if count < len(PROBE_AGAIN_SECONDS):
                self.probes[peer] = (count + 1, now + PROBE_AGAIN_SECONDS[count])
            else:
                del self.probes[peer]
        return due

    def next_due_at(self) -> float | None:
        """Return when the next probe is due."""
        if not self.probes:
            return None
        return min(due_at for _, due_at in self.probes.values())

    def __repr__(self) -> str:
        """Show the state."""
        return f"<RoutedPeers peers={len(self.descriptors)} probes={len(self.probes)}>"
