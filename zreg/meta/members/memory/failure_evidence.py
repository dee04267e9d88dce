"""The three-fold evidence on which a member departs at once, without waiting for its lease.

1. Another member reports that its connection to the suspected member ended.
2. The connection over which the suspected member renewed is closed; or it has not come to a new
   leader within the time that living nodes need for that.
3. Meta dials its address, and the connection is refused.

The first two come in any order. Both may be wrong, so they are forgotten after a lease, or when the
member renews. The third is proof that its process is gone: a process that is stopped, starved or
cut off refuses nothing.
"""

from collections.abc import Iterable
from typing import Final

from zreg.model import Incarnation, Member, Membership

# Checks under way at a time; the next one waits until one of them ends.
CHECKS_MAX: Final = 8
# Living nodes find a new leader within two renewals and a redirect.
FIND_LEADER_SECONDS: Final = 1.0


class FailureEvidence:
    """The evidence against living members, and the checks of them that are under way."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._reported_at: dict[Incarnation, float] = {}
        self._closed_at: dict[Incarnation, float] = {}
        # The members that have not come to this leader yet, and until when they may look for it.
        self._unseen: dict[Incarnation, None] = {}
        self._unseen_until = 0.0
        # By name. A second check with the same name takes the place of the first.
        self._checks: dict[str, Incarnation] = {}

    def __len__(self) -> int:
        """Return against how many members there is evidence."""
        return len({*self._reported_at, *self._closed_at})

    def begin(self, living: Iterable[Incarnation], now: float) -> None:
        """Begin to lead: forget all evidence, and ignore the checks under way."""
        self._reported_at.clear()
        self._closed_at.clear()
        self._checks.clear()
        self._unseen = dict.fromkeys(living)
        self._unseen_until = now + FIND_LEADER_SECONDS

    def note_reported(self, gone: Incarnation, now: float) -> None:
        """Note that another member reports the end of its connection to this one."""
        self._reported_at[gone] = now

    def note_closed(self, gone: Incarnation, now: float) -> None:
        """Note that the connection over which this member renewed is closed."""
        self._closed_at[gone] = now

    def clear(self, incarnation: Incarnation) -> None:
        """Forget the evidence against a member: it lives, or has departed."""
        self._reported_at.pop(incarnation, None)
        self._closed_at.pop(incarnation, None)
        self._unseen.pop(incarnation, None)
        self._checks.pop(str(incarnation), None)

    def begin_checks(self, membership: Membership, now: float) -> list[tuple[str, Member]]:
        """Return the members to check now, with the name of each check."""
        if now >= self._unseen_until:
            self._closed_at.update(dict.fromkeys(self._unseen, now))
            self._unseen.clear()
        self._forget_old(now)
        found: list[tuple[str, Member]] = []
        for incarnation in self._closed_at:
            name = str(incarnation)
            if len(self._checks) >= CHECKS_MAX:
                break
            if incarnation not in self._reported_at or name in self._checks:
                continue
            member = membership.living(incarnation.node_id)
            if member is not None and member.incarnation == incarnation:
                self._checks[name] = incarnation
                found.append((name, member))
        return found

    def conclude(self, name: str, now: float, *, is_refused: bool) -> Incarnation | None:
        """Take the result of a check; return the member if all three agree that it is gone."""
        self._forget_old(now)
        incarnation = self._checks.get(name)
        if incarnation is None:
            return None
        self.clear(incarnation)
        return incarnation if is_refused else None

    def _forget_old(self, now: float) -> None:
        for noted_at in (self._reported_at, self._closed_at):
            for incarnation in [i for i, at in noted_at.items() if now - at > self._lease_seconds]:
                del noted_at[incarnation]
        # A check needs both.
        reported, closed = self._reported_at, self._closed_at
        self._checks = {n: i for n, i in self._checks.items() if i in reported and i in closed}
