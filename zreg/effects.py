"""What a core may ask for, what happens to it locally, and the one interface of all cores.

A core decides and returns effects; the reactor carries them out in list order. Whatever reaches a
core is a message: from a peer on a link, or without a tag on `Link.LOCAL`.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from zreg.model import Membership
from zreg.wire.messages import Message
from zreg.wire.raft_messages import Entry

# Who sent this: a routing id on links that bind, the name given to `Connect` on links that connect.
Peer = str | bytes


class Link(enum.Enum):
    """A named use of sockets."""

    SESSION = enum.auto()  # client's DEALER to a session
    CLIENTS = enum.auto()  # session's ROUTER
    DATA = enum.auto()  # DEALERs to data nodes
    REQUESTS = enum.auto()  # data node's ROUTER
    CHANGES = enum.auto()  # data node's PUB, SUBs to data nodes
    META = enum.auto()  # DEALERs to meta
    NODES = enum.auto()  # meta's ROUTER
    MEMBERSHIP = enum.auto()  # meta's PUB, SUBs to meta
    RAFT_ASK = enum.auto()  # REQs to other meta nodes
    RAFT_ANSWER = enum.auto()  # meta's REP
    CHECKS = enum.auto()  # meta's look whether anybody listens at an address
    LOCAL = enum.auto()  # this process


# Topics that are not buckets are longer than the two bytes of a bucket, so they never collide.
BEAT_TOPIC = b"beat"
MEMBERSHIP_TOPIC = b"membership"


class Effect(msgspec.Struct, frozen=True, gc=False):
    """The base of what a core may ask for."""


class Send(Effect, frozen=True, gc=False):
    """Send to one peer; leaves with everything else for that peer when the turn ends.

    On `RAFT_ANSWER` the peer is one request, which is answered in the turn in which it came.
    """

    link: Link
    peer: Peer
    message: Message


class Broadcast(Effect, frozen=True, gc=False):
    """Send to whoever listens to the topic on a PUB link."""

    link: Link
    topic: bytes
    message: Message


class Connect(Effect, frozen=True, gc=False):
    """Connect to an address under a name; answered by `PeerUp` or `PeerLost`.

    The reactor never reconnects by itself: the core decides when, and where to. On `CHECKS` it
    is up when whoever listens has greeted, and closed at once, without a `PeerLost`.
    """

    link: Link
    peer: str
    address: str


class Disconnect(Effect, frozen=True, gc=False):
    """Drop a connection; on links that bind, forget the peer. No `PeerLost` follows."""

    link: Link
    peer: Peer


class Listen(Effect, frozen=True, gc=False):
    """Subscribe to a topic on all connections of a SUB link, present and future."""

    link: Link
    topic: bytes


class Unlisten(Effect, frozen=True, gc=False):
    """The opposite of `Listen`."""

    link: Link
    topic: bytes


class Probe(Effect, frozen=True, gc=False):
    """Find out whether a peer of a ROUTER is still connected: `PeerLost` follows if not."""

    link: Link
    peer: Peer


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """Raft's state machine after the entry `index` of `term`, and the encoded members then."""

    index: int
    term: int
    configuration: bytes
    data: bytes


class Save(Effect, frozen=True, kw_only=True):
    """Have this on disk before anything that follows it; one transaction, in field order.

    What was sent before it leaves first. `truncate_from`: drop the entries from this index on.
    `compact_to`: drop those up to this one. When it cannot be done, the node ends.
    """

    snapshot: Snapshot | None
    truncate_from: int | None
    compact_to: int | None
    entries: tuple[Entry, ...]
    term: int
    vote: str | None


# The levels of `logging`, which a core does not import.
DEBUG = 10
INFO = 20
WARNING = 30
ERROR = 40


class Log(Effect, frozen=True, gc=False):
    """A line for people: an event in dotted words, its level (`logging`'s), its fields."""

    level: int
    event: str
    fields: dict[str, str | int | float]


class Flush(Effect, frozen=True, gc=False):
    """Let what was sent before leave now: what follows takes time, and nobody need wait for it."""


class Emit(Effect, frozen=True, gc=False):
    """Tell the application, or the process around the core."""

    event: msgspec.Struct


class MembershipTaken(msgspec.Struct, frozen=True):
    """An event for the process around a node: keep this membership for the next process.

    An empty one: what was kept counts no more. It is a convenience, and no promise: what happens
    next does not wait for it.
    """

    membership: Membership


class Local(msgspec.Struct, frozen=True):
    """The base of what happens in this process and reaches the core on `Link.LOCAL`."""


class PeerUp(Local, frozen=True):
    """A connection that `Connect` asked for stands."""

    link: Link
    peer: Peer


# Reasons of `PeerLost`. Nobody listens there; on `CHECKS` that is all that it means.
REFUSED = "refused"
CLOSED = "closed"
CLOSED_EARLY = "closed before the handshake"
HANDSHAKE_FAILED = "handshake failed"
UNREACHABLE = "unreachable"
TIMED_OUT = "timed out"
# Those that tell of an end and not of silence, as far as ZeroMQ tells them apart: it says of a
# connection without a heartbeat that it was closed, of a host that does not answer that it refused.
ENDED = (REFUSED, CLOSED, CLOSED_EARLY, UNREACHABLE)


class PeerLost(Local, frozen=True):
    """A connection is gone, or could not be made."""

    link: Link
    peer: Peer
    reason: str = ""


class PeerIncompatible(Local, frozen=True):
    """Whoever this node connected to is of another cluster or protocol; said for each message."""

    link: Link
    peer: Peer
    detail: str


class PeerSlow(Local, frozen=True):
    """A peer does not read: what was sent to it beyond a bound has been dropped."""

    link: Link
    peer: Peer


class EpochSeen(Local, frozen=True):
    """Some peer's header carried an epoch above the core's own."""

    epoch: int


class Stop(Local, frozen=True):
    """Say goodbye; the reactor stops after what this asks for has left."""


class Core(Protocol):
    """What the reactor and the simulator run. `now` is monotonic seconds of the judge's clock."""

    @property
    def epoch(self) -> int:
        """The epoch stamped on what is sent; 0 if the core has none."""
        ...

    def start(self, now: float) -> Sequence[Effect]:
        """Begin: called once, before anything else."""
        ...

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take one message."""
        ...

    def tick(self, now: float) -> Sequence[Effect]:
        """Judge time: leases, retries, beats. Called at `next_tick_at()` or later."""
        ...

    def settle(self, now: float) -> Iterable[Effect]:
        """End the turn: merge what came, join answers. Called after every batch and tick.

        Each effect is carried out before the next is asked for, so work may stand between them;
        nothing else is called meanwhile.
        """
        ...

    def next_tick_at(self) -> float | None:
        """When `tick` is due next."""
        ...

    def statistics(self) -> dict[str, int | float | str]:
        """Counters and sizes, for people and tests."""
        ...
