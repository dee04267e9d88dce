"""What a session misses: meta, data nodes or its incarnation; and what follows from it.

One that reaches neither meta nor a data node gives up its incarnation, and one without an
incarnation sends its clients to other sessions.
"""

from typing import Final

from zreg.model import Membership, Role, Status

# A session that has not joined again after this time cannot register what its clients publish.
_SECONDS_MAX: Final = 2.0
# One that meta has not admitted since its start serves reads meanwhile, so it is more patient.
_START_SECONDS_MAX: Final = 5.0
_PAUSE_SECONDS_MAX: Final = 10.0
_ELECTION_SECONDS_MAX: Final = 2.0
# Longer than an election and the restart of a data node, and far shorter than the grace.
UNREACHED_SECONDS_MAX: Final = 5.0


class MembershipLoss:
    """When the session lost its incarnation, and when it next sends its clients away.

    Invariants: both times are None as long as the session is a member. A session that has not been
    one yet has lost nothing, but its clients may find a session that meta has admitted.
    """

    def __init__(self, node_id: str, *, now: float) -> None:
        self._node_id = node_id
        self._lost_at: float | None = None
        self._send_away_at: float | None = now + _START_SECONDS_MAX
        # Since when no leader of meta is reached, and since when no data node; None if one is.
        self._leaderless_since: float | None = now
        self._dataless_since: float | None = now

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

    def note_leader(self, now: float, *, is_reached: bool) -> None:
        """Note whether a leader of meta is reached."""
        self._leaderless_since = _since(self._leaderless_since, now, is_reached=is_reached)

    def note_data_nodes(self, now: float, *, is_reached: bool) -> None:
        """Note whether a data node is reached."""
        self._dataless_since = _since(self._dataless_since, now, is_reached=is_reached)

    def is_meta_away(self, now: float) -> bool:
        """Return whether there was no leader for longer than an election takes."""
        since = self._leaderless_since
        return since is not None and now - since >= _ELECTION_SECONDS_MAX

    @property
    def _unreached_since(self) -> float | None:
        """Since when neither meta nor a data node is reached; None if one is."""
        leaderless, dataless = self._leaderless_since, self._dataless_since
        return None if leaderless is None or dataless is None else max(leaderless, dataless)

    def must_give_up(self, now: float, membership: Membership) -> bool:
        """Return whether a member that is isolated has to take itself for dead.

        It reaches neither meta nor a data node, so no node can tell it that meta has taken it for
        dead and will forget it, with all that its clients have published, when their grace ends.
        A session that had departed before may be back, and no node could tell that either.
        """
        since = self._unreached_since
        is_long = since is not None and now - since >= UNREACHED_SECONDS_MAX
        return is_long and self._send_away_at is None and self._has_others(membership, *Status)

    def _has_others(self, membership: Membership, *statuses: Status) -> bool:
        """Return whether clients may find another session that meta has admitted."""
        sessions = membership.of(Role.SESSION, *statuses)
        return any(member.node_id != self._node_id for member in sessions)

    def is_lasting(self, now: float) -> bool:
        """Return whether the session has been no member for so long that it sends clients away."""
        return self._lost_at is not None and now - self._lost_at >= _SECONDS_MAX

    def take_due(self, now: float, membership: Membership) -> bool:
        """Return whether the present clients have to be sent away now; later ones are next time.

        A session that meta took the incarnation from does so even if it knows no other session.
        """
        if self._send_away_at is None or now < self._send_away_at:
            return False
        is_lost = self._lost_at is not None
        # Where nothing is reached, other sessions may be no better off.
        is_urgent = is_lost and self._unreached_since is None
        self._send_away_at = now + (_SECONDS_MAX if is_urgent else _PAUSE_SECONDS_MAX)
        return is_lost or self._has_others(membership)

    def next_tick_at(self) -> float | None:
        """Return when clients have to be sent away; None while the session is a member."""
        return self._send_away_at


def _since(since: float | None, now: float, *, is_reached: bool) -> float | None:
    """Return since when something is not reached; `since` is what was known of it before."""
    if is_reached:
        return None
    return now if since is None else since
