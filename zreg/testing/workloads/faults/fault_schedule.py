"""What is wrong in a simulated cluster now, when it ends, and what must be whole meanwhile."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_LENGTHS: Final = (0.2, 1.0, 2.5, 5.0, 12.0, 25.0)


class FaultSchedule:
    """The faults that last, each with its nodes; a node with a fault gets no second one.

    `counts` has how often each kind began.
    """

    def __init__(self, rng: "Random") -> None:
        self.counts: Counter[str] = Counter()
        self._rng = rng
        # When each ends, its nodes, and how it is undone.
        self._lasting: list[tuple[float, tuple[str, ...], Callable[[], None]]] = []

    def begin(
        self, kind: str, nodes: tuple[str, ...], undo: Callable[[], None], now: float
    ) -> float:
        """Note a fault that has begun; return for how many seconds it lasts."""
        self.counts[kind] += 1
        return self.undo_later(nodes, undo, now)

    def undo_later(self, nodes: tuple[str, ...], undo: Callable[[], None], now: float) -> float:
        """Undo something on these nodes after a while; return after how many seconds."""
        length = self._rng.choice(_LENGTHS)
        self._lasting.append((now + length, nodes, undo))
        return length

    def keep_whole(self, nodes: Iterable[str], until: float) -> None:
        """Keep faults away from nodes which another fault needs whole."""
        self._lasting.append((until, tuple(nodes), _nothing))

    def end_by(self, at: float) -> None:
        """Let the fault that began last end by that time."""
        until, nodes, undo = self._lasting[-1]
        self._lasting[-1] = (min(until, at), nodes, undo)

    def busy(self) -> set[str]:
        """Return the nodes and clients that have a fault, or must be whole for another fault."""
        return {name for _, names, _ in self._lasting for name in names}

    def end_due(self, now: float) -> None:
        """End the faults whose time is over."""
        due = [entry for entry in self._lasting if entry[0] <= now]
        self._lasting = [entry for entry in self._lasting if entry[0] > now]
        for _, _, undo in due:
            undo()

    def end_all(self) -> None:
        """End all faults."""
        lasting, self._lasting = self._lasting, []
        for _, _, undo in lasting:
            undo()


def _nothing() -> None:
    """Undo nothing: the entry only keeps other faults away from its nodes."""
