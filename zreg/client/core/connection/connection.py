"""The client's connection: to which session, in which phase, and when the client gives it up."""

import enum
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.client.core.commands import (
    ClientState,
    ConnectionChanged,
    SessionReached,
    SessionWelcomed,
)
from zreg.client.core.connection.known_cluster import KnownCluster
from zreg.client.core.connection.outage import Outage
from zreg.client.core.connection.session_dials import NEXT_ADDRESS_SECONDS_MAX, SessionDials
from zreg.client.core.conversation import Conversation
from zreg.config import Config
from zreg.discovery.sightings import LanEvent
from zreg.effects import (
    INFO,
    WARNING,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    Log,
    Peer,
    PeerDelayed,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.hosts import is_loopback_host
from zreg.model import NO_INCARNATION
from zreg.primitives.timing.lease import LeaseTable
from zreg.wire.records.client_messages import Bye, Hello, Moving, Welcome

if TYPE_CHECKING:
    from random import Random

# Before the first attempt after a loss, so that a crowd of clients does not come all at once.
_JITTER_SECONDS_MAX: Final = 0.1
# How long a client stays at a session that meta has not admitted before it looks for another one.
# When the grace of its former session ends, what it published is removed.
_UNADMITTED_SECONDS_MAX: Final = 10.0
_UNADMITTED: Final = "meta has not admitted the session for long: trying others"
_SILENT: Final = "the session was silent for a whole lease"
CLOSED: Final = "the connection was closed"
# What a Welcome may say of its lease; the client's own settings replace anything else.
_LEASE_SECONDS_MIN: Final = 0.1
_LEASE_SECONDS_MAX: Final = 3600.0


class Step(enum.Enum):
    """What moves the client's state."""

    WELCOMED = enum.auto()
    LOST = enum.auto()
    EXPIRED = enum.auto()  # a whole lease has passed since the session was lost
    STOPPED = enum.auto()


TRANSITIONS: Final[Mapping[ClientState, Mapping[Step, ClientState]]] = {
    ClientState.CONNECTING: {
        Step.WELCOMED: ClientState.CONNECTED,
        Step.LOST: ClientState.CONNECTING,
        Step.STOPPED: ClientState.CLOSED,
    },
    ClientState.CONNECTED: {
        # The session asked who the client is, and the client said Hello again.
        Step.WELCOMED: ClientState.CONNECTED,
        Step.LOST: ClientState.SUSPENDED,
        Step.STOPPED: ClientState.CLOSED,
    },
    ClientState.SUSPENDED: {
        Step.WELCOMED: ClientState.CONNECTED,
        Step.LOST: ClientState.SUSPENDED,
        Step.EXPIRED: ClientState.LOST,
        Step.STOPPED: ClientState.CLOSED,
    },
    ClientState.LOST: {
        Step.WELCOMED: ClientState.CONNECTED,
        Step.LOST: ClientState.LOST,
        Step.STOPPED: ClientState.CLOSED,
    },
    ClientState.CLOSED: {},
}


class Phase(enum.Enum):
    """How far the present connection is."""

    PAUSED = enum.auto()  # there is none; the next attempt is at `_due_at`
    DIALLING = enum.auto()  # attempts are under way (`SessionDials`)
    GREETING = enum.auto()  # Hello was sent; Welcome must come before `_due_at`
    OPEN = enum.auto()  # the session has welcomed the client and is judged by its lease


class FormerConnection(msgspec.Struct):
    """The connection that the client keeps while it moves to another session."""

    peer: str
    address: str
    local_host: str
    ping_seconds: float
    # When the client sent something there last.
    sent_at: float

    @property
    def ping_due_at(self) -> float:
        """When the client has to ping, so that its lease there does not expire."""
        return self.sent_at + self.ping_seconds


class SessionConnection:
    """The present connection; and the former one, as long as a move may have to be undone.

    Invariants:
    - As long as there is a former connection, the end of the present one leads back to it.
    - `state` moves only as `TRANSITIONS` says, and each move is an event for the API.
    - The conversation is open exactly in the phase OPEN, until the client is closed.
    - No peer is the present one while DIALLING.
    """

    def __init__(
        self,
        config: Config,
        conversation: Conversation,
        *,
        hello: Hello,
        addresses: Sequence[str],
        rng: "Random",
        discovers: bool = False,
    ) -> None:
        self.state = ClientState.CONNECTING
        self.phase = Phase.PAUSED
        self.address = ""
        self.former: FormerConnection | None = None
        self._config = config
        self._conversation = conversation
        self._hello = hello
        self._rng = rng
        self._due_at = math.inf
        # This machine's end of the present connection.
        self._local_host = ""
        self._cluster = KnownCluster()
        self._outage = Outage(addresses)
        self._dials = SessionDials(config, addresses, self._outage, rng=rng, discovers=discovers)
        # When a lost session's lease has passed; infinite in all states but SUSPENDED.
        self._expires_at = math.inf
        self._greeted_at = 0.0
        # When to leave the present session, as meta has not admitted it; infinite if it has.
        self._leave_at = math.inf
        self._leases = LeaseTable[Peer](config.lease_seconds, now=0.0)
        self.ping_seconds = config.ping_seconds
        self._stall_count = 0

    def statistics(self) -> dict[str, int | str]:
        """Return state and counters, for people."""
        return {
            "state": self.state.value,
            "phase": self.phase.name.lower(),
            "session": self.address,
            "sessions_known": self._dials.known_count,
            "dials": self._dials.count,
            "stalls": self._stall_count + self._leases.stall_count,
        }

    @property
    def cluster_id(self) -> bytes:
        """The cluster of the session; empty if none that was reached knew it."""
        return self._cluster.cluster_id

    # --- making it --------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Connect for the first time."""
        self._outage.begin(now)
        return self.dial(now)

    def dial(self, now: float) -> list[Effect]:
        """Begin the next attempts."""
        self.phase = Phase.DIALLING
        self._conversation.peer = ""
        return self._follow_dials(self._dials.begin(now), now)

    def _follow_dials(self, effects: list[Effect], now: float) -> list[Effect]:
        """Return what the attempts lead to; pause when all of them have failed."""
        self.address, self._due_at = self._dials.address, self._dials.next_at()
        if not self._dials.is_over:
            return effects
        pause, browsing = self._dials.pause(now)
        return [*effects, *browsing, *self._wait(pause, now)]

    def is_attempt(self, peer: Peer) -> bool:
        """Return whether this is the connection of an attempt that is under way."""
        return self._dials.is_attempt(peer)

    def on_attempt(self, event: Local, now: float) -> list[Effect]:
        """Take a fact about an attempt; the first one that succeeds is the present connection."""
        match event:
            case PeerUp():
                chosen, effects = self._dials.choose(event.peer)
                self._conversation.peer, self.address = chosen.peer, chosen.address
                self._local_host = event.local_host
                return [*effects, *self.greet(now)]
            case PeerDelayed():
                self._dials.on_delayed(event.peer, event.detail)
                return []
            case PeerLost():
                self._dials.note_lost(event.peer, event.reason or CLOSED, now)
                return self._follow_dials([], now)
            case PeerIncompatible():
                ended = self._dials.give_up(event.peer, event.detail, now)
                return self._follow_dials(ended, now)
            case _:
                return []

    def greet(self, now: float) -> list[Effect]:
        """Say Hello; the replay waits for the Welcome, which names the cluster."""
        self.phase = Phase.GREETING
        self._conversation.is_open = False
        self._due_at = now + self._config.lease_seconds
        self._greeted_at = now
        reached = Emit(SessionReached(self.address, self._local_host))
        return [reached, self._conversation.send(self._hello, now)]

    def switch(
        self, peer: str, address: str, local_host: str, *, greeted_at: float
    ) -> list[Effect]:
        """Talk with another session from now on, which has welcomed the client; keep the former."""
        conversation = self._conversation
        here = conversation.peer, self.address, self._local_host
        self.former = FormerConnection(*here, self.ping_seconds, conversation.sent_at)
        conversation.peer, self.address, self._local_host = peer, address, local_host
        self._greeted_at = greeted_at
        return [Emit(SessionReached(address, local_host))]

    def _go_back(self, former: FormerConnection, detail: str, now: float) -> list[Effect]:
        """Talk with the former session again, which still holds what the client wants."""
        log = self.log(INFO, "move.failed", back=former.address, reason=detail)
        self.former = None
        self._conversation.close()
        self._conversation.peer = former.peer
        self.address, self._local_host = former.address, former.local_host
        return [log, *self.greet(now)]

    def why_try_another(self, welcome: Welcome) -> str:
        """Return why another session may serve better than the one that welcomes the client.

        The text is empty if this session serves best, or if there is no other to try.
        """
        if self.state is ClientState.CONNECTED or not self._dials.has_untried:
            return ""
        if welcome.session == NO_INCARNATION:
            return "meta has not admitted the session yet, so it cannot register: trying others"
        if self._cluster.is_other(welcome):
            return "the session is of another cluster of the same name: trying others"
        return ""

    def on_welcome(self, welcome: Welcome, now: float) -> list[Effect]:
        """Open the conversation, with the lease that the session grants."""
        self.phase = Phase.OPEN
        found = self._dials.on_welcomed(self.address, welcome.sessions)
        self._begin_lease(welcome, now)
        self._leave_at = math.inf
        if welcome.session == NO_INCARNATION and self._dials.known_count > 1:
            self._leave_at = now + _UNADMITTED_SECONDS_MAX
        self._conversation.open()
        self._conversation.round_trip_seconds = now - self._greeted_at
        self._expires_at = math.inf
        return [
            *_named_sessions(welcome, self._local_host),
            *self._outage.end(now),
            self.log(INFO, "reached", session=str(welcome.session)),
            *found,
            *self._cluster.take(welcome, self.address),
            self._move_state(Step.WELCOMED, f"welcomed by {welcome.session}"),
        ]

    def _begin_lease(self, welcome: Welcome, now: float) -> None:
        lease_seconds, self.ping_seconds = _granted_seconds(welcome, self._config)
        self._stall_count += self._leases.stall_count
        self._leases = LeaseTable[Peer](lease_seconds, now=now)
        self._leases.renew(self._conversation.peer, now)

    # --- judging it -------------------------------------------------------------------------

    def on_sign_of_life(self, now: float) -> None:
        """Renew the session's lease: any record shows that the session lives."""
        self._leases.renew(self._conversation.peer, now)
        self._conversation.heard_at = now

    def tick(self, now: float) -> list[Effect]:
        """Dial when the pause has ended; give up what took too long, or does not serve."""
        if self.phase is Phase.OPEN:
            # Nearly always.
            if now < self._leave_at and not self._leases.expired(now):
                return []
            return self.leave(_UNADMITTED if now >= self._leave_at else _SILENT, now)
        effects: list[Effect] = [*self._outage.warn_if_due(now)]
        if now >= self._expires_at:
            self._expires_at = math.inf
            effects.append(self._move_state(Step.EXPIRED, self._dials.detail))
        return effects + self._go_on(now)

    def _go_on(self, now: float) -> list[Effect]:
        """Take the next step towards a session."""
        if now < self._due_at:
            return []
        if self.phase is Phase.PAUSED:
            return self.dial(now)
        if self.phase is Phase.DIALLING:
            return self._follow_dials(self._dials.tick(now), now)
        return self.move_on("the greeting was not answered: check that a session runs there", now)

    def ping_if_due(self, now: float) -> list[Effect]:
        """Return a Ping if nothing was sent or heard for the session's ping interval.

        While the client waits for a Welcome its pings keep its lease: it may be known already.
        """
        if self.phase not in (Phase.GREETING, Phase.OPEN) or now < self._ping_due_at():
            return []
        return [self._conversation.ping(now)]

    def _ping_due_at(self) -> float:
        conversation = self._conversation
        if self.phase is Phase.GREETING:
            return conversation.sent_at + self.ping_seconds
        return conversation.ping_due_at(self.ping_seconds)

    def next_tick_at(self) -> float:
        """Return when `tick` or a ping is due."""
        match self.phase:
            case Phase.OPEN:
                return min(self._leases.next_look_at(), self._ping_due_at(), self._leave_at)
            case Phase.GREETING:
                due_at = min(self._due_at, self._ping_due_at())
            case _:
                due_at = self._due_at
        return min(due_at, self._outage.due_at, self._expires_at)

    # --- ending it --------------------------------------------------------------------------

    def leave(self, detail: str, now: float) -> list[Effect]:
        """Leave a session that is connected but does not serve; try it again last."""
        address = self.address
        effects = self.move_on(detail, now)
        self._dials.try_last(address)
        return effects

    def move_on(self, detail: str, now: float) -> list[Effect]:
        """Give up a session that may know the client; if it is only slow, it reads `Moving`."""
        return [self._conversation.send(Moving(), now), *self.give_up(detail, now)]

    def give_up(self, detail: str, now: float) -> list[Effect]:
        """Drop a connection that leads nowhere."""
        return [Disconnect(Link.SESSION, self._conversation.peer), *self.on_lost(detail, now)]

    def on_lost(self, detail: str, now: float) -> list[Effect]:
        """Pause before the next attempt: at the same session if it served, else at the next.

        In the middle of a move the former session still serves.
        """
        if self.former is not None:
            return self._go_back(self.former, detail, now)
        effects: list[Effect] = []
        if self.state is ClientState.CONNECTED:
            self._outage.begin(now)
            self._expires_at = now + self._leases.lease_seconds
            pause = self._rng.random() * _JITTER_SECONDS_MAX
            self._dials.try_first(self.address)
            effects.append(self.log(WARNING, "lost", reason=detail))
        else:
            pause, effects = self._dials.pause(now)
        self._dials.note_failure(self.address, detail, now)
        self._conversation.close()
        return [*effects, *self._wait(pause, now)]

    def _wait(self, pause: float, now: float) -> list[Effect]:
        self.phase = Phase.PAUSED
        self._due_at = now + pause
        return [self._move_state(Step.LOST, self._dials.detail)]

    def on_announcement(self, event: LanEvent, now: float) -> list[Effect]:
        """Take what the LAN announces; try a new address soon if none is being tried."""
        effects, has_new = self._dials.on_announcement(event, now)
        if self.phase is Phase.DIALLING:
            return self._follow_dials(effects, now)
        if has_new and self.phase is Phase.PAUSED:
            self._due_at = min(self._due_at, now + NEXT_ADDRESS_SECONDS_MAX)
        return effects

    def stop(self, now: float) -> list[Effect]:
        """Say Bye to a session that knows the client, and close the client."""
        is_known = self.phase in (Phase.GREETING, Phase.OPEN)
        effects: list[Effect] = []
        if self.former is not None:
            effects.append(Send(Link.SESSION, self.former.peer, Bye()))
        if is_known:
            effects.append(self._conversation.send(Bye(), now))
        self._conversation.is_open = False
        return [*effects, self._move_state(Step.STOPPED, "the client was closed")]

    def log(self, level: int, event: str, **fields: str | int) -> Log:
        """Return a log line that names the session's address."""
        return Log(level, f"client.session.{event}", {"address": self.address, **fields})

    def _move_state(self, step: Step, detail: str) -> Emit:
        self.state = TRANSITIONS[self.state][step]
        return Emit(ConnectionChanged(self.state, self.address, detail))


def _granted_seconds(welcome: Welcome, config: Config) -> tuple[float, float]:
    """Return lease and ping interval of a Welcome; if they cannot be, those of the client."""
    lease_seconds, ping_seconds = welcome.lease_seconds, welcome.ping_seconds
    is_sane = _LEASE_SECONDS_MIN <= lease_seconds <= _LEASE_SECONDS_MAX
    if is_sane and 0 < ping_seconds <= lease_seconds / 2:
        return lease_seconds, ping_seconds
    return config.lease_seconds, config.ping_seconds


def _named_sessions(welcome: Welcome, local_host: str) -> list[Effect]:
    """Tell which sessions there are, if that shows where other machines reach this one.

    A session that is not admitted does not know yet, and greets again when it is.
    """
    if welcome.session == NO_INCARNATION or not is_loopback_host(local_host):
        return []
    return [Emit(SessionWelcomed(welcome.sessions))]
