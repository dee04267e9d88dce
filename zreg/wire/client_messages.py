"""Records between a client and its session."""

from typing import Annotated

from msgspec import Meta

from zreg.model import (
    ZERO,
    Address,
    Body,
    CheckedDatumName,
    Count,
    DatumName,
    Id,
    Incarnation,
    Label,
    Scope,
    Version,
)
from zreg.wire.fields import (
    ClusterId,
    Digest,
    Publishers,
    PublisherVersion,
    Removals,
    RequestId,
    Seconds,
)
from zreg.wire.record import Message


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


class Bye(Message, tag=14, frozen=True, array_like=True, gc=False):
    """Client: I leave, drop what I published. Session: I stop, go to another session."""


class WhoAreYou(Message, tag=15, frozen=True, array_like=True, gc=False):
    """Session: I do not know you (any more); say Hello and replay."""
