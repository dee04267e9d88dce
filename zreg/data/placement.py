"""What a data node is for each bucket, and the sessions that it is unreconciled with.

After a change of the ring a node may be the primary of buckets whose datums it never had; other
copies and the sessions of their publishers send them. Until the digest with every session of the
membership was equal once, a publisher that is absent here may still exist, and the node says so
(`is_unreconciled`).
"""

from collections.abc import Sequence
from typing import Final

from zreg.data.store.bucket import BucketRole
from zreg.model import DataInfoId, Incarnation, Membership, Role, Status
from zreg.primitives.ring import Ring, bucket_of, ring_of

# A node that passed through more rings than this without being reconciled trusts none of them.
_PASSED_RINGS_MAX: Final = 8
_LIVING: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING)


class Placement:
    """The present ring, this node's incarnation, and what is unreconciled under the ring."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        # None: meta has not admitted this node, so it is the primary of nothing.
        self.incarnation: Incarnation | None = None
        # What this node may do; None: it is no member.
        self.status: Status | None = None
        self.ring = Ring(())
        self.ring_epoch = -1
        # On how many data nodes each datum is wanted; there may be fewer.
        self.replica_count = 1
        self.unreconciled: dict[Incarnation, None] = {}
        self._epoch = 0
        # The sessions of the membership, departed ones too.
        self._sessions: frozenset[Incarnation] = frozenset()
        self._living_sessions: frozenset[Incarnation] = frozenset()
        self._data_nodes: frozenset[Incarnation] = frozenset()
        # The rings since everything was reconciled last; None: it never was.
        self._passed: list[Ring] | None = None

    @property
    def is_member(self) -> bool:
        """Whether meta has admitted this node."""
        return self.incarnation is not None

    def is_primary(self, name: DataInfoId) -> bool:
        """Return whether this node takes the writes of an id, and answers for it."""
        return self.incarnation is not None and self.ring.primary(name) == self._node_id

    def roles(self) -> Sequence[BucketRole]:
        """Return what this node is for each bucket."""
        if self.incarnation is None:
            return [BucketRole.NONE] * len(self.ring.placements)
        node_id = self._node_id
        return [
            BucketRole.PRIMARY
            if placement and placement[0] == node_id
            else BucketRole.REPLICA
            if node_id in placement or node_id in guests
            else BucketRole.NONE
            for placement, guests in zip(self.ring.placements, self.ring.guests, strict=True)
        ]

    def owned_buckets(self) -> frozenset[int]:
        """Return the buckets of which this node is the primary."""
        if self.incarnation is None:
            return frozenset()
        owner, placements = (self._node_id,), self.ring.placements
        return frozenset(at for at, nodes in enumerate(placements) if nodes[:1] == owner)

    def wanted_copy_count(self) -> int:
        """Return how many replicas the buckets have of which this node is the primary, in all."""
        if self.incarnation is None:
            return 0
        owner = (self._node_id,)
        return sum(len(nodes) - 1 for nodes in self.ring.placements if nodes[:1] == owner)

    def holders(self) -> Sequence[Sequence[str]]:
        """Return for each bucket the nodes that this primary sends its changes to.

        These are its replicas, and the nodes that join or leave and hold the bucket.
        """
        if self.incarnation is None:
            return [()] * len(self.ring.placements)
        node_id = self._node_id
        return [
            placement[1:] + guests if placement and placement[0] == node_id else ()
            for placement, guests in zip(self.ring.placements, self.ring.guests, strict=True)
        ]

    def is_replica_of(self, primary: Incarnation, bucket: int) -> bool:
        """Return whether this node keeps a copy of a bucket for that primary."""
        placement, node_id = self.ring.placements[bucket], self._node_id
        return (
            self.incarnation is not None
            and (node_id in placement[1:] or node_id in self.ring.guests[bucket])
            and placement[:1] == (primary.node_id,)
            and primary in self._data_nodes
        )

    def is_unreconciled(self, name: DataInfoId) -> bool:
        """Return whether a publisher of an id that is absent here may still exist."""
        if not self.unreconciled:
            return False
        if self._passed is None:
            return True
        bucket = bucket_of(name)
        return any(ring.primary_of(bucket) != self._node_id for ring in self._passed)

    @property
    def lacks_departed(self) -> bool:
        """Whether a session has departed, is not forgotten, and has not compared with this node."""
        return not self._living_sessions.issuperset(self.unreconciled)

    @property
    def may_lack_datums(self) -> bool:
        """Whether a datum that is absent here, of a bucket of this primary, may still exist."""
        if not self.unreconciled:
            return False
        if self._passed is None:
            return True
        owned, node_id = self.owned_buckets(), self._node_id
        return any(ring.primary_of(at) != node_id for ring in self._passed for at in owned)

    def is_forgotten(self, session: Incarnation) -> bool:
        """Return whether a session is no member any more; a later one may be one already."""
        return session not in self._sessions and session.epoch <= self._epoch

    @property
    def may_evict(self) -> bool:
        """Whether every living session, and there is one, was equal since the last forgetting."""
        return bool(self._living_sessions) and not self.unreconciled

    def follow(self, membership: Membership) -> bool:
        """Take a new membership; return whether the ring changed.

        Guests may come and go without that.
        """
        former, former_epoch = self._sessions, self._epoch
        self.replica_count = membership.ring.replica_count
        self._take_members(membership)
        sessions = [m.incarnation for m in membership.of(Role.SESSION, *_LIVING, Status.DEPARTED)]
        living = {m.incarnation for m in membership.of(Role.SESSION, *_LIVING)}
        has_forgotten = bool(former - self._sessions)
        if living or not has_forgotten:
            # A session that is forgotten proves nothing: its clients may be at any living one.
            still = {s for s in sessions if s in self.unreconciled} | (
                living if has_forgotten else set()
            )
            self.unreconciled = {s: None for s in sessions if s in still}
        self._settle()
        if membership.ring_epoch == self.ring_epoch:
            self.ring = ring_of(membership)
            return False
        has_followed_all = membership.ring_epoch <= former_epoch + 1
        if not has_followed_all:
            # Another node may have been the primary of an id in between, and have taken publishers.
            self._passed = None
        if self._passed is not None:
            self._passed.append(self.ring)
            if len(self._passed) > _PASSED_RINGS_MAX:
                self._passed = None
        self.ring = ring_of(membership)
        self.ring_epoch = membership.ring_epoch
        self.unreconciled = dict.fromkeys(sessions)
        self._settle()
        return True

    def start_over(self, incarnation: Incarnation | None, membership: Membership) -> None:
        """Begin another incarnation (None: lose this one), unreconciled with every session."""
        self.incarnation = incarnation
        self._passed = None
        self._take_members(membership)
        sessions = membership.of(Role.SESSION, *_LIVING, Status.DEPARTED)
        self.unreconciled = dict.fromkeys(member.incarnation for member in sessions)
        self._settle()

    def _take_members(self, membership: Membership) -> None:
        self._epoch = membership.epoch
        sessions = membership.of(Role.SESSION, *_LIVING, Status.DEPARTED)
        self._sessions = frozenset(member.incarnation for member in sessions)
        living = membership.of(Role.SESSION, *_LIVING)
        self._living_sessions = frozenset(member.incarnation for member in living)
        data_nodes = membership.of(Role.DATA, *_LIVING)
        statuses = {member.incarnation: member.status for member in data_nodes}
        self._data_nodes = frozenset(statuses)
        self.status = None if self.incarnation is None else statuses.get(self.incarnation)

    def reconcile(self, session: Incarnation) -> bool:
        """Note that a session's digest was equal; return whether it was the last one."""
        if session not in self.unreconciled:
            return False
        del self.unreconciled[session]
        self._settle()
        return not self.unreconciled

    def _settle(self) -> None:
        if not self.unreconciled and self.ring_epoch >= 0:
            self._passed = []
