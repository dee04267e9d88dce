"""A move to another session that has fewer clients, because the present session asks for it.

The client connects to the other session first and greets it. Until the Welcome nothing has changed.
Then it talks with that session and replays there, but keeps the former connection, and its lease
there. Once the other session serves all that the former one served, the client says so at the
former one (`Moving`) and leaves it. If the other session fails before, or serves less, the client
goes back to the former one, which still holds everything.

                begin                up                 welcomed
    AT REST ────────────▶ DIALLING ──────▶ GREETING ────────────────▶ SETTLING
       ▲                      │                │                         │
       └──────given up────────┴────────────────┘                         │
       └──────settled, or the former session is gone, or went back───────┘
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from zreg.client.core.connection.connection import FormerConnection, Phase, SessionConnection
from zreg.client.core.connection.outage import REFUSED_GREETING
from zreg.client.core.conversation import Conversation
from zreg.client.core.desired_publications import DesiredPublications
from zreg.client.core.desired_subscriptions import DesiredSubscriptions
from zreg.config import Config
from zreg.effects import (
    INFO,
    Connect,
    Disconnect,
    Effect,
    Link,
    Local,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.model import NO_INCARNATION
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Bye, Hello, Move, Moving, Welcome
from zreg.wire.records.common_messages import Ping, Pong, Refused

_SCHEME: Final = "tcp://"
# A client that has moved, or tried to, stays for so long.
_PAUSE_SECONDS: Final = 120.0
# Nothing waits for the connection, so it may take long.
_DIAL_SECONDS: Final = 2.0
# The other session serves nothing more for so long: the client goes back.
_PROGRESS_SECONDS: Final = 5.0


class Candidate(msgspec.Struct):
    """A connection to the session that may become the present one."""

    peer: str
    address: str
    # The connection to the session that asked for the move.
    asked_by: Peer
    # When it is given up.
    due_at: float
    local_host: str = ""
    greeted_at: float = math.nan
    is_greeted: bool = False


class SessionMove:
    """The connection beside the present one: a candidate before the switch, the former one after.

    Invariants: there is a candidate, or a former connection (`SessionConnection.former`), or none
    of both. Only records of the present connection change what the client holds.
    """

    def __init__(
        self,
        config: Config,
        connection: SessionConnection,
        conversation: Conversation,
        publications: DesiredPublications,
        subscriptions: DesiredSubscriptions,
        *,
        hello: Hello,
    ) -> None:
        self._lease_seconds = config.lease_seconds
        self._connection = connection
        self._conversation = conversation
        self._publications = publications
        self._subscriptions = subscriptions
        self._hello = hello
        self.candidate: Candidate | None = None
        self._allowed_at = -math.inf
        self._attempt_count = 0
        # How much the present session has still to serve, and since when it is so much.
        self._left = 0
        self._left_since = 0.0
        self.count = 0

    @property
    def is_under_way(self) -> bool:
        """Whether there is a second connection."""
        return self.candidate is not None or self._connection.former is not None

    # --- the candidate ------------------------------------------------------------------------

    def begin(self, move: Move, now: float) -> Sequence[Effect]:
        """Connect to the session that the present one names, unless the client moved lately."""
        connection, address = self._connection, move.address
        is_other = address.startswith(_SCHEME) and address != connection.address
        is_free = connection.phase is Phase.OPEN and not self.is_under_way
        if not (is_other and is_free and now >= self._allowed_at):
            return ()
        self._allowed_at = now + _PAUSE_SECONDS
        self._attempt_count += 1
        peer = f"move-{self._attempt_count}"
        self.candidate = Candidate(peer, address, self._conversation.peer, now + _DIAL_SECONDS)
        return [Connect(Link.SESSION, peer, address)]

    def on_connection(self, event: Local, now: float) -> Sequence[Effect]:
        """Take a fact about a connection other than the present one."""
        former, candidate = self._connection.former, self.candidate
        match event:
            case PeerLost() if former is not None and event.peer == former.peer:
                return self._lose_former(event.reason or "the connection was closed")
            case _ if candidate is None or getattr(event, "peer", "") != candidate.peer:
                return ()
            case PeerUp() if not candidate.is_greeted:
                return self._greet(candidate, event.local_host, now)
            case PeerLost():
                self.candidate = None
                return [self._failed(candidate, event.reason or "the connection was closed")]
            case PeerIncompatible():
                return self._give_up(candidate, event.detail)
            case _:
                return ()

    def _greet(self, candidate: Candidate, local_host: str, now: float) -> list[Effect]:
        if why := self._why_too_late(candidate):
            # It lost its session, and may have greeted the same one as the next, or be about to.
            return self._give_up(candidate, why)
        candidate.local_host = local_host
        candidate.is_greeted, candidate.greeted_at = True, now
        candidate.due_at = now + self._lease_seconds
        return [Send(Link.SESSION, candidate.peer, self._hello)]

    def _give_up(self, candidate: Candidate, detail: str) -> list[Effect]:
        self.candidate = None
        peer = candidate.peer
        effects: list[Effect] = []
        if candidate.is_greeted:
            effects.append(Send(Link.SESSION, peer, Moving()))
        return [*effects, Disconnect(Link.SESSION, peer), self._failed(candidate, detail)]

    def _failed(self, candidate: Candidate, detail: str) -> Effect:
        return self._connection.log(INFO, "move.failed", to=candidate.address, reason=detail)

    # --- records of the candidate and of the former session -----------------------------------

    def receive(self, peer: Peer, message: Message, now: float) -> Sequence[Effect]:
        """Take a record of a session that is not the present one; a Welcome: see `switch`."""
        former, candidate = self._connection.former, self.candidate
        if former is not None and peer == former.peer:
            return self._receive_from_former(former, message, now)
        if candidate is None or peer != candidate.peer:
            # A connection that was given up may still have had messages in its queue.
            return ()
        match message:
            case Welcome():
                return self._give_up(candidate, self._why_not(candidate, message))
            case Refused():
                return self._give_up(candidate, f"it {REFUSED_GREETING}: {message.detail}")
            case Bye():
                return self._give_up(candidate, "it said goodbye")
            case _:
                return ()

    def _receive_from_former(
        self, former: FormerConnection, message: Message, now: float
    ) -> Sequence[Effect]:
        match message:
            case Ping():
                former.sent_at = now
                return [Send(Link.SESSION, former.peer, Pong())]
            case Bye():
                moving = Send(Link.SESSION, former.peer, Moving())
                disconnect = Disconnect(Link.SESSION, former.peer)
                return [moving, disconnect, *self._lose_former("the session said goodbye")]
            case _:
                return ()

    def _why_too_late(self, candidate: Candidate) -> str:
        """Return why the move has no reason any more; empty while the session that asked serves."""
        is_open = self._connection.phase is Phase.OPEN
        if is_open and self._conversation.peer == candidate.asked_by:
            return ""
        return "the present session failed meanwhile"

    def _why_not(self, candidate: Candidate, welcome: Welcome) -> str:
        """Return why the client does not move to the session that welcomes it; empty if it does."""
        if why := self._why_too_late(candidate):
            return why
        if welcome.session == NO_INCARNATION:
            return "meta has not admitted it"
        if welcome.cluster_id != self._connection.cluster_id:
            return "it is of another cluster"
        return ""

    # --- the switch, and its end --------------------------------------------------------------

    def may_switch(self, peer: Peer, message: Message) -> bool:
        """Return whether this is the Welcome of a session to which the client can move."""
        candidate = self.candidate
        if candidate is None or not candidate.is_greeted or candidate.peer != peer:
            return False
        return isinstance(message, Welcome) and not self._why_not(candidate, message)

    def switch(self, now: float) -> list[Effect]:
        """Make the candidate the present connection; the caller takes its Welcome next."""
        candidate, self.candidate = self.candidate, None
        assert candidate is not None
        self._publications.begin_move()
        self._subscriptions.begin_move()
        self._left, self._left_since = self._left_now(), now
        return self._connection.switch(
            candidate.peer,
            candidate.address,
            candidate.local_host,
            greeted_at=candidate.greeted_at,
        )

    def _left_now(self) -> int:
        return len(self._publications.unsettled) + len(self._subscriptions.unsettled)

    def settle(self) -> Sequence[Effect]:
        """Leave the former session once the present one serves everything."""
        former = self._connection.former
        if former is None or self._left_now():
            return ()
        self._connection.former = None
        self.count += 1
        return [
            Send(Link.SESSION, former.peer, Moving(is_settled=True)),
            Disconnect(Link.SESSION, former.peer),
            self._connection.log(INFO, "moved", former=former.address),
        ]

    def _lose_former(self, reason: str) -> list[Effect]:
        """Stay with the present session: there is no other one any more."""
        former, self._connection.former = self._connection.former, None
        assert former is not None
        return [self._connection.log(INFO, "moved", former=former.address, reason=reason)]

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Give up what takes too long; keep the lease at the former session."""
        if self.candidate is not None:
            if now < self.candidate.due_at:
                return []
            return self._give_up(self.candidate, "it did not answer in time")
        former, left = self._connection.former, self._left_now()
        if former is None:
            return []
        if left != self._left:
            self._left, self._left_since = left, now
        if now >= self._left_since + _PROGRESS_SECONDS:
            return self._connection.move_on(f"it does not serve {left} of what was served", now)
        if now < former.ping_due_at:
            return []
        former.sent_at = now
        return [Send(Link.SESSION, former.peer, Ping())]

    def next_tick_at(self) -> float:
        """Return when `tick` is due; infinity if there is no second connection."""
        if self.candidate is not None:
            return self.candidate.due_at
        former = self._connection.former
        if former is None:
            return math.inf
        return min(former.ping_due_at, self._left_since + _PROGRESS_SECONDS)
