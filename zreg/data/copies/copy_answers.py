"""A primary's answers to its replicas: the datums of a bucket, and what the replicas offer."""

import heapq
from collections.abc import Sequence
from typing import Final

from zreg.config import Config
from zreg.data.followers.hints import Hints
from zreg.data.placement import Placement
from zreg.data.replication.replication import Replication
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Link, Send
from zreg.errors import NotPrimaryError
from zreg.model import ZERO, DataInfoId, Incarnation
from zreg.primitives.ring import bucket_of
from zreg.wire.parts import copy_parts, datum_digests
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.replication_messages import DatumCopy, FetchBucket, FetchCopies, OfferCopy

# How many datums one answer compares: it takes a few milliseconds.
_DATUMS_MAX: Final = 500


class CopyAnswers:
    """Answers replicas from the store; each answer is followed by a digest of its bucket."""

    def __init__(
        self,
        config: Config,
        store: DatumStore,
        hints: Hints,
        placement: Placement,
        replication: Replication,
    ) -> None:
        self._tombstone_seconds = config.tombstone_seconds
        self._store = store
        self._hints = hints
        self._placement = placement
        self._replication = replication

    def on_fetch_bucket(self, peer: str, fetch: FetchBucket, epoch: int) -> list[Effect]:
        """Name the next datums of a bucket, with their digests."""
        if not self._serves(peer, fetch.bucket):
            return [_not_primary(peer, fetch.request_id, epoch)]
        held = self._store.buckets.datums(fetch.bucket)
        after = heapq.nsmallest(
            _DATUMS_MAX + 1,
            (datum for datum in held if datum.name > fetch.after and datum.publishers),
            key=lambda datum: datum.name,
        )
        digests = [(datum, datum.digest()) for datum in after[:_DATUMS_MAX]]
        answer = datum_digests(
            fetch.request_id,
            ((datum.name, digest.count, digest.value) for datum, digest in digests),
            is_complete=len(after) <= _DATUMS_MAX,
        )
        if answer.is_complete:
            self._replication.request_digest(peer, fetch.bucket)
        return [Send(Link.DATA, peer, answer)]

    def on_fetch_copies(
        self, peer: str, fetch: FetchCopies, epoch: int, now: float
    ) -> list[Effect]:
        """Send whole datums."""
        effects: list[Effect] = []
        for name in fetch.names:
            bucket = bucket_of(name)
            if not self._serves(peer, bucket):
                return [*effects, _not_primary(peer, fetch.request_id, epoch)]
            effects += self._copy(peer, fetch.request_id, name, epoch, now)
            self._replication.request_digest(peer, bucket)
        return effects

    def _copy(
        self, peer: str, request_id: int, name: DataInfoId, epoch: int, now: float
    ) -> list[Effect]:
        datum = self._store.find(name)
        if datum is None:
            return [Send(Link.DATA, peer, DatumCopy(request_id, name, ZERO, ZERO, (), (), 0))]
        effects = self._hints.commit([datum] if datum.is_dirty else [], epoch, now)
        parts = copy_parts(datum.publishers.values(), datum.remaining_tombstones(now))
        return effects + [
            Send(
                Link.DATA,
                peer,
                DatumCopy(
                    request_id, name, datum.version, datum.revision, *part, len(parts) - 1 - index
                ),
            )
            for index, part in enumerate(parts)
        ]

    def on_offer_copy(
        self, peer: str, offer: OfferCopy, epoch: int, now: float
    ) -> Sequence[Effect]:
        """Merge what wins of a replica's copy; it becomes a change when the turn ends.

        A replica that missed an eviction offers publishers of a session that meta has forgotten.
        They are evicted at once, which the replica learns as well.
        """
        name = offer.data_info_id
        bucket = bucket_of(name)
        if not self._serves(peer, bucket):
            return ()
        forgotten: set[Incarnation] = set()
        for publisher in offer.publishers:
            if self._store.put(name, publisher) and self._placement.is_forgotten(publisher.session):
                forgotten.add(publisher.session)
        for removal, seconds in offer.tombstones:
            ends_at = now + min(seconds, self._tombstone_seconds)
            self._store.remove_until(name, removal, ends_at)
        self._replication.request_digest(peer, bucket)
        if not forgotten or not self._placement.may_evict:
            return ()
        for session in forgotten:
            self._store.evict(session, 1 + len(offer.publishers))
        return self._hints.commit(self._store.dirty(), epoch, now)

    def _serves(self, peer: str, bucket: int) -> bool:
        """Return whether this node is the primary of a bucket of which the peer keeps a copy."""
        stream = self._replication.stream(peer)
        return stream is not None and bucket in stream.buckets


def _not_primary(peer: str, request_id: int, epoch: int) -> Effect:
    detail = "this data node is not the primary of a bucket of which you keep a copy"
    return Send(Link.DATA, peer, Refused(request_id, NotPrimaryError.code, detail, epoch))
