"""One publisher as its session registers it, and the request that tells the data node."""

from typing import Final

from zreg.model import NO_INCARNATION, Cause, DataInfoId, Publisher, Removal
from zreg.session.upstream.data_links import NO_NODE
from zreg.wire.client_messages import Unpublish
from zreg.wire.data_messages import PublishDatum, UnpublishDatum
from zreg.wire.messages import Message

# Causes of which the client itself said nothing.
SUSPICIONS: Final = (Cause.CLOSED, Cause.SILENT)


class Registration:
    """The newest state of one publisher: `publisher`, or `removal` once it is withdrawn."""

    __slots__ = (
        "client_request_id",
        "copies",
        "name",
        "peer",
        "publisher",
        "removal",
        "request_id",
    )

    def __init__(self, name: DataInfoId, publisher: Publisher) -> None:
        self.name = name
        self.publisher = publisher
        self.removal: Removal | None = None
        # The client's request that waits for the answer; 0 if none does.
        self.client_request_id = 0
        # How many data nodes hold its present state; 0 if none has accepted it.
        self.copies = 0
        # The data node in whose queue this registration is.
        self.peer = NO_NODE
        # The request under way there; 0 if there is none.
        self.request_id = 0

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
