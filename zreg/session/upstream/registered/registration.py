"""One publisher as its session registers it, and the request that tells the data node."""

from typing import Final

import msgspec

from zreg.model import NO_INCARNATION, Cause, DataInfoId, Publisher, Removal
from zreg.session.upstream.data_links import NO_NODE
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Unpublish
from zreg.wire.records.data_messages import PublishDatum, UnpublishDatum

# Causes of which the client itself said nothing.
SUSPICIONS: Final = (Cause.CLOSED, Cause.SILENT)


class Registration(msgspec.Struct, eq=False, gc=False):
    """The newest state of one publisher: `publisher`, or `removal` once it is withdrawn.

    It takes part in no cycle, so the garbage collector leaves it out: there are a million of them.
    """

    name: DataInfoId
    publisher: Publisher
    removal: Removal | None = None
    # The client's request that waits for the answer; 0 if none does.
    client_request_id: int = 0
    # How many data nodes hold its present state; 0 if none has accepted it.
    copies: int = 0
    # The data node in whose queue this registration is.
    peer: str = NO_NODE
    # The request under way there; 0 if there is none.
    request_id: int = 0

    @property
    def is_suspected(self) -> bool:
        """Whether it is withdrawn since its client vanished, of which the client said nothing."""
        return self.removal is not None and self.removal.cause in SUSPICIONS


def unknown_registration(unpublish: Unpublish, client_id: bytes) -> Registration:
    """Return a registration for a withdrawal of a publisher that this session never had."""
    publisher = Publisher(
        unpublish.publisher_id, unpublish.version, client_id, NO_INCARNATION, "", "", "", b""
    )
    return Registration(unpublish.data_info_id, publisher)


def request_of(registration: Registration) -> Message:
    """Return the request that tells a data node of the state of a registration."""
    if registration.removal is None:
        return PublishDatum(registration.request_id, registration.name, registration.publisher)
    return UnpublishDatum(registration.request_id, registration.name, (registration.removal,))
