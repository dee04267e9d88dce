"""The waiting time of a node that comes and goes too often: it is INITIAL before it is WORKING.

Each coming and going of a data node moves ids, and each of a session its clients, so a node that
dies again and again is left out for longer each time. Goodbyes do not count. Nobody waits where
nobody else of the role would be working.
"""

from collections import deque
from typing import Final

from zreg.config import Limits
from zreg.model import Incarnation, Membership, Role, Status

_WINDOW_SECONDS: Final = 600.0
# So many departures within the window cost nothing.
_FREE_COUNT: Final = 2
_WAIT_SECONDS: Final = 5.0
_WAIT_SECONDS_MAX: Final = 60.0
# With so many the wait is at its longest.
_COUNT_MAX: Final = 7


class FlapDamping:
    """The departures of each node id, and who waits until when."""

    def __init__(self) -> None:
        # The id that departed last comes last.
        self._departed_at: dict[str, deque[float]] = {}
        self._until: dict[Incarnation, float] = {}

    def __len__(self) -> int:
        """Return of how many ids departures are remembered."""
        return len(self._departed_at)

    def note_departure(self, node_id: str, now: float) -> None:
        """Count a departure without a goodbye."""
        times = self._departed_at.pop(node_id, None) or deque(maxlen=_COUNT_MAX)
        times.append(now)
        self._departed_at[node_id] = times
        first = next(iter(self._departed_at))
        while self._is_over(first, now) or len(self._departed_at) > Limits.members_max:
            del self._departed_at[first]
            first = next(iter(self._departed_at))

    def _is_over(self, node_id: str, now: float) -> bool:
        return now - self._departed_at[node_id][-1] > _WINDOW_SECONDS

    def wait_seconds(self, node_id: str, now: float, *, more: int = 0) -> float:
        """Return how long a node that comes now has to wait; `more` departures are on their way."""
        times = self._departed_at.get(node_id, ())
        count = sum(now - at <= _WINDOW_SECONDS for at in times) + more
        if count <= _FREE_COUNT:
            return 0.0
        return min(_WAIT_SECONDS * 2.0 ** (count - _FREE_COUNT - 1), _WAIT_SECONDS_MAX)

    def begin(self, incarnation: Incarnation, until: float) -> None:
        """Have a node that was admitted as INITIAL wait."""
        self._until[incarnation] = until

    def forget_waits(self) -> None:
        """Forget who waits until when: whoever does waits anew, for the shortest time."""
        self._until.clear()

    def follow(self, membership: Membership, now: float) -> None:
        """Look at the membership: who waits, and for whom another leader knew the time."""
        waiting = [m.incarnation for m in membership.members if m.status is Status.INITIAL]
        self._until = {who: self._until.get(who, now + _WAIT_SECONDS) for who in waiting}

    def over(self, membership: Membership, now: float) -> list[Incarnation]:
        """Return who has waited long enough, or is needed now."""
        if not self._until:
            return []
        needed = [role for role in Role if not membership.of(role)]
        return [
            member.incarnation
            for member in membership.members
            if member.incarnation in self._until
            and (member.role in needed or now >= self._until[member.incarnation])
        ]
