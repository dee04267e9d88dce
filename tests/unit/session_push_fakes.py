"""A datum that moves, and its subscribers."""

from collections.abc import Sequence
from typing import Any

from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    CONFIG,
    D1,
    PAY,
    TWO,
    V1,
    V2,
)

from zreg.effects import Effect
from zreg.model import Publisher, Removal, Scope, Version
from zreg.primitives.mirror import Verdict
from zreg.primitives.reports.hop_rings import HopRings
from zreg.session.clients.client_table import Client
from zreg.session.clients.pushes.pusher import Pusher
from zreg.session.clients.pushes.subscriber import Subscriber
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.wire.records.client_messages import Push, PushAck

GLOBAL = Scope.GLOBAL


class Datum:
    """A followed datum that moves, and its subscribers."""

    def __init__(self, version: Version | None = V1, *publishers: Publisher) -> None:
        self.followed = FollowedDatum(PAY, D1, 0.0)
        self.pusher = Pusher(CONFIG, HopRings())
        self.now = 0.0
        if version is not None:
            self.followed.mirror.snapshot(version, publishers)
            self.log()

    def log(self) -> None:
        """Note what became visible, as the session does when a turn ends."""
        difference = self.followed.mirror.take_difference()
        if difference.version > difference.source_version:
            self.followed.log.append(difference, self.now)
        self.pusher.wake(self.followed, self.now)

    def change(
        self, version: Version, *publishers: Publisher, gone: Sequence[Removal] = ()
    ) -> None:
        """Take a change."""
        mirror = self.followed.mirror
        assert mirror.hint(mirror.version, version, publishers, gone) is Verdict.APPLIED
        self.log()

    def whole(self, version: Version, *publishers: Publisher, is_partial: bool = False) -> None:
        """Take a snapshot."""
        assert self.followed.mirror.snapshot(version, publishers, is_partial=is_partial)
        self.log()

    def add(self, client: Client, scope: Scope = GLOBAL) -> Subscriber:
        return self.pusher.add(client, self.followed, scope)

    def acked(self, client: Client, scope: Scope = GLOBAL) -> Subscriber:
        """Return a subscriber whose client is up to date."""
        subscriber = self.add(client, scope)
        self.settle()
        self.acknowledge(subscriber, self.followed.mirror.version)
        assert self.settle() == []
        return subscriber

    def in_flight(self, client: Client, version: Version = V2) -> Subscriber:
        """Return a subscriber that was up to date and whose client is pushed one change."""
        subscriber = self.acked(client)
        self.change(version, TWO)
        self.settle()
        return subscriber

    def acknowledge(self, subscriber: Subscriber, version: Version, **fields: bool) -> None:
        ack = PushAck(PAY, subscriber.visibility[0], version, **fields)
        self.pusher.on_push_ack(subscriber, ack, self.now)

    def settle(self) -> list[Effect]:
        return self.pusher.settle(self.now)

    def tick(self, seconds: float) -> list[Effect]:
        self.now += seconds
        return self.pusher.tick(self.now)


def make_client(client_id: bytes = ALICE_ID, zone: str = "z1", data_center: str = "dc1") -> Client:
    client = Client(client_id)
    client.peer = ALICE if client_id == ALICE_ID else BOB
    client.zone, client.data_center = zone, data_center
    return client


def snapshot(
    version: Version, *publishers: Publisher, scope: Scope = GLOBAL, **fields: Any
) -> Push:
    return Push(PAY, scope, None, version, publishers, **fields)


def delta(
    source: Version, version: Version, *publishers: Publisher, gone: Sequence[Removal] = ()
) -> Push:
    return Push(PAY, GLOBAL, source, version, publishers, tuple(gone))
