"""What a node tells meta of itself, and what has to leave before that is true."""

import msgspec

from zreg.effects import HostChanged
from zreg.model import Incarnation, Member, Membership
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import (
    GoneNode,
    Join,
    Leave,
    Renew,
    Renewed,
    SessionLoads,
)


class Counts(msgspec.Struct):
    """Soft state that travels with renewals: it raises no epoch."""

    # How many copies of buckets were equal, and how many a data node keeps.
    copies: tuple[int, int | None] = (0, None)
    # How many clients are connected to a session.
    clients: int | None = None
    # How many all sessions have, as the leader answered last; None while it is not known.
    loads: SessionLoads | None = None
    # The lost nodes that meta named last, and when it did.
    gone: tuple[GoneNode, ...] = ()
    gone_at: float = 0.0

    def take(self, renewed: Renewed, now: float) -> None:
        """Take what meta tells with a renewal."""
        self.loads = renewed.loads
        self.gone, self.gone_at = renewed.gone, now


class OwnMember:
    """This node as it joins, and its incarnation at a former address, which leaves first.

    The address of a member never changes in a membership: a node that has another one joins again.
    """

    def __init__(self, member: Member, *, reports_ready: bool) -> None:
        self.member = member
        self.former: Incarnation | None = None
        self._reports_ready = reports_ready
        self._leave_id = 0

    def change_host(self, changed: HostChanged) -> None:
        """Take another host of this machine, to be told from now on."""
        self.member = self.member.at_host(changed.host, changed.process_id)

    def is_shown(self, membership: Membership) -> bool:
        """Return whether a membership shows this node at its present address, if at all."""
        shown, mine = membership.living(self.member.node_id), self.member
        mine_at = (mine.address, mine.changes_address)
        return shown is None or (shown.address, shown.changes_address) == mine_at

    def lease_request(
        self,
        request_id: int,
        incarnation: Incarnation | None,
        membership: Membership,
        counts: Counts,
    ) -> Join | Renew | Leave:
        """Return the request to renew the lease of an incarnation, or to join if there is none.

        As long as a former incarnation is a member, it leaves instead.
        """
        if self.former is not None:
            self._leave_id = request_id
            return Leave(request_id, self.former)
        cluster_id, epoch = membership.cluster_id, membership.epoch
        if incarnation is None:
            return Join(request_id, self.member, cluster_id, epoch, self._reports_ready)
        told = (*counts.copies, counts.clients)
        return Renew(request_id, incarnation, cluster_id, epoch, *told)

    def is_goodbye(self, accepted: Accepted) -> bool:
        """Return whether meta has answered that the former incarnation has left."""
        return self.former is not None and self._leave_id in accepted.request_ids
