"""What the API tells the client's core, and what the core tells the API.

Commands are verbs. They reach the core on `Link.LOCAL` and have no answer of their own. Events are
facts: they tell the API what became of its commands.
"""

import enum

import msgspec

from zreg.effects import Local
from zreg.model import DataInfoId, Publisher, Scope
from zreg.primitives.mirror import Difference
from zreg.wire.records.data_messages import DatumsListed, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply

Question = ListDatums | FetchMembership | FetchSettings
Answer = DatumsListed | MembershipReply | SettingsReply


class ClientState(enum.Enum):
    """The state of a client's connection to the registry, and what you have to do about it."""

    CONNECTING = "connecting"
    """The client has not reached a session yet. You can publish and subscribe: the client does both
    once it is connected. Views are empty and not known. If this lasts, check the url, and check
    that a session runs there."""

    CONNECTED = "connected"
    """A session holds what you publish and pushes what you subscribe to. Nothing to do."""

    SUSPENDED = "suspended"
    """The client lost its session and looks for another one. Go on with the views that you have;
    they are marked stale. The client replays what you publish by itself."""

    LOST = "lost"
    """The client has had no session for a whole lease. What you publish may be gone from the views
    of others; your own views are as old as `age_seconds` says. Decide how long you go on with them.
    The client still looks for a session, and publishes all again by itself."""

    CLOSED = "closed"
    """You closed the client, or it failed; its repr and the error of each call say why. Make a new
    one if you need the registry again."""


class SetPublication(Local, frozen=True):
    """Publish this body under a new publisher id, or republish it under a known one."""

    publisher_id: bytes
    data_info_id: DataInfoId
    body: bytes


class WithdrawPublication(Local, frozen=True):
    """Unpublish a registration, if it is published."""

    publisher_id: bytes


class AddSubscription(Local, frozen=True):
    """Follow a datum. `feed_id` names the subscription in all its events."""

    feed_id: int
    data_info_id: DataInfoId
    scope: Scope


class DropSubscription(Local, frozen=True):
    """End a subscription."""

    feed_id: int


class Ask(Local, frozen=True):
    """Pass a question to the session; give it up after `timeout_seconds`."""

    ask_id: int
    question: Question
    timeout_seconds: float


class DropQuestion(Local, frozen=True):
    """Ask no more: the program has stopped waiting for the answer."""

    ask_id: int


class SessionReached(msgspec.Struct, frozen=True):
    """The client is connected to this session and says Hello; the replay follows the Welcome.

    `local_host` is this machine's end of the connection's route; empty if it is not known.
    """

    address: str
    local_host: str = ""


class SessionWelcomed(msgspec.Struct, frozen=True):
    """A session that was reached over loopback has named the sessions of its cluster."""

    sessions: tuple[str, ...]


class ConnectionChanged(msgspec.Struct, frozen=True):
    """The state after a connection was made, lost or not made; `detail` says why."""

    state: ClientState
    address: str
    detail: str


class Registered(msgspec.Struct, frozen=True):
    """The data nodes hold the newest state of these publications, in so many copies."""

    publisher_ids: tuple[bytes, ...]
    copies: int = 1


class Withdrawn(msgspec.Struct, frozen=True):
    """The registry and the core no longer hold these publications."""

    publisher_ids: tuple[bytes, ...]


class PublicationRefused(msgspec.Struct, frozen=True):
    """The registry refused a publication. If it is final, the client does not ask again."""

    publisher_id: bytes
    code: int
    detail: str
    is_final: bool


class SubscriptionRefused(msgspec.Struct, frozen=True):
    """A session refused a subscription. If it is final, the client does not ask again."""

    feed_id: int
    code: int
    detail: str
    is_final: bool


class ViewChanged(msgspec.Struct, frozen=True):
    """A view became known, changed, or was confirmed after a reconnect.

    The difference is not visible if only the version moved or the view was confirmed.
    `is_confirmed`: the present session says that the view is current. Otherwise the view is what
    an earlier session left.
    """

    feed_id: int
    difference: Difference[bytes, Publisher]
    is_confirmed: bool


class Answered(msgspec.Struct, frozen=True):
    """The session answered an `Ask`."""

    ask_id: int
    answer: Answer


class AskRefused(msgspec.Struct, frozen=True):
    """The session refused an `Ask`."""

    ask_id: int
    code: int
    detail: str


class Unanswered(msgspec.Struct, frozen=True):
    """An `Ask` got no answer in time."""

    ask_id: int


Event = (
    SessionReached
    | ConnectionChanged
    | Registered
    | Withdrawn
    | PublicationRefused
    | SubscriptionRefused
    | ViewChanged
    | Answered
    | AskRefused
    | Unanswered
)
