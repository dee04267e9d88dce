"""Virtual time: a clock that jumps from event to event, and one source of randomness."""

import heapq
import logging
from collections.abc import Callable
from random import Random
from typing import Final

from zreg.testing.sim.observations.sent_records import SentRecords

START_SECONDS: Final = 1000.0
DELAY_SECONDS_MAX: Final = 0.001
_DELAY_SECONDS: Final = (0.0001, DELAY_SECONDS_MAX)


class VirtualTime:
    """Runs events in the order of their times; events of one time run in the order of their adding.

    `trace` holds a line per event that is worth reading, `sent` the digest of all sent records.
    """

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)  # noqa: S311 -- a simulation wants a seed
        self.now = START_SECONDS
        self.trace: list[str] = []
        self.sent = SentRecords()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    def run(self, seconds: float) -> None:
        """Run the events of the next `seconds`."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], seconds_max: float) -> bool:
        """Run events until `condition` holds, at most `seconds_max`; return whether it holds."""
        end = self.now + seconds_max
        while not condition():
            if not self._events or self._events[0][0] > end:
                self.now = end
                return condition()
            self.now, _, event = heapq.heappop(self._events)
            event()
        return True

    def after(self, wait: float, event: Callable[[], None]) -> None:
        """Run `event` in `wait` seconds."""
        self._at(wait, event)

    def _delay(self) -> float:
        """Draw how long a message takes."""
        return self.rng.uniform(*_DELAY_SECONDS)

    def _at(self, wait: float, event: Callable[[], None]) -> None:
        """Run `event` in `wait` seconds."""
        self._at_time(self.now + wait, event)

    def _at_time(self, time: float, event: Callable[[], None]) -> None:
        """Run `event` at `time`, after the events that were added before for that time."""
        self._sequence += 1
        heapq.heappush(self._events, (time, self._sequence, event))

    def _note(self, line: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now - START_SECONDS:.6f} {line}")
        logging.getLogger("zreg.testing").debug("%s", self.trace[-1])
