"""Who holds a lease, and over which connection it is renewed; the leader's memory only."""

from zreg.effects import Peer
from zreg.model import Incarnation, Membership, Role, Status
from zreg.primitives.lease import LeaseTable


class LeaseHolders:
    """The leases of all nodes, and their connections."""

    def __init__(self, lease_seconds: float, *, now: float) -> None:
        self.leases: LeaseTable[Incarnation] = LeaseTable(lease_seconds, now=now)
        self._peers: dict[Incarnation, Peer] = {}
        self._incarnations: dict[Peer, Incarnation] = {}

    def give_all(self, membership: Membership, now: float) -> None:
        """Give every living node a whole lease: from now on somebody listens."""
        self.leases.restart_all(now)
        for member in membership.members:
            if member.role is not Role.META and member.status is not Status.DEPARTED:
                self.leases.renew(member.incarnation, now)

    def keep(self, incarnation: Incarnation, peer: Peer, now: float) -> None:
        """Extend a lease, and remember over which connection the node renews."""
        self.leases.renew(incarnation, now)
        if self._peers.get(incarnation) != peer:
            self.forget_peer(incarnation)
            if (former := self._incarnations.get(peer)) is not None:
                self.forget_peer(former)
            self._peers[incarnation] = peer
            self._incarnations[peer] = incarnation

    def drop(self, incarnation: Incarnation) -> None:
        """Forget a node that is no member any more."""
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

    def lose(self, peer: Peer) -> Incarnation | None:
        """Note that a connection is gone, and return whose: a successor may come at once."""
        incarnation = self._incarnations.get(peer)
        if incarnation is not None:
            self.forget_peer(incarnation)
        return incarnation

    def forget_peers(self) -> None:
        """Forget all connections."""
        self._peers.clear()
        self._incarnations.clear()
