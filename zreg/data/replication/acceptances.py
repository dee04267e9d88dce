"""When a write is accepted: once all replicas in sync hold it, or have taken too long.

A node that joins is waited for like a replica once it is in sync, and does not count as a copy.

All writes of a turn are merged and sent first. A write waits for the number of the last change of
its turn, so each replica acknowledges one number for all of them. A replica that this turn sends no
change is asked for the number: it may hold a repeated write already, or only be about to.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from zreg.config import Config
from zreg.data.replication.replication import Replication
from zreg.effects import WARNING, Effect, Link, Log, Peer, Send
from zreg.model import ZERO, DataInfoId
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.ring import bucket_of
from zreg.wire.parts import accepted_records
from zreg.wire.records.common_messages import HopKind

ACCEPTED: Final = HopKind.ACCEPTED


class Waiting(NamedTuple):
    """A write that was merged and is not accepted yet."""

    number: int
    # When it was merged, in monotonic seconds.
    since: float
    bucket: int
    name: DataInfoId
    peer: Peer
    request_id: int


class Acceptances:
    """The writes that wait, by the nodes that were in sync when they were merged.

    Invariant: each queue is in the order of the numbers, which is that of the times too.
    """

    def __init__(self, config: Config, replication: Replication, hops: HopRings) -> None:
        self._hops = hops.by_id
        self._ack_seconds = config.replica_ack_seconds
        self._replication = replication
        # The writes of this turn.
        self._new: list[tuple[Peer, int, DataInfoId]] = []
        self._queues: dict[tuple[str, ...], deque[Waiting]] = {}
        # How often a replica was late.
        self.late_count = 0
        # What is sent when the turn ends, by peer and number of copies.
        self._accepted: dict[tuple[Peer, int], list[int]] = {}

    def __len__(self) -> int:
        """Return how many writes wait for replicas."""
        return sum(map(len, self._queues.values()))

    def add(self, peer: Peer, request_id: int, name: DataInfoId) -> None:
        """Accept a write that this turn merged, as soon as its replicas hold it."""
        self._new.append((peer, request_id, name))

    def on_acked(self, peer: str, now: float) -> None:
        """Accept what waited for this replica alone: it acknowledged, is gone, or began anew."""
        for replicas in [key for key in self._queues if peer in key]:
            self._release(replicas, now)

    def release_all(self, now: float) -> None:
        """Accept what waits for no replica any more, after the replicas changed."""
        for replicas in list(self._queues):
            self._release(replicas, now)

    def _release(self, replicas: tuple[str, ...], now: float) -> None:
        """Accept the first writes of a queue, as far as all replicas that still count hold them."""
        queue = self._queues[replicas]
        streams = [s for peer in replicas if (s := self._replication.stream(peer)) is not None]
        counting = [stream for stream in streams if self._replication.counts(stream.peer)]
        while queue and not any(stream.is_awaited(queue[0].number) for stream in streams):
            waiting = queue.popleft()
            copies = 1 + sum(stream.holds(waiting.number) for stream in counting)
            self._accept(waiting.peer, waiting.request_id, copies)
            hop = (ACCEPTED, now, b"", copies, ZERO, "", waiting.number)
            self._hops[waiting.name].append(hop)
        if not queue:
            del self._queues[replicas]

    def _accept(self, peer: Peer, request_id: int, copies: int) -> None:
        self._accepted.setdefault((peer, copies), []).append(request_id)

    def forget(self, peer: Peer) -> None:
        """Drop what a session waits for: its connection is gone, and it asks again."""
        self._accepted = {key: ids for key, ids in self._accepted.items() if key[0] != peer}
        self._new = [each for each in self._new if each[0] != peer]
        self._keep(lambda waiting: waiting.peer != peer)

    def take_of_others(self, is_primary: Callable[[int], bool]) -> list[Waiting]:
        """Take out the writes to buckets of which this node is the primary no more."""
        waiting = [each for queue in self._queues.values() for each in queue]
        self._keep(lambda each: is_primary(each.bucket))
        return [each for each in waiting if not is_primary(each.bucket)]

    def _keep(self, test: Callable[[Waiting], bool]) -> None:
        kept = {key: deque(filter(test, queue)) for key, queue in self._queues.items()}
        self._queues = {key: queue for key, queue in kept.items() if queue}

    # --- the end of a turn, and time ----------------------------------------------------------

    def settle(self, now: float) -> list[Effect]:
        """Return the acceptances of this turn; its changes must be committed and sent before."""
        number = self._replication.number
        waited_for: dict[tuple[str, ...], None] = {}
        for peer, request_id, name in self._new:
            bucket = bucket_of(name)
            replicas = self._replication.awaited(bucket)
            if not replicas:
                self._accept(peer, request_id, 1)
                self._hops[name].append((ACCEPTED, now, b"", 1, ZERO, "", number))
                continue
            queue = self._queues.get(replicas)
            if queue is None:
                queue = self._queues[replicas] = deque()
            queue.append(Waiting(number, now, bucket, name, peer, request_id))
            waited_for[replicas] = None
        self._new = []
        effects: list[Effect] = []
        for replicas in waited_for:
            effects += self._replication.ask(replicas)
            self._release(replicas, now)
        return effects + self._take_accepted() if self._accepted else effects

    def _take_accepted(self) -> list[Effect]:
        accepted, self._accepted = self._accepted, {}
        return [
            Send(Link.REQUESTS, peer, record)
            for (peer, copies), request_ids in accepted.items()
            for record in accepted_records(request_ids, copies)
        ]

    def tick(self, now: float) -> list[Effect]:
        """Take replicas that have not acknowledged in time for out of sync."""
        effects: list[Effect] = []
        for replicas in list(self._queues):
            first = self._queues[replicas][0]
            if now < first.since + self._ack_seconds:
                continue
            for peer in replicas:
                stream = self._replication.stream(peer)
                if stream is not None and stream.is_awaited(first.number):
                    self._replication.lag(stream, now)
                    self.late_count += 1
                    fields: dict[str, str | int | float] = {"replica": peer}
                    effects.append(Log(WARNING, "data.replica.late", fields))
            self._release(replicas, now)
        return effects

    def next_tick_at(self) -> float | None:
        """Return when a replica is late; None if nothing waits."""
        if not self._queues:
            return None
        return min(queue[0].since for queue in self._queues.values()) + self._ack_seconds
