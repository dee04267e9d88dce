"""Records that a client and its session send to each other."""

import enum
from typing import Annotated, Final

from msgspec import Meta

from zreg.model import (
    ZERO,
    Address,
    BodyBytes,
    CheckedDatumName,
    Count,
    DatumName,
    Id,
    Incarnation,
    Label,
    Scope,
    Version,
    check_data_info_id,
)
from zreg.wire.record import Message
from zreg.wire.records.fields import (
    ClusterId,
    Digest,
    Publishers,
    PublisherVersion,
    Removals,
    RequestId,
    Seconds,
)


class Capability(enum.IntFlag):
    """What an end of a client's connection can do beyond the first version of the protocol.

    A receiver ignores the bits that it does not know.
    """

    # Client: it takes several pushes in flight, and after a push that did not fit it is silent
    # until a snapshot comes. Session: it keeps several pushes in flight, so acknowledgements may
    # be gathered.
    GATHERED_ACKS = 1
    # Client: when the session says `Move`, it connects to another session first, and leaves this
    # one when it needs it no more. Session: it takes `Moving` with `is_settled`.
    MOVES = 2


# What this version of zreg can do, as a client and as a session.
CAPABILITIES: Final = Capability.GATHERED_ACKS | Capability.MOVES


class Hello(Message, tag=1, frozen=True, array_like=True, gc=False):
    """Client to session, first record of a connection: identifies the client.

    The session answers `Welcome` or `Refused`. After `Welcome` the client replays what it wants.
    Sessions ignore `library`.
    """

    protocol_version: Count
    client_id: Id
    app: Label = ""
    zone: Label = ""
    data_center: Label = ""
    library: Label = ""
    capabilities: Count = 0


class Welcome(Message, tag=2, frozen=True, array_like=True, gc=False):
    """Session to client, answer to `Hello`: identifies the session.

    It says how often the client pings, how long its lease is, and which other sessions there are.
    """

    protocol_version: Count
    session: Incarnation
    cluster_id: ClusterId
    lease_seconds: Seconds
    ping_seconds: Seconds
    sessions: Annotated[tuple[Address, ...], Meta(max_length=64)] = ()
    capabilities: Count = 0


class Publish(Message, tag=3, frozen=True, array_like=True, gc=False):
    """Client to session: register this publisher at this version.

    The session keeps it registered until the client unpublishes it, leaves or is gone. It answers
    `Accepted` after the data node has accepted the publisher, else `Refused`.
    """

    request_id: RequestId
    publisher_id: Id
    version: PublisherVersion
    data_info_id: CheckedDatumName
    body: BodyBytes

    def __post_init__(self) -> None:
        """Raise `UsageError` for an id that is not allowed."""
        check_data_info_id(self.data_info_id)


class Unpublish(Message, tag=4, frozen=True, array_like=True, gc=False):
    """Client to session: remove this publisher up to this version. Answered like `Publish`."""

    request_id: RequestId
    publisher_id: Id
    version: PublisherVersion
    data_info_id: CheckedDatumName


class Subscribe(Message, tag=5, frozen=True, array_like=True, gc=False):
    """Client to session: subscribe to a datum. The session answers `Accepted`, then sends `Push`.

    The client has the datum at `version`, and its view has the digest `digest`.
    """

    request_id: RequestId
    data_info_id: CheckedDatumName
    scope: Scope
    version: Version = ZERO
    digest: Digest = 0

    def __post_init__(self) -> None:
        """Raise `UsageError` for an id that is not allowed."""
        check_data_info_id(self.data_info_id)


class Unsubscribe(Message, tag=6, frozen=True, array_like=True, gc=False):
    """Client to session: end the subscription. The session answers `Accepted`."""

    request_id: RequestId
    data_info_id: CheckedDatumName
    scope: Scope


class ReplayDone(Message, tag=7, frozen=True, array_like=True, gc=False):
    """Client to session: the replay is complete. The session drops what was not replayed."""


class Push(Message, tag=10, frozen=True, array_like=True, gc=False):
    """Session to client: the datum changed from `source_version` to `version`. Answer: `PushAck`.

    Without a source version the push is a snapshot of everything in scope. It comes in parts; the
    last part has `parts_left` 0. `is_unreconciled`: publishers that the snapshot lacks may still
    exist, so the client keeps them. `is_reset`: the client's version belongs to an earlier history
    of the cluster, so the client replaces its view.
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


def body_bytes(push: Push) -> int:
    """Return the size of the bodies in a push, by which both ends count what is in flight."""
    return sum(len(publisher.body) for publisher in push.publishers)


class PushAck(Message, tag=11, frozen=True, array_like=True, gc=False):
    """Client to session, answer to `Push`: the client's view is at `version` now.

    It confirms all earlier pushes as well. `needs_snapshot`: the push did not fit the view, so the
    session sends a snapshot next.
    """

    data_info_id: CheckedDatumName
    scope: Scope
    version: Version
    needs_snapshot: bool = False


class Bye(Message, tag=14, frozen=True, array_like=True, gc=False):
    """The sender leaves. Not answered.

    From a client: the session removes what the client published. From a session: the client
    connects to another session.
    """


class WhoAreYou(Message, tag=15, frozen=True, array_like=True, gc=False):
    """Session to client: the session does not know the client. It says `Hello` and replays."""


class Moving(Message, tag=16, frozen=True, array_like=True, gc=False):
    """Client to session, last record of a connection: the client goes to another session.

    The client lives, although the connection closes next. The session keeps what the client
    published for the session grace, so that the client has time to publish it elsewhere. Not
    answered.

    `is_settled`: the data nodes have accepted all of it from the other session, at higher versions.
    The session forgets the client at once, and withdraws nothing.
    """

    is_settled: bool = False


class Move(Message, tag=17, frozen=True, array_like=True, gc=False):
    """Session to client: it has too many clients, so go to the session at this address. Optional.

    The client connects there first, replays there, and says `Moving` with `is_settled` here when
    that session serves all that this one served. Until then it keeps its lease here. A client that
    cannot, or has moved lately, stays. Not answered.
    """

    address: Address
