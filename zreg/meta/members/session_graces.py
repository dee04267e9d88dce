"""How long departed sessions stay in the membership: until their clients could register elsewhere.

The grace of a departed session runs only while it can be used. A client can register at another
session only if one is there. So time counts while this leader is awake and a session renews its
lease with it. With all sessions away, nothing is forgotten.
"""

from typing import Final

from zreg.config import Config
from zreg.model import Incarnation, Membership, Role, Status

# A leader that did not count for more than this share of a lease was not awake.
_STALL_SHARE: Final = 0.25
# A session that has not renewed for so many intervals may be stopped: it takes no clients then.
_RENEWALS_MISSED_MAX: Final = 3


class SessionGraces:
    """The seconds of grace left to each departed session; all are whole when a leader begins."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._left: dict[Incarnation, float] = {}
        self._counted_at: float | None = None
        self._renewed_at: float | None = None

    def begin(self) -> None:
        """Begin to lead: each departed session has its whole grace."""
        self._left.clear()
        self._counted_at = self._renewed_at = None

    def follow(self, membership: Membership) -> None:
        """Begin the grace of each departed session that has none yet."""
        departed = {m.incarnation for m in membership.of(Role.SESSION, Status.DEPARTED)}
        whole = self._config.session_grace_seconds
        self._left = {session: self._left.get(session, whole) for session in sorted(departed)}

    def on_session_renewed(self, now: float) -> None:
        """Note that a session has renewed its lease, or has been admitted."""
        self._renewed_at = now

    def count(self, now: float) -> list[Incarnation]:
        """Count the time since the last call; return the sessions whose grace is over."""
        passed = 0.0 if self._counted_at is None else now - self._counted_at
        self._counted_at = now
        if self._is_usable(passed, now):
            for session in self._left:
                self._left[session] -= passed
        return [session for session, left in self._left.items() if left <= 0.0]

    def _is_usable(self, passed: float, now: float) -> bool:
        if self._renewed_at is None or passed > self._config.lease_seconds * _STALL_SHARE:
            return False
        return now - self._renewed_at <= _RENEWALS_MISSED_MAX * self._config.renew_seconds
