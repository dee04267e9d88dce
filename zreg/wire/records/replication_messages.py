"""Records between the data nodes of a bucket: its primary, and those that keep copies of it.

The primary connects to each replica. It sends its changes and digests in one order, so a replica
compares a digest with exactly the content that it stands for. The replica asks for what differs.
"""

from typing import Annotated

from msgspec import Meta

from zreg.config import Limits
from zreg.model import Change, Count, DatumName, Removal, Version
from zreg.wire.record import Message
from zreg.wire.records.fields import Bucket, Digest, Publishers, RequestId, Seconds

# A datum, and count and digest of its publishers.
DatumDigest = tuple[DatumName, Count, Digest]
# Tombstones travel with the seconds for which they still have to be remembered.
Tombstones = Annotated[
    tuple[tuple[Removal, Seconds], ...], Meta(max_length=Limits.removals_per_record_max)
]
Buckets = Annotated[tuple[Bucket, ...], Meta(max_length=Limits.bucket_count)]


class Replicate(Message, tag=34, frozen=True, array_like=True, gc=False):
    """Primary to replica: changes of datums, in order, quiet ones too.

    The replica answers `Replicated`, or `Refused` if the sender is not their primary in its
    membership. `number`: that of the last change, in the order of all changes of the primary.
    A large change comes in several pieces, which have the same versions. Without changes, the
    record asks for the acknowledgement alone.

    `tombstone_seconds`: for each removal of the changes, in their order, for how many seconds it
    still has to be remembered. Evictions are not remembered and have no entry. A removal without
    one is remembered for as long as a new one.
    """

    ring_epoch: Count
    number: Count
    changes: Annotated[
        tuple[tuple[DatumName, Change], ...], Meta(max_length=Limits.changes_per_record_max)
    ]
    tombstone_seconds: Annotated[
        tuple[Seconds, ...], Meta(max_length=Limits.removals_per_record_max)
    ] = ()


class Replicated(Message, tag=35, frozen=True, array_like=True, gc=False):
    """Replica to primary, answer to `Replicate`: it holds all changes up to `number`."""

    number: Count


class BucketDigests(Message, tag=36, frozen=True, array_like=True, gc=False):
    """Primary to replica: for buckets, count and digest of their publishers at this point.

    The replica answers `BucketsCompared`, or nothing if its `ring_epoch` is another one.
    """

    ring_epoch: Count
    digests: Annotated[
        tuple[tuple[Bucket, Count, Digest], ...], Meta(max_length=Limits.bucket_count)
    ]


class BucketsCompared(Message, tag=37, frozen=True, array_like=True, gc=False):
    """Replica to primary, answer to `BucketDigests`: the buckets whose copies are equal or not."""

    ring_epoch: Count
    equal: Buckets
    differing: Buckets


class FetchBucket(Message, tag=38, frozen=True, array_like=True, gc=False):
    """Replica to primary: name the datums of a bucket, in order, after `after`, with their digests.

    The primary answers `DatumDigests` or `Refused`.
    """

    request_id: RequestId
    bucket: Bucket
    after: Annotated[str, Meta(max_length=Limits.data_info_id_characters_max)] = ""


class DatumDigests(Message, tag=39, frozen=True, array_like=True, gc=False):
    """Primary to replica, answer to `FetchBucket`.

    `is_complete` False: there are more; the replica asks again with `after` the last name.
    """

    request_id: RequestId
    datums: Annotated[tuple[DatumDigest, ...], Meta(max_length=Limits.ids_per_record_max)]
    is_complete: bool = True


class FetchCopies(Message, tag=45, frozen=True, array_like=True, gc=False):
    """Replica to primary: send these datums. The primary answers each with `DatumCopy` records."""

    request_id: RequestId
    names: Annotated[tuple[DatumName, ...], Meta(max_length=Limits.ids_per_record_max)]


class DatumCopy(Message, tag=47, frozen=True, array_like=True, gc=False):
    """Primary to replica, answer to `FetchCopies`: a whole datum at its versions, in parts.

    The last part has `parts_left` 0. A datum that does not exist has version and revision 0.0.
    """

    request_id: RequestId
    data_info_id: DatumName
    version: Version
    revision: Version
    publishers: Publishers
    tombstones: Tombstones
    parts_left: Count


class OfferCopy(Message, tag=48, frozen=True, array_like=True, gc=False):
    """Replica to primary: what the replica has of a datum and the primary lacks. Not answered.

    The primary merges what wins, and sends it to all replicas as a change.
    """

    data_info_id: DatumName
    publishers: Publishers
    tombstones: Tombstones
