"""The three-fold agreement by which a node departs at once, without waiting for its lease.

Its connection to another node ended, as that one reports; the connection over which it renewed is
closed, or it has not come to a new leader in the time that living nodes need; and then meta looks
itself, and nobody listens at its address. The first two come in any order and may both be wrong, so
they are forgotten after a lease, or when the node renews. The third is proof that its process is
gone: a process that is stopped, starved or cut off refuses nothing.
"""

from collections.abc import Iterable
from typing import Final

from zreg.model import Incarnation, Member, Membership

# Looks under way at a time; others wait for one of them to end.
CHECKS_MAX: Final = 8
# Living nodes find a new leader within two renewals and a redirect.
FIND_LEADER_SECONDS: Final = 1.0


class FailureEvidence:
    """What speaks against living members, and where is being looked."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._reported_at: dict[Incarnation, float] = {}
        self._closed_at: dict[Incarnation, float] = {}
        # Who has not come to this leader yet, and until when it may still look for it.
        self._unseen: dict[Incarnation, None] = {}
        self._unseen_until = 0.0
        # By the name of the check, which a second check of that name replaces: whom it is about.
        self._checks: dict[str, Incarnation] = {}

    def __len__(self) -> int:
        """Return of how many members something is remembered."""
        return len({*self._reported_at, *self._closed_at})

    def report(self, gone: Incarnation, now: float) -> None:
        """Note that another node's connection to it ended."""
        self._reported_at[gone] = now

    def close(self, gone: Incarnation, now: float) -> None:
        """Note that the connection over which it renewed is closed."""
        self._closed_at[gone] = now

    def clear(self, incarnation: Incarnation) -> None:
        """Forget what was against a node: it lives, or has departed."""
        self._reported_at.pop(incarnation, None)
        self._closed_at.pop(incarnation, None)
        self._unseen.pop(incarnation, None)
        self._checks.pop(str(incarnation), None)

    def begin(self, living: Iterable[Incarnation], now: float) -> None:
        """Begin with a new leader: forget everything, do not heed what is being looked at."""
        self._reported_at.clear()
        self._closed_at.clear()
        self._checks.clear()
        self._unseen = dict.fromkeys(living)
        self._unseen_until = now + FIND_LEADER_SECONDS

    def take_checks(self, membership: Membership, now: float) -> list[tuple[str, Member]]:
        """Return at whom to look now, with the name of each check."""
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
        """Take what a check found; return who is gone, if all three agree."""
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
        # Whoever is being looked at is so because of both.
        reported, closed = self._reported_at, self._closed_at
        self._checks = {n: i for n, i in self._checks.items() if i in reported and i in closed}
