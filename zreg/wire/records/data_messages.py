"""Records between sessions and data nodes, and the records that data nodes broadcast."""

from typing import Annotated

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import ZERO, Change, Count, DatumName, Id, Incarnation, Publisher, Role, Version
from zreg.wire.record import Message
from zreg.wire.records.fields import (
    Bucket,
    ByteValue,
    Digest,
    Ids,
    Publishers,
    PublisherVersion,
    Removals,
    RequestId,
)


class NodeHello(Message, tag=20, frozen=True, array_like=True, gc=False):
    """Session or data node to data node, first record of a connection and again after a rejoin.

    It is not answered. `role` is that of the sender. A session says too that it is no member, as
    clients may move to it all the same: it names the incarnation that it lost, or one with epoch 0.
    """

    incarnation: Incarnation
    role: Role = Role.SESSION
    is_member: bool = True


class WritesWait(Message, tag=19, frozen=True, array_like=True, gc=False):
    """Session to data node: the session has more writes than it may send before earlier ones end.

    It holds until the session's next `CompareDigest`, which follows all writes. Not answered. What
    waits may be the new registration of a client that another session has seen vanish, so the data
    node removes nothing on suspicion meanwhile.
    """


class ClientWaits(Message, tag=95, frozen=True, array_like=True, gc=False):
    """Session to data node: a client waits here, or no more, while the session is no member.

    What the client publishes here it may have published elsewhere before, so the data node removes
    none of its publishers on suspicion meanwhile. Not answered.
    """

    client_id: Id
    is_waiting: bool = True


class RollCall(Message, tag=93, frozen=True, array_like=True, gc=False):
    """Data node to session: answer `Present`, to show that this link works and the session runs.

    The data node is about to remove a publisher that another session only suspects to be gone.
    """

    number: Count


class Present(Message, tag=94, frozen=True, array_like=True, gc=False):
    """Session to data node: the answer to `RollCall`, with its number.

    The session has read what its clients had sent before, and all writes that it got from them went
    ahead of this record, or `WritesWait` did.
    """

    number: Count


class PublishDatum(Message, tag=21, frozen=True, array_like=True, gc=False):
    """Session to primary: merge this publisher, which the session registers.

    The data node answers `Accepted` or `Refused`.
    """

    request_id: RequestId
    data_info_id: DatumName
    publisher: Publisher


class UnpublishDatum(Message, tag=22, frozen=True, array_like=True, gc=False):
    """Session to primary: remove these publishers up to these versions.

    The data node leaves tombstones and answers `Accepted` or `Refused`.
    """

    request_id: RequestId
    data_info_id: DatumName
    removals: Removals


class FetchChanges(Message, tag=23, frozen=True, array_like=True, gc=False):
    """Follower to primary: fetch the changes after `version`.

    The primary answers `Changes`, a `Snapshot` in parts, or `Refused`. `seen_version`: the highest
    version that the follower or its own followers ever saw. `is_unsure`: the follower merged its
    copy while a primary was unreconciled, so the primary answers with a snapshot at a new version.
    """

    request_id: RequestId
    data_info_id: DatumName
    version: Version
    seen_version: Version = ZERO
    is_unsure: bool = False


class Changes(Message, tag=24, frozen=True, array_like=True, gc=False):
    """Primary to follower, answer to `FetchChanges`: the changes after the follower's version.

    `sequence` is that of the datum's bucket, see `Changed`.
    """

    request_id: RequestId
    data_info_id: DatumName
    changes: Annotated[tuple[Change, ...], Meta(max_length=Limits.changes_per_record_max)]
    sequence: Count
    is_unreconciled: bool = False


class Snapshot(Message, tag=25, frozen=True, array_like=True, gc=False):
    """Primary to follower, answer to `FetchChanges`: the whole datum at `version`, in parts.

    The last part has `parts_left` 0. `is_known` False: there is no such datum; the follower follows
    it from `version` like an empty one. `is_unreconciled`: publishers that the snapshot lacks may
    still exist, so the follower keeps them.
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
    """Follower to primary: the versions that the follower has of a bucket's datums.

    Sent when the follower may have missed hints. The primary answers `Versions` or `Refused`.
    """

    request_id: RequestId
    bucket: Bucket
    versions: Annotated[
        tuple[tuple[DatumName, Version], ...], Meta(max_length=Limits.ids_per_record_max)
    ]


class Versions(Message, tag=27, frozen=True, array_like=True, gc=False):
    """Primary to follower, answer to `CompareVersions`: datums that have another version now."""

    request_id: RequestId
    bucket: Bucket
    versions: Annotated[
        tuple[tuple[DatumName, Version], ...], Meta(max_length=Limits.ids_per_record_max)
    ]
    sequence: Count


class CompareDigest(Message, tag=28, frozen=True, array_like=True, gc=False):
    """Session to data node: count and digest of the publishers that the session registers there.

    The data node answers `DigestCompared` if its `ring_epoch` is the same, else nothing.
    `do_writes_wait`: all that the session has was sent before, but a client of it has more to
    replay than it may send at once. It means the same as `WritesWait` after this record.
    """

    ring_epoch: Count
    count: Count
    digest: Digest
    do_writes_wait: bool = False


class DigestCompared(Message, tag=29, frozen=True, array_like=True, gc=False):
    """Data node to session, answer to `CompareDigest`.

    `is_equal`: the data node holds exactly the publishers that the session registers there.
    """

    ring_epoch: Count
    is_equal: bool


class ComparePublishers(Message, tag=30, frozen=True, array_like=True, gc=False):
    """Session to data node: the publishers that the session registers there, for a range of ids.

    The range is given by the first byte of the ids. The data node answers `PublishersCompared`.
    """

    first_byte_min: ByteValue
    first_byte_max: ByteValue
    publishers: Annotated[
        tuple[tuple[Id, PublisherVersion], ...], Meta(max_length=Limits.ids_per_record_max)
    ]


class PublishersCompared(Message, tag=31, frozen=True, array_like=True, gc=False):
    """Data node to session, answer to `ComparePublishers`.

    `missing`: publishers that the data node lacks or holds at an older version. `strays`: (datum,
    publisher id, version) of publishers that it holds for the session but that were not named.
    """

    missing: Ids
    strays: Annotated[
        tuple[tuple[DatumName, Id, PublisherVersion], ...],
        Meta(max_length=Limits.ids_per_record_max),
    ]


class ListDatums(Message, tag=32, frozen=True, array_like=True, gc=False):
    """Any peer to session, session to data node: list the datums that match a shell-style pattern.

    The answer is `DatumsListed`, with names after `after` in order, or `Refused`.
    """

    request_id: RequestId
    pattern: Annotated[str, Meta(max_length=Limits.data_info_id_characters_max)]
    after: Annotated[str, Meta(max_length=Limits.data_info_id_characters_max)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class DatumSummary(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of a listing: a datum, its version and its number of publishers."""

    data_info_id: DatumName
    version: Version
    publisher_count: Count


class DatumsListed(Message, tag=33, frozen=True, array_like=True, gc=False):
    """Answer to `ListDatums`.

    `is_complete` False: there are more; the receiver asks again with `after` the last name.
    `is_unsure`: a data node has taken over buckets, and cannot say yet whether it has all their
    datums, so that some may be missing. `ring_epoch` is that of the data node that answers; 0: not
    told, as in the answer of a session.
    """

    request_id: RequestId
    datums: Annotated[tuple[DatumSummary, ...], Meta(max_length=1000)]
    is_complete: bool = True
    is_unsure: bool = False
    ring_epoch: Count = 0


class FetchInstance(Message, tag=84, frozen=True, array_like=True, gc=False):
    """Session to primary: say what is held of this publisher, which is registered over HTTP.

    A session asks before each renewal, since any session may have taken the publisher over. The
    data node answers `InstanceFetched` or `Refused`.
    """

    request_id: RequestId
    data_info_id: DatumName
    publisher_id: Id


class InstanceFetched(Message, tag=85, frozen=True, array_like=True, gc=False):
    """Primary to session, answer to `FetchInstance`.

    `version` is the highest that the primary knows, also of a removal that it remembers; 0: it
    knows none. `publisher` None: it holds none.
    """

    request_id: RequestId
    version: Count
    publisher: Publisher | None = None


class InstanceTaken(Message, tag=86, frozen=True, array_like=True, gc=False):
    """Primary to session: this publisher is no matter of the session any more. Not answered.

    Another session has registered it, or it was removed, at this version. So the session forgets
    its own registration up to this version, and removes nothing. Sent only for publishers that are
    registered over HTTP: their programs may go to another session with each renewal.
    """

    data_info_id: DatumName
    publisher_id: Id
    version: Count
    is_removed: bool = False


class Changed(Message, tag=40, frozen=True, array_like=True, gc=False):
    """Primary, broadcast on the bucket's topic: a datum went from one version to another.

    A small change is included. `publishers` None: the change is too large, so followers fetch it.
    """

    data_info_id: DatumName
    source_version: Version
    version: Version
    sequence: Count
    publishers: Publishers | None = None
    removals: Removals = ()


class Beat(Message, tag=41, frozen=True, array_like=True, gc=False):
    """Data node, broadcast on the beat topic: the sequence of every bucket, by index.

    `unreconciled` are the sessions whose digest has not been equal under this ring yet.
    """

    incarnation: Incarnation
    sequences: Annotated[tuple[Count, ...], Meta(max_length=Limits.bucket_count)]
    unreconciled: Annotated[tuple[Incarnation, ...], Meta(max_length=Limits.members_max)] = ()
