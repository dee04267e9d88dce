"""Records between sessions and data nodes, and what data nodes broadcast."""

from typing import Annotated

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import ZERO, Change, Count, DatumName, Id, Incarnation, Publisher, Version
from zreg.wire.fields import (
    Bucket,
    ByteValue,
    Digest,
    Ids,
    Publishers,
    PublisherVersion,
    Removals,
    RequestId,
)
from zreg.wire.record import Message


class NodeHello(Message, tag=20, frozen=True, array_like=True, gc=False):
    """A node, first record of a connection to another node, and again when it rejoined."""

    incarnation: Incarnation


class PublishDatum(Message, tag=21, frozen=True, array_like=True, gc=False):
    """Session to primary: merge this publisher, for which I vouch."""

    request_id: RequestId
    data_info_id: DatumName
    publisher: Publisher


class UnpublishDatum(Message, tag=22, frozen=True, array_like=True, gc=False):
    """Session to primary: these publishers are gone, up to these versions."""

    request_id: RequestId
    data_info_id: DatumName
    removals: Removals


class FetchChanges(Message, tag=23, frozen=True, array_like=True, gc=False):
    """Follower to primary: tell me what came after `version`.

    `seen_version` is the highest version that the follower or its own followers ever saw.
    `is_unsure`: my copy at that version was merged while a primary was unreconciled, so give me
    the whole at a version of its own.
    """

    request_id: RequestId
    data_info_id: DatumName
    version: Version
    seen_version: Version = ZERO
    is_unsure: bool = False


class Changes(Message, tag=24, frozen=True, array_like=True, gc=False):
    """Primary: these changes lead from your version to mine; `sequence` is the bucket's."""

    request_id: RequestId
    data_info_id: DatumName
    changes: Annotated[tuple[Change, ...], Meta(max_length=Limits.changes_per_record_max)]
    sequence: Count
    is_unreconciled: bool = False


class Snapshot(Message, tag=25, frozen=True, array_like=True, gc=False):
    """Primary: the whole datum at `version`, in parts, the last one with `parts_left` 0.

    `is_known` False: no such datum; follow it from `version` like an empty one.
    `is_unreconciled`: what is missing here may still exist.
    """

    request_id: RequestId
    data_info_id: DatumName
    version: Version
    publishers: Publishers
    parts_left: Count
    sequence: Count
    is_known: bool = True
    is_unreconciled: bool = False


class CompareVersions(Message, tag=26, frozen=True, array_like=True, gc=False):
    """Follower to primary: I may have missed hints of this bucket; this is what I have."""

    request_id: RequestId
    bucket: Bucket
    versions: Annotated[
        tuple[tuple[DatumName, Version], ...], Meta(max_length=Limits.ids_per_record_max)
    ]


class Versions(Message, tag=27, frozen=True, array_like=True, gc=False):
    """Primary: of what you named, these are at another version now."""

    request_id: RequestId
    bucket: Bucket
    versions: Annotated[
        tuple[tuple[DatumName, Version], ...], Meta(max_length=Limits.ids_per_record_max)
    ]
    sequence: Count


class CompareDigest(Message, tag=28, frozen=True, array_like=True, gc=False):
    """Session to data node: count and digest of what I vouch for on you, under this ring."""

    ring_epoch: Count
    count: Count
    digest: Digest


class DigestCompared(Message, tag=29, frozen=True, array_like=True, gc=False):
    """Data node: equal to what I hold with your voucher, or not."""

    ring_epoch: Count
    is_equal: bool


class ComparePublishers(Message, tag=30, frozen=True, array_like=True, gc=False):
    """Session to data node: all that I vouch for on you whose id starts within these bytes."""

    first_byte_min: ByteValue
    first_byte_max: ByteValue
    publishers: Annotated[
        tuple[tuple[Id, PublisherVersion], ...], Meta(max_length=Limits.ids_per_record_max)
    ]


class PublishersCompared(Message, tag=31, frozen=True, array_like=True, gc=False):
    """Data node: these I lack or hold older; these I hold with your voucher and you did not name.

    A stray is (datum, publisher id, version).
    """

    missing: Ids
    strays: Annotated[
        tuple[tuple[DatumName, Id, PublisherVersion], ...],
        Meta(max_length=Limits.ids_per_record_max),
    ]


class ListDatums(Message, tag=32, frozen=True, array_like=True, gc=False):
    """Anybody: names of datums after `after` that match the shell-style pattern, in order."""

    request_id: RequestId
    pattern: Annotated[str, Meta(max_length=Limits.data_info_id_characters_max)]
    after: Annotated[str, Meta(max_length=Limits.data_info_id_characters_max)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class DatumSummary(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of a listing."""

    data_info_id: DatumName
    version: Version
    publisher_count: Count


class DatumsListed(Message, tag=33, frozen=True, array_like=True, gc=False):
    """The answer to ListDatums; `is_complete` False: ask again after the last one."""

    request_id: RequestId
    datums: Annotated[tuple[DatumSummary, ...], Meta(max_length=1000)]
    is_complete: bool = True


class Changed(Message, tag=40, frozen=True, array_like=True, gc=False):
    """Primary, on the bucket's topic: this datum went from version to version.

    A small change rides inside; `publishers` None: it was too large, fetch it.
    """

    data_info_id: DatumName
    source_version: Version
    version: Version
    sequence: Count
    publishers: Publishers | None = None
    removals: Removals = ()


class Beat(Message, tag=41, frozen=True, array_like=True, gc=False):
    """Data node, on the topic of beats: the sequence of every bucket, by index.

    `unreconciled` are the sessions that it has not compared with yet.
    """

    incarnation: Incarnation
    sequences: Annotated[tuple[Count, ...], Meta(max_length=Limits.bucket_count)]
    unreconciled: Annotated[tuple[Incarnation, ...], Meta(max_length=Limits.members_max)] = ()
