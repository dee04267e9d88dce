"""The connections of a node to data nodes: made, made again, and reported to meta when they end.

Each incarnation of a data node has connections of its own, named after the incarnation, so that an
answer of a predecessor is never mistaken for one of its successor.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from zreg.config import Config
from zreg.effects import ENDED, Connect, Disconnect, Effect, Link, PeerLost, PeerUp
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.leader_reports import report_gone
from zreg.model import Incarnation, Member
from zreg.primitives.timing.backoff import Backoff
from zreg.primitives.timing.deadlines import Deadlines

if TYPE_CHECKING:
    from random import Random


class DataConnection:
    """One connection to a data node: for requests, or for what the node announces."""

    __slots__ = ("address", "backoff", "incarnation", "is_up", "reported_to")

    def __init__(self, incarnation: Incarnation, address: str, backoff: Backoff) -> None:
        self.incarnation = incarnation
        self.address = address
        self.backoff = backoff
        self.is_up = False
        # The meta node that this node reported the loss to: the next leader needs a report too.
        self.reported_to: str | None = None


class DataConnections:
    """Connections on `Link.DATA`, and if `hears_changes` on `Link.CHANGES`, by peer name.

    Invariant: there is a connection, or a time for the next attempt, to each data node that
    `follow` was given last, and to no other.
    """

    def __init__(self, config: Config, *, hears_changes: bool, rng: "Random") -> None:
        self._config = config
        self._links = (Link.CHANGES, Link.DATA) if hears_changes else (Link.DATA,)
        self._rng = rng
        self._peers: dict[str, str] = {}
        self._connections: dict[tuple[Link, str], DataConnection] = {}
        # When to connect again, where a connection was lost.
        self._retries: Deadlines[tuple[Link, str]] = Deadlines()

    @property
    def peers(self) -> Mapping[str, str]:
        """The peer names (`node@epoch`) of all data nodes by node id, in the order of the ids."""
        return self._peers

    def is_up(self, peer: str) -> bool:
        """Return whether requests to this data node can be sent."""
        connection = self._connections.get((Link.DATA, peer))
        return connection is not None and connection.is_up

    def follow(self, members: Iterable[Member]) -> list[Effect]:
        """Connect to these data nodes and to no others."""
        members = list(members)
        self._peers = {member.node_id: str(member.incarnation) for member in members}
        effects: list[Effect] = []
        wanted = set(self._peers.values())
        for link, peer in [key for key in self._connections if key[1] not in wanted]:
            del self._connections[link, peer]
            self._retries.drop((link, peer))
            effects.append(Disconnect(link, peer))
        for member in members:
            effects += self._connect_new(member)
        return effects

    def _connect_new(self, member: Member) -> list[Effect]:
        peer = str(member.incarnation)
        if (Link.DATA, peer) in self._connections:
            return []
        effects: list[Effect] = []
        for link in self._links:
            address = member.address if link is Link.DATA else member.changes_address
            backoff = Backoff(
                self._config.reconnect_seconds_min,
                self._config.reconnect_seconds_max,
                rng=self._rng,
            )
            self._connections[link, peer] = DataConnection(member.incarnation, address, backoff)
            effects.append(Connect(link, peer, address))
        return effects

    def on_peer_up(self, event: PeerUp) -> str | None:
        """Note that a connection stands; return the data node if it can be sent requests now."""
        peer = str(event.peer)
        connection = self._connections.get((event.link, peer))
        if connection is None:
            return None
        connection.is_up = True
        connection.reported_to = None
        self._retries.drop((event.link, peer))
        connection.backoff.reset()
        return peer if event.link is Link.DATA else None

    def on_peer_lost(self, event: PeerLost, now: float) -> str | None:
        """Note that a connection ended; return the data node if no requests reach it now."""
        peer = str(event.peer)
        connection = self._connections.get((event.link, peer))
        if connection is None:
            return None
        connection.is_up = False
        self._retries.set((event.link, peer), now + connection.backoff.next_seconds())
        return peer if event.link is Link.DATA else None

    def unreported(self, event: PeerLost, meta: str | None) -> Incarnation | None:
        """Return the data node whose loss has to be reported to meta; None if none has to be.

        A connection that timed out is not reported: silence is no proof that the node ended. After
        `note_reported`, the same leader gets another report only after another connection.
        """
        connection = self._connections.get((event.link, str(event.peer)))
        if connection is None or connection.reported_to == meta or event.reason not in ENDED:
            return None
        return connection.incarnation

    def note_reported(self, peer: str, meta: str) -> None:
        """Note to which meta node the loss of this data node was reported."""
        self._connections[Link.DATA, peer].reported_to = meta

    def report(self, lost: PeerLost, cluster_member: ClusterMember) -> list[Effect]:
        """Report to the leader of meta that a data node may be gone, once for each connection."""
        leader = cluster_member.leader
        gone = self.unreported(lost, leader)
        if gone is None or leader is None:
            return []
        effects = report_gone(cluster_member, gone)
        if effects:
            self.note_reported(str(lost.peer), leader)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Connect again where the pause after a lost connection has ended."""
        return [
            Connect(link, peer, self._connections[link, peer].address)
            for link, peer in self._retries.take_due(now)
        ]

    def next_tick_at(self) -> float | None:
        """Return when the next connection is due; None if all stand or are being made."""
        return self._retries.next_at()
