"""Shows the membership to data nodes that are behind: meta may be out of their reach."""

from zreg.effects import Effect, Link, Send
from zreg.model import Membership
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.membership_messages import MembershipReply


class MembershipHandover:
    """The epoch that each data node was shown last, so that it is shown each epoch once."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def on_refused(self, peer: str, refused: Refused, membership: Membership) -> list[Effect]:
        """Send the membership to a data node that refused a request at an earlier epoch."""
        epoch = membership.epoch
        if not 0 < refused.epoch < epoch or self._shown.get(peer) == epoch:
            return []
        self._shown[peer] = epoch
        return [Send(Link.DATA, peer, MembershipReply(0, membership))]

    def on_node_up(self, peer: str) -> None:
        """Forget what was sent over the former connection: it may not have arrived."""
        self._shown.pop(peer, None)
