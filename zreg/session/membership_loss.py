"""When a session without an incarnation sends its clients to other sessions."""

from typing import Final

# A session that has not joined again after this time cannot register what its clients publish.
_SECONDS_MAX: Final = 2.0
# One that meta has not admitted since its start serves reads meanwhile, so it is more patient.
_START_SECONDS_MAX: Final = 5.0
_PAUSE_SECONDS_MAX: Final = 10.0


class MembershipLoss:
    """The time at which the session lost its incarnation, and when it next sends its clients away.

    Invariants: both times are None as long as the session is a member. A session that has not been
    one yet has lost nothing, but its clients may find a session that meta has admitted.
    """

    def __init__(self, *, now: float) -> None:
        self._lost_at: float | None = None
        self._send_away_at: float | None = now + _START_SECONDS_MAX

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

    @property
    def is_lost(self) -> bool:
        """Whether meta took the incarnation of this session away."""
        return self._lost_at is not None

    def is_lasting(self, now: float) -> bool:
        """Return whether the session has been no member for so long that it sends clients away."""
        return self._lost_at is not None and now - self._lost_at >= _SECONDS_MAX

    def is_send_away_due(self, now: float) -> bool:
        """Return whether the present clients have to be sent away now."""
        return self._send_away_at is not None and now >= self._send_away_at

    def on_sent_away(self, now: float) -> None:
        """Note that clients were sent away; clients that connect now are sent away next time."""
        pause = _SECONDS_MAX if self.is_lost else _PAUSE_SECONDS_MAX
        self._send_away_at = now + pause

    def next_tick_at(self) -> float | None:
        """Return when clients have to be sent away; None while the session is a member."""
        return self._send_away_at
