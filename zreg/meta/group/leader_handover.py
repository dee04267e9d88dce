"""Handing over the leadership: before the leader's process ends, or before it is removed."""

from collections.abc import Sequence
from typing import Final

from zreg.effects import Effect, Emit, HandedOver
from zreg.meta.group.raft_driver import ALIVE_TICKS, RaftDriver

# A leader that stops waits so long for another node to lead.
_HAND_OVER_SECONDS: Final = 1.0


class LeaderHandover:
    """Since when this node hands over because its process is about to end."""

    def __init__(self, raft_driver: RaftDriver) -> None:
        self._raft_driver = raft_driver
        self._stopping_at: float | None = None

    def successor(self) -> str | None:
        """Return the voter that leads next: the one being handed over to, else the best one."""
        status = self._raft_driver.raft.status()
        if status.transfer_target is not None:
            return status.transfer_target
        candidates = [
            (peer.match_index, node_id)
            for node_id, peer in status.peers.items()
            if peer.catch_up is None
            and peer.silent_ticks <= ALIVE_TICKS
            and self._raft_driver.peers.is_up(node_id)
        ]
        return max(candidates)[1] if candidates else None

    def transfer(self) -> None:
        """Have the successor lead, if there is one.

        A transfer under way is not begun again: repeated requests would keep it from timing out.
        """
        raft = self._raft_driver.raft
        successor = self.successor()
        if successor is not None and raft.status().transfer_target is None:
            raft.transfer_leader(successor)

    def on_hand_over(self, now: float, *, is_leading: bool) -> Sequence[Effect]:
        """Hand over, because the process is about to end."""
        if not is_leading or self.successor() is None:
            return [Emit(HandedOver())]
        self.transfer()
        self._stopping_at = now
        return []

    def tick(self, now: float, *, is_leading: bool) -> Sequence[Effect]:
        """Emit `HandedOver` when another node leads, or when it took too long."""
        if self._stopping_at is None:
            return []
        if is_leading and now - self._stopping_at < _HAND_OVER_SECONDS:
            return []
        self._stopping_at = None
        return [Emit(HandedOver())]
