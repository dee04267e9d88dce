"""A session's connections to the data nodes, the requests on them, and which node owns an id.

Each incarnation of a data node has a connection of its own, named after the incarnation, so the
session never mistakes an answer of a predecessor for one of its successor.
"""

from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import ENDED, Connect, Disconnect, Effect, Link, PeerLost, PeerUp
from zreg.model import DataInfoId, Incarnation, Member, Membership, Role
from zreg.primitives.backoff import Backoff
from zreg.primitives.deadlines import Deadlines
from zreg.primitives.pending_requests import PendingRequests
from zreg.primitives.ring import Ring, ring_of

if TYPE_CHECKING:
    from random import Random


# Stands for the primary of an id while there is no data node; no connection has this name.
NO_NODE: Final = ""


class RequestOwner:
    """What a request to a data node was sent for: a `FollowedDatum` or a `Listing`."""

    __slots__ = ()


class DataLink:
    """One connection to a data node: for requests, or for what the node announces."""

    __slots__ = ("address", "backoff", "incarnation", "is_up", "reported_to")

    def __init__(self, incarnation: Incarnation, address: str, backoff: Backoff) -> None:
        self.incarnation = incarnation
        self.address = address
        self.backoff = backoff
        self.is_up = False
        # The meta node that this session reported the loss to: the next leader needs a report too.
        self.reported_to: str | None = None


class DataLinks:
    """All data nodes of the membership, by the name of their incarnation (`node@epoch`).

    `requests` holds the fetches and listings under way, by data node, and gives out the ids of all
    requests. Registrations under way are in the queue of their data node (`NodeQueues`) instead:
    they are the hottest path, and one entry of the table costs them 0.5 to 0.8 microseconds more.
    """

    def __init__(self, config: Config, *, rng: "Random") -> None:
        self._config = config
        self._rng = rng
        self.ring = Ring(())
        self.ring_epoch = -1
        self.epoch = 0
        self._peers: dict[str, str] = {}
        self._links: dict[tuple[Link, str], DataLink] = {}
        # When to connect again, where a connection was lost.
        self._retries: Deadlines[tuple[Link, str]] = Deadlines()
        self.requests: PendingRequests[str, RequestOwner] = PendingRequests()

    def peers(self) -> list[str]:
        """Return the names of all data nodes, in the order of their ids."""
        return list(self._peers.values())

    def primary(self, name: DataInfoId) -> str:
        """Return the data node that owns an id; `NO_NODE` if there is none."""
        node_id = self.ring.primary(name)
        return NO_NODE if node_id is None else self._peers[node_id]

    def is_up(self, peer: str) -> bool:
        """Return whether requests to this data node can be sent."""
        link = self._links.get((Link.DATA, peer))
        return link is not None and link.is_up

    def follow(self, membership: Membership) -> tuple[bool, list[Effect]]:
        """Take a new membership; return whether the ring changed, and the effects."""
        self.epoch = membership.epoch
        members = membership.of(Role.DATA)
        self._peers = {member.node_id: str(member.incarnation) for member in members}
        effects: list[Effect] = []
        wanted = set(self._peers.values())
        for link, peer in [key for key in self._links if key[1] not in wanted]:
            del self._links[link, peer]
            self._retries.drop((link, peer))
            effects.append(Disconnect(link, peer))
        for member in members:
            effects += self._connect_new(member)
        if membership.ring_epoch == self.ring_epoch:
            return False, effects
        self.ring_epoch = membership.ring_epoch
        self.ring = ring_of(membership)
        return True, effects

    def _connect_new(self, member: Member) -> list[Effect]:
        peer = str(member.incarnation)
        if (Link.DATA, peer) in self._links:
            return []
        effects: list[Effect] = []
        for link, address in (
            (Link.CHANGES, member.changes_address),
            (Link.DATA, member.address),
        ):
            backoff = Backoff(
                self._config.reconnect_seconds_min,
                self._config.reconnect_seconds_max,
                rng=self._rng,
            )
            self._links[link, peer] = DataLink(member.incarnation, address, backoff)
            effects.append(Connect(link, peer, address))
        return effects

    def on_peer_up(self, event: PeerUp) -> str | None:
        """Note that a connection stands; return the data node if it can be sent requests now."""
        peer = str(event.peer)
        link = self._links.get((event.link, peer))
        if link is None:
            return None
        link.is_up = True
        link.reported_to = None
        self._retries.drop((event.link, peer))
        link.backoff.reset()
        return peer if event.link is Link.DATA else None

    def on_peer_lost(self, event: PeerLost, now: float) -> str | None:
        """Note that a connection ended; return the data node if no requests reach it now."""
        peer = str(event.peer)
        link = self._links.get((event.link, peer))
        if link is None:
            return None
        link.is_up = False
        self._retries.set((event.link, peer), now + link.backoff.next_seconds())
        return peer if event.link is Link.DATA else None

    def unreported(self, event: PeerLost, meta: str | None) -> Incarnation | None:
        """Return the data node whose loss has to be reported to meta; None if none has to be.

        A connection that timed out is not reported: silence is no proof that the node ended. After
        `note_reported`, the same leader gets another report only after another connection.
        """
        link = self._links.get((event.link, str(event.peer)))
        if link is None or link.reported_to == meta or event.reason not in ENDED:
            return None
        return link.incarnation

    def note_reported(self, peer: str, meta: str) -> None:
        """Note to which meta node the loss of this data node was reported."""
        self._links[Link.DATA, peer].reported_to = meta

    def tick(self, now: float) -> list[Effect]:
        """Connect again where the pause after a lost connection has ended."""
        return [
            Connect(link, peer, self._links[link, peer].address)
            for link, peer in self._retries.take_due(now)
        ]

    def next_tick_at(self) -> float | None:
        """Return when the next connection is due; None if all stand or are being made."""
        return self._retries.next_at()
