"""Bring a session to hold what the application wants, whatever becomes of sessions.

One session at a time is told. On every new connection the whole desired state is replayed, with
higher publisher versions, and `ReplayDone` ends the replay: what a session, a data node or the
network forgets is not lost as long as the client lives. What is told, `desired` knows; here is to
whom, and when.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from zreg.client.core.addresses import SessionAddresses
from zreg.client.core.commands import (
    AddSubscription,
    Ask,
    ClientState,
    ConnectionChanged,
    DropSubscription,
    SessionReached,
    SetPublication,
    WithdrawPublication,
)
from zreg.client.core.conversation import Conversation
from zreg.client.core.desired import Desired
from zreg.config import Config
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    Log,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
    Stop,
)
from zreg.primitives.backoff import Backoff
from zreg.primitives.lease import LeaseTable
from zreg.wire.client_messages import Bye, Hello, Push, ReplayDone, Welcome, WhoAreYou
from zreg.wire.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.data_messages import DatumsListed
from zreg.wire.membership_messages import MembershipReply
from zreg.wire.messages import PROTOCOL_VERSION, Message

if TYPE_CHECKING:
    from random import Random

LIBRARY: Final = "zreg-python"

# Before the first attempt after a loss, so that a crowd does not come all at once.
_JITTER_SECONDS_MAX: Final = 0.1
# What a Welcome may say of its leases; anything else is replaced by our own settings.
_LEASE_SECONDS_MIN: Final = 0.1
_LEASE_SECONDS_MAX: Final = 3600.0
_INFO: Final = 20
_WARNING: Final = 30


class _Step(enum.Enum):
    """What moves the state."""

    WELCOMED = enum.auto()
    LOST = enum.auto()
    STOPPED = enum.auto()


_TRANSITIONS: Final[Mapping[ClientState, Mapping[_Step, ClientState]]] = {
    ClientState.CONNECTING: {
        _Step.WELCOMED: ClientState.CONNECTED,
        _Step.LOST: ClientState.CONNECTING,
        _Step.STOPPED: ClientState.CLOSED,
    },
    ClientState.CONNECTED: {
        # The session asked who we are, and was told again.
        _Step.WELCOMED: ClientState.CONNECTED,
        _Step.LOST: ClientState.SUSPENDED,
        _Step.STOPPED: ClientState.CLOSED,
    },
    ClientState.SUSPENDED: {
        _Step.WELCOMED: ClientState.CONNECTED,
        _Step.LOST: ClientState.SUSPENDED,
        _Step.STOPPED: ClientState.CLOSED,
    },
    ClientState.CLOSED: {},
}


class _Phase(enum.Enum):
    """How far the present connection is."""

    PAUSED = enum.auto()  # none; the next attempt is at `_due_at`
    DIALLING = enum.auto()  # Connect was asked for, and is given up at `_due_at`
    GREETING = enum.auto()  # Hello was sent, and Welcome is waited for until `_due_at`
    OPEN = enum.auto()  # welcomed: everything may be said


class ClientCore:
    """The client's side of the session dialog; pure, one instance per client."""

    def __init__(
        self, config: Config, *, client_id: bytes, addresses: Sequence[str], app: str, rng: "Random"
    ) -> None:
        self.state = ClientState.CONNECTING
        self._config = config
        self._hello = Hello(
            PROTOCOL_VERSION, client_id, app, config.zone, config.data_center, LIBRARY
        )
        self._rng = rng
        self._addresses = SessionAddresses(addresses, rng=rng)
        self._backoff = Backoff(config.reconnect_seconds_min, config.reconnect_seconds_max, rng=rng)
        self._conversation = Conversation(config.request_retry_seconds)
        self._desired = Desired(self._conversation)
        self._phase = _Phase.PAUSED
        self._due_at = math.inf
        self._address = ""
        self._leases = LeaseTable[Peer](config.lease_seconds, now=0.0)
        self._ping_seconds = config.ping_seconds
        self._owes_replay_done = False
        self._dial_count = self._strange_count = self._stall_count = 0

    def __repr__(self) -> str:
        """Show state and session."""
        return f"<ClientCore {self.state.value} {self._address!r} {self._desired!r}>"

    @property
    def epoch(self) -> int:
        """Return 0: a client follows no membership."""
        return 0

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people."""
        return {
            "state": self.state.value,
            "phase": self._phase.name.lower(),
            "session": self._address,
            "sessions_known": len(self._addresses),
            **self._desired.statistics(),
            "unanswered": len(self._conversation),
            "dials": self._dial_count,
            "stalls": self._stall_count + self._leases.stall_count,
            "strange_messages": self._strange_count,
        }

    # --- the door ---------------------------------------------------------------------------

    def start(self, now: float) -> Sequence[Effect]:
        """Dial the first session."""
        return self._dial(now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take a command, a fact about the connection, or a record of the session."""
        if self.state is ClientState.CLOSED:
            return ()
        if isinstance(message, Local):
            return self._receive_local(message, now)
        if link is not Link.SESSION or peer != self._conversation.peer:
            # What a connection that was given up still had in its queue.
            return ()
        self._leases.renew(peer, now)
        self._conversation.heard_at = now
        return self._receive_session(message, now)

    def tick(self, now: float) -> Sequence[Effect]:
        """Dial, give up, ping, ask again."""
        effects = self._desired.drop_late_asks(now)
        if self._phase is _Phase.OPEN:
            return effects + self._keep_alive(now)
        if now < self._due_at:
            return effects
        if self._phase is _Phase.PAUSED:
            return effects + self._dial(now)
        if self._phase is _Phase.DIALLING:
            return effects + self._give_up("the connection could not be made in time", now)
        return effects + self._give_up("whoever is there does not greet: no session?", now)

    def settle(self, now: float) -> Sequence[Effect]:  # noqa: ARG002 -- part of the interface
        """Return nothing: the reactor joins what a turn sends, there is nothing else to join."""
        return ()

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due next; None once the client is closed."""
        if self.state is ClientState.CLOSED:
            return None
        due_at = self._due_at
        if self._phase is _Phase.OPEN:
            conversation = self._conversation
            due_at = min(
                self._leases.next_look_at(),
                conversation.ping_at(self._ping_seconds),
                conversation.next_retry_at,
            )
        deadline = self._desired.next_deadline()
        return due_at if deadline is None else min(due_at, deadline)

    def _receive_local(self, message: Local, now: float) -> Sequence[Effect]:
        match message:
            case SetPublication():
                return self._desired.set_publication(message, now)
            case WithdrawPublication():
                return self._desired.withdraw(message.publisher_id, now)
            case AddSubscription():
                return self._desired.add_subscription(message, now)
            case DropSubscription():
                return self._desired.drop_subscription(message.feed_id, now)
            case Ask():
                return self._desired.ask(message, now)
            case PeerIncompatible() if message.peer == self._conversation.peer:
                return self._give_up(message.detail, now)
            case PeerUp() | PeerLost() | PeerSlow():
                is_present = message.peer == self._conversation.peer
                return self._receive_connection(message, now) if is_present else ()
            case Stop():
                return self._stop(now)
            case _:
                return ()

    def _receive_connection(
        self, message: PeerUp | PeerLost | PeerSlow, now: float
    ) -> Sequence[Effect]:
        if isinstance(message, PeerUp):
            return self._greet(now) if self._phase is _Phase.DIALLING else ()
        if isinstance(message, PeerLost):
            return self._lose(message.reason or "the connection was closed", now)
        # It does not read: what is unanswered is asked again, only this has no answer.
        self._owes_replay_done = self._phase is _Phase.OPEN
        return ()

    def _receive_session(self, message: Message, now: float) -> Sequence[Effect]:
        match message:
            case Push():
                return self._desired.pushed(message, now) if self._phase is _Phase.OPEN else ()
            case Accepted():
                return self._desired.accepted(message.request_ids)
            case Refused():
                return self._refused(message, now)
            case DatumsListed() | MembershipReply():
                return self._desired.answered(message)
            case _:
                return self._receive_dialog(message, now)

    def _receive_dialog(self, message: Message, now: float) -> Sequence[Effect]:
        match message:
            case Welcome():
                return self._welcomed(message, now) if self._phase is _Phase.GREETING else ()
            case WhoAreYou():
                return self._greet(now) if self._phase is _Phase.OPEN else ()
            case Ping():
                return [self._conversation.say(Pong(), now)]
            case Pong():
                return ()
            case Bye():
                return self._move("it said goodbye", now)
            case _:
                self._strange_count += 1
                return ()

    def _refused(self, refused: Refused, now: float) -> Sequence[Effect]:
        if refused.request_id:
            return self._desired.refused(refused)
        if self._phase is _Phase.GREETING:
            return self._give_up(f"it refused the greeting: {refused.detail}", now)
        return [self._log(_WARNING, "refused", code=refused.code, detail=refused.detail)]

    # --- the connection ---------------------------------------------------------------------

    def _dial(self, now: float) -> list[Effect]:
        self._dial_count += 1
        self._address = self._addresses.next()
        # A name of its own for each attempt tells late messages of an earlier one apart.
        self._conversation.peer = peer = f"session-{self._dial_count}"
        self._phase = _Phase.DIALLING
        self._due_at = now + self._config.request_retry_seconds
        return [Connect(Link.SESSION, peer, self._address)]

    def _greet(self, now: float) -> list[Effect]:
        """Say who we are; the replay waits for the answer, which names the cluster."""
        self._phase = _Phase.GREETING
        self._conversation.is_open = False
        self._due_at = now + self._config.lease_seconds
        reached = Emit(SessionReached(self._address))
        return [reached, self._conversation.say(self._hello, now)]

    def _welcomed(self, welcome: Welcome, now: float) -> list[Effect]:
        self._phase = _Phase.OPEN
        self._addresses.learn(welcome.sessions)
        self._backoff.reset()
        self._begin_lease(welcome, now)
        self._conversation.begin()
        session = str(welcome.session)
        return [
            self._log(_INFO, "reached", session=session),
            self._move_state(_Step.WELCOMED, f"welcomed by {session}"),
            *self._desired.replay(welcome.cluster_id, now),
        ]

    def _begin_lease(self, welcome: Welcome, now: float) -> None:
        lease_seconds, ping_seconds = welcome.lease_seconds, welcome.ping_seconds
        is_sane = _LEASE_SECONDS_MIN <= lease_seconds <= _LEASE_SECONDS_MAX
        if not (is_sane and 0 < ping_seconds <= lease_seconds / 2):
            lease_seconds, ping_seconds = self._config.lease_seconds, self._config.ping_seconds
        self._stall_count += self._leases.stall_count
        self._leases = LeaseTable[Peer](lease_seconds, now=now)
        self._leases.renew(self._conversation.peer, now)
        self._ping_seconds = ping_seconds

    def _keep_alive(self, now: float) -> list[Effect]:
        conversation = self._conversation
        if self._leases.expired(now):
            return self._move("it was silent for a whole lease", now)
        effects = conversation.ask_again(now)
        if self._owes_replay_done and not len(conversation):
            self._owes_replay_done = False
            effects.append(conversation.say(ReplayDone(), now))
        if now >= conversation.ping_at(self._ping_seconds):
            effects.append(conversation.ping(now))
        return effects

    def _move(self, detail: str, now: float) -> list[Effect]:
        """Leave a session that stands but does not serve; it is tried again last."""
        effects = self._give_up(detail, now)
        self._addresses.try_last(self._address)
        return effects

    def _give_up(self, detail: str, now: float) -> list[Effect]:
        """Let go of a connection that leads nowhere."""
        return [Disconnect(Link.SESSION, self._conversation.peer), *self._lose(detail, now)]

    def _lose(self, detail: str, now: float) -> list[Effect]:
        """Look for a session again: the same one at once, or else the next one."""
        effects: list[Effect] = []
        pause = self._rng.random() * _JITTER_SECONDS_MAX
        if self.state is ClientState.CONNECTED:
            self._addresses.try_first(self._address)
            effects.append(self._log(_WARNING, "lost", reason=detail))
        elif self._addresses.is_round_over:
            pause = self._backoff.next_seconds()
        self._conversation.peer = ""
        self._conversation.is_open = False
        self._owes_replay_done = False
        self._phase = _Phase.PAUSED
        self._due_at = now + pause
        return [*effects, self._move_state(_Step.LOST, detail)]

    def _stop(self, now: float) -> list[Effect]:
        is_known = self._phase in (_Phase.GREETING, _Phase.OPEN)
        effects: list[Effect] = [self._conversation.say(Bye(), now)] if is_known else []
        self._conversation.is_open = False
        return [*effects, self._move_state(_Step.STOPPED, "the client was closed")]

    def _move_state(self, step: _Step, detail: str) -> Emit:
        self.state = _TRANSITIONS[self.state][step]
        return Emit(ConnectionChanged(self.state, self._address, detail))

    def _log(self, level: int, what: str, **fields: str | int) -> Log:
        return Log(level, f"client.session.{what}", {"address": self._address, **fields})
