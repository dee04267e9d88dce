"""Make a session hold what the application wants, and keep it so when sessions die.

The client has one session at a time. On every new connection it replays its whole desired state,
with higher publisher versions, and ends the replay with `ReplayDone`. So what a session, a data
node or the network loses comes back for as long as the client lives.

`connection` chooses the session. `desired_publications`, `desired_subscriptions` and `questions`
hold the desired state. `conversation` sends requests and repeats them until they are
answered. `session_move` goes to another session without a gap.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zreg.client.core.commands import (
    AddSubscription,
    Ask,
    ClientState,
    DropQuestion,
    DropSubscription,
    Event,
    SetPublication,
    WithdrawPublication,
)
from zreg.client.core.connection.connection import CLOSED, Phase, SessionConnection
from zreg.client.core.connection.outage import REFUSED_GREETING
from zreg.client.core.conversation import Conversation, Requester
from zreg.client.core.desired_publications import DesiredPublications, PublicationRecord
from zreg.client.core.desired_subscriptions import DesiredSubscriptions, SubscriptionRecord
from zreg.client.core.questions import QuestionRecord, Questions
from zreg.client.core.session_move import SessionMove
from zreg.config import Config
from zreg.discovery.sightings import BrowseFailed, Sighted, Withdrawn
from zreg.effects import (
    WARNING,
    Effect,
    Emit,
    Link,
    Local,
    Peer,
    PeerDelayed,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
    Stop,
)
from zreg.errors import LimitError, NotPrimaryError, NotReadyError, SessionGoneError
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Bye,
    Hello,
    Move,
    Push,
    ReplayDone,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.data_messages import DatumsListed
from zreg.wire.records.membership_messages import MembershipReply
from zreg.wire.records.settings_messages import SettingsReply

if TYPE_CHECKING:
    from random import Random

LIBRARY: Final = "zreg-python"

# A request that is refused with one of these is repeated: the reason passes.
_TEMPORARY: Final = (NotPrimaryError.code, NotReadyError.code, SessionGoneError.code)


class ClientCore:
    """The client's side of the dialog with a session; pure, one instance per client."""

    def __init__(
        self,
        config: Config,
        *,
        client_id: bytes,
        addresses: Sequence[str],
        app: str,
        rng: "Random",
        discovers: bool = False,
    ) -> None:
        labels = app, config.zone, config.data_center, LIBRARY
        hello = Hello(PROTOCOL_VERSION, client_id, *labels, CAPABILITIES)
        self._conversation = Conversation(config.request_retry_seconds)
        self._connection = SessionConnection(
            config,
            self._conversation,
            hello=hello,
            addresses=addresses,
            rng=rng,
            discovers=discovers,
        )
        self._publications = DesiredPublications(self._conversation)
        self._subscriptions = DesiredSubscriptions(self._conversation)
        self._questions = Questions(self._conversation)
        self._move = SessionMove(
            config,
            self._connection,
            self._conversation,
            self._publications,
            self._subscriptions,
            hello=hello,
        )
        self._unexpected_count = 0

    def __repr__(self) -> str:
        """Show state, session and sizes."""
        return (
            f"<ClientCore {self.state.value} {self._connection.address!r} "
            f"publications={len(self._publications)} subscriptions={len(self._subscriptions)} "
            f"questions={len(self._questions)}>"
        )

    @property
    def state(self) -> ClientState:
        """The state of the connection to the registry."""
        return self._connection.state

    @property
    def heard_at(self) -> float:
        """When the last record of the present session came; 0.0 before one did."""
        return self._conversation.heard_at

    @property
    def round_trip_seconds(self) -> float:
        """How long the last Hello or Ping took to be answered; 0.0 before one was."""
        return self._conversation.round_trip_seconds

    @property
    def epoch(self) -> int:
        """Return 0: a client follows no membership."""
        return 0

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people."""
        return {
            **self._connection.statistics(),
            "publications": len(self._publications),
            "subscriptions": len(self._subscriptions),
            "publishers_seen": self._subscriptions.publisher_count(),
            "asks": len(self._questions),
            "unanswered": len(self._conversation),
            "strange_messages": self._unexpected_count,
            "moves": self._move.count,
        }

    # --- the interface of all cores ---------------------------------------------------------

    def start(self, now: float) -> Sequence[Effect]:
        """Dial the first session."""
        return self._connection.start(now)

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Handle a command, a fact about the connection, or a record of the session."""
        if self._connection.state is ClientState.CLOSED:
            return ()
        if isinstance(message, Local):
            return self._receive_local(message, now)
        if link is not Link.SESSION:
            return ()
        if peer != self._conversation.peer:
            return self._receive_beside(peer, message, now)
        self._connection.on_sign_of_life(now)
        return self._receive_session(message, now)

    def tick(self, now: float) -> Sequence[Effect]:
        """Dial, give up, repeat requests, ping; a client that is closed does nothing more."""
        if self._connection.state is ClientState.CLOSED:
            return ()
        effects = self._questions.drop_late(now)
        effects += self._connection.tick(now)
        ping = self._connection.ping_if_due(now)
        if self._connection.phase is Phase.OPEN:
            effects += self._conversation.send_due(now)
            effects += self._subscriptions.acknowledge(now, is_due=bool(ping))
        if self._move.candidate is not None or self._connection.former is not None:
            effects += self._move.tick(now)
        return effects + ping

    def settle(self, now: float) -> Sequence[Effect]:
        """Send what has waited for the answers of this turn; end a move that has succeeded."""
        if self._connection.former is not None:
            return [*self._conversation.send_waiting(now), *self._move.settle()]
        return self._conversation.send_waiting(now)

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due next; None once the client is closed."""
        connection = self._connection
        if connection.state is ClientState.CLOSED:
            return None
        due_at = connection.next_tick_at()
        if connection.phase is Phase.OPEN:
            retry_at, ack_at = self._conversation.next_retry_at, self._subscriptions.next_ack_at()
            due_at = min(due_at, retry_at, ack_at)
        if self._move.candidate is not None or self._connection.former is not None:
            due_at = min(due_at, self._move.next_tick_at())
        deadline_at = self._questions.next_deadline_at()
        return due_at if deadline_at is None else min(due_at, deadline_at)

    # --- commands and facts -----------------------------------------------------------------

    def _receive_local(self, message: Local, now: float) -> Sequence[Effect]:
        match message:
            case SetPublication():
                return self._publications.set(message, now)
            case WithdrawPublication():
                return self._publications.withdraw(message.publisher_id, now)
            case AddSubscription():
                return self._subscriptions.add(message, now)
            case DropSubscription():
                return self._subscriptions.drop(message.feed_id, now)
            case Ask():
                return self._questions.ask(message, now)
            case DropQuestion():
                self._questions.drop(message.ask_id)
                return ()
            case PeerUp() | PeerDelayed() | PeerLost() | PeerSlow() | PeerIncompatible():
                return self._receive_about_peer(message, now)
            case Sighted() | Withdrawn() | BrowseFailed():
                return self._connection.on_announcement(message, now)
            case Stop():
                return self._connection.stop(now)
            case _:
                return ()

    def _receive_about_peer(
        self, message: PeerUp | PeerDelayed | PeerLost | PeerSlow | PeerIncompatible, now: float
    ) -> Sequence[Effect]:
        if message.peer == self._conversation.peer:
            return self._receive_connection(message, now)
        if self._connection.is_attempt(message.peer):
            return self._connection.on_attempt(message, now)
        return self._move.on_connection(message, now)

    def _receive_connection(self, message: Local, now: float) -> Sequence[Effect]:
        connection = self._connection
        match message:
            case PeerLost():
                return connection.on_lost(message.reason or CLOSED, now)
            case PeerIncompatible():
                return connection.give_up(message.detail, now)
            case PeerUp() | PeerDelayed():
                return ()
            case _:
                # `PeerSlow`: the session does not read. Some of what was dropped is never repeated:
                # acknowledgements, ReplayDone.
                self._conversation.has_dropped = True
                return ()

    # --- records of the sessions -------------------------------------------------------------

    def _receive_beside(self, peer: Peer, message: Message, now: float) -> Sequence[Effect]:
        """Take a record of a session other than the present one, to or from which it moves."""
        if isinstance(message, Welcome) and self._move.may_switch(peer, message):
            return [*self._move.switch(now), *self._on_welcome(message, now)]
        return self._move.receive(peer, message, now)

    def _receive_session(self, message: Message, now: float) -> Sequence[Effect]:
        match message:
            case Push():
                is_open = self._connection.phase is Phase.OPEN
                return self._subscriptions.on_push(message, now) if is_open else ()
            case Accepted():
                return self._publications.on_accepted(message)
            case Refused():
                return self._on_refused(message, now)
            case DatumsListed() | MembershipReply() | SettingsReply():
                return self._questions.on_answer(message)
            case _:
                return self._receive_dialog(message, now)

    def _receive_dialog(self, message: Message, now: float) -> Sequence[Effect]:
        connection = self._connection
        match message:
            case Welcome():
                return self._on_welcome(message, now) if connection.phase is Phase.GREETING else ()
            case WhoAreYou():
                return connection.greet(now) if connection.phase is Phase.OPEN else ()
            case Ping():
                return [self._conversation.send(Pong(), now)]
            case Pong():
                conversation = self._conversation
                conversation.round_trip_seconds = now - conversation.pinged_at
                # The session reads again after messages to it were dropped: replay.
                return connection.greet(now) if self._conversation.has_dropped else ()
            case Bye():
                return connection.leave("the session said goodbye", now)
            case Move():
                return self._move.begin(message, now)
            case _:
                self._unexpected_count += 1
                return ()

    def _on_welcome(self, welcome: Welcome, now: float) -> list[Effect]:
        """Replay everything; at ReplayDone the session drops what the replay did not name.

        Publications wait for room in the window, and ReplayDone for them. Subscriptions come first
        and questions do not wait either: they need no room.
        """
        if detail := self._connection.why_try_another(welcome):
            return self._connection.move_on(detail, now)
        return [
            *self._connection.on_welcome(welcome, now),
            *self._subscriptions.replay(welcome, self._connection.ping_seconds, now),
            *self._publications.replay(now),
            *self._conversation.send_behind(ReplayDone(), now),
            *self._questions.replay(now),
        ]

    def _on_refused(self, refused: Refused, now: float) -> Sequence[Effect]:
        connection = self._connection
        if refused.request_id:
            return self._on_request_refused(refused)
        if connection.phase is Phase.GREETING:
            detail = f"it {REFUSED_GREETING}: {refused.detail}"
            return connection.give_up(detail, now)
        return [connection.log(WARNING, "refused", code=refused.code, detail=refused.detail)]

    def _on_request_refused(self, refused: Refused) -> list[Effect]:
        """Pass a refusal to the owner of the request; only a final one ends the request.

        The registry may have no room for what it held before, because data nodes are gone: then the
        client goes on asking, since the program was told that it is registered.
        """
        owner = self._conversation.owner(refused.request_id)
        had_room = isinstance(owner, PublicationRecord) and owner.was_accepted
        is_full_again = refused.code == LimitError.code and had_room
        is_final = refused.code not in _TEMPORARY and not is_full_again
        if owner is not None and is_final:
            self._conversation.cancel(owner)
        return [Emit(event) for event in self._refusal_events(owner, refused, is_final=is_final)]

    def _refusal_events(
        self, owner: Requester | None, refused: Refused, *, is_final: bool
    ) -> Sequence[Event]:
        match owner:
            case PublicationRecord():
                return self._publications.on_refused(owner, refused, is_final=is_final)
            case SubscriptionRecord():
                return self._subscriptions.on_refused(owner, refused, is_final=is_final)
            case QuestionRecord():
                return self._questions.on_refused(owner, refused, is_final=is_final)
            case _:
                return ()
