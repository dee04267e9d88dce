"""What a session has on record of each publisher, and what each data node has to be told of it."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from zreg.config import Limits
from zreg.model import NO_INCARNATION, Cause, DataInfoId, Incarnation, Publisher, Removal
from zreg.primitives.digest import DigestSum
from zreg.wire.client_messages import Unpublish
from zreg.wire.data_messages import ComparePublishers, PublishDatum, UnpublishDatum
from zreg.wire.messages import Message

if TYPE_CHECKING:
    from random import Random

# The pause after a refusal, and how often it is doubled while nothing is accepted.
_HOLD_SECONDS: Final = 0.05
_DOUBLINGS_MAX: Final = 4


class Record:
    """The newest state of one publisher: either `publisher`, or `removal` once it is withdrawn."""

    __slots__ = (
        "client_request_id",
        "name",
        "peer",
        "publisher",
        "removal",
        "request_id",
        "sent_at",
    )

    def __init__(self, name: DataInfoId, publisher: Publisher) -> None:
        self.name = name
        self.publisher = publisher
        self.removal: Removal | None = None
        # The client's request that waits for the answer, 0 if none does.
        self.client_request_id = 0
        # The data node that this record belongs to, and the request that is under way there.
        self.peer = ""
        self.request_id = 0
        self.sent_at = 0.0


class NodeQueue:
    """What one data node has to be told, and the digest of what it should hold."""

    __slots__ = (
        "digest",
        "hold_until",
        "in_flight",
        "is_digest_due",
        "refused_count",
        "unequal_count",
        "unsent",
    )

    def __init__(self) -> None:
        self.unsent: dict[bytes, Record] = {}
        self.in_flight: dict[int, Record] = {}
        self.digest = DigestSum()
        self.hold_until = 0.0
        self.refused_count = 0
        self.unequal_count = 0
        self.is_digest_due = True

    def hold(self, now: float, rng: "Random") -> None:
        """Send nothing for a while: the node refuses."""
        if now >= self.hold_until:
            pause = _HOLD_SECONDS * 2 ** min(self.refused_count, _DOUBLINGS_MAX)
            self.hold_until = now + pause * (1 + rng.random())
            self.refused_count += 1

    def send_again(self, sent_until: float = math.inf) -> None:
        """Mark as to be sent again what was sent until then and is not answered."""
        for request_id, record in list(self.in_flight.items()):
            if record.sent_at > sent_until:
                break
            del self.in_flight[request_id]
            record.request_id = 0
            self.unsent[record.publisher.publisher_id] = record

    def next_tick_at(self, retry_seconds: float) -> float:
        """When something of it is due."""
        due = self.hold_until or math.inf
        for record in self.in_flight.values():
            return min(due, record.sent_at + retry_seconds)
        return due


def unknown_record(unpublish: Unpublish, client_id: bytes) -> Record:
    """Return a record of what a client withdraws and its session never had."""
    publisher = Publisher(
        unpublish.publisher_id, unpublish.version, client_id, NO_INCARNATION, "", "", "", b""
    )
    return Record(unpublish.data_info_id, publisher)


def removals_of(
    strays: Iterable[tuple[DataInfoId, bytes, int]], voucher: Incarnation
) -> list[Message]:
    """Return what takes back publishers that a data node holds and nobody here answers for."""
    return [
        UnpublishDatum(0, name, (Removal(publisher_id, version, Cause.NOT_REPLAYED, voucher),))
        for name, publisher_id, version in strays
    ]


def request_of(record: Record) -> Message:
    """Return what its data node has to be told of a record."""
    if record.removal is None:
        return PublishDatum(record.request_id, record.name, record.publisher)
    return UnpublishDatum(record.request_id, record.name, (record.removal,))


def comparisons(publishers: Iterable[Publisher]) -> list[Message]:
    """Return all that one data node should hold, cut by the first byte of the ids."""
    by_byte: list[list[tuple[bytes, int]]] = [[] for _ in range(256)]
    for publisher in publishers:
        pairs = by_byte[publisher.publisher_id[0]]
        # Ids are random, so nobody but a hostile client fills one byte. What is left out comes
        # back as strays that this session knows.
        if len(pairs) < Limits.ids_per_record_max:
            pairs.append((publisher.publisher_id, publisher.version))
    messages: list[Message] = []
    low, pairs = 0, by_byte[0]
    for byte in range(1, 256):
        if len(pairs) + len(by_byte[byte]) > Limits.ids_per_record_max:
            messages.append(ComparePublishers(low, byte - 1, tuple(pairs)))
            low, pairs = byte, []
        pairs = pairs + by_byte[byte]
    messages.append(ComparePublishers(low, 255, tuple(pairs)))
    return messages
