"""The datums of a data node by bucket, and the publishers of its primary buckets by session.

A change of the ring changes the roles of some buckets. Their datums are indexed, taken out of the
index or dropped piece by piece, or when they are needed.
"""

from collections.abc import Iterable, Iterator, Sequence

from zreg.config import Limits
from zreg.data.store.bucket import Bucket, BucketRole
from zreg.data.store.datum import Datum
from zreg.data.store.name_index import NameIndex
from zreg.data.store.session_index import SessionIndex
from zreg.data.store.version_counter import VersionCounter
from zreg.model import ZERO, DataInfoId, Publisher, Version
from zreg.primitives.digest import DigestSum
from zreg.primitives.ring import bucket_of


class DatumBuckets:
    """All buckets of one data node.

    Invariants: a datum that is found is in a bucket in which this node has a role. It is indexed by
    session exactly if the node is the primary; then its version stands for its content.
    """

    def __init__(self, counter: VersionCounter) -> None:
        self._counter = counter
        self._epoch = 0
        self._buckets = [Bucket() for _ in range(Limits.bucket_count)]
        # The buckets with datums that are not checked yet.
        self._changed: dict[int, None] = {}
        # Whether there are any: then `by_session` may have too much, or lack something.
        self.is_checking = False
        self.by_session = SessionIndex()
        self.names = NameIndex(lambda: (datum.name for datum in self.all()))
        # The highest version of any datum that was dropped here.
        self.dropped_version: Version = ZERO
        self.publisher_count = 0

    def __len__(self) -> int:
        """Return how many datums there are."""
        return sum(len(bucket.datums) for bucket in self._buckets)

    def __iter__(self) -> Iterator[Datum]:
        """Iterate over the datums of which this node is the primary."""
        for bucket in self._buckets:
            if bucket.role is BucketRole.PRIMARY:
                yield from bucket.datums.values()

    def primary_publisher_count(self) -> int:
        """Return how many publishers the datums have of which this node is the primary."""
        return sum(b.digest.count for b in self._buckets if b.role is BucketRole.PRIMARY)

    def all(self) -> Iterator[Datum]:
        """Iterate over all datums, copies too."""
        for bucket in self._buckets:
            if bucket.datums:
                yield from bucket.datums.values()

    def role(self, bucket: int) -> BucketRole:
        """Return what this node is for a bucket."""
        return self._buckets[bucket].role

    def digest(self, bucket: int) -> DigestSum:
        """Return the digest of the publishers of a bucket."""
        return self._buckets[bucket].digest

    def datums(self, bucket: int) -> Iterable[Datum]:
        """Return the datums of a bucket."""
        return self._buckets[bucket].datums.values()

    def find(self, name: DataInfoId) -> Datum | None:
        """Return the datum of that name."""
        number = bucket_of(name)
        bucket = self._buckets[number]
        if self.is_checking and number in self._changed:
            self._check_named(bucket, name)
        return bucket.datums.get(name)

    def add(self, name: DataInfoId) -> Datum:
        """Return a new datum, in place of none."""
        bucket = self._buckets[bucket_of(name)]
        datum = bucket.datums[name] = Datum(name)
        datum.is_indexed = bucket.role is BucketRole.PRIMARY
        self.names.add(name)
        return datum

    def remove(self, datum: Datum) -> None:
        """Drop an empty datum."""
        assert not datum.publishers
        bucket = self._buckets[datum.bucket]
        del bucket.datums[datum.name]
        bucket.unchecked.pop(datum.name, None)
        self.names.note_removed()
        self._note_dropped(datum)

    # --- publishers ---------------------------------------------------------------------------

    def put(self, datum: Datum, publisher: Publisher, old: Publisher | None) -> None:
        """Put a publisher into a datum, in place of its former state."""
        digest = self._buckets[datum.bucket].digest
        publisher_id = publisher.publisher_id
        datum.publishers[publisher_id] = publisher
        if old is None:
            self.publisher_count += 1
            digest.add(publisher_id, publisher.version)
            if datum.is_indexed:
                self.by_session.add(publisher, datum)
        else:
            digest.replace(publisher_id, old.version, publisher.version)
            if datum.is_indexed:
                self.by_session.replace(old, publisher, datum)

    def take_out(self, datum: Datum, publisher: Publisher) -> None:
        """Take a publisher out of a datum."""
        self._buckets[datum.bucket].digest.discard(publisher.publisher_id, publisher.version)
        self._take_out(datum, publisher)

    def _take_out(self, datum: Datum, publisher: Publisher) -> None:
        del datum.publishers[publisher.publisher_id]
        self.publisher_count -= 1
        if datum.is_indexed:
            self.by_session.discard(publisher)

    # --- roles --------------------------------------------------------------------------------

    def follow(self, roles: Sequence[BucketRole], epoch: int) -> None:
        """Take the roles of all buckets from this epoch on; no change is logged.

        Nothing may wait for a commit. What is lost counts as dropped at once. `check_some` has to
        be called until `is_checking` is False.
        """
        self._epoch = epoch
        self.names.forget()
        for number, (bucket, role) in enumerate(zip(self._buckets, roles, strict=True)):
            if bucket.role is not role:
                bucket.take(role)
                if bucket.is_checking:
                    self._changed[number] = None
        self.is_checking = bool(self._changed)

    def check_some(self, count_max: int) -> None:
        """Check what the roles changed, with about so many publishers."""
        while self._changed and count_max > 0:
            number = next(iter(self._changed))
            bucket = self._buckets[number]
            while count_max > 0 and bucket.is_checking:
                count_max -= 1 + self._check_next(bucket)
            if not bucket.is_checking:
                del self._changed[number]
        self.is_checking = bool(self._changed)

    def _check_next(self, bucket: Bucket) -> int:
        """Check one datum; return how many publishers were looked at."""
        if bucket.dropped:
            _, datum = bucket.dropped.popitem()
            return self._drop(datum)
        _, datum = bucket.unchecked.popitem()
        return self._check(datum, is_primary=bucket.role is BucketRole.PRIMARY)

    def _check_named(self, bucket: Bucket, name: DataInfoId) -> None:
        """Check the datum of that name, which is needed now."""
        dropped = bucket.dropped.pop(name, None)
        if dropped is not None:
            self._drop(dropped)
        datum = bucket.unchecked.pop(name, None)
        if datum is not None:
            self._check(datum, is_primary=bucket.role is BucketRole.PRIMARY)

    def _check(self, datum: Datum, *, is_primary: bool) -> int:
        """Make the index right for a datum whose bucket has another role now."""
        is_odd = datum.is_unsure or datum.revision.epoch > self._epoch
        if is_primary and is_odd:
            # Its content is merged from several sources: it gets a version that stands for it. So
            # does one from a later epoch, which no primary before has sent: changes could not
            # follow it.
            datum.restart(self._counter.next(self._epoch))
        if datum.is_indexed is is_primary:
            return 0
        datum.is_indexed = is_primary
        for publisher in datum.publishers.values():
            if is_primary:
                self.by_session.add(publisher, datum)
            else:
                self.by_session.discard(publisher)
        return len(datum.publishers)

    def _drop(self, datum: Datum) -> int:
        count = len(datum.publishers)
        for publisher in list(datum.publishers.values()):
            self._take_out(datum, publisher)
        self._note_dropped(datum)
        return count

    def _note_dropped(self, datum: Datum) -> None:
        self.dropped_version = max(self.dropped_version, datum.version)
