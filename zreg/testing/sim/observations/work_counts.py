"""How much work a simulated cluster did: calls of cores, effects and records sent, by kind.

Counters and no clock: the figures of a seed are the same on every machine.
"""

from collections import Counter
from typing import NamedTuple


class WorkCounts(NamedTuple):
    """Since the start of a simulation, or since an earlier moment."""

    # Calls of cores: `receive`, `tick`, `settle`.
    calls: Counter[str]
    # Effects that cores returned, by class.
    effects: Counter[str]
    # Records that were sent, by class; a broadcast counts once for each receiver.
    messages: Counter[str]
    # What they were carried in: `frames`, and their `bytes`.
    carried: Counter[str]

    def copy(self) -> "WorkCounts":
        """Return the counts as they are now."""
        return WorkCounts(*map(Counter, self))

    def since(self, earlier: "WorkCounts") -> "WorkCounts":
        """Return what was added since an earlier copy."""
        return WorkCounts(*(now - then for now, then in zip(self, earlier, strict=True)))
