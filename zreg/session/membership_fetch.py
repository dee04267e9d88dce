"""A session that does not reach meta asks a data node for the membership.

A session that is cut off from meta alone learns in this way that it has departed, while its clients
still have time to move to other sessions.
"""

from typing import Final

from zreg.effects import Effect, Link, Send
from zreg.membership.cluster_member import ClusterMember
from zreg.session.upstream.data_links import DataLinks
from zreg.wire.records.membership_messages import FetchMembership

_PAUSE_SECONDS: Final = 0.5


class MembershipFetch:
    """When to ask next. It asks only while a newer epoch is known and no leader is reached.

    It asks the connected data nodes in turn, since one of them may be cut off from meta as well.
    """

    def __init__(self, cluster_member: ClusterMember, links: DataLinks, *, now: float) -> None:
        self._cluster_member = cluster_member
        self._links = links
        self._ask_at = now
        self._ask_count = 0

    @property
    def _must_ask(self) -> bool:
        member = self._cluster_member
        return member.leader is None and member.is_behind

    def tick(self, now: float) -> list[Effect]:
        """Ask the next data node that is connected, if it is time and there is one."""
        if not self._must_ask or now < self._ask_at:
            return []
        self._ask_at = now + _PAUSE_SECONDS
        membership = self._cluster_member.membership
        request = FetchMembership(0, membership.cluster_id, membership.epoch)
        connected = [peer for peer in self._links.peers() if self._links.is_up(peer)]
        if not connected:
            return []
        peer = connected[self._ask_count % len(connected)]
        self._ask_count += 1
        return [Send(Link.DATA, peer, request)]

    def next_tick_at(self) -> float | None:
        """Return when to ask; None while there is no need."""
        return self._ask_at if self._must_ask else None
