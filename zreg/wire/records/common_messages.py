"""Records that are used on several links: Accepted, Refused, Ping and Pong."""

from typing import Annotated

from msgspec import Meta

from zreg.config import Limits
from zreg.model import Address, Count
from zreg.wire.record import Message
from zreg.wire.records.fields import Detail, RequestId


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
