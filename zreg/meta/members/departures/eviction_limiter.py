"""How many members may be evicted for silence.

If many members are silent at once, the fault is more likely meta's own.
"""

from collections import deque
from typing import Final

from zreg.config import Config
from zreg.model import Membership, Role, Status

# The share of a role that may be evicted for silence within one lease.
_SHARE_MAX: Final = 0.25
_LIVING: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING)


class EvictionLimiter:
    """The evictions of the last lease."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._recent: deque[tuple[float, Role]] = deque()

    def may_evict(
        self, membership: Membership, role: Role, now: float, *, departing_count: int = 0
    ) -> bool:
        """Return whether one more member of a role may be evicted for silence; never the last one.

        `departing_count` members of the role are still in the membership, and about to depart.
        """
        while self._recent and self._recent[0][0] <= now - self._config.lease_seconds:
            self._recent.popleft()
        living = len(membership.of(role, *_LIVING)) - departing_count
        departed = departing_count + sum(evicted is role for _, evicted in self._recent)
        return living > 1 and departed < max(1, int((living + departed) * _SHARE_MAX))

    def note_silent(self, role: Role, now: float) -> None:
        """Count an eviction for silence."""
        self._recent.append((now, role))
