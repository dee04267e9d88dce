"""Which ids a data node owns, and with which sessions it has not compared them yet.

After a change of the ring a node may own ids whose content it never had; the sessions that vouch
for it send it. Until the digest with every session of the membership was equal once, absence at
this node means nothing for those ids, and it says so.
"""

from typing import Final

from zreg.model import DataInfoId, Incarnation, Membership, Role, Status
from zreg.primitives.ring import Ring, ring_of

# Rings passed through without having compared with everybody; beyond this, trust none of them.
_PASSED_RINGS_MAX: Final = 8
_ALL: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING, Status.DEPARTED)


class Ownership:
    """The present ring, and what is unreconciled under it."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self.ring = Ring(())
        self.ring_epoch = -1
        self.unreconciled: dict[Incarnation, None] = {}
        # The rings since everything was reconciled last; None: nothing ever was.
        self._passed: list[Ring] | None = None

    def owns(self, name: DataInfoId) -> bool:
        """Return whether this node is the primary of an id."""
        return self.ring.primary(name) == self._node_id

    def is_unreconciled(self, name: DataInfoId) -> bool:
        """Return whether the absence of something under this id means nothing yet."""
        if not self.unreconciled:
            return False
        if self._passed is None:
            return True
        return any(ring.primary(name) != self._node_id for ring in self._passed)

    def follow(self, membership: Membership) -> bool:
        """Take a new membership; return whether the ring changed."""
        sessions = [member.incarnation for member in membership.of(Role.SESSION, *_ALL)]
        self.unreconciled = {s: None for s in sessions if s in self.unreconciled}
        self._settle()
        if membership.ring_epoch == self.ring_epoch:
            return False
        if self._passed is not None:
            self._passed.append(self.ring)
            if len(self._passed) > _PASSED_RINGS_MAX:
                self._passed = None
        self.ring = ring_of(membership)
        self.ring_epoch = membership.ring_epoch
        self.unreconciled = dict.fromkeys(sessions)
        self._settle()
        return True

    def start_over(self, membership: Membership) -> None:
        """Trust nothing that was known: this node's incarnation was gone for a while."""
        self._passed = None
        sessions = membership.of(Role.SESSION, *_ALL)
        self.unreconciled = dict.fromkeys(member.incarnation for member in sessions)
        self._settle()

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
