"""Which descriptor a ROUTER's peer came in on, and which peers have to be probed, and when.

libzmq tells of a closed connection by its descriptor only, so the descriptor of each peer is kept.
The pipe of a closed connection may outlive the event by a moment: a probe is repeated a few times,
and then left to the lease. Knows no socket and no clock.
"""

from typing import Final

# Seconds after the first probe at which it is repeated.
PROBE_AGAIN_SECONDS: Final = (0.01, 0.03, 0.1, 0.3)


class RoutedPeers:
    """The peers of one ROUTER, by routing id and by descriptor."""

    def __init__(self) -> None:
        # Of each peer that was heard, the descriptor it came in on.
        self.descriptors: dict[bytes, int] = {}
        self._holders: dict[int, bytes] = {}
        # Closed while nobody held them: their messages may still be waiting to be read.
        self._closed: set[int] = set()
        # Routing id -> how often it was probed, and when it is due again.
        self.probes: dict[bytes, tuple[int, float]] = {}

    def __len__(self) -> int:
        """Return how many peers are known."""
        return len(self.descriptors)

    def add(self, routing_id: bytes, descriptor: int) -> None:
        """Remember a peer that was heard for the first time."""
        former = self._holders.get(descriptor)
        if former is not None:
            self.probe(former)
        self.descriptors[routing_id] = descriptor
        self._holders[descriptor] = routing_id
        if descriptor in self._closed:
            self.probe(routing_id)

    def accepted(self, descriptor: int) -> None:
        """Note a new connection: the descriptor lives again."""
        self._closed.discard(descriptor)

    def closed(self, descriptor: int) -> None:
        """Note a closed connection: whoever held it is probed."""
        self._closed.add(descriptor)
        holder = self._holders.get(descriptor)
        if holder is not None:
            self.probe(holder)

    def probe(self, routing_id: bytes) -> None:
        """Ask for a probe as soon as the input is drained, and for its repetitions."""
        self.probes[routing_id] = (0, 0.0)

    def forget(self, routing_id: bytes) -> None:
        """Drop all that is known of a peer."""
        self.probes.pop(routing_id, None)
        descriptor = self.descriptors.pop(routing_id, None)
        if descriptor is not None and self._holders.get(descriptor) == routing_id:
            del self._holders[descriptor]

    def take_due(self, now: float) -> list[bytes]:
        """Return who is to be probed now, and note when next."""
        due = [peer for peer, (_, due_at) in self.probes.items() if due_at <= now]
        for peer in due:
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
