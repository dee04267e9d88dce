"""At random, by weight; and the faster of two that are drawn so."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from zreg.client.balancing.instance import Instance

if TYPE_CHECKING:
    from random import Random


class WeightedDraw:
    """A draw by weight. The first draw after a change adds all weights up again."""

    def __init__(self, rng: "Random") -> None:
        self._rng = rng
        # A dict, since it keeps its order.
        self._members: dict[Instance, None] = {}
        # The members and the sums of their weights up to each; None after a change.
        self._table: tuple[Sequence[Instance], Sequence[int]] | None = None

    def add(self, instance: Instance) -> None:
        """Take in an instance."""
        self._members[instance] = None
        self._table = None

    def remove(self, instance: Instance) -> None:
        """Leave out an instance."""
        del self._members[instance]
        self._table = None

    def choose(self, now: float) -> Instance:
        """Return an instance; there must be one."""
        del now
        ordered, sums = self._table or self._added_up()
        return ordered[self._index(sums, self._rng.random() * sums[-1])]

    def choose_among(self, candidates: Sequence[Instance], now: float) -> Instance:
        """Return one of these; there must be one."""
        del now
        return self._rng.choices(candidates, [each.endpoint.weight for each in candidates])[0]

    def on_load_changed(self, instance: Instance) -> None:
        """Ignore it: calls under way do not matter here."""

    @staticmethod
    def _index(sums: Sequence[int], place: float) -> int:
        # A place that is rounded up would be beyond the last one.
        return bisect(sums, place, 0, len(sums) - 1)

    def _added_up(self) -> tuple[Sequence[Instance], Sequence[int]]:
        ordered = tuple(self._members)
        table = (ordered, tuple(accumulate(each.endpoint.weight for each in ordered)))
        self._table = table
        return table


class TwoChoices(WeightedDraw):
    """Two draws by weight, and the one that is expected to answer sooner."""

    def choose(self, now: float) -> Instance:
        """Return the faster of two; there must be one."""
        ordered, sums = self._table or self._added_up()
        index = self._index(sums, self._rng.random() * sums[-1])
        first = ordered[index]
        if len(ordered) == 1:
            return first
        # The second draw is from the weights without that of the first.
        weight = first.endpoint.weight
        place = self._rng.random() * (sums[-1] - weight)
        if place >= sums[index] - weight:
            place += weight
        return _faster(first, ordered[self._index(sums, place)], now)

    def choose_among(self, candidates: Sequence[Instance], now: float) -> Instance:
        """Return the faster of two of these; there must be one."""
        first = super().choose_among(candidates, now)
        rest = [each for each in candidates if each is not first]
        return _faster(first, super().choose_among(rest, now), now) if rest else first


def _faster(first: Instance, second: Instance, now: float) -> Instance:
    total = first.endpoint.weight + second.endpoint.weight
    return second if _cost(second, total, now) < _cost(first, total, now) else first


def _cost(instance: Instance, total_weight: int, now: float) -> float:
    """Return the expected time of a call: calls under way count less on a heavy instance.

    An instance that was never measured gets one call at once, so that it is measured.
    """
    latency = instance.latency(now)
    if latency is None:
        latency = float(instance.in_flight)
    return latency * (1.0 + instance.in_flight * total_weight / (2 * instance.endpoint.weight))
