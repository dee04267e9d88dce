"""What of a store becomes too old, and when: tombstones, changes in op logs, empty datums."""

from collections.abc import Iterator
from heapq import heappop, heappush

from zreg.data.store.datum import Datum
from zreg.model import DataInfoId


class Expiries:
    """The times of a store at which something can be dropped, so that a sweep looks at no others.

    Invariant: a datum whose log has more than one change has one entry in `_logs`.
    """

    def __init__(self) -> None:
        # A heap of when each tombstone may be forgotten: those of copies have less time left.
        self._tombstones: list[tuple[float, DataInfoId, bytes]] = []
        # A heap of when the oldest change of a log is too old; the number orders equal times.
        self._logs: list[tuple[float, int, Datum]] = []
        self._log_count = 0
        # Datums that may be empty.
        self._emptied: dict[DataInfoId, None] = {}

    def add_tombstone(self, ends_at: float, name: DataInfoId, publisher_id: bytes) -> None:
        """Note when a tombstone may be forgotten."""
        heappush(self._tombstones, (ends_at, name, publisher_id))

    def add_log(self, datum: Datum, due_at: float) -> None:
        """Note when the oldest change of a log is too old."""
        datum.is_log_noted = True
        self._log_count += 1
        heappush(self._logs, (due_at, self._log_count, datum))

    def add_emptied(self, datum: Datum) -> None:
        """Note that a datum may be empty."""
        self._emptied[datum.name] = None

    def take_tombstones(self, now: float, count: int) -> Iterator[tuple[DataInfoId, bytes]]:
        """Take out and yield at most so many tombstones that may be forgotten."""
        tombstones = self._tombstones
        while count and tombstones and tombstones[0][0] <= now:
            count -= 1
            _, name, publisher_id = heappop(tombstones)
            yield name, publisher_id

    def take_logs(self, now: float, count: int) -> Iterator[Datum]:
        """Take out and yield at most so many datums whose log has a change that is too old."""
        while count and self._logs and self._logs[0][0] < now:
            count -= 1
            _, _, datum = heappop(self._logs)
            datum.is_log_noted = False
            yield datum

    def take_emptied(self, count: int) -> Iterator[DataInfoId]:
        """Take out and yield at most so many datums that may be empty."""
        while count and self._emptied:
            count -= 1
            yield self._emptied.popitem()[0]

    def is_due(self, now: float) -> bool:
        """Return whether there is anything left to take."""
        return bool(
            self._emptied
            or (self._tombstones and self._tombstones[0][0] <= now)
            or (self._logs and self._logs[0][0] < now)
        )
