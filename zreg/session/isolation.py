"""A session that reaches no node takes itself for dead, and goes on once it reaches a data node."""

from typing import TYPE_CHECKING, Final

from zreg.effects import WARNING, Log
from zreg.membership.cluster_member import ClusterMember, Learned
from zreg.session.membership_loss import UNREACHED_SECONDS_MAX, MembershipLoss
from zreg.session.upstream.data_links import DataLinks

if TYPE_CHECKING:
    from zreg.model import Incarnation

_ISOLATED: Final = (
    f"this session has reached neither meta nor a data node for {UNREACHED_SECONDS_MAX:.0f} s, and "
    "meta may take it for dead: its clients are sent to other sessions; check its network"
)


class Isolation:
    """The incarnation that the session gave up by itself: meta may not have taken it away.

    Invariant: it is None as soon as a check finds that meta has given the session one, or that a
    data node is reached.
    """

    def __init__(
        self, cluster_member: ClusterMember, links: DataLinks, loss: MembershipLoss
    ) -> None:
        self._cluster_member = cluster_member
        self._links = links
        self._loss = loss
        self._given_up: Incarnation | None = None

    def check(self, now: float) -> Learned:
        """Give the incarnation up if no node could say that it is gone; else take it up again."""
        member, incarnation = self._cluster_member, self._cluster_member.incarnation
        is_reached = self._links.is_any_up
        self._loss.note_data_nodes(now, is_reached=is_reached)
        if incarnation is None:
            if self._given_up is None or not is_reached:
                return Learned([])
            given_up, self._given_up = self._given_up, None
            return member.resume(given_up, now)
        self._given_up = None
        if not self._loss.must_give_up(now, member.membership):
            return Learned([])
        self._given_up = incarnation
        learned = member.lose_incarnation(now)
        learned.effects.insert(0, Log(WARNING, "session.isolated", {"detail": _ISOLATED}))
        return learned
