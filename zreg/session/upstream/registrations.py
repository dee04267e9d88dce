"""What a session answers for: its clients' publishers, and what of it the data nodes have.

One record a publisher, the newest state of it, and a mark whether its primary has accepted that
state: no queue, so it is bounded by what clients registered. What is not accepted is sent again
until it is, or until the client withdraws it. Each data node has a digest of what it should hold
with this session's voucher; requests are in order on one connection, so a digest that is sent
after them can be compared at once.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from zreg.config import Config
from zreg.effects import WARNING, Effect, Link, Log, Send
from zreg.model import NO_INCARNATION, Cause, DataInfoId, Incarnation, Publisher, Removal
from zreg.primitives.digest import DigestSum
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.registration import (
    NodeQueue,
    Record,
    comparisons,
    removals_of,
    request_of,
    unknown_record,
)
from zreg.wire.client_messages import Unpublish
from zreg.wire.data_messages import CompareDigest, DigestCompared, PublishersCompared

if TYPE_CHECKING:
    from random import Random

# Requests to one data node that may be unanswered at a time; the rest waits on its records.
_WINDOW: Final = 4096
# A digest that differed so often running is no longer explained by what is under way.
_UNEQUAL_MAX: Final = 2
# Causes that are no word of the client.
_SUSPICIONS: Final = (Cause.CLOSED, Cause.SILENT)


class Registrations:
    """All records of a session, and their way to the data nodes."""

    def __init__(self, config: Config, links: DataLinks, *, rng: "Random") -> None:
        self._config = config
        self.links = links
        self._rng = rng
        self.session: Incarnation = NO_INCARNATION
        self._records: dict[bytes, Record] = {}
        self._queues: dict[str, NodeQueue] = {"": NodeQueue()}
        self._touched: dict[str, None] = {}
        self._digest_at = 0.0

    def __len__(self) -> int:
        """Return how many publishers there are, withdrawn ones included."""
        return len(self._records)

    def find(self, publisher_id: bytes) -> Record | None:
        """Return the record of a publisher."""
        return self._records.get(publisher_id)

    def keeps(self, publisher_id: bytes) -> bool:
        """Return whether this session answers for a publisher; then it is sent once more.

        Asked for what a primary lacks: what its client never withdrew is not gone.
        """
        record = self._records.get(publisher_id)
        if record is None or not self._is_mine(record):
            return False
        self._resend(record)
        return True

    def _resend(self, record: Record) -> None:
        if not record.request_id:
            self._queues[record.peer].unsent[record.publisher.publisher_id] = record
            self._touched[record.peer] = None

    def is_accepted(self, record: Record) -> bool:
        """Return whether its primary holds the present state of a record."""
        if record.request_id or record.publisher.publisher_id in self._queues[record.peer].unsent:
            return False
        # What another incarnation vouched for is not sent any more, and says nothing.
        return record.removal is not None or record.publisher.session == self.session

    @property
    def pending_count(self) -> int:
        """How many records are not accepted by their primary."""
        return sum(len(queue.unsent) + len(queue.in_flight) for queue in self._queues.values())

    # --- what clients say ---------------------------------------------------------------------

    def publish(self, name: DataInfoId, publisher: Publisher, client_request_id: int) -> None:
        """Take a newer state of a publisher; it goes out when the turn ends."""
        record = self._records.get(publisher.publisher_id)
        if record is None:
            record = self._records[publisher.publisher_id] = Record(name, publisher)
            record.client_request_id = client_request_id
            self._put(record)
        else:
            self.republish(record, publisher, client_request_id)

    def republish(self, record: Record, publisher: Publisher, client_request_id: int) -> None:
        """Take a newer state of what is on record."""
        record.client_request_id = client_request_id
        old = record.publisher
        # Most of all that happens: the same voucher goes on, at the same data node.
        if (
            record.removal is None
            and old.session is publisher.session is self.session != NO_INCARNATION
        ):
            key, queue = publisher.publisher_id, self._queues[record.peer]
            queue.digest.replace(key, old.version, publisher.version)
            record.publisher = publisher
            if record.request_id:
                del queue.in_flight[record.request_id]
                record.request_id = 0
            queue.unsent[key] = record
            self._touched[record.peer] = None
            return
        self._take_back(record)
        record.publisher = publisher
        record.removal = None
        self._put(record)

    def record_unknown(self, unpublish: Unpublish, client_id: bytes) -> Record:
        """Return a record of what a client withdraws and this session never had."""
        record = unknown_record(unpublish, client_id)
        self._records[unpublish.publisher_id] = record
        return record

    def withdraw(
        self, record: Record, cause: Cause, client_request_id: int = 0, *, version: int = 0
    ) -> None:
        """Take that a publisher is gone, up to the version held here or the one given.

        What nobody here ever vouched for is only forgotten on suspicion: its client may be at
        another session that waits for meta too, and what data nodes hold is another voucher's.
        """
        self._take_back(record)
        publisher = record.publisher
        if publisher.session == NO_INCARNATION and cause in _SUSPICIONS:
            del self._records[publisher.publisher_id]
            return
        if version > publisher.version:
            publisher = record.publisher = replace(publisher, version=version)
        record.removal = Removal(
            publisher.publisher_id, publisher.version, cause, publisher.session
        )
        record.client_request_id = client_request_id
        self._put(record)

    def _is_mine(self, record: Record) -> bool:
        """Return whether this incarnation answers for a publisher: then its digest counts it."""
        return record.removal is None and record.publisher.session == self.session != NO_INCARNATION

    def _take_back(self, record: Record) -> None:
        """Undo what `_put` did, before the record changes."""
        queue = self._queues[record.peer]
        publisher = record.publisher
        if self._is_mine(record):
            queue.digest.discard(publisher.publisher_id, publisher.version)
        queue.unsent.pop(publisher.publisher_id, None)
        if record.request_id:
            queue.in_flight.pop(record.request_id, None)
            record.request_id = 0

    def _put(self, record: Record) -> None:
        """Count a record for its primary, and mark it as to be sent.

        A publisher that nobody vouches for yet belongs to no data node until somebody does.
        """
        has_voucher = record.removal is not None or self.session != NO_INCARNATION
        record.peer = peer = self.links.primary(record.name) if has_voucher else ""
        queue = self._queues.get(peer)
        if queue is None:
            queue = self._queues[peer] = NodeQueue()
        publisher = record.publisher
        if self._is_mine(record):
            queue.digest.add(publisher.publisher_id, publisher.version)
        queue.unsent[publisher.publisher_id] = record
        self._touched[peer] = None

    # --- what data nodes answer ---------------------------------------------------------------

    def accepted(self, peer: str, request_ids: Iterable[int]) -> list[Record]:
        """Note what a data node accepted; return the records whose state it was."""
        queue = self._queues.get(peer)
        if queue is None:
            return []
        done: list[Record] = []
        for request_id in request_ids:
            record = queue.in_flight.pop(request_id, None)
            if record is None:
                continue
            record.request_id = 0
            if record.removal is not None:
                del self._records[record.publisher.publisher_id]
            done.append(record)
        queue.refused_count = 0
        if queue.unsent:
            self._touched[peer] = None
        return done

    def refused(self, peer: str, request_id: int, now: float, *, is_final: bool) -> Record | None:
        """Note a refusal; return its record. Unless it is final it is sent again after a pause."""
        queue = self._queues.get(peer)
        record = queue.in_flight.pop(request_id, None) if queue is not None else None
        if queue is None or record is None:
            return None
        record.request_id = 0
        if is_final:
            self._take_back(record)
            del self._records[record.publisher.publisher_id]
        else:
            queue.unsent[record.publisher.publisher_id] = record
            queue.hold(now, self._rng)
        return record

    def digest_compared(self, peer: str, compared: DigestCompared) -> list[Effect]:
        """Note whether a data node holds what it should; ask for details if it goes on not to."""
        queue = self._queues.get(peer)
        if queue is None or compared.ring_epoch != self.links.ring_epoch:
            return []
        queue.unequal_count = 0 if compared.is_equal else queue.unequal_count + 1
        if queue.unequal_count < _UNEQUAL_MAX:
            return []
        queue.unequal_count = 0
        fields: dict[str, str | int | float] = {"node": peer, "publishers": queue.digest.count}
        log = Log(WARNING, "session.repair.started", fields)
        mine = (r.publisher for r in self._records.values() if r.peer == peer and self._is_mine(r))
        return [log, *(Send(Link.DATA, peer, message) for message in comparisons(mine))]

    def publishers_compared(self, peer: str, compared: PublishersCompared) -> list[Effect]:
        """Send what the data node lacks, and take back what it holds and this session does not."""
        for publisher_id in compared.missing:
            record = self._records.get(publisher_id)
            if record is not None and record.peer == peer:
                self._resend(record)
        strays = [stray for stray in compared.strays if stray[1] not in self._records]
        return [Send(Link.DATA, peer, message) for message in removals_of(strays, self.session)]

    # --- connections, ring, incarnation -------------------------------------------------------

    def node_lost(self, peer: str) -> None:
        """Send again what was under way when the connection went."""
        queue = self._queues.get(peer)
        if queue is not None:
            queue.send_again()

    def node_up(self, peer: str) -> None:
        """Send what waited for the connection, and the digest after it."""
        self._queues.setdefault(peer, NodeQueue()).is_digest_due = True
        self._touched[peer] = None

    def ring_changed(self) -> None:
        """Send every record whose primary is another node now, or another life of it."""
        moved = [r for r in self._records.values() if r.peer != self.links.primary(r.name)]
        for record in moved:
            self._take_back(record)
        wanted = {"", *self.links.peers()}
        self._queues = {peer: q for peer, q in self._queues.items() if peer in wanted}
        for record in moved:
            self._put(record)
        for peer in self.links.peers():
            self._queues.setdefault(peer, NodeQueue()).is_digest_due = True
            self._touched[peer] = None

    def new_voucher(self, voucher: Incarnation) -> None:
        """Vouch as a new incarnation for what was never vouched for.

        What an earlier incarnation vouched for waits for its client to say it again: while this
        session was nobody, the client may have gone elsewhere.
        """
        for queue in self._queues.values():
            queue.digest = DigestSum()
            queue.is_digest_due = True
        self.session = voucher
        for record in list(self._records.values()):
            if record.removal is not None:
                continue
            self._queues[record.peer].unsent.pop(record.publisher.publisher_id, None)
            if record.publisher.session == NO_INCARNATION:
                record.publisher = replace(record.publisher, session=voucher)
                self._put(record)

    # --- sending ------------------------------------------------------------------------------

    def settle(self, now: float) -> list[Effect]:
        """Send what this turn touched, as far as the windows allow."""
        effects: list[Effect] = []
        for peer in self._touched:
            effects += self._pump(peer, now)
        self._touched.clear()
        return effects

    def _pump(self, peer: str, now: float) -> list[Effect]:
        queue = self._queues.get(peer)
        if queue is None or now < queue.hold_until:
            return []
        queue.hold_until = 0.0
        if not self.links.is_up(peer):
            return []
        effects: list[Effect] = []
        in_flight, unsent = queue.in_flight, queue.unsent
        waiting: dict[bytes, Record] = {}
        for publisher_id, record in unsent.items():
            if len(in_flight) >= _WINDOW:
                waiting[publisher_id] = record
                continue
            if record.removal is None and record.publisher.session != self.session:
                continue
            request_id = self.links.next_request_id()
            record.request_id = request_id
            record.sent_at = now
            in_flight[request_id] = record
            effects.append(Send(Link.DATA, peer, request_of(record)))
        queue.unsent = waiting
        if queue.is_digest_due and not waiting and self.session != NO_INCARNATION:
            queue.is_digest_due = False
            digest = queue.digest
            compare = CompareDigest(self.links.ring_epoch, digest.count, digest.value)
            effects.append(Send(Link.DATA, peer, compare))
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Send again what was not answered, and the digests that are due."""
        is_digest_time = now >= self._digest_at
        if is_digest_time:
            self._digest_at = now + self._config.digest_seconds
        oldest = now - self._config.request_retry_seconds
        effects: list[Effect] = []
        for peer, queue in self._queues.items():
            queue.send_again(oldest)
            queue.is_digest_due = queue.is_digest_due or is_digest_time
            effects += self._pump(peer, now)
        return effects

    def next_tick_at(self) -> float:
        """When something is due."""
        retry_seconds = self._config.request_retry_seconds
        due = (queue.next_tick_at(retry_seconds) for queue in self._queues.values())
        return min(self._digest_at, *due)
