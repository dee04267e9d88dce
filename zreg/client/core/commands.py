"""What the API tells the client's core, and what the core tells the API.

Commands are verbs, reach the core on `Link.LOCAL` and have no answer of their own: what became of
them comes back as events, which are facts.
"""

import enum

import msgspec

from zreg.effects import Local
from zreg.model import DataInfoId, Publisher, Scope
from zreg.primitives.mirror import Difference
from zreg.wire.data_messages import DatumsListed, ListDatums
from zreg.wire.membership_messages import FetchMembership, MembershipReply

Question = ListDatums | FetchMembership
Answer = DatumsListed | MembershipReply


class ClientState(enum.Enum):
    """How the client stands to the registry, and what that asks of you."""

    CONNECTING = "connecting"
    """No session was reached yet. Publish and subscribe all the same: it is done later. Views are
    empty and not known; if this lasts, check the url and that a session runs there."""

    CONNECTED = "connected"
    """A session holds what you publish and pushes what you subscribe to. Nothing to do."""

    SUSPENDED = "suspended"
    """The session was lost and another one is being looked for. Go on with the views you have
    (they are marked stale); what you publish is replayed by itself."""

    CLOSED = "closed"
    """You closed the client. Make a new one if you need it again."""


class SetPublication(Local, frozen=True):
    """Hold this registration with this body; a new id publishes, a known one republishes."""

    publisher_id: bytes
    data_info_id: DataInfoId
    body: bytes


class WithdrawPublication(Local, frozen=True):
    """Drop this registration; dropping it twice is fine."""

    publisher_id: bytes


class AddSubscription(Local, frozen=True):
    """Follow a datum; `feed_id` is the API's name for it, and stands in all its events."""

    feed_id: int
    data_info_id: DataInfoId
    scope: Scope


class DropSubscription(Local, frozen=True):
    """Follow it no more."""

    feed_id: int


class Ask(Local, frozen=True):
    """Send a question to the session, and say what it answered within `timeout_seconds`."""

    ask_id: int
    question: Question
    timeout_seconds: float


class SessionReached(msgspec.Struct, frozen=True):
    """A connection to this session stands; the Hello leaves now, the replay after its answer."""

    address: str


class ConnectionChanged(msgspec.Struct, frozen=True):
    """The state after a connection was made or lost, or could not be made; and why."""

    state: ClientState
    address: str
    detail: str


class Registered(msgspec.Struct, frozen=True):
    """The data nodes hold the newest state of these publications."""

    publisher_ids: tuple[bytes, ...]


class Withdrawn(msgspec.Struct, frozen=True):
    """These publications are gone from the registry, and from the core."""

    publisher_ids: tuple[bytes, ...]


class PublicationRefused(msgspec.Struct, frozen=True):
    """A session or data node said no; final: it is not asked again by itself."""

    publisher_id: bytes
    code: int
    detail: str
    is_final: bool


class SubscriptionRefused(msgspec.Struct, frozen=True):
    """A session said no; final: it is not asked again by itself."""

    feed_id: int
    code: int
    detail: str
    is_final: bool


class ViewChanged(msgspec.Struct, frozen=True):
    """A view was taken, changed, or confirmed after a reconnect.

    The difference is not visible if only the version moved or the view was confirmed.
    `is_confirmed`: the present session has said so, it is not only what the one before left.
    """

    feed_id: int
    difference: Difference[bytes, Publisher]
    is_confirmed: bool


class Answered(msgspec.Struct, frozen=True):
    """What the session answered to an `Ask`."""

    ask_id: int
    answer: Answer


class AskRefused(msgspec.Struct, frozen=True):
    """The session refused an `Ask`."""

    ask_id: int
    code: int
    detail: str


class Unanswered(msgspec.Struct, frozen=True):
    """Nobody answered an `Ask` in time."""

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
