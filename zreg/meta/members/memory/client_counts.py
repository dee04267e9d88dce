"""How many clients each session has, as it tells with its renewals: soft state of the leader.

The counts change all the time, so they are in no membership and raise no epoch. The sessions learn
from them whether they have more clients than others, and people how the clients are spread.
"""

import heapq
import math

from zreg.model import Incarnation, Membership, Role
from zreg.wire.records.membership_messages import LIGHTER_MAX, Renew, SessionLoad, SessionLoads


class ClientCounts:
    """What each session has told since this node leads.

    The loads are worked out at most once in `refresh_seconds`, for however many sessions ask.
    """

    def __init__(self, refresh_seconds: float) -> None:
        self._refresh_seconds = refresh_seconds
        self._counts: dict[Incarnation, int] = {}
        self._working: frozenset[Incarnation] = frozenset()
        self._loads: SessionLoads | None = None
        self._refresh_at = -math.inf

    def begin(self) -> None:
        """Begin to lead: the sessions tell again."""
        self._counts.clear()
        self._refresh_at = -math.inf

    def note(self, renew: Renew) -> None:
        """Take what a session tells; one of an earlier version tells nothing."""
        if renew.client_count is not None:
            self._counts[renew.incarnation] = renew.client_count

    def follow(self, membership: Membership) -> None:
        """Forget the sessions that have departed."""
        self._working = frozenset(member.incarnation for member in membership.of(Role.SESSION))
        for gone in self._counts.keys() - self._working:
            del self._counts[gone]
        self._refresh_at = -math.inf

    def all(self) -> tuple[SessionLoad, ...]:
        """Return how many clients each session has, in the order of the sessions."""
        return tuple(SessionLoad(*counted) for counted in sorted(self._counts.items()))

    def loads(self, now: float) -> SessionLoads | None:
        """Return what a session has to know; None as long as a WORKING session has not told."""
        if now >= self._refresh_at:
            self._refresh_at = now + self._refresh_seconds
            self._loads = self._new_loads()
        return self._loads

    def _new_loads(self) -> SessionLoads | None:
        counts = self._counts
        if not counts or len(counts) < len(self._working):
            return None
        total = sum(counts.values())
        mean = total / len(counts)
        fewest = heapq.nsmallest(LIGHTER_MAX, ((count, each) for each, count in counts.items()))
        # Those that lack much less than the first one would soon have too many.
        most = (mean + fewest[0][0]) / 2
        lighter = (SessionLoad(each, count) for count, each in fewest if count < mean)
        return SessionLoads(
            len(counts), total, tuple(each for each in lighter if each.client_count <= most)
        )
