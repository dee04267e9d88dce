"""Records of several links: answers, signs of life, questions for events and statistics."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import Address, Count, Label
from zreg.wire.record import Message
from zreg.wire.records.fields import Detail, RequestId

# The most events in one answer; with their texts they stay far below a frame.
EVENTS_MAX: Final = 200
# A node has about half as many numbers.
STATISTICS_MAX: Final = 100


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
