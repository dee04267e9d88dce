"""A session's connections to the data nodes, and which of them owns an id.

Each life of a data node has a connection of its own, named after its incarnation, so that an
answer of a predecessor is never taken for one of its successor.
"""

from typing import TYPE_CHECKING

from zreg.config import Config
from zreg.effects import ENDED, Connect, Disconnect, Effect, Link, PeerLost, PeerUp
from zreg.model import DataInfoId, Incarnation, Member, Membership, Role
from zreg.primitives.backoff import Backoff
from zreg.primitives.ring import Ring, ring_of

if TYPE_CHECKING:
    from random import Random


class DataLink:
    """The two connections to one data node: requests, and what it announces."""

    __slots__ = ("address", "backoff", "incarnation", "is_up", "reported_to", "retry_at")

    def __init__(self, incarnation: Incarnation, address: str, backoff: Backoff) -> None:
        self.incarnation = incarnation
        self.address = address
        self.backoff = backoff
        self.is_up = False
        # Which meta node was told of its loss; the next leader knows nothing of that.
        self.reported_to = ""
        self.retry_at: float | None = None


class DataLinks:
    """All data nodes of the membership, by the name of their incarnation (`node@epoch`)."""

    def __init__(self, config: Config, *, rng: "Random") -> None:
        self._config = config
        self._rng = rng
        self.ring = Ring(())
        self.ring_epoch = -1
        self.epoch = 0
        self._peers: dict[str, str] = {}
        self._links: dict[tuple[Link, str], DataLink] = {}
        self._request_id = 0

    def next_request_id(self) -> int:
        """Return an id for a request to a data node; whoever asks, no two are the same."""
        self._request_id += 1
        return self._request_id

    def peers(self) -> list[str]:
        """Return the names of all data nodes, in the order of their ids."""
        return list(self._peers.values())

    def primary(self, name: DataInfoId) -> str:
        """Return the data node that owns an id; empty if there is none."""
        node_id = self.ring.primary(name)
        return "" if node_id is None else self._peers[node_id]

    def is_up(self, peer: str) -> bool:
        """Return whether requests to this data node can be sent."""
        link = self._links.get((Link.DATA, peer))
        return link is not None and link.is_up

    def follow(self, membership: Membership) -> tuple[bool, list[Effect]]:
        """Take a new membership; return whether the ring changed, and what to connect."""
        self.epoch = membership.epoch
        members = membership.of(Role.DATA)
        self._peers = {member.node_id: str(member.incarnation) for member in members}
        effects: list[Effect] = []
        wanted = set(self._peers.values())
        for link, peer in [key for key in self._links if key[1] not in wanted]:
            del self._links[link, peer]
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

    def came_up(self, event: PeerUp) -> bool:
        """Note that a connection stands; return whether it is one of mine, for requests."""
        link = self._links.get((event.link, str(event.peer)))
        if link is None:
            return False
        link.is_up = True
        link.reported_to = ""
        link.retry_at = None
        link.backoff.reset()
        return event.link is Link.DATA

    def went_down(self, event: PeerLost, now: float) -> bool:
        """Note that a connection is gone; return whether it is one of mine, for requests."""
        link = self._links.get((event.link, str(event.peer)))
        if link is None:
            return False
        link.is_up = False
        link.retry_at = now + link.backoff.next_seconds()
        return event.link is Link.DATA

    def unreported(self, event: PeerLost, meta: str | None) -> Incarnation | None:
        """Return the data node that meta has to be told of: its connection ended, not in silence.

        Once for each loss and leader: after `note_reported` not before it has come up again.
        """
        link = self._links.get((event.link, str(event.peer)))
        if link is None or link.reported_to == meta or event.reason not in ENDED:
            return None
        return link.incarnation

    def note_reported(self, peer: str, meta: str) -> None:
        """Note which meta node was told of the loss of this data node."""
        self._links[Link.DATA, peer].reported_to = meta

    def tick(self, now: float) -> list[Effect]:
        """Connect again what is due."""
        effects: list[Effect] = []
        for (link, peer), state in self._links.items():
            if state.retry_at is not None and now >= state.retry_at:
                state.retry_at = None
                effects.append(Connect(link, peer, state.address))
        return effects

    def next_tick_at(self) -> float | None:
        """When a connection is due."""
        due = [link.retry_at for link in self._links.values() if link.retry_at is not None]
        return min(due, default=None)
