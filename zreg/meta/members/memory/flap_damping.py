"""How long a node that departs again and again must wait as INITIAL before it is WORKING.

Each departure and return of a data node moves ids, and that of a session moves its clients. So the
wait grows with each departure. Goodbyes do not count. `Newcomers` ends a wait early if no other
node of the role works.
"""

from collections import deque
from typing import Final

from zreg.config import Limits
from zreg.model import Incarnation, Membership, Status

_WINDOW_SECONDS: Final = 600.0
# So many departures within the window cause no wait.
_FREE_COUNT: Final = 2
_WAIT_SECONDS: Final = 5.0
_WAIT_SECONDS_MAX: Final = 60.0
# With so many departures the wait is at its longest.
_COUNT_MAX: Final = 7


class FlapDamping:
    """The departures of each node id, and until when each INITIAL member waits."""

    def __init__(self) -> None:
        # The id that departed last comes last.
        self._departed_at: dict[str, deque[float]] = {}
        self._until: dict[Incarnation, float] = {}

    def __len__(self) -> int:
        """Return of how many ids departures are remembered."""
        return len(self._departed_at)

    # --- departures --------------------------------------------------------------------------

    def note_departure(self, node_id: str, now: float) -> None:
        """Count a departure without a goodbye."""
        times = self._departed_at.pop(node_id, None) or deque(maxlen=_COUNT_MAX)
        times.append(now)
        self._departed_at[node_id] = times
        first = next(iter(self._departed_at))
        while self._is_outdated(first, now) or len(self._departed_at) > Limits.members_max:
            del self._departed_at[first]
            first = next(iter(self._departed_at))

    def wait_seconds(self, node_id: str, now: float, *, more: int = 0) -> float:
        """Return how long a node that joins now must wait, with `more` departures to count."""
        times = self._departed_at.get(node_id, ())
        count = sum(now - at <= _WINDOW_SECONDS for at in times) + more
        if count <= _FREE_COUNT:
            return 0.0
        return min(_WAIT_SECONDS * 2.0 ** (count - _FREE_COUNT - 1), _WAIT_SECONDS_MAX)

    def _is_outdated(self, node_id: str, now: float) -> bool:
        return now - self._departed_at[node_id][-1] > _WINDOW_SECONDS

    # --- waits -------------------------------------------------------------------------------

    def begin_wait(self, incarnation: Incarnation, until: float) -> None:
        """Have a member wait that was admitted as INITIAL."""
        self._until[incarnation] = until

    def forget_waits(self) -> None:
        """Begin to lead: all INITIAL members wait anew, for the shortest time."""
        self._until.clear()

    @property
    def has_members(self) -> bool:
        """Whether there is an INITIAL member."""
        return bool(self._until)

    def follow(self, membership: Membership, now: float) -> None:
        """Take the INITIAL members; if another leader admitted one, it waits the shortest time."""
        waiting = [m.incarnation for m in membership.members if m.status is Status.INITIAL]
        self._until = {
            incarnation: self._until.get(incarnation, now + _WAIT_SECONDS)
            for incarnation in waiting
        }

    def seconds_left(self, incarnation: Incarnation, now: float) -> float:
        """Return how long an INITIAL member still has to wait; 0 if it does not wait."""
        return max(0.0, self._until.get(incarnation, now) - now)
