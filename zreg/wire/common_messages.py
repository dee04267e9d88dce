"""Records that travel on more than one link: the answers yes and no, and the question for life."""

from typing import Annotated

from msgspec import Meta

from zreg.config import Limits
from zreg.model import Address, Count
from zreg.wire.fields import Detail, RequestId
from zreg.wire.record import Message


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


class Ping(Message, tag=12, frozen=True, array_like=True, gc=False):
    """Either side: answer me. Any traffic is life; this is for when there is none."""


class Pong(Message, tag=13, frozen=True, array_like=True, gc=False):
    """The answer to Ping."""
