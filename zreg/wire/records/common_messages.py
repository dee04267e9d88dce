"""Records of several links: answers, signs of life, questions about a node."""

import enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import (
    ZERO,
    Address,
    CheckedDatumName,
    Count,
    Label,
    Version,
)
from zreg.wire.record import Message
from zreg.wire.records.fields import Detail, RequestId

# The most events in one answer; with their texts they stay far below a frame.
EVENTS_MAX: Final = 200
# A node has about half as many numbers.
STATISTICS_MAX: Final = 100
# The hops in one answer: those that a node keeps of one id, with what its replicas acknowledged.
HOPS_MAX: Final = 200


# A node and its incarnation, as `node_id@epoch`.
PeerName = Annotated[str, Meta(max_length=Limits.label_characters_max + 20)]


class Accepted(Message, tag=8, frozen=True, array_like=True, gc=False):
    """Answer to one or more requests: all of them are done.

    A data node has merged the writes. A session has the answers of the data nodes; for `Subscribe`
    and `Unsubscribe` it answers at once. `copies`: how many data nodes hold what was written.
    """

    request_ids: Annotated[tuple[RequestId, ...], Meta(max_length=Limits.ids_per_record_max)]
    copies: Count = 1


class Refused(Message, tag=9, frozen=True, array_like=True, gc=False):
    """Answer to a request: it is refused, with a code (zreg.errors) and a text for people.

    Request id 0: the refusal is not for a single request, but for a frame or the connection.
    """

    request_id: RequestId
    code: Count
    detail: Detail = ""
    epoch: Count = 0
    # With code 14: the address of the leader of meta, if it is known.
    address: Address = ""


class Ping(Message, tag=12, frozen=True, array_like=True, gc=False):
    """Either side of a link: the receiver answers `Pong`. Sent when there is no other traffic."""


class Pong(Message, tag=13, frozen=True, array_like=True, gc=False):
    """Answer to `Ping`."""


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened at a node, as the node noted it.

    No clock is compared: the node says how long ago it was. `number` is one more than that of the
    event before it, and begins with 1 in each process.
    """

    number: Count
    milliseconds_ago: Count
    # A level of `logging`.
    level: Count
    # The event of the log line, in dotted words.
    kind: Label
    # The node, client or id that it is about; empty if it is about the node itself.
    subject: Detail
    # The other fields of the log line.
    detail: Detail


class FetchEvents(Message, tag=77, frozen=True, array_like=True, gc=False):
    """Any peer to any node: send the events after the number `after`, the oldest first.

    An empty `node_id` stands for the receiver; only a session asks another node for its events.
    `life` is that of the last answer: a process that began since then answers from its first event
    on. Answered by `EventsReply` or `Refused`.
    """

    request_id: RequestId
    node_id: Label = ""
    life: Annotated[bytes, Meta(max_length=16)] = b""
    after: Count = 0
    limit: Annotated[int, Meta(ge=1, le=EVENTS_MAX)] = EVENTS_MAX
    # Only events of this kind, or whose kind begins with it and a dot; empty: of all kinds.
    kind: Label = ""
    # Only events that are not older; None: of any age.
    milliseconds_ago_max: Count | None = None


class EventsReply(Message, tag=78, frozen=True, array_like=True, gc=False):
    """Answer to `FetchEvents`: the events of one node, and how to ask for the next ones.

    `life` names the process of the node, and `last` is the number up to which it has looked:
    the next request names both. `is_complete` False: there are more.
    """

    request_id: RequestId
    node_id: Label
    life: Annotated[bytes, Meta(max_length=16)]
    last: Count
    events: Annotated[tuple[Event, ...], Meta(max_length=EVENTS_MAX)]
    is_complete: bool = True


# Up to here a float has each whole number.
STATISTIC_MAX: Final = 2.0**53


class Statistic(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One counter or size of a node, by its name in `GET /v1/status`."""

    name: Label
    value: Annotated[float, Meta(ge=0, le=STATISTIC_MAX)]


class FetchStatistics(Message, tag=82, frozen=True, array_like=True, gc=False):
    """Any peer to any node: send the counters and sizes of a node.

    An empty `node_id` stands for the receiver; only a session asks another node. Answered by
    `StatisticsReply` or `Refused`.
    """

    request_id: RequestId
    node_id: Label = ""


class StatisticsReply(Message, tag=83, frozen=True, array_like=True, gc=False):
    """Answer to `FetchStatistics`: what the core of one node counts.

    `life` names the process, whose counters began with 0. `clock_milliseconds` is its clock, which
    began at any time: the time between two answers of one process is the difference.
    """

    request_id: RequestId
    node_id: Label
    life: Annotated[bytes, Meta(max_length=16)]
    clock_milliseconds: Count
    statistics: Annotated[tuple[Statistic, ...], Meta(max_length=STATISTICS_MAX)]


class HopKind(enum.IntEnum):
    """What happened to a change at one place. A receiver ignores kinds that it does not know."""

    PUBLISHED = 1  # session: the publish of a client arrived
    WITHDRAWN = 2  # session: the unpublish of a client arrived
    FORWARDED = 3  # session: it was sent to the primary, `peer`
    REFUSED = 4  # session: `peer` refused it with the code `count`
    ANSWERED = 5  # session: `peer` accepted it with `count` copies, and the client was told
    MERGED = 6  # data node: the primary merged it
    HINTED = 7  # data node: it got its version, and the hint was sent by PUB
    COMMITTED = 8  # data node: it got its version; subscribers see no difference
    REPLICATED = 9  # data node: the replica `peer` acknowledged it
    ACCEPTED = 10  # data node: it was accepted with `count` copies
    HEARD = 11  # session: the hint arrived with the change in it
    BEHIND = 12  # session: the hint arrived, and the change has to be fetched
    MISSED = 13  # session: a comparison showed that the hint was lost
    FETCHED = 14  # session: the change was fetched; `count` 0: the session had no copy before
    PUSHED = 15  # session: it was pushed to the first of `count` subscribers
    PUSHED_LAST = 16  # session: it was pushed to the last of `count` subscribers, if that was later
    CONFIRMED = 17  # session: the last so far of `count` of `total` subscribers acknowledged it


class Hop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One hop of a change: what happened to it, and how long before the answer.

    `version` is that of the datum, if it is known there; `publisher_id` and `publisher_version` say
    which publish it was, until it is part of a version.
    """

    kind: Count
    microseconds_ago: Count
    version: Version = ZERO
    publisher_id: Annotated[bytes, Meta(max_length=16)] = b""
    publisher_version: Count = 0
    peer: PeerName = ""
    count: Count = 0
    total: Count = 0


class FetchHops(Message, tag=87, frozen=True, array_like=True, gc=False):
    """Any peer to any node: send when the last changes of an id passed through a node.

    An empty `node_id` stands for the receiver; only a session asks another node. Answered by
    `HopsReply` or `Refused`.
    """

    request_id: RequestId
    data_info_id: CheckedDatumName
    node_id: Label = ""


class HopsReply(Message, tag=88, frozen=True, array_like=True, gc=False):
    """Answer to `FetchHops`: the hops that one node has noted of one id, in their order."""

    request_id: RequestId
    node_id: Label
    hops: Annotated[tuple[Hop, ...], Meta(max_length=HOPS_MAX)]
