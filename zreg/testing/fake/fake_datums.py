"""What is registered in a fake registry, by id."""

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from zreg.model import Cause, DataInfoId, Publisher, Version

_EPOCH: Final = 1


class FakeDatums:
    """All registrations, and the version of each datum.

    Invariant: `_names` has each registration of `_datums`, by publisher id.
    """

    def __init__(self) -> None:
        self._datums: dict[DataInfoId, dict[bytes, Publisher]] = {}
        self._names: dict[bytes, DataInfoId] = {}
        self._counters: dict[DataInfoId, int] = {}
        self._counter = 0
        # Why publishers were removed that a subscriber may still have.
        self.causes: dict[bytes, Cause] = {}

    def publishers(self, name: DataInfoId) -> Mapping[bytes, Publisher]:
        """Return what is registered under an id, by publisher id."""
        return self._datums.get(name, {})

    def version(self, name: DataInfoId) -> Version:
        """Return the version of a datum."""
        return Version(_EPOCH, self._counters.get(name, 0))

    def has(self, publisher_id: bytes) -> bool:
        """Return whether a publisher is registered."""
        return publisher_id in self._names

    def of_client(self, client_id: bytes) -> list[bytes]:
        """Return the publisher ids of a client."""
        return [
            publisher_id
            for publisher_id, name in self._names.items()
            if self._datums[name][publisher_id].client_id == client_id
        ]

    def register(self, name: DataInfoId, publisher: Publisher) -> None:
        """Register a publisher, or its newer state."""
        self._names[publisher.publisher_id] = name
        self.causes.pop(publisher.publisher_id, None)
        self._datums.setdefault(name, {})[publisher.publisher_id] = publisher
        self._move(name)

    def remove(self, publisher_ids: Iterable[bytes], cause: Cause) -> list[DataInfoId]:
        """Remove those that are registered; return the ids of the datums that changed."""
        names: dict[DataInfoId, None] = {}
        for publisher_id in publisher_ids:
            name = self._names.pop(publisher_id, None)
            if name is not None:
                del self._datums[name][publisher_id]
                self.causes[publisher_id] = cause
                names[name] = None
        for name in names:
            self._move(name)
        return list(names)

    def page(
        self, matches: Callable[[str], object], after: str, limit: int
    ) -> list[tuple[DataInfoId, Version, int]]:
        """Return the next published ids that match: each with its version and publisher count."""
        names = (
            name for name, held in self._datums.items() if held and name > after and matches(name)
        )
        found = heapq.nsmallest(limit, names)
        return [(name, self.version(name), len(self._datums[name])) for name in found]

    def _move(self, name: DataInfoId) -> None:
        # One counter for all: a version never stands for two contents.
        self._counter += 1
        self._counters[name] = self._counter
