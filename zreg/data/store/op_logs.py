"""The op logs of all datums of a store: the last changes of each, bounded in age, length and size.

A change is dropped once it is too old, so that a datum without changes keeps no log; and
earlier when all logs together are too large, the oldest change of the store first.
"""

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from zreg.config import Config
from zreg.primitives.op_log import OpLog

if TYPE_CHECKING:
    from zreg.data.store.datum import Datum
    from zreg.model import Change, Version

# How far an op log may grow above its length before it is cut back.
_LOG_SLACK: Final = 1.25
# What a change takes besides the bodies in it, about.
_CHANGE_BYTES: Final = 400
_PUBLISHER_BYTES: Final = 200
_REMOVAL_BYTES: Final = 150


class _Logged(NamedTuple):
    """A change that was logged; its log may have dropped it since."""

    at: float
    size: int
    datum: "Datum"
    version: "Version"


class OpLogs:
    """Appends to the logs of datums, and drops what is too old or too much.

    Invariants: a datum has a log exactly if a change is in it. Each logged change has an entry in
    `_order`, the oldest first; `_size` is the sum of the entries' sizes.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._order: deque[_Logged] = deque()
        self._size = 0

    def __len__(self) -> int:
        """Return how many changes there are at most."""
        return len(self._order)

    def append(self, datum: "Datum", change: "Change", now: float) -> None:
        """Log the newest change of a datum."""
        log = datum.log
        if log is None:
            log = datum.log = OpLog()
        log.append(change, now)
        if len(log) > self._config.op_log_length_min * _LOG_SLACK:
            length_max = max(self._config.op_log_length_min, len(datum.publishers) // 4)
            log.trim(now, length_max=length_max, seconds_max=self._config.op_log_seconds)
        size = size_of(change)
        self._order.append(_Logged(now, size, datum, change.version))
        self._size += size
        # The newest change stays: its caller sends it to replicas.
        while self._size > self._config.op_log_bytes_max and len(self._order) > 1:
            self._drop_oldest()

    def expire(self, now: float, count_max: int) -> None:
        """Drop changes that are too old, at most so many."""
        while count_max and self.is_due(now):
            count_max -= 1
            self._drop_oldest()

    def is_due(self, now: float) -> bool:
        """Return whether a change is too old."""
        return bool(self._order) and self._order[0].at < now - self._config.op_log_seconds

    def _drop_oldest(self) -> None:
        logged = self._order.popleft()
        self._size -= logged.size
        log = logged.datum.log
        # It was dropped before if its log became too long, or was cleared.
        if log is not None and log.oldest().version == logged.version:
            log.pop_oldest()
            if not len(log):
                logged.datum.log = None


def size_of(change: "Change") -> int:
    """Return about how many bytes a change takes."""
    publishers, removals = change.publishers, change.removals
    bodies = sum(len(publisher.body) for publisher in publishers)
    parts = _PUBLISHER_BYTES * len(publishers) + _REMOVAL_BYTES * len(removals)
    return _CHANGE_BYTES + parts + bodies
