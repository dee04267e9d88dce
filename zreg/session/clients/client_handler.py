"""The clients' side of a session: greeting, publishing, replay, and going away.

Every answer that says yes waits until it is true: a publish is accepted when its data node has
accepted it. What a client asks for twice is done once and answered twice.
"""

from collections.abc import Iterable, Sequence

from zreg.config import Config
from zreg.effects import INFO, Disconnect, Effect, Link, Local, Log, Peer, Send
from zreg.errors import (
    LimitError,
    ProtocolVersionError,
    RefusedError,
    UnknownMessageError,
)
from zreg.membership.cluster_member import ClusterMember
from zreg.model import NO_INCARNATION, Cause, Publisher, Role
from zreg.session.clients.client_table import Client, ClientTable
from zreg.session.clients.pending_reason import PendingReason
from zreg.session.clients.subscriptions import Subscriptions
from zreg.session.proxy.meta_proxy import MetaProxy, Question
from zreg.session.upstream.followed_datums import FollowedDatums
from zreg.session.upstream.registration import Record
from zreg.session.upstream.registrations import Registrations
from zreg.wire.client_messages import (
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
from zreg.wire.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.messages import PROTOCOL_VERSION, Message


class ClientHandler:
    """Everything that clients say, and what they are answered."""

    def __init__(
        self,
        config: Config,
        cluster_member: ClusterMember,
        vouching: Registrations,
        following: FollowedDatums,
        operators: MetaProxy,
        *,
        now: float,
    ) -> None:
        self._config = config
        self._cluster_member = cluster_member
        self._registrations = vouching
        self._meta_proxy = operators
        self._waiting = PendingReason(cluster_member, vouching)
        self.clients = ClientTable(config, now=now)
        self.subscriptions = Subscriptions(config, cluster_member, following)
        self._accepted: dict[Peer, list[int]] = {}
        self._strangers: dict[Peer, None] = {}
        self.off_count = 0

    # --- the door -----------------------------------------------------------------------------

    def receive(self, peer: Peer, message: Message | Local, now: float) -> Sequence[Effect]:
        """Take one message from a client."""
        client = self.clients.of_peer(peer)
        if client is None:
            return self._receive_from_stranger(peer, message, now)
        if client.heard_at != now:
            client.heard_at = now
            self.clients.renew(client, now)
        return self._receive_from_client(client, peer, message, now)

    def _receive_from_client(
        self, client: Client, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        match message:
            case Publish():
                return self._publish(client, peer, message)
            case PushAck():
                return self.subscriptions.acknowledged(client, message, now)
            case Ping():
                return [Send(Link.CLIENTS, peer, Pong())]
            case Pong():
                return ()
            case Unpublish():
                return self._unpublish(client, peer, message)
            case Subscribe():
                return self._subscribe(client, peer, message, now)
            case Unsubscribe():
                self._accepted.setdefault(peer, []).append(message.request_id)
                key = (message.data_info_id, message.scope)
                return self.subscriptions.remove(client, [key])
            case ReplayDone():
                return self._replay_done(client)
            case Bye():
                return self._off(client, Cause.BYE)
            case _:
                return self._receive_from_stranger(peer, message, now)

    def _receive_from_stranger(
        self, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take what needs no greeting; ask for one otherwise."""
        match message:
            case Hello():
                return self._hello(peer, message, now)
            case Ping():
                # A connection that pings and was never greeted belongs to a client of before.
                self._strangers[peer] = None
                return [Send(Link.CLIENTS, peer, Pong())]
            case Pong() | Bye() | PushAck() | ReplayDone() | Local():
                return ()
            case Publish() | Unpublish() | Subscribe() | Unsubscribe():
                self._strangers[peer] = None
                return ()
            case _ if isinstance(message, Question):
                return self._meta_proxy.ask(peer, message, now)
            case _:
                name = type(message).__name__
                detail = f"a session does not take {name} from clients"
                return [_refused(peer, 0, UnknownMessageError, detail)]

    # --- requests -----------------------------------------------------------------------------

    def _hello(self, peer: Peer, hello: Hello, now: float) -> Sequence[Effect]:
        if hello.protocol_version != PROTOCOL_VERSION:
            detail = (
                f"this session speaks protocol version {PROTOCOL_VERSION}, the client "
                f"{hello.protocol_version}: install matching versions of zreg"
            )
            return [_refused(peer, 0, ProtocolVersionError, detail)]
        if self.clients.is_full and self.clients.of_id(hello.client_id) is None:
            detail = f"this session has its {self._config.clients_max} clients: try another one"
            return [_refused(peer, 0, LimitError, detail), Send(Link.CLIENTS, peer, Bye())]
        _, former = self.clients.greet(peer, hello, now)
        self._strangers.pop(peer, None)
        effects: list[Effect] = []
        if former is not None:
            effects.append(Disconnect(Link.CLIENTS, former))
        return [*effects, Send(Link.CLIENTS, peer, _welcome(self._cluster_member, self._config))]

    def _publish(self, client: Client, peer: Peer, publish: Publish) -> Sequence[Effect]:
        publisher_id = publish.publisher_id
        record = self._registrations.find(publisher_id)
        if record is not None:
            answer = self._judge_repeated(client, peer, record, publish)
            if answer is not None:
                return answer
        count_max = self._config.publishers_per_client_max
        if publisher_id not in client.publisher_ids and len(client.publisher_ids) >= count_max:
            detail = f"one client publishes at most {count_max} times"
            return [_refused(peer, publish.request_id, LimitError, detail)]
        client.publisher_ids[publisher_id] = None
        if client.unreplayed_publisher_ids:
            client.unreplayed_publisher_ids.pop(publisher_id, None)
        publisher = Publisher(
            publisher_id,
            publish.version,
            client.client_id,
            self._registrations.session,
            client.zone,
            client.data_center,
            client.app,
            publish.body,
        )
        if record is None:
            self._registrations.publish(publish.data_info_id, publisher, publish.request_id)
        else:
            self._registrations.republish(record, publisher, publish.request_id)
        return self._waiting.not_yet(peer, publish)

    def _judge_repeated(
        self, client: Client, peer: Peer, record: Record, publish: Publish
    ) -> Sequence[Effect] | None:
        """Answer a publish of what is on record; None if it is newer and its client's own."""
        held = record.publisher
        if held.client_id != client.client_id or record.name != publish.data_info_id:
            detail = "this publisher id belongs to another client, or to another data id"
            return [_refused(peer, publish.request_id, RefusedError, detail)]
        if publish.version > held.version:
            return None
        # It came twice, or late. The answer to what is on record is the answer to it.
        if record.removal is None and publish.version == held.version:
            client.unreplayed_publisher_ids.pop(held.publisher_id, None)
            if self._registrations.is_accepted(record):
                self._accepted.setdefault(peer, []).append(publish.request_id)
            else:
                record.client_request_id = publish.request_id
                return self._waiting.still_not(peer, publish, record)
        return ()

    def _unpublish(self, client: Client, peer: Peer, unpublish: Unpublish) -> Sequence[Effect]:
        publisher_id = unpublish.publisher_id
        record = self._registrations.find(publisher_id)
        if record is None:
            # A session of before had it: the data node keeps a tombstone all the same.
            record = self._registrations.record_unknown(unpublish, client.client_id)
        elif record.publisher.client_id != client.client_id:
            detail = "this publisher id belongs to another client"
            return [_refused(peer, unpublish.request_id, RefusedError, detail)]
        elif unpublish.version < record.publisher.version:
            # It came late: the client has published again since.
            return ()
        client.unreplayed_publisher_ids.pop(publisher_id, None)
        client.publisher_ids.pop(publisher_id, None)
        # Another session may hold a newer version than this one: the client names its last.
        request_id, version = unpublish.request_id, unpublish.version
        self._registrations.withdraw(record, Cause.UNPUBLISHED, request_id, version=version)
        return ()

    def _subscribe(
        self, client: Client, peer: Peer, subscribe: Subscribe, now: float
    ) -> Sequence[Effect]:
        if self.subscriptions.is_full(client, subscribe):
            count_max = self._config.subscribers_per_client_max
            detail = f"one client subscribes at most {count_max} times"
            return [_refused(peer, subscribe.request_id, LimitError, detail)]
        self._accepted.setdefault(peer, []).append(subscribe.request_id)
        return self.subscriptions.add(client, subscribe, now)

    def _replay_done(self, client: Client) -> Sequence[Effect]:
        """Drop what the client did not name again."""
        for publisher_id in client.unreplayed_publisher_ids:
            client.publisher_ids.pop(publisher_id, None)
        self._withdraw(client.unreplayed_publisher_ids, Cause.NOT_REPLAYED)
        client.unreplayed_publisher_ids.clear()
        return self.subscriptions.remove(client, list(client.unreplayed_subscription_keys))

    def _off(self, client: Client, cause: Cause) -> list[Effect]:
        """Let a client go, with all that it published and subscribed."""
        self.off_count += 1
        self._withdraw(client.publisher_ids, cause)
        effects = self.subscriptions.remove(client, list(client.subscription_keys))
        peer = client.peer
        self.clients.drop(client)
        if peer is not None and cause is Cause.SILENT:
            effects.append(Disconnect(Link.CLIENTS, peer))
        fields: dict[str, str | int | float] = {
            "client": client.client_id.hex(),
            "cause": cause.name.lower(),
            "publishers": len(client.publisher_ids),
        }
        return [*effects, Log(INFO, "client.off", fields)]

    def _withdraw(self, publisher_ids: Iterable[bytes], cause: Cause) -> None:
        for publisher_id in publisher_ids:
            record = self._registrations.find(publisher_id)
            # A data node may have refused it meanwhile.
            if record is not None:
                self._registrations.withdraw(record, cause)

    def acknowledge(self, records: Iterable[Record]) -> None:
        """Answer the requests whose records the data nodes have accepted."""
        for record in records:
            if record.client_request_id:
                client = self.clients.of_id(record.publisher.client_id)
                if client is not None and client.peer is not None:
                    request_ids = self._accepted.setdefault(client.peer, [])
                    request_ids.append(record.client_request_id)
                record.client_request_id = 0

    def refuse(self, record: Record, refused: Refused) -> list[Effect]:
        """Pass on a data node's final no."""
        client = self.clients.of_id(record.publisher.client_id)
        if client is None:
            return []
        client.publisher_ids.pop(record.publisher.publisher_id, None)
        if client.peer is None:
            return []
        answer = Refused(record.client_request_id, refused.code, refused.detail)
        return [Send(Link.CLIENTS, client.peer, answer)]

    # --- the end of a turn, and time ----------------------------------------------------------

    def closed(self, peer: Peer, now: float) -> None:
        """Note that a client's connection is gone."""
        self.clients.close(peer, now)

    def ask_all(self) -> None:
        """Ask every client who it is, so that it says again what it published."""
        for client in self.clients.all():
            if client.peer is not None:
                self._strangers[client.peer] = None

    def send_away(self) -> list[Effect]:
        """Send every client to another session; what it published is its own to say again."""
        return [
            Send(Link.CLIENTS, client.peer, Bye())
            for client in self.clients.all()
            if client.peer is not None
        ]

    def settle(self, now: float) -> list[Effect]:
        """Push, and join the answers of this turn."""
        effects = self.subscriptions.pusher.settle(now)
        for peer, request_ids in self._accepted.items():
            effects.append(Send(Link.CLIENTS, peer, Accepted(tuple(request_ids))))
        self._accepted.clear()
        effects += [Send(Link.CLIENTS, peer, WhoAreYou()) for peer in self._strangers]
        self._strangers.clear()
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Let go who is over, and disconnect who never acknowledges."""
        effects: list[Effect] = []
        for client, cause in self.clients.over(now):
            effects += self._off(client, cause)
        probes, stuck = self.subscriptions.pusher.tick(now)
        effects += probes
        for client in stuck:
            if client.peer is not None:
                effects.append(Disconnect(Link.CLIENTS, client.peer))
                self.clients.close(client.peer, now)
        return effects

    def next_tick_at(self) -> float:
        """When something is due."""
        look, push = self.clients.next_tick_at(), self.subscriptions.pusher.next_tick_at()
        return look if push is None else min(look, push)


def _refused(peer: Peer, request_id: int, error: type[RefusedError], detail: str) -> Effect:
    return Send(Link.CLIENTS, peer, Refused(request_id, error.code, detail))


def _welcome(cluster_member: ClusterMember, config: Config) -> Welcome:
    sessions = [m.address for m in cluster_member.membership.of(Role.SESSION)]
    return Welcome(
        PROTOCOL_VERSION,
        cluster_member.incarnation or NO_INCARNATION,
        cluster_member.membership.cluster_id,
        config.lease_seconds,
        config.ping_seconds,
        tuple(sessions[:64]),
    )
