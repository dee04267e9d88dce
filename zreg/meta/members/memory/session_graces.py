"""How long departed sessions stay in the membership: until their clients could register elsewhere.

The grace of a departed session runs only while it can be used. A client can register at another
session only if one is there. So time counts while this leader is awake and a session renews its
lease with it. With all sessions away, nothing is forgotten.
"""

from typing import Final

from zreg.config import Config
from zreg.meta.members.memory.countdowns import Countdowns
from zreg.model import Incarnation, Membership, Role, Status

# A session that has not renewed for so many intervals may be stopped: it takes no clients then.
_RENEWALS_MISSED_MAX: Final = 3


class SessionGraces:
    """The seconds of grace left to each departed session; all are whole when a leader begins."""

    def __init__(self, config: Config) -> None:
        self._renewed_seconds_max = _RENEWALS_MISSED_MAX * config.renew_seconds
        self._left = Countdowns(config.session_grace_seconds, config.lease_seconds)
        self._renewed_at: float | None = None

    def begin(self) -> None:
        """Begin to lead: each departed session has its whole grace."""
        self._left.begin()
        self._renewed_at = None

    def follow(self, membership: Membership) -> None:
        """Begin the grace of each departed session that has none yet."""
        self._left.follow(m.incarnation for m in membership.of(Role.SESSION, Status.DEPARTED))

    def on_session_renewed(self, now: float) -> None:
        """Note that a session has renewed its lease, or has been admitted."""
        self._renewed_at = now

    def count(self, now: float) -> list[Incarnation]:
        """Count the time since the last call; return the sessions whose grace is over."""
        return self._left.count(now, is_running=self._is_usable(now))

    def _is_usable(self, now: float) -> bool:
        return self._renewed_at is not None and now - self._renewed_at <= self._renewed_seconds_max
