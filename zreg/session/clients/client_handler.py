"""Everything that clients say to a session: greeting, publishing, subscribing, replay, leaving.

A client says Hello first, and then replays all its publications and subscriptions. Questions of
commands need no Hello. `Publishing` and `Subscriptions` act on what the clients want.
"""

from collections.abc import Sequence
from typing import Final

from zreg.config import LABEL, Config
from zreg.effects import INFO, WARNING, Disconnect, Effect, Link, Local, Log, Peer, Send
from zreg.errors import (
    DeniedError,
    LimitError,
    ProtocolVersionError,
    RefusedError,
    UnknownMessageError,
)
from zreg.membership.cluster_member import ClusterMember
from zreg.model import NO_INCARNATION, Cause, Role, is_over_http
from zreg.names import refused_name
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.timing.log_pause import LogPause
from zreg.session.clients.client_table import Client, ClientTable
from zreg.session.clients.pending_reason import PendingReason
from zreg.session.clients.publishing import Publishing, refusal
from zreg.session.clients.pushes.slow_clients import SlowClients
from zreg.session.clients.pushes.subscriptions import Subscriptions
from zreg.session.clients.rebalancing import Rebalancing
from zreg.session.clients.turn_answers import TurnAnswers
from zreg.session.proxy.command_questions import CommandQuestions, Question
from zreg.session.upstream.followed.followed_datums import FollowedDatums
from zreg.session.upstream.registered.registrations import Registrations
from zreg.session.upstream.registered.replays import Replays
from zreg.wire.envelope import version_detail
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Bye,
    Hello,
    Moving,
    Publish,
    PushAck,
    ReplayDone,
    Subscribe,
    Unpublish,
    Unsubscribe,
    Welcome,
)
from zreg.wire.records.common_messages import Ping, Pong

# The most session addresses that a Welcome carries.
_SESSIONS_MAX: Final = 64
# When a tick has removed so many clients, publishers and subscribers, the next one goes on: a host
# or a network that fails may end thousands of clients at once, and 256 records take about 8 ms.
_REMOVED_MAX: Final = 256


class ClientHandler:
    """Takes the messages of clients; ends clients that left or vanished, but not slow ones."""

    def __init__(  # noqa: PLR0913, PLR0917 -- one argument per part
        self,
        config: Config,
        cluster_member: ClusterMember,
        registrations: Registrations,
        replays: Replays,
        followed: FollowedDatums,
        questions: CommandQuestions,
        table: ClientTable,
        *,
        hops: HopRings,
    ) -> None:
        self._config = config
        self._cluster_member = cluster_member
        self._questions = questions
        self._answers = TurnAnswers()
        self._log_pause = LogPause()
        self.slow = SlowClients(config)
        self.pending_reason = PendingReason(cluster_member, registrations)
        self.table = table
        self.publishing = Publishing(
            config,
            self.table,
            registrations,
            replays,
            self.pending_reason,
            self._answers,
            hops=hops,
        )
        self.subscriptions = Subscriptions(config, cluster_member, followed, hops)
        self.rebalancing = Rebalancing(config, cluster_member, self.table)
        self.removed_count = 0

    # --- messages -----------------------------------------------------------------------------

    def receive(self, peer: Peer, message: Message | Local, now: float) -> Sequence[Effect]:
        """Take one message from a client."""
        client = self.table.of_peer(peer)
        if client is None:
            return self._receive_from_unidentified(peer, message, now)
        if client.heard_at != now:
            client.heard_at = now
            self.table.renew(client, now)
        return self._receive_from_client(client, peer, message, now)

    def _receive_from_client(
        self, client: Client, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        match message:
            case Publish():
                return self.publishing.on_publish(client, peer, message, now)
            case PushAck():
                return self.subscriptions.on_push_ack(client, message, now)
            case Ping():
                return [Send(Link.CLIENTS, peer, Pong())]
            case Unpublish():
                return self.publishing.on_unpublish(client, peer, message, now)
            case Subscribe():
                return self._on_subscribe(client, peer, message, now)
            case Unsubscribe():
                self._answers.accept(peer, message.request_id)
                key = (message.data_info_id, message.scope)
                return self.subscriptions.remove(client, [key])
            case ReplayDone():
                return self._on_replay_done(client, peer)
            case Bye():
                return self._remove(client, Cause.BYE)
            case Moving():
                return self._on_moving(client, message)
            case _:
                return self._receive_from_unidentified(peer, message, now)

    def _receive_from_unidentified(
        self, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take a message that needs no greeting; for others, ask the peer to identify itself."""
        match message:
            case Hello():
                return self._on_hello(peer, message, now)
            case Ping():
                # Only a client pings, and this one was greeted by an earlier process here.
                self._answers.ask_who(peer)
                return [Send(Link.CLIENTS, peer, Pong())]
            case Pong() | Bye() | Moving() | PushAck() | ReplayDone() | Local():
                return ()
            case Publish() | Unpublish() | Subscribe() | Unsubscribe():
                self._answers.ask_who(peer)
                return ()
            case _ if isinstance(message, Question):
                return self._questions.ask(peer, message, now)
            case _:
                name = type(message).__name__
                detail = f"a session does not take {name} from clients: see docs/protocol.md"
                return [refusal(peer, 0, UnknownMessageError, detail)]

    def _on_hello(self, peer: Peer, hello: Hello, now: float) -> Sequence[Effect]:
        if hello.protocol_version != PROTOCOL_VERSION:
            detail = version_detail(hello.protocol_version)
            return self._refuse(peer, hello, ProtocolVersionError, detail, now)[:-1]
        if self._is_full_for(hello.client_id):
            detail = f"this session has its {self._config.clients_max} clients: try another one"
            return self._refuse(peer, hello, LimitError, detail, now)
        if (why := _refused_label(hello)) is not None:
            return self._refuse(peer, hello, DeniedError, why, now)
        previous = self.table.of_peer(peer)
        if previous is not None and previous.client_id != hello.client_id:
            self.publishing.end_replay(previous)
        client, former = self.table.greet(peer, hello, now)
        self.publishing.begin_replay(client, now)
        self.publishing.withdrawals.on_client_greeted(hello.client_id)
        self.subscriptions.stop_pushing(client)
        self._answers.on_hello(peer)
        self.slow.on_hello(peer, now)
        effects: list[Effect] = []
        if former is not None:
            self.slow.remove(former)
            effects.append(Disconnect(Link.CLIENTS, former))
        return [*effects, Send(Link.CLIENTS, peer, _welcome(self._cluster_member, self._config))]

    def _refuse(
        self, peer: Peer, hello: Hello, error: type[RefusedError], detail: str, now: float
    ) -> list[Effect]:
        """Refuse a client, and send it away; log it once in a while for each reason."""
        effects: list[Effect] = []
        if self._log_pause.take(error.__name__, now):
            fields: dict[str, str | int | float] = {
                "client": hello.client_id.hex(),
                "code": error.code,
                "detail": detail,
            }
            effects.append(Log(WARNING, "client.refused", fields))
        return [*effects, refusal(peer, 0, error, detail), Send(Link.CLIENTS, peer, Bye())]

    def _is_full_for(self, client_id: bytes) -> bool:
        """Return whether a client would be one too many; one that has ended may still count."""
        withdrawals = self.publishing.withdrawals
        if self.table.of_id(client_id) is not None or withdrawals.has_ended(client_id):
            return False
        return len(self.table) + withdrawals.ended_count >= self._config.clients_max

    def _on_subscribe(
        self, client: Client, peer: Peer, subscribe: Subscribe, now: float
    ) -> Sequence[Effect]:
        if self.subscriptions.is_full(client, subscribe):
            count_max = self._config.subscribers_per_client_max
            detail = f"one client subscribes at most {count_max} times: use several clients"
            return [refusal(peer, subscribe.request_id, LimitError, detail)]
        self._answers.accept(peer, subscribe.request_id)
        return self.subscriptions.add(client, subscribe, now)

    def _on_replay_done(self, client: Client, peer: Peer) -> Sequence[Effect]:
        """Remove what the client did not name in its replay."""
        self.publishing.withdraw_unreplayed(client)
        effects = self.subscriptions.remove(client, list(client.unreplayed_subscription_keys))
        if self.slow.is_replaying(peer):
            self.slow.remove(peer)
            effects.append(Log(INFO, "client.recovered", {"client": client.client_id.hex()}))
        return effects

    # --- slow clients -------------------------------------------------------------------------

    def on_peer_slow(self, peer: Peer, now: float) -> Sequence[Effect]:
        """Push nothing more to a client that does not read, until it has replayed.

        It stays a client: only its lease, the end of its connection or a Bye ends it. A peer that
        has said no Hello has asked questions at most, and asks them again.
        """
        client = self.table.of_peer(peer)
        if client is None:
            return ()
        is_known = peer in self.slow
        self.slow.add(peer, now)
        self.subscriptions.stop_pushing(client)
        self._answers.ask_who(peer)
        if is_known:
            return ()
        return [Log(WARNING, "client.slow", {"client": client.client_id.hex(), "app": client.app})]

    # --- the end of clients -------------------------------------------------------------------

    def on_peer_lost(self, peer: Peer, now: float, *, is_meta_away: bool) -> list[Effect]:
        """Note that a client's connection ended: its grace begins."""
        self.slow.remove(peer)
        client = self.table.close(peer, now, is_meta_away=is_meta_away)
        if client is None:
            return []
        self.publishing.on_connection_lost(client, now)
        count = self.table.judge_total_loss(now)
        return [Log(WARNING, "clients.lost", {"clients": count})] if count else []

    def _remove(self, client: Client, cause: Cause) -> list[Effect]:
        """Remove a client, with all that it published and subscribed."""
        self.removed_count += 1
        self.publishing.withdraw_all(client, cause)
        effects = self.subscriptions.remove(client, list(client.subscription_keys))
        self._forget(client)
        if client.peer is not None and cause is Cause.SILENT:
            effects.append(Disconnect(Link.CLIENTS, client.peer))
        fields: dict[str, str | int | float] = {
            "client": client.client_id.hex(),
            "cause": cause.name.lower(),
            "publishers": len(client.publisher_ids),
        }
        return [*effects, Log(INFO, "client.off", fields)]

    def _on_moving(self, client: Client, moving: Moving) -> Sequence[Effect]:
        """Keep what a client published until it had time to publish it at another session.

        If that session has registered all of it, no data node has it from this session any more: to
        keep it would only make the next digest differ.
        """
        client.is_moving = True
        if not moving.is_settled:
            return ()
        self.rebalancing.on_moved(client)
        self.publishing.forget_all(client)
        effects = self.subscriptions.remove(client, list(client.subscription_keys))
        self._forget(client)
        fields: dict[str, str | int | float] = {
            "client": client.client_id.hex(),
            "publishers": len(client.publisher_ids),
        }
        return [*effects, Log(INFO, "client.moved", fields)]

    def _forget(self, client: Client) -> None:
        self.table.remove(client)
        if client.peer is not None:
            self.slow.remove(client.peer)

    def ask_all(self, now: float) -> None:
        """Ask every connected client to identify itself, so that it replays what it wants."""
        for client in self.table.all():
            if client.peer is not None:
                self._answers.ask_who(client.peer)
                self.publishing.begin_asked_replay(client, now)

    def send_away(self) -> list[Effect]:
        """Send every client to another session; there it publishes everything again."""
        return [Send(Link.CLIENTS, peer, Bye()) for peer in self.table.send_away()]

    # --- the end of a turn, and time ----------------------------------------------------------

    def settle(self, now: float) -> list[Effect]:
        """Push, and send the joined answers of this turn."""
        return self.subscriptions.pusher.settle(now) + self._answers.settle()

    def tick(self, now: float) -> list[Effect]:
        """Remove clients that have expired; look after those that do not read."""
        effects: list[Effect] = []
        record_count = 0
        for client, cause in self.table.expired(now):
            if record_count >= _REMOVED_MAX:
                # The next tick, which is due at once, goes on.
                break
            record_count += 1 + len(client.publisher_ids) + len(client.subscription_keys)
            effects += self._remove(client, cause)
        for peer in self.slow.take_due(now):
            self._answers.ask_who(peer)
        effects += self.rebalancing.tick(now)
        return effects + self.subscriptions.pusher.tick(now)

    def next_tick_at(self) -> float:
        """Return when the next client may expire, or is asked or probed."""
        due = self.table.next_tick_at()
        for at in (self.subscriptions.pusher.next_tick_at(), self.slow.next_tick_at()):
            if at is not None and at < due:
                due = at
        return due

    # --- for people ---------------------------------------------------------------------------

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        pusher = self.subscriptions.pusher
        return {
            "clients": len(self.table),
            "publishes": self.publishing.registered_count,
            "withdrawals": self.publishing.withdrawals.withdrawn_count,
            "publishes_delayed": self.pending_reason.count,
            "publishes_refused": self.publishing.refused_count,
            "subscribers": len(pusher),
            "pushes": pusher.push_count,
            **pusher.lag.statistics(),
            "clients_off": self.removed_count,
            "clients_asked": self.rebalancing.asked_count,
            "clients_moved": self.rebalancing.moved_count,
            "stalls": self.table.stall_count,
        }


def _refused_label(hello: Hello) -> str | None:
    if is_over_http(hello.client_id):
        return "this client id is that of an instance over HTTP: draw one at random"
    return refused_name(
        (LABEL, "app", hello.app),
        (LABEL, "zone", hello.zone),
        (LABEL, "data_center", hello.data_center),
    )


def _welcome(cluster_member: ClusterMember, config: Config) -> Welcome:
    sessions = [member.address for member in cluster_member.membership.of(Role.SESSION)]
    return Welcome(
        PROTOCOL_VERSION,
        cluster_member.incarnation or NO_INCARNATION,
        cluster_member.membership.cluster_id,
        config.lease_seconds,
        config.ping_seconds,
        tuple(sessions[:_SESSIONS_MAX]),
        CAPABILITIES,
    )
