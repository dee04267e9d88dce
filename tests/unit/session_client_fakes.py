"""What clients say to a session in unit tests, and what the session does for them."""

import logging
from typing import Any

from msgspec.structs import replace
from session_fakes import (
    ALICE,
    CLUSTER_ID,
    CONFIG,
    D1,
    ONE,
    PAY,
    S1,
    Session,
    make_publisher,
    removal_of,
    to_client,
    to_data,
)

from zreg.effects import Effect, Link, Listen, Log, Send, Unlisten
from zreg.errors import RefusedError
from zreg.model import ZERO, Cause, Publisher, Scope, Version
from zreg.primitives.digest import view_digest
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Publish,
    Subscribe,
    Unpublish,
    Welcome,
)
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.data_messages import FetchChanges, PublishDatum, UnpublishDatum

THREE, FOUR = make_publisher(3), make_publisher(4)
GLOBAL = Scope.GLOBAL
GRACE = CONFIG.disconnect_grace_seconds
WELCOME = Welcome(PROTOCOL_VERSION, S1, CLUSTER_ID, 3.0, 1.0, ("tcp://s1:1",), CAPABILITIES)
LISTEN, UNLISTEN = (kind(Link.CHANGES, bucket_topic(bucket_of(PAY))) for kind in (Listen, Unlisten))


def publish(request_id: int, publisher: Publisher = ONE) -> Publish:
    return Publish(request_id, publisher.publisher_id, publisher.version, PAY, publisher.body)


def unpublish(request_id: int, publisher: Publisher = ONE) -> Unpublish:
    return Unpublish(request_id, publisher.publisher_id, publisher.version, PAY)


def subscribe(request_id: int = 5, version: Version = ZERO, *seen: Publisher) -> Subscribe:
    return Subscribe(request_id, PAY, GLOBAL, version, view_digest(seen))


def removal(request_id: int, cause: Cause, publisher: Publisher = ONE) -> list[Effect]:
    return to_data(D1, UnpublishDatum(request_id, PAY, (removal_of(publisher, cause),)))


def refused(request_id: int, error: type[RefusedError], detail: str) -> Refused:
    return Refused(request_id, error.code, detail)


def removed_log(client_id: bytes, cause: str, publishers: int) -> Log:
    fields: dict[str, str | int | float] = {
        "client": client_id.hex(),
        "cause": cause,
        "publishers": publishers,
    }
    return Log(logging.INFO, "client.off", fields)


def changes_and_logs(effects: list[Effect]) -> list[Effect]:
    """Return the effects without digests and beats."""
    kinds = (PublishDatum, UnpublishDatum, FetchChanges)
    return [
        e
        for e in effects
        if not isinstance(e, Send) or e.link is not Link.DATA or isinstance(e.message, kinds)
    ]


def make_session(**config: Any) -> Session:
    """Return a session with one data node that is connected."""
    return Session(D1, config=replace(CONFIG, **config))


def published(session: Session, peer: bytes = ALICE, *publishers: Publisher) -> None:
    """Let a client publish, and the data node accept; requests to data nodes count from 1."""
    for publisher in publishers or (ONE,):
        effects = session.says(peer, publish(1, publisher))
        assert session.accept_all(D1, effects) == to_client(peer, Accepted((1,)))
