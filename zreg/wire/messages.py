"""Every record that travels, with its tag. docs/protocol.md is the specification.

A record is an array `[tag, field, ...]`. Tags are never reused and never change their meaning; a
new field goes to the end, with a default, so that both directions of version skew decode. Requests
are verbs and carry a `request_id` that the answer repeats; facts are participles or nouns.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import (
    NOBODY,
    ZERO,
    Address,
    Body,
    Change,
    CheckedDatumName,
    Count,
    DatumName,
    Id,
    Incarnation,
    Label,
    Member,
    Membership,
    Publisher,
    Removal,
    Scope,
    Version,
)
from zreg.wire import meta_messages as meta
from zreg.wire import raft_messages as raft
from zreg.wire import record
from zreg.wire.membership_messages import MembershipChanges
from zreg.wire.settings_messages import FetchSettings, SetSetting, SettingsReply

# Records of all kinds are known here; the base has a module of its own, as Raft's need it too.
Message = record.Message

PROTOCOL_VERSION: Final = 1

RequestId = Count
ClusterId = Annotated[bytes, Meta(max_length=16)]
Digest = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Detail = Annotated[str, Meta(max_length=Limits.detail_characters_max)]
Seconds = Annotated[float, Meta(gt=0, le=Limits.seconds_max)]
Bucket = Annotated[int, Meta(ge=0, lt=Limits.bucket_count)]
ByteValue = Annotated[int, Meta(ge=0, le=255)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=Limits.ids_per_record_max)]
Publishers = Annotated[tuple[Publisher, ...], Meta(max_length=Limits.publishers_per_record_max)]
Removals = Annotated[tuple[Removal, ...], Meta(max_length=Limits.removals_per_record_max)]
# A publisher's version is at least 1, and below 2**63, like every counter.
PublisherVersion = Annotated[int, Meta(ge=1, le=2**63 - 1)]


# --- client and session ---------------------------------------------------------------------


class Hello(Message, tag=1, frozen=True, array_like=True, gc=False):
    """Client, first record of a connection: who I am. The desired state follows."""

    protocol_version: Count
    client_id: Id
    app: Label = ""
    zone: Label = ""
    data_center: Label = ""
    library: Label = ""


class Welcome(Message, tag=2, frozen=True, array_like=True, gc=False):
    """Session, answer to Hello: who I am, how often to ping, where else to go."""

    protocol_version: Count
    session: Incarnation
    cluster_id: ClusterId
    lease_seconds: Seconds
    ping_seconds: Seconds
    sessions: Annotated[tuple[Address, ...], Meta(max_length=64)] = ()


class Publish(Message, tag=3, frozen=True, array_like=True, gc=False):
    """Client: hold this registration, at this version, until I say otherwise or am gone."""

    request_id: RequestId
    publisher_id: Id
    version: PublisherVersion
    data_info_id: CheckedDatumName
    body: Body


class Unpublish(Message, tag=4, frozen=True, array_like=True, gc=False):
    """Client: drop this registration, up to this version."""

    request_id: RequestId
    publisher_id: Id
    version: PublisherVersion
    data_info_id: CheckedDatumName


class Subscribe(Message, tag=5, frozen=True, array_like=True, gc=False):
    """Client: push me this datum; I have its view at `version`, whose digest is `digest`."""

    request_id: RequestId
    data_info_id: CheckedDatumName
    scope: Scope
    version: Version = ZERO
    digest: Digest = 0


class Unsubscribe(Message, tag=6, frozen=True, array_like=True, gc=False):
    """Client: no more pushes of this datum."""

    request_id: RequestId
    data_info_id: CheckedDatumName
    scope: Scope


class ReplayDone(Message, tag=7, frozen=True, array_like=True, gc=False):
    """Client: that was all of my desired state; drop what you hold for me beside it."""


class Accepted(Message, tag=8, frozen=True, array_like=True, gc=False):
    """Yes, to all of these requests: the data nodes hold it."""

    request_ids: Annotated[tuple[RequestId, ...], Meta(max_length=Limits.ids_per_record_max)]


class Refused(Message, tag=9, frozen=True, array_like=True, gc=False):
    """No, with a code (zreg.errors) and a sentence; request id 0: no single request."""

    request_id: RequestId
    code: Count
    detail: Detail = ""
    epoch: Count = 0
    # Who can say more, where somebody is known to: the leader of meta.
    address: Address = ""


class Push(Message, tag=10, frozen=True, array_like=True, gc=False):
    """Session: the datum went from `source_version` to `version`.

    Without a source version it is a snapshot: all that is in scope, in parts, the last one with
    `parts_left` 0. `is_unreconciled`: what the snapshot lacks may still exist, drop nothing.
    `is_reset`: your version is of another life of the cluster, start from here.
    """

    data_info_id: DatumName
    scope: Scope
    source_version: Version | None
    version: Version
    publishers: Publishers
    removals: Removals = ()
    parts_left: Count = 0
    is_unreconciled: bool = False
    is_reset: bool = False


class PushAck(Message, tag=11, frozen=True, array_like=True, gc=False):
    """Client: applied, I am at `version` now; `needs_snapshot` if the push did not fit my view."""

    data_info_id: CheckedDatumName
    scope: Scope
    version: Version
    needs_snapshot: bool = False


class Ping(Message, tag=12, frozen=True, array_like=True, gc=False):
    """Either side: answer me. Any traffic is life; this is for when there is none."""


class Pong(Message, tag=13, frozen=True, array_like=True, gc=False):
    """The answer to Ping."""


class Bye(Message, tag=14, frozen=True, array_like=True, gc=False):
    """Client: I leave, drop what I published. Session: I stop, go to another session."""


class WhoAreYou(Message, tag=15, frozen=True, array_like=True, gc=False):
    """Session: I do not know you (any more); say Hello and replay."""


# --- session and data -----------------------------------------------------------------------


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


# --- PUB -----------------------------------------------------------------------------------


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


class MembershipChanged(Message, tag=42, frozen=True, array_like=True, gc=False):
    """Meta, on the topic of the membership, at every change and as its beat."""

    cluster_id: ClusterId
    epoch: Count


# --- meta ----------------------------------------------------------------------------------


class Join(Message, tag=50, frozen=True, array_like=True, gc=False):
    """Node to meta: make me a member; `epoch` is the highest that I have seen, in that cluster."""

    request_id: RequestId
    member: Member
    cluster_id: ClusterId
    epoch: Count


class Renew(Message, tag=51, frozen=True, array_like=True, gc=False):
    """Node to meta: I live, and follow the membership at `epoch`."""

    request_id: RequestId
    incarnation: Incarnation
    cluster_id: ClusterId
    epoch: Count


class Renewed(Message, tag=52, frozen=True, array_like=True, gc=False):
    """Meta: your lease is extended; the membership is at `epoch`."""

    request_id: RequestId
    epoch: Count


class Leave(Message, tag=53, frozen=True, array_like=True, gc=False):
    """Node to meta: I stop."""

    request_id: RequestId
    incarnation: Incarnation


class FetchMembership(Message, tag=54, frozen=True, array_like=True, gc=False):
    """Anybody: give me the membership. Also meta to a node that has seen a higher epoch.

    Whoever names an `epoch` follows it and takes `MembershipChanges` too; 0: give me the whole.
    """

    request_id: RequestId
    cluster_id: ClusterId = b""
    epoch: Count = 0


class MembershipReply(Message, tag=55, frozen=True, array_like=True, gc=False):
    """The whole membership; the answer to Join too, then `incarnation` is the joiner's."""

    request_id: RequestId
    membership: Membership
    incarnation: Incarnation = NOBODY
    # What stands in the way of a change now, for people: meta has no leader.
    trouble: Detail = ""


class ReportGone(Message, tag=59, frozen=True, array_like=True, gc=False):
    """Node to meta: my connection to this member was closed or refused. Not answered."""

    reporter: Incarnation
    gone: Incarnation
    cluster_id: ClusterId


WireMessage = (
    Hello
    | Welcome
    | Publish
    | Unpublish
    | Subscribe
    | Unsubscribe
    | ReplayDone
    | Accepted
    | Refused
    | Push
    | PushAck
    | Ping
    | Pong
    | Bye
    | WhoAreYou
    | NodeHello
    | PublishDatum
    | UnpublishDatum
    | FetchChanges
    | Changes
    | Snapshot
    | CompareVersions
    | Versions
    | CompareDigest
    | DigestCompared
    | ComparePublishers
    | PublishersCompared
    | ListDatums
    | DatumsListed
    | Changed
    | Beat
    | MembershipChanged
    | Join
    | Renew
    | Renewed
    | Leave
    | FetchMembership
    | MembershipReply
    | SetSetting
    | FetchSettings
    | SettingsReply
    | raft.RequestVote
    | raft.RequestVoteReply
    | raft.AppendEntries
    | raft.AppendEntriesReply
    | raft.InstallSnapshot
    | raft.InstallSnapshotReply
    | raft.TransferLeader
    | raft.TransferLeaderReply
    | ReportGone
    | meta.IntroduceMeta
    | meta.MetaIntroduced
    | meta.AddMeta
    | meta.RemoveMeta
    | meta.FetchMetaNodes
    | meta.MetaNodesReply
    | meta.MetaDeclined
    | MembershipChanges
)

# ONLY APPEND: a tag is a promise to every version that is out there.
TAGS: Final[dict[int, type[Message]]] = {
    int(str(message.__struct_config__.tag)): message for message in WireMessage.__args__
}
