"""A session's connections to the data nodes, the requests on them, and which node owns an id."""

from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import Effect
from zreg.membership.data_connections import DataConnections
from zreg.model import DataInfoId, Member, Membership, Role, Status
from zreg.primitives.pending_requests import PendingRequests
from zreg.primitives.ring import Ring, bucket_of, ring_of

if TYPE_CHECKING:
    from random import Random


# Stands for the primary of an id while there is no data node; no connection has this name.
NO_NODE: Final = ""


class RequestOwner:
    """What a request to a data node was sent for: a `FollowedDatum` or a `Listing`."""

    __slots__ = ()


class DataLinks:
    """The data nodes of the membership, by peer name (`node@epoch`), and their ring.

    `requests` holds the fetches and listings under way, by data node, and gives out the ids of all
    requests. Registrations under way are in the queue of their data node (`NodeQueues`) instead:
    they are the hottest path, and one entry of the table costs them 0.5 to 0.8 microseconds more.
    """

    def __init__(self, config: Config, *, rng: "Random") -> None:
        self.connections = DataConnections(config, hears_changes=True, rng=rng)
        # Whether requests to a data node can be sent: asked in each turn, so without a detour.
        self.is_up = self.connections.is_up
        self.ring = Ring(())
        self.ring_epoch = -1
        self.epoch = 0
        # The peer name of the primary of each bucket.
        self._primaries: list[str] = [NO_NODE] * len(self.ring.placements)
        # The peer names of the replicas and of the guests of each bucket, under the ring before.
        self._former_replicas: list[tuple[str, ...]] = [()] * len(self.ring.placements)
        self._former_guests = self._former_replicas
        self._members: list[Member] = []
        self._names: dict[str, str] = {}
        self.requests: PendingRequests[str, RequestOwner] = PendingRequests()

    def peers(self) -> list[str]:
        """Return the names of all data nodes, in the order of their ids."""
        return list(self.connections.peers.values())

    def primary(self, name: DataInfoId) -> str:
        """Return the data node that owns an id; `NO_NODE` if there is none."""
        return self._primaries[bucket_of(name)]

    def had_copy(self, peer: str, name: DataInfoId, *, copies: int) -> bool:
        """Return whether a data node had a copy of what was accepted under the ring before.

        A guest has all before it works; a replica, what was accepted with more copies than one.
        """
        bucket = bucket_of(name)
        if peer in self._former_guests[bucket]:
            return True
        return copies > 1 and peer in self._former_replicas[bucket]

    @property
    def is_any_up(self) -> bool:
        """Whether requests to some data node can be sent."""
        return any(map(self.is_up, self.connections.peers.values()))

    def follow(self, membership: Membership) -> tuple[bool, list[Effect]]:
        """Take a new membership; return whether the ring changed, and the effects."""
        self.epoch = membership.epoch
        effects = self.connections.follow(membership.of(Role.DATA))
        has_new_ring = membership.ring_epoch != self.ring_epoch
        if has_new_ring:
            self._former_replicas = [self._named(each) for each in self.ring.placements]
            self._former_guests = [self._named(each) for each in self.ring.guests]
            self.ring_epoch = membership.ring_epoch
        members = membership.of(Role.DATA, Status.INITIAL, Status.WORKING, Status.LEAVING)
        if not has_new_ring and members == self._members:
            return False, effects
        self._members = members
        self.ring = ring_of(membership)
        self._names = {member.node_id: str(member.incarnation) for member in members}
        peers = self.connections.peers
        self._primaries = [
            peers.get(placement[0], NO_NODE) if placement else NO_NODE
            for placement in self.ring.placements
        ]
        return has_new_ring, effects

    def _named(self, node_ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._names[node_id] for node_id in node_ids)
