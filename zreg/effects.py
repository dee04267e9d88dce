"""The effects that a core returns, the local events that it receives, and the `Core` protocol.

A core decides and returns effects; the reactor (or the simulator) carries them out in list order. A
core receives records of its peers, each with its link, and local events on `Link.LOCAL`.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from zreg.model import Membership
from zreg.wire.messages import Message
from zreg.wire.records.raft_messages import Entry

# Names a peer: its routing id on a link that binds, the name in `Connect` on a link that connects.
Peer = str | bytes


class Link(enum.Enum):
    """A named use of sockets by a core."""

    SESSION = enum.auto()  # a client's DEALER to its session
    CLIENTS = enum.auto()  # a session's ROUTER for clients
    DATA = enum.auto()  # a session's DEALERs to data nodes
    REQUESTS = enum.auto()  # a data node's ROUTER for sessions
    CHANGES = enum.auto()  # a data node's PUB, and the SUBs of sessions to data nodes
    META = enum.auto()  # a node's DEALERs to meta
    EVENTS = (
        enum.auto()
    )  # a session's DEALERs to other nodes, to ask for their events and statistics
    NODES = enum.auto()  # a meta node's ROUTER for nodes and tools
    MEMBERSHIP = enum.auto()  # a meta node's PUB, and the SUBs of nodes to meta
    RAFT_ASK = enum.auto()  # a meta node's REQs to the other meta nodes
    RAFT_ANSWER = enum.auto()  # a meta node's REP for the other meta nodes
    CHECKS = enum.auto()  # a meta node's TCP connections to test whether an address is reachable
    LOCAL = enum.auto()  # no socket: events of this process


# The topic of a bucket has two bytes; all other topics are longer, so that topics never collide.
BEAT_TOPIC = b"beat"
MEMBERSHIP_TOPIC = b"membership"


class Effect(msgspec.Struct, frozen=True, gc=False):
    """The base of all effects: what a core asks its reactor to do."""


class Send(Effect, frozen=True, gc=False):
    """Send a record to one peer. It leaves with all other records for the peer as the turn ends.

    On `RAFT_ANSWER` the peer stands for one request; the core answers it in the turn in which it
    came.
    """

    link: Link
    peer: Peer
    message: Message


class Broadcast(Effect, frozen=True, gc=False):
    """Send a record on a PUB link to all peers that listen to the topic."""

    link: Link
    topic: bytes
    message: Message


class Connect(Effect, frozen=True, gc=False):
    """Connect to an address, under a name. The core then receives `PeerUp` or `PeerLost`.

    The reactor never reconnects by itself: the core decides when and where to connect. On `CHECKS`,
    `PeerUp` means that the listening process has sent its greeting; the reactor has closed that
    connection, and no `PeerLost` follows.
    """

    link: Link
    peer: str
    address: str


class Disconnect(Effect, frozen=True, gc=False):
    """Close a connection, or forget the peer on a link that binds. No `PeerLost` follows."""

    link: Link
    peer: Peer


class Listen(Effect, frozen=True, gc=False):
    """Listen to a topic on all connections of a SUB link, present and future."""

    link: Link
    topic: bytes


class Unlisten(Effect, frozen=True, gc=False):
    """Stop listening to a topic."""

    link: Link
    topic: bytes


class Probe(Effect, frozen=True, gc=False):
    """Test whether a peer of a ROUTER is still connected. `PeerLost` follows if it is not."""

    link: Link
    peer: Peer


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The state machine of Raft after the entry `index` of `term`, and the configuration there."""

    index: int
    term: int
    configuration: bytes
    data: bytes


class Save(Effect, frozen=True, kw_only=True):
    """Write to the journal, in one transaction and in field order, before any later effect.

    Records that were sent before it leave first. `truncate_from`: delete the entries from this
    index on. `compact_to`: delete the entries up to this one. `facts` replace the texts of their
    names. If the write fails, the node ends.
    """

    snapshot: Snapshot | None
    truncate_from: int | None
    compact_to: int | None
    entries: tuple[Entry, ...]
    term: int
    vote: str | None
    facts: dict[str, str] = {}


# The levels of `logging`, which a core does not import.
DEBUG = 10
INFO = 20
WARNING = 30
ERROR = 40


class Log(Effect, frozen=True, gc=False):
    """Write a line to the log: the event in dotted words, a level of `logging`, and fields."""

    level: int
    event: str
    fields: dict[str, str | int | float]


class Flush(Effect, frozen=True, gc=False):
    """Send the records before it now, so that they do not wait for the work that follows."""


class Emit(Effect, frozen=True, gc=False):
    """Hand an event to the application or to the process that runs the core."""

    event: msgspec.Struct


class MembershipTaken(msgspec.Struct, frozen=True):
    """Event: the node has a new membership, which its process writes to the membership cache.

    An empty membership invalidates the cache. Later effects do not wait for the write, and the
    node works without it.
    """

    membership: Membership


class Local(msgspec.Struct, frozen=True):
    """The base of events of this process, which the core receives on `Link.LOCAL`."""


class PeerUp(Local, frozen=True):
    """A connection that `Connect` asked for is established.

    `local_host` is this machine's end of the route to a session; empty on other links.
    """

    link: Link
    peer: Peer
    local_host: str = ""


class PeerHeard(Local, frozen=True):
    """A client was heard for the first time over a connection; it comes before the message.

    `host` is the address at the other end, without a port.
    """

    link: Link
    peer: Peer
    host: str


class PeerDelayed(Local, frozen=True):
    """A connection that `Connect` asked for is not begun yet; `detail` says what it waits for."""

    link: Link
    peer: Peer
    detail: str


# The reasons of `PeerLost`. REFUSED means that no process listens at the address, but only on
# `CHECKS` is that certain.
REFUSED = "refused"
CLOSED = "closed"
CLOSED_EARLY = "closed before the handshake"
HANDSHAKE_FAILED = "handshake failed"
UNREACHABLE = "unreachable"
TIMED_OUT = "timed out"
# A part of the reason, which begins with the name.
UNRESOLVED = "does not resolve"
# The begin of the reason why a node of another cluster cannot be a peer.
OTHER_CLUSTER = "it is of cluster"
# The reasons that say that the peer ended, not that it is silent. ZeroMQ tells the two apart only
# partly: it reports a connection without heartbeats as closed and a silent host as refused.
ENDED = (REFUSED, CLOSED, CLOSED_EARLY, UNREACHABLE)


class PeerLost(Local, frozen=True):
    """A connection was lost or could not be established; `reason` is one of the texts above."""

    link: Link
    peer: Peer
    reason: str = ""


class PeerIncompatible(Local, frozen=True):
    """A message came from a peer of another cluster or protocol; reported for each message."""

    link: Link
    peer: Peer
    detail: str


class PeerSlow(Local, frozen=True):
    """A peer does not read, and its backlog reached the bound; the reactor dropped the records."""

    link: Link
    peer: Peer


class EpochSeen(Local, frozen=True):
    """The header of a message had a higher epoch than the core's own."""

    epoch: int


class HostChanged(Local, frozen=True):
    """Other nodes and clients are told another host of this machine from now on.

    `process_id` are new random bytes: to meta, a node at another address is another process.
    """

    host: str
    process_id: bytes


class Stop(Local, frozen=True):
    """The process ends. The reactor sends what the core returns for this event, then stops."""


class HandOver(Local, frozen=True):
    """The process is about to end: hand over to other nodes. Answered by `HandedOver`.

    A meta node stops leading; a data node gives its buckets to others.
    """


class HandedOver(msgspec.Struct, frozen=True):
    """An event: this node has handed over, or no other node can take over. It may end."""


class Core(Protocol):
    """What the reactor and the simulator run. `now` is the monotonic clock of the caller."""

    @property
    def epoch(self) -> int:
        """The epoch in the header of every message that is sent; 0 if the core has none."""
        ...

    def start(self, now: float) -> Sequence[Effect]:
        """Return the first effects. Called once, before all other methods."""
        ...

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Handle one record or local event."""
        ...

    def tick(self, now: float) -> Sequence[Effect]:
        """Handle what is due: leases, retries, beats. Called at `next_tick_at()` or later."""
        ...

    def settle(self, now: float) -> Iterable[Effect]:
        """End the turn: commit what the turn merged, join answers. Called after input and ticks.

        Each effect is carried out before the next one is taken, so that the core can work in
        between; no other method is called until the iterator ends.
        """
        ...

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due next; None if never."""
        ...

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people and tests."""
        ...
