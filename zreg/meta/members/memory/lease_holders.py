"""The leases of the members, and the connections over which they renew; in memory only."""

from zreg.effects import Peer
from zreg.model import Incarnation, Membership, Role, Status
from zreg.primitives.timing.lease import LeaseTable


class LeaseHolders:
    """The leases of all session and data nodes, and the connections of those that are connected.

    A connection belongs to at most one incarnation, and an incarnation to at most one connection.
    """

    def __init__(self, lease_seconds: float, *, now: float) -> None:
        self.leases: LeaseTable[Incarnation] = LeaseTable(lease_seconds, now=now)
        self.renewed_count = 0
        self._peers: dict[Incarnation, Peer] = {}
        self._incarnations: dict[Peer, Incarnation] = {}

    def begin(self, membership: Membership, now: float) -> None:
        """Begin to lead: each living node has a whole lease, and no connection yet."""
        self._peers.clear()
        self._incarnations.clear()
        self.leases.restart_all(now)
        for member in membership.members:
            if member.role is not Role.META and member.status is not Status.DEPARTED:
                self.leases.renew(member.incarnation, now)

    def renew(self, incarnation: Incarnation, peer: Peer, now: float) -> None:
        """Extend a lease, and note over which connection."""
        self.renewed_count += 1
        self.leases.renew(incarnation, now)
        if self._peers.get(incarnation) != peer:
            self.forget_peer(incarnation)
            if (former := self._incarnations.get(peer)) is not None:
                self.forget_peer(former)
            self._peers[incarnation] = peer
            self._incarnations[peer] = incarnation

    def drop(self, incarnation: Incarnation) -> None:
        """Forget a node that departed."""
        self.leases.drop(incarnation)
        self.forget_peer(incarnation)

    def peer_of(self, incarnation: Incarnation) -> Peer | None:
        """Return the connection over which a node renews."""
        return self._peers.get(incarnation)

    def forget_peer(self, incarnation: Incarnation) -> None:
        """Forget a node's connection; its lease goes on."""
        peer = self._peers.pop(incarnation, None)
        if peer is not None:
            self._incarnations.pop(peer, None)

    def holder_of(self, peer: Peer) -> Incarnation | None:
        """Return the node that renews over a connection."""
        return self._incarnations.get(peer)

    def on_peer_lost(self, peer: Peer) -> Incarnation | None:
        """Forget a connection that ended, and return whose it was: a successor may join at once."""
        incarnation = self._incarnations.get(peer)
        if incarnation is not None:
            self.forget_peer(incarnation)
        return incarnation
