"""Which data nodes hold an id: consistent hashing with virtual nodes, bucket by bucket.

The ring is a circle of 2**64 points. Each node has `virtual_node_count * weight` points on it: the
hashes of `node_id#i`. An id belongs to one of a fixed number of buckets, and the bucket has a point
too. The bucket is placed on the first `replica_count` different nodes at or after its point,
preferring nodes in different zones; the first of them is its primary. When a node comes or goes,
only the buckets next to its points move. A node that joins or leaves is a *guest*: it has its
points, and holds the buckets whose walk meets it, but it is no primary and counts as no replica.
(Karger and others, "Consistent Hashing and Random Trees",
1997; fixed buckets as in DeCandia and others, "Dynamo", 2007, strategy 3.)

A ring is a pure function of its arguments, so equal memberships give equal rings on all nodes.
"""

import functools
import hashlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from zreg.config import RING_HASHES, Limits, ring_hash_objection
from zreg.errors import UsageError
from zreg.model import Membership, RingParameters, Role, Status

HashFunction = Callable[[bytes], int]
# The nodes of one bucket, the primary first.
Placement = tuple[str, ...]

# The ids whose bucket is remembered.
_MEMORY_MAX: Final = 1 << 17


def _first_eight_bytes(name: str) -> HashFunction:
    def hash_function(data: bytes) -> int:
        return int.from_bytes(hashlib.new(name, data, usedforsecurity=False).digest()[:8])

    return hash_function


def _md5(data: bytes) -> int:
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:8])


HASH_FUNCTIONS: Final[dict[str, HashFunction]] = {
    **{name: _first_eight_bytes(name) for name in RING_HASHES},
    "md5": _md5,
}


def hash_function(name: str) -> HashFunction:
    """Return the hash function of that name, which maps bytes to 0..2**64-1.

    Raises `UsageError` for a name that `Config` refuses.
    """
    if (objection := ring_hash_objection(name)) is not None:
        raise UsageError(objection)
    return HASH_FUNCTIONS[name]


@functools.lru_cache(maxsize=_MEMORY_MAX)
def bucket_of(data_info_id: str) -> int:
    """Return the bucket of an id; it is the same under every ring."""
    return _md5(data_info_id.encode()) % Limits.bucket_count


def bucket_topic(bucket: int) -> bytes:
    """Return the topic of a bucket on PUB sockets: two bytes."""
    return bucket.to_bytes(2)


class Ring:
    """The ring of a set of nodes, given as pairs of node id and weight.

    `placements` has the placement of each bucket; all of them are empty if there are no nodes but
    guests. `guests` has the guests that hold the bucket besides.
    """

    def __init__(
        self,
        nodes: Iterable[tuple[str, int]],
        *,
        zones: Mapping[str, str] | None = None,
        guests: Collection[str] = (),
        replica_count: int = 1,
        virtual_node_count: int = 160,
        hash_function: HashFunction = _md5,
    ) -> None:
        assert virtual_node_count > 0
        weights = dict(nodes)
        self.node_ids = tuple(sorted(node_id for node_id in weights if node_id not in guests))
        # The node id orders equal points, so that the ring does not depend on the order of `nodes`.
        points = sorted(
            (hash_function(f"{node_id}#{i}".encode()), node_id)
            for node_id, weight in weights.items()
            for i in range(virtual_node_count * weight)
        )
        self._point_count = len(points)
        zone_of = {node_id: (zones or {}).get(node_id, "") for node_id in weights}
        walk = _Walk([owner for _, owner in points], zone_of, frozenset(guests), replica_count)
        places = [point for point, _ in points]
        found = [
            walk.from_point(bisect_left(places, point)) for point in _bucket_points(hash_function)
        ]
        self.placements: tuple[Placement, ...] = tuple(placement for placement, _ in found)
        self.guests: tuple[tuple[str, ...], ...] = tuple(guests for _, guests in found)

    def __repr__(self) -> str:
        """Show the size."""
        return f"<Ring nodes={len(self.node_ids)} points={self._point_count}>"

    def primary(self, data_info_id: str) -> str | None:
        """Return the node that takes the writes of an id; None if the ring has no nodes."""
        placement = self.placements[bucket_of(data_info_id)]
        return placement[0] if placement else None

    def primary_of(self, bucket: int) -> str | None:
        """Return the node that takes the writes of a bucket; None if the ring has no nodes."""
        placement = self.placements[bucket]
        return placement[0] if placement else None

    def placement(self, data_info_id: str) -> Placement:
        """Return the nodes that hold an id, the primary first."""
        return self.placements[bucket_of(data_info_id)]


@functools.lru_cache(maxsize=len(HASH_FUNCTIONS))
def _bucket_points(hash_function: HashFunction) -> tuple[int, ...]:
    buckets = range(Limits.bucket_count)
    return tuple(hash_function(f"bucket#{bucket}".encode()) for bucket in buckets)


class _Walk:
    """Walks clockwise and gathers the nodes of a placement; equal walks are made once."""

    def __init__(
        self,
        owners: list[str],
        zone_of: Mapping[str, str],
        guests: frozenset[str],
        replica_count: int,
    ) -> None:
        self._owners = owners
        self._zone_of = zone_of
        self._guests = guests
        self._count = replica_count
        counting = {zone for node_id, zone in zone_of.items() if node_id not in guests}
        self._zone_count = min(replica_count, len(counting))
        # Guests in zones of their own: each of them, once it counts, is placed for its zone.
        self._apart = frozenset(
            node_id for node_id in guests if node_id in zone_of and zone_of[node_id] not in counting
        )
        if self._zone_count == replica_count:
            self._apart = frozenset()
        self._made: dict[int, tuple[Placement, tuple[str, ...]]] = {}

    def from_point(self, start: int) -> tuple[Placement, tuple[str, ...]]:
        """Return placement and guests of a bucket whose next point is this one."""
        start = start if start < len(self._owners) else 0
        made = self._made.get(start)
        if made is None:
            made = self._made[start] = self._placement(start)
        return made

    def _placement(self, start: int) -> tuple[Placement, tuple[str, ...]]:
        """Take the first node of each zone first, then those that were passed over.

        A guest holds the bucket if it would be placed as the only guest that begins to count: it is
        met before the placement is complete, or stands for a zone that the placement lacks.
        """
        chosen: list[str] = []
        passed_over: list[str] = []
        guests: dict[str, None] = {}
        zones: set[str] = set()
        apart_count = 0
        for offset in range(len(self._owners)):
            found = len(chosen) + len(passed_over)
            is_placed = found >= self._count and len(zones) == self._zone_count
            if is_placed and apart_count == len(self._apart):
                break
            if found + len(guests) == len(self._zone_of):
                break
            node_id = self._owners[(start + offset) % len(self._owners)]
            if node_id in chosen or node_id in passed_over or node_id in guests:
                continue
            zone = self._zone_of[node_id]
            if node_id in self._guests:
                if node_id in self._apart:
                    apart_count += 1
                elif is_placed:
                    continue
                guests[node_id] = None
            elif zone in zones:
                passed_over.append(node_id)
            else:
                zones.add(zone)
                chosen.append(node_id)
        return tuple((chosen + passed_over)[: self._count]), tuple(guests)


def ring_of(membership: Membership) -> Ring:
    """Return the ring of the data nodes of a membership; those that do not work are guests."""
    members = membership.of(Role.DATA, Status.INITIAL, Status.WORKING, Status.LEAVING)
    nodes = tuple((m.node_id, m.weight, m.zone, m.status is Status.WORKING) for m in members)
    return _ring_of(nodes, membership.ring)


# A node asks for the ring of one membership in several places.
@functools.lru_cache(maxsize=4)
def _ring_of(nodes: tuple[tuple[str, int, str, bool], ...], parameters: RingParameters) -> Ring:
    return Ring(
        ((node_id, weight) for node_id, weight, _, _ in nodes),
        zones={node_id: zone for node_id, _, zone, _ in nodes},
        guests=[node_id for node_id, _, _, is_working in nodes if not is_working],
        replica_count=parameters.replica_count,
        virtual_node_count=parameters.virtual_node_count,
        hash_function=hash_function(parameters.hash_name),
    )
