"""What of a store becomes too old, and when: tombstones, and datums that are empty."""

from collections.abc import Iterator
from heapq import heappop, heappush

from zreg.data.store.datum import Datum
from zreg.model import DataInfoId


class Expiries:
    """The times at which something of a store can be dropped: a sweep looks at no others."""

    def __init__(self) -> None:
        # A heap of when each tombstone may be forgotten: those of copies have less time left.
        self._tombstones: list[tuple[float, DataInfoId, bytes]] = []
        # Datums that may be empty.
        self._emptied: dict[DataInfoId, None] = {}

    def add_tombstone(self, ends_at: float, name: DataInfoId, publisher_id: bytes) -> None:
        """Note when a tombstone may be forgotten."""
        heappush(self._tombstones, (ends_at, name, publisher_id))

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

    def take_emptied(self, count: int) -> Iterator[DataInfoId]:
        """Take out and yield at most so many datums that may be empty."""
        while count and self._emptied:
            count -= 1
            yield self._emptied.popitem()[0]

    def is_due(self, now: float) -> bool:
        """Return whether there is anything left to take."""
        return bool(self._emptied or (self._tombstones and self._tombstones[0][0] <= now))
