"""Simulated processes, and the connections between them."""

from typing import TYPE_CHECKING, NamedTuple

from zreg.effects import Core, Effect, Link, Peer
from zreg.primitives.reports.event_ring import EventRing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import msgspec

    from zreg.testing.sim.disk import SimDisk
    from zreg.wire.messages import Message


class Arrived(NamedTuple):
    """A frame as a receiver gets it: the link, the sender's name there, and the sender's epoch."""

    link: Link
    peer: Peer
    frame: bytes
    epoch: int
    # Which request of a REQ it answers or is.
    number: int


class Connection:
    """One connection: `client` connected under the name `peer`, `server` knows its routing id."""

    def __init__(self, client: "Process", link: Link, peer: str, routing_id: bytes) -> None:
        self.client = client
        self.link = link
        self.peer = peer
        self.routing_id = routing_id
        self.server: Process | None = None
        self.server_link = link
        self.is_open = False
        # The client has closed it: what it sent before still arrives, and then the close.
        self.is_closing = False
        # The server's core has dropped the peer: it hears of it again with the next frame.
        self.is_forgotten = False
        # By direction: frames that wait as the receiver does not read, and whether some were lost.
        self.unread: dict[bool, list[Callable[[], None]]] = {True: [], False: []}
        self.is_overrun = {True: False, False: False}
        self.topics: set[bytes] = set()
        # How many requests a REQ has sent: the answer to any but the last is dropped.
        self.request_count = 0
        # By direction (to the server or not): when its last frame arrives; later frames follow it.
        self.arrives_at = {True: 0.0, False: 0.0}

    def set_topics(self, topics: set[bytes]) -> None:
        """Replace the topics to which the client's SUB listens."""
        self.topics = topics


class Process:
    """One simulated process: a core, the addresses it binds, its connections and its events."""

    def __init__(
        self, name: str, core: Core, binds: dict[Link, str], disk: "SimDisk | None" = None
    ) -> None:
        self.name = name
        self.core = core
        self.binds = binds
        self.disk = disk
        # The next save is written but never synced, and the process dies with it.
        self.dies_at_save = False
        # The request that the REP must answer in this turn, its connection and its number on it.
        self.owed: tuple[Peer, Connection, int] | None = None
        self.is_alive = True
        self.frozen_until = 0.0
        # Whether it has ended, and only its sockets still send.
        self.is_stopping = False
        # What arrived while the process was frozen, in order.
        self.deferred: list[Callable[[], Sequence[Effect]]] = []
        self.dialled: dict[tuple[Link, str], Connection] = {}
        self.accepted: dict[tuple[Link, Peer], Connection] = {}
        self.topics: dict[Link, dict[bytes, None]] = {}
        self.events: list[msgspec.Struct] = []
        # Where its log lines are kept for those who ask; clients keep none.
        ring = getattr(core, "events", None)
        self.event_ring = ring if isinstance(ring, EventRing) else None
        # The core has said that it cannot go on.
        self.has_failed = False
        self.outbox: dict[tuple[Link, Peer], list[Message]] = {}
        self.broadcasts: dict[tuple[Link, bytes], list[Message]] = {}
        self.tick_at: float | None = None
        # A slow process is busy with earlier frames until then.
        self.busy_until = 0.0
        # Since when a tick waits for the frames that keep it busy.
        self.tick_late_since: float | None = None
        # Epochs in headers that the core was told of.
        self.epochs_seen: set[int] = set()
