"""One time line for hops that were noted on the clocks of several machines.

Each node says how long before its answer a hop was. The answer was made at some time between the
question and its arrival here, so all hops of a node are moved together by at most half of the round
trip, and a little for clocks that run at different speeds. Messages between nodes narrow that down:
none arrives before it was sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

# Quartz clocks of two machines drift apart by less than this share of the time.
_DRIFT: Final = 1e-4


class Interval(msgspec.Struct, frozen=True):
    """How far the times of one node may have to be moved, in seconds."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The best guess."""
        return (self.low + self.high) / 2

    @property
    def error(self) -> float:
        """How far the best guess may be off."""
        return (self.high - self.low) / 2


class Sent(msgspec.Struct, frozen=True):
    """A message from one node to another, and its times on their clocks."""

    sender: str
    sent_at: float
    receiver: str
    received_at: float


def clock_error(round_trip_seconds: float, age_seconds: float) -> float:
    """Return how far the time of a hop may be off that a node told with this round trip."""
    return round_trip_seconds / 2 + age_seconds * _DRIFT


def aligned(
    errors: Mapping[str, float], reference: str, messages: Sequence[Sent]
) -> dict[str, Interval]:
    """Return how far the times of each node have to be moved, relative to the reference.

    `errors` has the error of each node on its own. If messages contradict each other, since turns
    take time or a clock jumped, the intervals are those without messages.
    """
    wide = {
        node: Interval(-error - errors[reference], error + errors[reference])
        for node, error in errors.items()
    }
    wide[reference] = Interval(0.0, 0.0)
    found = dict(wide)
    # Each pass carries a bound over one more node.
    for _ in found:
        _narrow(found, messages)
    is_contradictory = any(each.low > each.high for each in found.values())
    return wide if is_contradictory else found


def _narrow(found: dict[str, Interval], messages: Iterable[Sent]) -> None:
    for each in messages:
        sender, receiver = found[each.sender], found[each.receiver]
        took = each.received_at - each.sent_at
        found[each.sender] = Interval(sender.low, min(sender.high, receiver.high + took))
        found[each.receiver] = Interval(max(receiver.low, sender.low - took), receiver.high)
