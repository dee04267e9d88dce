"""In turn, by weight: the turn of each instance is a time, and the earliest one comes next.

An instance with weight w has a turn each 1/w units of a time that only counts turns. So within one
unit each instance is chosen exactly as often as its weight says, and its turns are spread evenly.
A heap holds the turns: a choice costs the logarithm of their number. Source: earliest deadline
first, as in the weighted round robin of Envoy.

The first turn of an instance is at random within its first 1/w, so that programs that start at the
same time do not call the same instance first, and one that returns gets no burst of calls.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from zreg.client.balancing.instance import Instance

if TYPE_CHECKING:
    from random import Random

_SPARE_ENTRIES: Final = 64


class Rotation:
    """Turns by weight; with `by_load`, among the instances with the fewest calls for their weight.

    Invariant: each member has an entry in the heap with its turn, at a load that is not above its
    present one. Other entries are out of date, and are dropped when they come up.
    """

    def __init__(self, rng: "Random", *, by_load: bool = False) -> None:
        self._rng = rng
        self._by_load = by_load
        self._turns: dict[Instance, float] = {}
        # Load, turn, number, instance.
        self._heap: list[tuple[float, float, int, Instance]] = []
        # The turn that was chosen last.
        self._now = 0.0

    def add(self, instance: Instance) -> None:
        """Take in an instance."""
        self._turns[instance] = self._now + self._rng.random() / instance.endpoint.weight
        self._push(instance)

    def remove(self, instance: Instance) -> None:
        """Leave out an instance."""
        del self._turns[instance]
        if len(self._heap) > 2 * len(self._turns) + _SPARE_ENTRIES:
            self._rebuild()

    def choose(self, now: float) -> Instance:
        """Return the instance whose turn it is; there must be one."""
        del now
        heap, turns = self._heap, self._turns
        while True:
            if not heap:
                # A signal handler chose while this method held the last entry.
                self._rebuild()
            load, turn, number, instance = heappop(heap)
            if turns.get(instance) != turn:
                continue
            if self._by_load and self._load(instance) > load:
                heappush(heap, (self._load(instance), turn, number, instance))
                continue
            return self._take(instance)

    def choose_among(self, candidates: Sequence[Instance], now: float) -> Instance:
        """Return the one of these whose turn comes first; there must be one."""
        del now
        turns, latest = self._turns, self._now

        def turn(instance: Instance) -> float:
            return turns.get(instance, latest)

        def load_and_turn(instance: Instance) -> tuple[float, float]:
            return self._load(instance), turns.get(instance, latest)

        return self._take(min(candidates, key=load_and_turn if self._by_load else turn))

    def on_load_changed(self, instance: Instance) -> None:
        """Note that an instance has more or fewer calls under way."""
        if self._by_load and instance in self._turns:
            self._push(instance)
            if len(self._heap) > 4 * len(self._turns) + _SPARE_ENTRIES:
                self._rebuild()

    def _take(self, instance: Instance) -> Instance:
        """Give an instance its next turn."""
        turn = self._turns.get(instance)
        if turn is not None:
            self._now = latest = max(self._now, turn)
            self._turns[instance] = latest + 1.0 / instance.endpoint.weight
            self._push(instance)
        return instance

    def _push(self, instance: Instance) -> None:
        entry = (self._load(instance), self._turns[instance], instance.number, instance)
        heappush(self._heap, entry)

    def _load(self, instance: Instance) -> float:
        return instance.in_flight / instance.endpoint.weight if self._by_load else 0.0

    def _rebuild(self) -> None:
        self._heap[:] = self._entries()
        heapify(self._heap)

    def _entries(self) -> Iterable[tuple[float, float, int, Instance]]:
        for instance, turn in self._turns.items():
            yield self._load(instance), turn, instance.number, instance
