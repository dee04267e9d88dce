"""Tells people when a data node becomes the primary of further buckets."""

from zreg.data.placement import Placement
from zreg.effects import INFO, Effect, Log


class TakeOvers:
    """The buckets of which this node was the primary under the ring before."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._owned: frozenset[int] = frozenset()

    def follow(self) -> list[Effect]:
        """Take a new ring; log of how many buckets this node is the primary from now on."""
        placement, former = self._placement, self._owned
        self._owned = placement.owned_buckets()
        gained_count = len(self._owned - former)
        if not gained_count:
            return []
        fields: dict[str, str | int | float] = {
            "buckets": gained_count,
            "owned": len(self._owned),
            "ring_epoch": placement.ring_epoch,
        }
        return [Log(INFO, "data.took_over", fields)]
