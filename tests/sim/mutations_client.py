"""Rules of clients and of meta, each with what takes it out of the production code."""

from mutations import Patch

from zreg.client.core.connection import connection as connection_module
from zreg.client.core.connection import session_dials as session_dials_module
from zreg.client.core.connection.connection import FormerConnection, SessionConnection
from zreg.client.core.conversation import Conversation, Requester
from zreg.client.core.session_move import SessionMove
from zreg.effects import Effect, Link, Send
from zreg.meta.members.memory.session_graces import SessionGraces
from zreg.model import Membership, Role, Status
from zreg.session.upstream.registered.node_queues import NodeQueues
from zreg.wire.messages import WireMessage
from zreg.wire.records.client_messages import Bye, Moving

_repeat = Conversation._repeat
_settle = SessionMove.settle


def dialling_takes_as_long_as_dying() -> list[Patch]:
    """First attempts at an address give up after 0.2 s: one black hole costs less than a grace."""
    return [(session_dials_module, "_DIAL_SECONDS_MIN", 2.0)]


def a_repeated_request_has_a_new_id() -> list[Patch]:
    """A request keeps its id for as long as it waits: an answer after the resend is an answer."""

    def repeat(self: Conversation, requester: Requester, pause: float, now: float) -> Send:
        requester.request_id = self.new_id()
        return _repeat(self, requester, pause, now)

    return [(Conversation, "_repeat", repeat)]


def replay_done_overtakes() -> list[Patch]:
    """The end of a replay waits behind all publications that the replay names."""

    def send_behind(self: Conversation, message: WireMessage, now: float) -> list[Effect]:
        return [self.send(message, now)]

    return [(Conversation, "send_behind", send_behind)]


def long_replays_are_not_told() -> list[Patch]:
    """Data nodes judge no suspicion while a client has more to replay than its window."""
    return [(NodeQueues, "note_replaying", lambda self, client_id, until: None)]


def clients_leave_without_a_word() -> list[Patch]:
    """A client that leaves a session says so first: a session that is only slow reads it."""
    return [(SessionConnection, "move_on", SessionConnection.give_up)]


def any_session_is_as_good() -> list[Patch]:
    """A client prefers sessions that meta has admitted: others register nothing."""
    return [(SessionConnection, "why_try_another", lambda self, welcome: "")]


def any_session_is_good_for_long() -> list[Patch]:
    """A client leaves a session that meta does not admit while another one's grace runs."""
    return [(connection_module, "_UNADMITTED_SECONDS_MAX", 60.0)]


def grace_runs_always() -> list[Patch]:
    """A grace runs only while the leader is awake and a session renews."""
    return [(SessionGraces, "_is_usable", lambda self, now: True)]


def grace_goes_on_under_a_new_leader() -> list[Patch]:
    """A grace starts whole with each leadership."""

    def follow(self: SessionGraces, membership: Membership) -> None:
        """Give a new leader's graces what another leader may have left of them."""
        self._left._whole_seconds = 5.0
        self._left.follow(m.incarnation for m in membership.of(Role.SESSION, Status.DEPARTED))

    return [(SessionGraces, "follow", follow)]


def a_client_leaves_before_it_is_registered() -> list[Patch]:
    """A client says that it has moved when the other session has registered all that it had."""
    return [(SessionMove, "_left_now", lambda self: 0)]


def the_former_session_is_not_pinged() -> list[Patch]:
    """A client keeps its lease at the former session until it has moved."""
    return [(FormerConnection, "ping_due_at", 1e9)]


def there_is_no_way_back() -> list[Patch]:
    """A client whose new session fails goes back to the former one, which still holds it."""

    def look_anywhere(
        self: SessionConnection, former: FormerConnection, detail: str, now: float
    ) -> list[Effect]:
        self.former = None
        return self.on_lost(detail, now)

    return [(SessionConnection, "_go_back", look_anywhere)]


def a_client_that_has_moved_says_bye() -> list[Patch]:
    """A client says `Moving` at its former session: after a `Bye` that one withdraws publishers."""

    def settle(self: SessionMove) -> list[Effect]:
        return [
            Send(Link.SESSION, effect.peer, Bye())
            if isinstance(effect, Send) and isinstance(effect.message, Moving)
            else effect
            for effect in _settle(self)
        ]

    return [(SessionMove, "settle", settle)]
