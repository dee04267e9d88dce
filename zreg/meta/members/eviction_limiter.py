"""When members may depart by silence, and how long departed sessions stay.

Both are brakes: much silence at once is rather meta's own trouble, and what a dead session vouched
for has to wait until its clients are back elsewhere.
"""

from collections import deque
from typing import Final

from zreg.config import Config
from zreg.model import Incarnation, Membership, Role, Status

# At most this share of a role departs by silence within one lease: more is meta's own trouble.
_SHARE_MAX: Final = 0.25
_LIVING: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING)


class EvictionLimiter:
    """The departures of the last lease, and the grace of each departed session."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._recent: deque[tuple[float, Role]] = deque()
        self._departed_at: dict[Incarnation, float] = {}

    def may_depart(
        self, membership: Membership, role: Role, now: float, *, leaving_count: int = 0
    ) -> bool:
        """Return whether one more of a role may depart by silence now; never the last one.

        `leaving_count` of the role are about to go, and still in the membership.
        """
        while self._recent and self._recent[0][0] <= now - self._config.lease_seconds:
            self._recent.popleft()
        living = len(membership.of(role, *_LIVING)) - leaving_count
        departed = leaving_count + sum(gone is role for _, gone in self._recent)
        return living > 1 and departed < max(1, int((living + departed) * _SHARE_MAX))

    def note_silent(self, role: Role, now: float) -> None:
        """Count a departure by silence."""
        self._recent.append((now, role))

    def follow(self, membership: Membership, now: float) -> None:
        """Begin the grace of every departed session that has none yet."""
        departed = {m.incarnation for m in membership.of(Role.SESSION, Status.DEPARTED)}
        self._departed_at = {
            incarnation: self._departed_at.get(incarnation, now) for incarnation in sorted(departed)
        }

    def over(self, now: float) -> list[Incarnation]:
        """Return the departed sessions whose grace is over."""
        grace = self._config.session_grace_seconds
        return [who for who, departed_at in self._departed_at.items() if now - departed_at >= grace]
