"""What a whole registry decides for its clients, in the memory of one process; pure.

It answers each record as a session with its data nodes does, but at once. It knows no time: no
lease expires by itself.
"""

import fnmatch
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from zreg.config import Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import RefusedError
from zreg.meta.state.applied import Applied
from zreg.meta.state.settings_table import SettingsTable
from zreg.model import (
    Cause,
    DataInfoId,
    Incarnation,
    Membership,
    Publisher,
    RingParameters,
    Scope,
    split_data_info_id,
)
from zreg.session.clients.pushes.subscriber import Visibility
from zreg.testing.fake.fake_datums import FakeDatums
from zreg.testing.fake.fake_subscriber import FakeSubscriber
from zreg.wire.log_commands import ChangeSetting
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.parts import datums_listed
from zreg.wire.records.client_messages import (
    Bye,
    Hello,
    Publish,
    PushAck,
    ReplayDone,
    Subscribe,
    Unpublish,
    Unsubscribe,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply

SESSION: Final = Incarnation(1, "fake")
# Nothing happens by itself: a program that a debugger stops for an hour keeps its publishers.
_LEASE_SECONDS: Final = 3600.0
_PING_SECONDS: Final = 1200.0

Key = tuple[Peer, DataInfoId, Scope]


class KnownClient(msgspec.Struct, frozen=True):
    """A client that has said Hello on its present connection."""

    hello: Hello
    # What it published before and has not named in its replay yet.
    unreplayed: dict[bytes, None]


class RegistryCore:
    """The clients, registrations and subscriptions of a registry, and the faults of tests.

    Invariants:
    - Each key of `_subscribers` belongs to a client of `clients`.
    - While `is_holding`, nothing is pushed; a subscriber remembers what it was sent.
    """

    def __init__(self, cluster_id: bytes) -> None:
        self._cluster_id = cluster_id
        self.clients: dict[Peer, KnownClient] = {}
        self.datums = FakeDatums()
        self._settings = SettingsTable()
        # As in meta, a setting's version is the epoch of its change.
        self._settings_epoch = 0
        self._subscribers: dict[Key, FakeSubscriber] = {}
        # By data id; under None what is refused for every id.
        self.refusals: dict[str | None, RefusedError] = {}
        self.is_holding = False
        # The clients that are not heard, and their connections.
        self._silent: dict[bytes, Peer | None] = {}

    # --- registrations ------------------------------------------------------------------------

    def register(self, name: DataInfoId, publisher: Publisher) -> list[Effect]:
        """Register a publisher, or its newer state, and push what changed."""
        self.datums.register(name, publisher)
        return self._push_to(name)

    def remove(self, publisher_ids: Sequence[bytes], cause: Cause) -> list[Effect]:
        """Remove those of the publishers that are registered, and push what changed."""
        names = self.datums.remove(publisher_ids, cause)
        return [effect for name in names for effect in self._push_to(name)]

    def _listed(self, request: ListDatums) -> DatumsListed:
        matches = re.compile(fnmatch.translate(request.pattern)).match
        page = self.datums.page(matches, request.after, request.limit + 1)
        lines = [DatumSummary(*each) for each in page[: request.limit]]
        return datums_listed(request.request_id, lines, is_complete=len(page) <= request.limit)

    # --- settings -----------------------------------------------------------------------------

    def change_setting(self, name: str, value: str | None) -> Applied:
        """Set a setting; None removes it."""
        applied = self._settings.change(ChangeSetting(name, value), self._settings_epoch)
        self._settings_epoch += applied.is_changed
        return applied

    # --- connections --------------------------------------------------------------------------

    def lose(self, peer: Peer) -> None:
        """Forget a connection. What its client published stays, as on data nodes."""
        self.clients.pop(peer, None)
        for key in [key for key in self._subscribers if key[0] == peer]:
            del self._subscribers[key]

    def expire(self, client_id: bytes) -> list[Effect]:
        """End the lease of a client: it is not heard, and nothing is pushed to it."""
        peers = [peer for peer, known in self.clients.items() if known.hello.client_id == client_id]
        self._silent[client_id] = peers[0] if peers else None
        for peer in peers:
            self.lose(peer)
        return self.remove(self.datums.of_client(client_id), Cause.SILENT)

    def hear_all(self) -> list[Effect]:
        """Hear the clients again whose lease ended; each replays what it wants."""
        peers = [peer for peer in self._silent.values() if peer is not None]
        self._silent.clear()
        return [Send(Link.CLIENTS, peer, WhoAreYou()) for peer in peers]

    # --- records of clients -------------------------------------------------------------------

    def receive(self, peer: Peer, message: Message) -> Sequence[Effect]:
        """Take one record of a client."""
        if peer in self._silent.values():
            return ()
        match message:
            case Hello():
                return self._on_hello(peer, message)
            case FetchMembership():
                return [self._send(peer, self._membership_reply(message))]
            case ListDatums():
                return [self._send(peer, self._listed(message))]
            case FetchSettings():
                settings, is_complete = self._settings.page(
                    message.pattern, message.after, Limits.settings_per_record_max
                )
                reply = SettingsReply(message.request_id, settings, is_complete)
                return [self._send(peer, reply)]
            case _:
                return self._receive_of_dialog(peer, message)

    def _receive_of_dialog(self, peer: Peer, message: Message) -> Sequence[Effect]:
        known = self.clients.get(peer)
        if known is None:
            return self._ask_who(peer, message)
        return self._receive_known(peer, known, message)

    def _receive_known(self, peer: Peer, known: KnownClient, message: Message) -> Sequence[Effect]:
        match message:
            case Ping():
                return [self._send(peer, Pong())]
            case Publish() | Subscribe():
                return self._on_request(peer, known, message)
            case Unpublish():
                accepted = self._send(peer, Accepted((message.request_id,)))
                return [accepted, *self.remove([message.publisher_id], Cause.UNPUBLISHED)]
            case Unsubscribe():
                self._subscribers.pop((peer, message.data_info_id, message.scope), None)
                return [self._send(peer, Accepted((message.request_id,)))]
            case PushAck():
                return self._on_push_ack(peer, message)
            case ReplayDone():
                return self.remove(list(known.unreplayed), Cause.NOT_REPLAYED)
            case Bye():
                self.lose(peer)
                return self.remove(self.datums.of_client(known.hello.client_id), Cause.BYE)
            case _:
                return ()

    def _on_hello(self, peer: Peer, hello: Hello) -> Sequence[Effect]:
        if hello.client_id in self._silent:
            self._silent[hello.client_id] = peer
            return ()
        self.lose(peer)
        unreplayed = dict.fromkeys(self.datums.of_client(hello.client_id))
        self.clients[peer] = KnownClient(hello, unreplayed)
        welcome = Welcome(
            PROTOCOL_VERSION, SESSION, self._cluster_id, _LEASE_SECONDS, _PING_SECONDS
        )
        return [self._send(peer, welcome)]

    def _ask_who(self, peer: Peer, message: Message) -> Sequence[Effect]:
        match message:
            case Ping():
                return [self._send(peer, Pong()), self._send(peer, WhoAreYou())]
            case Publish() | Unpublish() | Subscribe() | Unsubscribe():
                return [self._send(peer, WhoAreYou())]
            case _:
                return ()

    def _on_request(
        self, peer: Peer, known: KnownClient, message: Publish | Subscribe
    ) -> Sequence[Effect]:
        if (error := self._refusal(message.data_info_id)) is not None:
            refused = Refused(message.request_id, error.code, error.detail)
            return [self._send(peer, refused)]
        accepted = self._send(peer, Accepted((message.request_id,)))
        match message:
            case Publish():
                return [accepted, *self._on_publish(known, message)]
            case Subscribe():
                visibility = _visibility(message.scope, known.hello)
                subscriber = FakeSubscriber(message.data_info_id, visibility)
                self._subscribers[peer, message.data_info_id, message.scope] = subscriber
                return [accepted, *self._push(peer, message.data_info_id, subscriber)]

    def _refusal(self, name: DataInfoId) -> RefusedError | None:
        data_id = split_data_info_id(name)[0]
        return self.refusals.get(data_id) or self.refusals.get(None)

    def _on_publish(self, known: KnownClient, publish: Publish) -> list[Effect]:
        hello = known.hello
        known.unreplayed.pop(publish.publisher_id, None)
        labels = hello.zone, hello.data_center, hello.app
        publisher = Publisher(
            publish.publisher_id, publish.version, hello.client_id, SESSION, *labels, publish.body
        )
        return self.register(publish.data_info_id, publisher)

    def _on_push_ack(self, peer: Peer, ack: PushAck) -> list[Effect]:
        subscriber = self._subscribers.get((peer, ack.data_info_id, ack.scope))
        if subscriber is None or not ack.needs_snapshot:
            return []
        subscriber.start_anew()
        return self._push(peer, ack.data_info_id, subscriber)

    # --- pushes -------------------------------------------------------------------------------

    def release(self) -> list[Effect]:
        """Hold no pushes any more; push to each subscriber what it lacks."""
        self.is_holding = False
        return [
            effect
            for (peer, name, _), subscriber in self._subscribers.items()
            for effect in self._push(peer, name, subscriber)
        ]

    def _push_to(self, name: DataInfoId) -> list[Effect]:
        return [
            effect
            for (peer, each, _), subscriber in self._subscribers.items()
            if each == name
            for effect in self._push(peer, name, subscriber)
        ]

    def _push(self, peer: Peer, name: DataInfoId, subscriber: FakeSubscriber) -> list[Effect]:
        if self.is_holding:
            return []
        datums = self.datums
        push = subscriber.next_push(datums.publishers(name), datums.version(name), datums.causes)
        return [] if push is None else [self._send(peer, push)]

    def _membership_reply(self, question: FetchMembership) -> MembershipReply:
        epoch = SESSION.epoch
        membership = Membership(self._cluster_id, epoch, epoch, RingParameters(), ())
        return MembershipReply(question.request_id, membership, SESSION)

    @staticmethod
    def _send(peer: Peer, message: Message) -> Send:
        return Send(Link.CLIENTS, peer, message)


def _visibility(scope: Scope, hello: Hello) -> Visibility:
    match scope:
        case Scope.GLOBAL:
            return (scope, "", "")
        case Scope.DATA_CENTER:
            return (scope, "", hello.data_center)
        case Scope.ZONE:
            return (scope, hello.zone, hello.data_center)
