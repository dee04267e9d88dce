"""Which data nodes hold an id: consistent hashing with virtual nodes.

The ring is a circle of 2**64 points. Each node has `virtual_node_count * weight` points on it: the
hashes of `node_id#i`. The primary of an id is the node of the first point at or after the id's own
hash; its replicas are the next different nodes. When a node comes or goes, only the ids in the arcs
next to its points move. (Karger and others, "Consistent Hashing and Random Trees", 1997.)

A ring is a pure function of its arguments, so equal memberships give equal rings on all nodes.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final

from zreg.config import Limits
from zreg.errors import UsageError
from zreg.model import Membership, Role

HashFunction = Callable[[bytes], int]

# The most primaries that a ring remembers.
_MEMORY_MAX: Final = 1 << 16


def _first_eight_bytes(name: str) -> HashFunction:
    def hash_function(data: bytes) -> int:
        return int.from_bytes(hashlib.new(name, data, usedforsecurity=False).digest()[:8])

    return hash_function


def _md5(data: bytes) -> int:
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:8])


HASH_FUNCTIONS: Final[dict[str, HashFunction]] = {
    "md5": _md5,
    "sha1": _first_eight_bytes("sha1"),
    "sha256": _first_eight_bytes("sha256"),
    "blake2b": _first_eight_bytes("blake2b"),
}


def hash_function(name: str) -> HashFunction:
    """Return the hash function of that name, which maps bytes to 0..2**64-1."""
    try:
        return HASH_FUNCTIONS[name]
    except KeyError:
        known = ", ".join(HASH_FUNCTIONS)
        raise UsageError(f"ring_hash {name!r} is not known: choose one of {known}") from None


def bucket_of(data_info_id: str) -> int:
    """Return the bucket of an id, whose topic the hints of the id have; independent of the ring."""
    return _md5(data_info_id.encode()) % Limits.bucket_count


def bucket_topic(bucket: int) -> bytes:
    """Return the topic of a bucket on PUB sockets: two bytes."""
    return bucket.to_bytes(2)


class Ring:
    """The ring of a set of nodes, given as pairs of node id and weight."""

    def __init__(
        self,
        nodes: Iterable[tuple[str, int]],
        *,
        virtual_node_count: int = 160,
        hash_function: HashFunction = _md5,
    ) -> None:
        assert virtual_node_count > 0
        self._hash = hash_function
        weights = dict(nodes)
        self.node_ids = tuple(sorted(weights))
        # The node id orders equal points, so that the ring does not depend on the order of `nodes`.
        points = sorted(
            (hash_function(f"{node_id}#{i}".encode()), node_id)
            for node_id, weight in weights.items()
            for i in range(virtual_node_count * weight)
        )
        self._points = [point for point, _ in points]
        self._owners = [node_id for _, node_id in points]
        self._remembered: dict[str, str | None] = {}

    def __repr__(self) -> str:
        """Show the size."""
        return f"<Ring nodes={len(self.node_ids)} points={len(self._points)}>"

    def primary(self, data_info_id: str) -> str | None:
        """Return the node that takes the writes of an id; None if the ring has no nodes."""
        remembered = self._remembered
        if data_info_id in remembered:
            return remembered[data_info_id]
        if len(remembered) >= _MEMORY_MAX:
            remembered.clear()
        primary = None
        if self._owners:
            index = bisect_left(self._points, self._hash(data_info_id.encode()))
            primary = self._owners[index if index < len(self._owners) else 0]
        remembered[data_info_id] = primary
        return primary

    def replicas(self, data_info_id: str, count: int) -> list[str]:
        """Return the first `count` different nodes clockwise from the id, the primary first."""
        wanted = min(count, len(self.node_ids))
        found: list[str] = []
        start = bisect_left(self._points, self._hash(data_info_id.encode()))
        for offset in range(len(self._points)):
            if len(found) == wanted:
                break
            owner = self._owners[(start + offset) % len(self._points)]
            if owner not in found:
                found.append(owner)
        return found


def ring_of(membership: Membership) -> Ring:
    """Return the ring of the WORKING data nodes of a membership."""
    return Ring(
        ((member.node_id, member.weight) for member in membership.of(Role.DATA)),
        virtual_node_count=membership.ring.virtual_node_count,
        hash_function=hash_function(membership.ring.hash_name),
    )
