"""How a session and the data nodes find out that they disagree, and repair it.

The session sends each data node the digest of what it should hold. If the digests differ twice in
succession, which requests under way cannot explain, the session sends the ids and versions
themselves, one record after each answer. The data node answers with those that it lacks, and with
its strays: publishers that it holds for this session and that the session did not name.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from zreg.config import Config, Limits
from zreg.effects import WARNING, Effect, Link, Log, Send
from zreg.model import Cause, Removal
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.registrations import Registrations
from zreg.wire.messages import Message
from zreg.wire.records.data_messages import (
    ComparePublishers,
    DigestCompared,
    PublishersCompared,
    UnpublishDatum,
)

# How many registrations one turn gathers for a comparison: the next turn goes on. It takes 5 ms.
_SLICE: Final = 5000
# How many ids one record names if it has the ids of several first bytes. A data node takes 10 ms.
_RECORD_IDS: Final = 2000


class Comparison:
    """The comparison with one data node: gathers what the session has there, then names it.

    What changes meanwhile may be named at a former version or not at all. That leads to a needless
    resend at most, since the session removes no stray that it knows.
    """

    def __init__(self, peer: str, registrations: Registrations) -> None:
        self._peer = peer
        self._registrations = registrations
        self._left = iter(registrations)
        self._by_byte: list[list[Registration]] = [[] for _ in range(256)]
        self._records: Iterator[Message] | None = None
        # Whether it went on since the last digest: one without an answer is given up.
        self.has_progress = True

    @property
    def is_gathering(self) -> bool:
        """Whether `gather` has to be called again before there are records."""
        return self._records is None

    def gather(self, count: int) -> None:
        """Look at so many registrations."""
        self.has_progress = True
        looked_at = 0
        for registration in islice(self._left, count):
            looked_at += 1
            if self._registrations.is_answered_for_at(registration, self._peer):
                self._by_byte[registration.publisher.publisher_id[0]].append(registration)
        if looked_at < count:
            self._records = comparisons(self._by_byte)

    def next_record(self) -> list[Effect]:
        """Name the next publishers; nothing once all are named."""
        self.has_progress = True
        record = None if self._records is None else next(self._records, None)
        return [] if record is None else [Send(Link.DATA, self._peer, record)]


class Reconciliation:
    """Says when digests are due, and acts on what the data nodes answer."""

    def __init__(
        self, config: Config, links: DataLinks, registrations: Registrations, queues: NodeQueues
    ) -> None:
        self._config = config
        self._links = links
        self._registrations = registrations
        self._queues = queues
        self._digest_at = 0.0
        self._comparisons: dict[str, Comparison] = {}
        # When gathering goes on; None if no comparison gathers.
        self._gather_at: float | None = None

    def on_digest_compared(self, peer: str, compared: DigestCompared, now: float) -> list[Effect]:
        """Note whether a data node holds what it should; compare in detail if it does not."""
        queue = self._queues.by_peer.get(peer)
        if queue is None or compared.ring_epoch != self._links.ring_epoch:
            return []
        comparison = self._comparisons.get(peer)
        if comparison is not None and comparison.has_progress and not compared.is_equal:
            # A new one would begin at the first byte again, and never come to the last.
            comparison.has_progress = False
            return []
        queue.unequal_count = 0 if compared.is_equal else queue.unequal_count + 1
        if not queue.must_compare:
            return []
        queue.unequal_count = 0
        fields: dict[str, str | int | float] = {"node": peer, "publishers": queue.digest.count}
        comparison = self._comparisons[peer] = Comparison(peer, self._registrations)
        started = Log(WARNING, "session.repair.started", fields)
        if len(self._registrations) > _SLICE:
            # The list of all registrations has taken long enough for one turn.
            self._gather_at = now
            return [started]
        return [started, *self._gather(comparison, now)]

    def _gather(self, comparison: Comparison, now: float) -> list[Effect]:
        """Go on to gather for a comparison as far as one turn allows; then name the first ones."""
        comparison.gather(_SLICE)
        if comparison.is_gathering:
            self._gather_at = now
            return []
        return comparison.next_record()

    def on_publishers_compared(self, peer: str, compared: PublishersCompared) -> list[Effect]:
        """Send what the data node lacks, and suspect the strays that this session does not know.

        Their clients have vanished from here, and may be at another session.
        """
        registrations = self._registrations
        for publisher_id in compared.missing:
            registration = registrations.find(publisher_id)
            if registration is not None and registration.peer == peer:
                self._queues.resend(registration)
        session, cause = registrations.session, Cause.CLOSED
        return self._next_record(peer) + [
            Send(
                Link.DATA,
                peer,
                UnpublishDatum(0, name, (Removal(publisher_id, version, cause, session),)),
            )
            for name, publisher_id, version in compared.strays
            if registrations.find(publisher_id) is None
        ]

    def _next_record(self, peer: str) -> list[Effect]:
        comparison = self._comparisons.get(peer)
        if comparison is None or comparison.is_gathering:
            return []
        effects = comparison.next_record()
        if not effects:
            del self._comparisons[peer]
        return effects

    def on_ring(self) -> None:
        """Give up all comparisons: under another ring the data nodes hold something else."""
        self._comparisons.clear()

    def on_node_lost(self, peer: str) -> None:
        """Give up the comparison with a data node: its answer is lost with the connection."""
        self._comparisons.pop(peer, None)

    def tick(self, now: float) -> list[Effect]:
        """Once in a while, have the digest sent to each data node; go on with comparisons."""
        if now >= self._digest_at:
            self._digest_at = now + self._config.digest_seconds
            self._queues.request_digests()
        if self._gather_at is None:
            return []
        self._gather_at = None
        gathering = [each for each in self._comparisons.values() if each.is_gathering]
        if len(gathering) > 1:
            self._gather_at = now
        return self._gather(gathering[0], now) if gathering else []

    def next_tick_at(self) -> float:
        """Return when the digests are due, or a comparison goes on."""
        return self._digest_at if self._gather_at is None else self._gather_at


def comparisons(by_byte: Sequence[Sequence[Registration]]) -> Iterator[Message]:
    """Yield records of the ids and versions of registrations, given by the first byte of their ids.

    Only a client that chooses its ids on purpose fills one byte beyond the limit of a record. The
    publishers beyond it are left out, and come back as strays that this session knows.
    """
    low, pairs = 0, _pairs(by_byte[0])
    for byte in range(1, 256):
        more = _pairs(by_byte[byte])
        if more and len(pairs) + len(more) > _RECORD_IDS:
            yield ComparePublishers(low, byte - 1, pairs)
            low, pairs = byte, ()
        pairs += more
    yield ComparePublishers(low, 255, pairs)


def _pairs(registrations: Sequence[Registration]) -> tuple[tuple[bytes, int], ...]:
    publishers = [each.publisher for each in registrations[: Limits.ids_per_record_max]]
    return tuple((each.publisher_id, each.version) for each in publishers)
