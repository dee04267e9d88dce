"""The questions that the pages of a session ask its core, and the core's answers to them.

A page may also ask what a command may ask: `ListDatums`, `FetchMembership` and the requests to
meta. Each answer is one page of bounded size, in the order of ids; `next_after` continues it.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.model import DataInfoId, Publisher, Scope, Version

PAGE_LINES_MAX: Final = 1000

Limit = Annotated[int, Meta(ge=1, le=PAGE_LINES_MAX)]


class ReadService(msgspec.Struct, frozen=True):
    """Ask for the publishers of a datum, after a publisher id. Answer: `ServiceRead`.

    The session follows the datum for a while, and so answers the next pages at once. An empty zone
    or data center stands for all of them.
    """

    name: DataInfoId
    after: bytes
    limit: Limit
    zone: str = ""
    data_center: str = ""


class ServiceRead(msgspec.Struct, frozen=True):
    """Some publishers of a datum, and how many the datum has in all.

    `is_complete` False: the data node cannot say yet whether there are more.
    """

    name: DataInfoId
    version: Version
    publisher_count: int
    is_complete: bool
    publishers: tuple[Publisher, ...]
    next_after: bytes | None


class ReadSubscribers(msgspec.Struct, frozen=True):
    """Ask for this session's subscribers of a datum, after a client id. Answer: below."""

    name: DataInfoId
    after: bytes
    limit: Limit


class SubscriberLine(msgspec.Struct, frozen=True):
    """One client that subscribes to a datum here.

    `version` is what it has when it has taken all that was sent; None: nothing was sent yet.
    `is_behind`: something that it sees has changed since, and is not sent yet.
    """

    client_id: bytes
    app: str
    zone: str
    data_center: str
    scopes: tuple[Scope, ...]
    version: Version | None
    pushes_in_flight: int
    is_behind: bool


class SubscribersRead(msgspec.Struct, frozen=True):
    """Some subscribers of a datum at this session, one line for each client."""

    name: DataInfoId
    subscribers: tuple[SubscriberLine, ...]
    next_after: bytes | None


class ReadClients(msgspec.Struct, frozen=True):
    """Ask for the clients of this session, after a client id. An empty app stands for all."""

    after: bytes
    limit: Limit
    app: str = ""


class ClientLine(msgspec.Struct, frozen=True):
    """One client of this session; not connected: its grace to come back runs."""

    client_id: bytes
    app: str
    zone: str
    data_center: str
    is_connected: bool
    is_slow: bool
    seconds: float
    publisher_count: int
    subscription_count: int


class ClientsRead(msgspec.Struct, frozen=True):
    """Some clients of this session, and how many it has in all."""

    client_count: int
    clients: tuple[ClientLine, ...]
    next_after: bytes | None
