"""When a session that meta took the incarnation from sends its clients to other sessions."""

from typing import Final

# A session that has not joined again after this time cannot register what its clients publish.
_SECONDS_MAX: Final = 2.0


class MembershipLoss:
    """The time at which the session lost its incarnation, and when it next sends its clients away.

    Invariant: both times are None as long as the session is a member, or has never been one.
    """

    def __init__(self) -> None:
        self._lost_at: float | None = None
        self._send_away_at: float | None = None

    def on_lost(self, now: float, *, is_final: bool = False) -> None:
        """Note that meta took the incarnation of this session away; the first time counts.

        `is_final`: this session cannot join again soon, so its clients are sent away at once.
        """
        if self._lost_at is None:
            self._lost_at = now
            self._send_away_at = now if is_final else now + _SECONDS_MAX

    def on_joined(self) -> None:
        """Note that this session is a member again."""
        self._lost_at = self._send_away_at = None

    def is_lasting(self, now: float) -> bool:
        """Return whether the session has been no member for so long that it sends clients away."""
        return self._lost_at is not None and now - self._lost_at >= _SECONDS_MAX

    def is_send_away_due(self, now: float) -> bool:
        """Return whether the present clients have to be sent away now."""
        return self._send_away_at is not None and now >= self._send_away_at

    def on_sent_away(self, now: float) -> None:
        """Note that clients were sent away; clients that connect now are sent away next time."""
        self._send_away_at = now + _SECONDS_MAX

    def next_tick_at(self) -> float | None:
        """Return when clients have to be sent away; None while the session is a member."""
        return self._send_away_at
