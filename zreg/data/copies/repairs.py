"""How a replica makes its copies equal to what their primaries have.

The replica asks for the digests of a bucket's datums, then for the datums that differ, and merges
them. What it has and the primary lacks, it offers: the primary decides. A copy that was not equal
for so long that removals may be forgotten is replaced, and offers nothing.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from zreg.config import Config, Limits
from zreg.data.placement import Placement
from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Link, Peer, Send
from zreg.model import ZERO, DataInfoId, Publisher, Removal, Status
from zreg.primitives.pending_requests import PendingRequests
from zreg.primitives.ring import bucket_of
from zreg.wire.parts import copy_parts
from zreg.wire.records.replication_messages import (
    DatumCopy,
    DatumDigests,
    FetchBucket,
    FetchCopies,
    OfferCopy,
)

# How many buckets are repaired at a time, and how many datums one request names, with about so
# many publishers together: the primary goes on to serve others between them.
ACTIVE_MAX: Final = 4
NAMES_MAX: Final = 64
PUBLISHERS_MAX: Final = 2000
# A repair without an answer, or a part of one, is given up; the next digest begins another one.
ANSWER_SECONDS: Final = 5.0
# A bucket that differs after its repair is repaired again after this time. The primary sends a
# digest after each answer, so two nodes that cannot agree would repair without end.
PAUSE_SECONDS: Final = 0.5


class Repair:
    """The repair of one bucket: what differs there, and the datum that arrives in parts."""

    def __init__(self, peer: Peer, bucket: int) -> None:
        self.peer = peer
        self.bucket = bucket
        # The request under way.
        self.request_id = 0
        self.named: set[DataInfoId] = set()
        # The datums to fetch, each with the number of publishers that the primary has there.
        self.differing: deque[tuple[DataInfoId, int]] = deque()
        # How many of the datums that the last request named have not arrived.
        self.awaited = 0
        self.publishers: dict[bytes, Publisher] = {}
        self.tombstones: list[tuple[Removal, float]] = []


class Repairs:
    """The repairs that wait and those under way. Times are monotonic seconds.

    Invariants: a bucket is repaired with one primary at a time, at most `ACTIVE_MAX` at once. A
    repair under way has exactly one pending request.
    """

    def __init__(self, config: Config, store: DatumStore, placement: Placement) -> None:
        self._store = store
        self._placement = placement
        # A removal that is older than its tombstone is not known here; half of it is a margin.
        self._merge_seconds = config.tombstone_seconds / 2
        self._waiting: dict[int, Peer] = {}
        self._active: dict[int, Repair] = {}
        self._requests: PendingRequests[Peer, Repair] = PendingRequests()
        # When each copy was last equal to that of its primary. For a copy that never was: when this
        # node began to keep it.
        self._equal_at: dict[int, float] = {}
        # When the last repair of each bucket ended under this ring.
        self._ended_at: dict[int, float] = {}
        # The copies that were equal under this ring, and over which connection, which still stands.
        self._verified: dict[int, Peer] = {}
        self.offer_count = 0
        self.copy_count = 0

    def __len__(self) -> int:
        """Return how many buckets are not repaired yet."""
        return len(self._waiting) + len(self._active)

    def note_equal(self, peer: Peer, buckets: Iterable[int], now: float) -> None:
        """Note that the copies of these buckets are those of their primaries."""
        self._equal_at.update(dict.fromkeys(buckets, now))
        self._verified.update(dict.fromkeys(buckets, peer))
        for bucket in buckets:
            self._waiting.pop(bucket, None)

    def begin(self, peer: Peer, buckets: Iterable[int], now: float) -> list[Effect]:
        """Repair these buckets with their primary, those under way excepted."""
        for bucket in buckets:
            is_paused = now < self._ended_at.get(bucket, -PAUSE_SECONDS) + PAUSE_SECONDS
            if bucket not in self._active and not is_paused:
                self._waiting[bucket] = peer
        return self._begin_next(now)

    def forget(self, peer: Peer) -> None:
        """Give up the repairs with a primary whose connection is gone."""
        self._verified = {b: p for b, p in self._verified.items() if p != peer}
        self._waiting = {b: p for b, p in self._waiting.items() if p != peer}
        for _, repair in self._requests.take_all(peer):
            self._active.pop(repair.bucket, None)

    @property
    def is_complete(self) -> bool:
        """Whether each copy was equal to that of its primary under this ring."""
        return len(self._verified) == len(self._equal_at)

    @property
    def copy_counts(self) -> tuple[int, int]:
        """How many copies were equal to those of their primaries under this ring, and all."""
        return len(self._verified), len(self._equal_at)

    def on_roles(self, now: float, *, has_new_ring: bool) -> None:
        """Take the copies that this node keeps now.

        Under a new ring all repairs are given up: its primaries begin them again. A copy that this
        node did not keep before is as new as a copy can be.
        """
        role = self._store.buckets.role
        kept = [b for b in range(Limits.bucket_count) if role(b) is BucketRole.REPLICA]
        self._equal_at = {bucket: self._equal_at.get(bucket, now) for bucket in kept}
        self._verified = {b: p for b, p in self._verified.items() if b in self._equal_at}
        self._waiting = {b: p for b, p in self._waiting.items() if b in self._equal_at}
        for bucket in self._active.keys() - self._equal_at.keys():
            repair = self._active.pop(bucket)
            self._requests.take(repair.peer, repair.request_id)
        if has_new_ring:
            self._verified.clear()
            self._ended_at.clear()
            self._waiting.clear()
            for repair in self._active.values():
                self._requests.take(repair.peer, repair.request_id)
            self._active.clear()

    def _begin_next(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while self._waiting and len(self._active) < ACTIVE_MAX:
            bucket = next(iter(self._waiting))
            repair = self._active[bucket] = Repair(self._waiting.pop(bucket), bucket)
            effects.append(self._fetch_bucket(repair, now))
        return effects

    # --- requests -----------------------------------------------------------------------------

    def _request_id(self, repair: Repair, now: float) -> int:
        request_id = repair.request_id = self._requests.next_id()
        self._await(repair, request_id, now)
        return request_id

    def _await(self, repair: Repair, request_id: int, now: float) -> None:
        """Await an answer, or the next part of it."""
        self._requests.add(repair.peer, request_id, repair, now=now, timeout_seconds=ANSWER_SECONDS)

    def _fetch_bucket(self, repair: Repair, now: float, after: str = "") -> Effect:
        request = FetchBucket(self._request_id(repair, now), repair.bucket, after)
        return Send(Link.REQUESTS, repair.peer, request)

    def _fetch_copies(self, repair: Repair, now: float) -> list[Effect]:
        """Ask for the next datums that differ; go on with another bucket if there are none."""
        names: list[DataInfoId] = []
        publishers_left = PUBLISHERS_MAX
        while repair.differing and len(names) < NAMES_MAX and publishers_left > 0:
            name, count = repair.differing.popleft()
            names.append(name)
            publishers_left -= count
        if not names:
            del self._active[repair.bucket]
            self._ended_at[repair.bucket] = now
            return self._begin_next(now)
        repair.awaited = len(names)
        request = FetchCopies(self._request_id(repair, now), tuple(names))
        return [Send(Link.REQUESTS, repair.peer, request)]

    def tick(self, now: float) -> list[Effect]:
        """Give up the repairs that get no answer."""
        for _, _, repair in self._requests.take_expired(now):
            self._active.pop(repair.bucket, None)
        return self._begin_next(now)

    def next_tick_at(self) -> float | None:
        """Return when a repair gets no answer; None if none is under way."""
        return self._requests.next_deadline_at()

    # --- answers ------------------------------------------------------------------------------

    def on_refused(self, peer: Peer, request_id: int, now: float) -> list[Effect]:
        """Give up a repair that the primary refuses: the next digest begins another one."""
        repair = self._requests.take(peer, request_id)
        if repair is None:
            return []
        self._active.pop(repair.bucket, None)
        return self._begin_next(now)

    def on_datum_digests(self, peer: Peer, answer: DatumDigests, now: float) -> list[Effect]:
        """Compare the datums of a bucket; ask for those that differ once all are named."""
        repair = self._requests.take(peer, answer.request_id)
        if repair is None:
            return []
        for name, count, value in answer.datums:
            if bucket_of(name) != repair.bucket:
                continue
            repair.named.add(name)
            datum = self._store.find(name)
            held = None if datum is None else datum.digest()
            if held is None or (held.count, held.value) != (count, value):
                repair.differing.append((name, count))
        if answer.datums and not answer.is_complete:
            return [self._fetch_bucket(repair, now, answer.datums[-1][0])]
        # What the primary does not name it may have removed: it has the tombstones.
        repair.differing.extend(
            (datum.name, 0)
            for datum in self._store.buckets.datums(repair.bucket)
            if datum.name not in repair.named and datum.publishers
        )
        return self._fetch_copies(repair, now)

    def on_datum_copy(self, peer: Peer, copy: DatumCopy, now: float) -> list[Effect]:
        """Gather the parts of a datum; merge it when the last one is here."""
        repair = self._requests.owner(peer, copy.request_id)
        if repair is None:
            return []
        self._await(repair, copy.request_id, now)
        repair.publishers.update((each.publisher_id, each) for each in copy.publishers)
        repair.tombstones += copy.tombstones
        if copy.parts_left:
            return []
        effects = self._take(repair, copy, now)
        repair.publishers, repair.tombstones = {}, []
        repair.awaited -= 1
        if repair.awaited:
            return effects
        self._requests.take(peer, copy.request_id)
        return effects + self._fetch_copies(repair, now)

    # --- merging ------------------------------------------------------------------------------

    def _take(self, repair: Repair, copy: DatumCopy, now: float) -> list[Effect]:
        store, name = self._store, copy.data_info_id
        if bucket_of(name) != repair.bucket:
            return []
        self.copy_count += 1
        datum = store.find(name)
        if datum is None:
            if copy.revision == ZERO:
                return []
            datum = store.buckets.add(name)
        if not self._may_merge(repair.bucket, now):
            store.replace_copy(datum)
        store.merge_copy(datum, repair.publishers.values(), repair.tombstones, now)
        effects = self._settle_extras(repair, datum, now)
        if not effects and copy.revision > ZERO:
            store.take_copy(datum, copy.version, copy.revision)
        return effects

    def _may_merge(self, bucket: int, now: float) -> bool:
        """Return whether what this copy has and the primary lacks may be newer.

        A node that joins has only what primaries gave it.
        """
        if self._placement.status is Status.INITIAL:
            return False
        return now - self._equal_at.get(bucket, now) <= self._merge_seconds

    def _settle_extras(self, repair: Repair, datum: Datum, now: float) -> list[Effect]:
        """Offer what a copy has and the primary lacks; a copy that was replaced has nothing."""
        theirs = repair.publishers
        publishers = [each for key, each in datum.publishers.items() if theirs.get(key) != each]
        tombstones = [
            each for each in datum.remaining_tombstones(now) if each[0].publisher_id in theirs
        ]
        if not publishers and not tombstones:
            return []
        datum.is_unsure = True
        self.offer_count += 1
        return [
            Send(Link.REQUESTS, repair.peer, OfferCopy(datum.name, *part))
            for part in copy_parts(publishers, tombstones)
        ]
