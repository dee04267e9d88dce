"""What a session has read of its clients and not taken yet, while thousands of them are new.

libzmq reads one message of each peer in turn. When thousands of clients connect at once, a client
that has long been there would wait for one message of each of them, and to take a message costs a
session several times as much as to read it. So while messages of newcomers wait, the socket reads
on, and what others have sent is taken first (ADR 0044).

This module uses no socket and no clock.
"""

from collections import deque
from typing import Final, NamedTuple

from zreg.effects import Peer
from zreg.reactor.sockets.link_socket import Received

# So long after its first message a peer is a newcomer: greeting and replay are over by then.
NEWCOMER_SECONDS: Final = 2.0
# Of the newcomers, one message is taken after so many of others, so that none waits for ever.
SHARE: Final = 4
# A turn takes so many messages of newcomers. A session takes about 4 ms for them.
NEWCOMERS_PER_TURN: Final = 64
# What is read ahead, in messages and bytes, at most.
MESSAGES_MAX: Final = 8192
BYTES_MAX: Final = 16 * 1024 * 1024


class Waiting(NamedTuple):
    """A message that waits, with the round in which it was read, and over which descriptor."""

    round_count: int
    descriptor: int
    message: Received


class _Place:
    """Where the messages of one peer wait, and how many."""

    __slots__ = ("count", "queue")

    def __init__(self, queue: deque[Waiting]) -> None:
        self.queue = queue
        self.count = 0


class ReadAhead:
    """The newcomers of a ROUTER, and the messages that were read ahead of their turn.

    Invariant: the messages of one peer are in one queue, in their order, also of one that becomes a
    newcomer, or is one no more, while some wait.
    """

    def __init__(self) -> None:
        # When each newcomer was heard first, in order.
        self.newcomers: dict[Peer, float] = {}
        # How many messages wait.
        self.waiting_count = 0
        # Whether there are no newcomers, and no messages wait.
        self.is_calm = True
        self._of_newcomers: deque[Waiting] = deque()
        self._of_others: deque[Waiting] = deque()
        self._places: dict[Peer, _Place] = {}
        self._byte_count = 0
        # How many messages were taken in a row: of others, and of newcomers in this turn.
        self._others_taken = self._newcomers_taken = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be read ahead."""
        return self.waiting_count >= MESSAGES_MAX or self._byte_count >= BYTES_MAX

    def add_newcomer(self, peer: Peer, now: float) -> None:
        """Note that a peer was heard for the first time, or again after it was forgotten."""
        self.newcomers.pop(peer, None)
        self.newcomers[peer] = now
        self.is_calm = False

    def grow_old(self, now: float) -> None:
        """Let the newcomers of before be newcomers no more."""
        newcomers = self.newcomers
        while newcomers:
            first = next(iter(newcomers))
            if now - newcomers[first] < NEWCOMER_SECONDS:
                return
            del newcomers[first]
        self.is_calm = not self.waiting_count

    def put(self, message: Received, round_count: int, descriptor: int) -> None:
        """Keep a message that was read in this round."""
        peer, header, frame = message
        place = self._places.get(peer)
        if place is None:
            queue = self._of_newcomers if peer in self.newcomers else self._of_others
            place = self._places[peer] = _Place(queue)
        place.count += 1
        place.queue.append(Waiting(round_count, descriptor, message))
        self.waiting_count += 1
        self._byte_count += len(header) + len(frame or b"")

    def take(self) -> Waiting | None:
        """Return the next message; None if there is none, or the rest is for the next turn."""
        others, newcomers = self._of_others, self._of_newcomers
        if others and (self._others_taken < SHARE or not newcomers):
            self._others_taken += 1
            return self._taken(others)
        if not newcomers or self._newcomers_taken >= NEWCOMERS_PER_TURN:
            self._newcomers_taken = 0
            return None
        self._others_taken = 0
        self._newcomers_taken += 1
        return self._taken(newcomers)

    def _taken(self, queue: deque[Waiting]) -> Waiting:
        taken = queue.popleft()
        peer, header, frame = taken.message
        place = self._places[peer]
        place.count -= 1
        if not place.count:
            del self._places[peer]
        self.waiting_count -= 1
        self._byte_count -= len(header) + len(frame or b"")
        return taken

    def oldest_round(self, round_count: int) -> int:
        """Return the round in which the oldest message that waits was read; else `round_count`."""
        for queue in (self._of_newcomers, self._of_others):
            if queue:
                round_count = min(round_count, queue[0].round_count)
        return round_count
