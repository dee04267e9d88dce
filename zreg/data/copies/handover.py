"""When a data node that joins is ready, and when one that leaves has handed over.

Both are guests of buckets: they keep copies and count as no replica. A guest is complete once each
of its copies was equal to that of the primary under the present ring. A joining node then reports
so to meta, and becomes WORKING; a leaving one has given all that it alone had, and may go.
"""

from typing import Final

from zreg.config import Config
from zreg.data.copies.repairs import Repairs
from zreg.data.placement import Placement
from zreg.effects import INFO, Effect, Emit, HandedOver, Log
from zreg.membership.cluster_member import ClusterMember
from zreg.membership.leader_reports import report_leaving, report_ready
from zreg.model import Role, Status

# A request to meta is repeated after this time, if it was refused or lost.
_AGAIN_SECONDS: Final = 1.0
# A node that hands over goes on for so long without a leader of meta: a new one takes two seconds.
_LEADERLESS_SECONDS: Final = 5.0


class Handover:
    """What this node has told meta, and whether its process is about to end.

    Invariant: `HandedOver` is emitted at most once in the life of a process.
    """

    def __init__(
        self,
        config: Config,
        placement: Placement,
        cluster_member: ClusterMember,
        repairs: Repairs,
    ) -> None:
        self._drain_seconds = config.drain_seconds
        self._placement = placement
        self._cluster_member = cluster_member
        self._repairs = repairs
        # The ring epoch under which this node reported that it is ready.
        self._reported = -1
        self._again_at = 0.0
        # Until when the process waits; None: it does not end.
        self._ends_at: float | None = None
        # Whether meta has shown this node as LEAVING.
        self._is_leaving = False
        self._has_ended = False
        # Since when this LEAVING node reaches no leader of meta; None: it reaches one.
        self._leaderless_since: float | None = None

    def begin(self, now: float) -> list[Effect]:
        """Begin to leave, because the process is about to end."""
        if self._ends_at is None:
            self._ends_at = now + self._drain_seconds
            self._again_at = now
        return self.settle(now)

    def settle(self, now: float) -> list[Effect]:
        """Do what follows from what this turn brought."""
        status = self._placement.status
        self._is_leaving |= status is Status.LEAVING
        if self._is_leaving or self._ends_at is not None:
            return self._leave(now)
        if status is Status.INITIAL and self._repairs.is_complete:
            return self._report(now)
        return []

    def _report(self, now: float) -> list[Effect]:
        ring_epoch = self._placement.ring_epoch
        if ring_epoch == self._reported and now < self._again_at:
            return []
        self._reported, self._again_at = ring_epoch, now + _AGAIN_SECONDS
        return report_ready(self._cluster_member, ring_epoch)

    def _leave(self, now: float) -> list[Effect]:
        if self._has_ended:
            return []
        if self._may_end(now):
            self._has_ended = True
            has_joined = self._placement.status is not None
            logs = [Log(INFO, "data.handed_over", {})] if has_joined else []
            return [*logs, Emit(HandedOver())]
        if self._placement.status is Status.LEAVING or now < self._again_at:
            return []
        self._again_at = now + _AGAIN_SECONDS
        return report_leaving(self._cluster_member)

    def _may_end(self, now: float) -> bool:
        """Return whether there is nothing to wait for, or no other node to take over."""
        status, has_leader = self._placement.status, self._cluster_member.leader is not None
        is_leaving, ends_at = status is Status.LEAVING, self._ends_at
        # A node that joins has only what others gave it.
        if status in {None, Status.INITIAL} or not self._has_successor():
            return True
        if is_leaving and self._repairs.is_complete:
            return True
        if has_leader or not is_leaving:
            self._leaderless_since = None
        elif self._leaderless_since is None:
            self._leaderless_since = now
        if ends_at is None:
            return False
        # Before meta has shown it as LEAVING, only meta can let another node take over.
        patience = _LEADERLESS_SECONDS if is_leaving else 0.0
        since = now if self._leaderless_since is None else self._leaderless_since
        return now >= ends_at or (not has_leader and now >= since + patience)

    def _has_successor(self) -> bool:
        """Return whether another node can take over, perhaps once it has copied all."""
        own = self._placement.incarnation
        others = self._cluster_member.membership.of(Role.DATA, Status.INITIAL, Status.WORKING)
        return any(member.incarnation != own for member in others)

    def next_tick_at(self) -> float | None:
        """Return when to look again; None if only messages bring anything new."""
        status = self._placement.status
        if self._has_ended:
            return None
        if status is Status.LEAVING:
            since = self._leaderless_since
            if self._ends_at is None or since is None:
                return self._ends_at
            return min(self._ends_at, since + _LEADERLESS_SECONDS)
        waits = status is Status.INITIAL and self._repairs.is_complete
        return self._again_at if waits or self._ends_at is not None else None
