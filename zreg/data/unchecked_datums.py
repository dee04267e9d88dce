"""Datums from before a change of the ring, of which it is not known yet whether to keep them."""

from collections.abc import Callable, Iterator

from zreg.data.datum import Datum
from zreg.model import DataInfoId

# Whether a node owns an id under one ring.
OwnerTest = Callable[[DataInfoId], bool]


class UncheckedDatums:
    """What a node held when the ring changed: it is checked piece by piece, or when it is needed.

    If the ring changes again meanwhile, a datum is kept only if the node owned it under each of the
    rings: under any other one, another node may have taken writes of it.
    """

    def __init__(self) -> None:
        # The datums of each change, the oldest change first, with the test that it brought. A datum
        # has to pass that test and all later ones.
        self._changes: list[tuple[dict[DataInfoId, Datum], OwnerTest]] = []

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._changes)

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(len(datums) for datums, _ in self._changes)

    def __iter__(self) -> Iterator[Datum]:
        """Iterate over those that the node owns."""
        for index, (datums, _) in enumerate(self._changes):
            for name, datum in datums.items():
                if self._passes(name, index):
                    yield datum

    def add(self, datums: dict[DataInfoId, Datum], owns: OwnerTest) -> None:
        """Take all datums of a node when its ring changes."""
        self._changes.append((datums, owns))

    def take(self, name: DataInfoId) -> tuple[Datum | None, bool]:
        """Take out the datum of that name; return it and whether the node owns it."""
        for index, (datums, _) in enumerate(self._changes):
            datum = datums.pop(name, None)
            if datum is not None:
                return datum, self._passes(name, index)
        return None, False

    def take_next(self) -> tuple[Datum, bool] | None:
        """Take out a datum; return it and whether the node owns it. None if there are no more."""
        while self._changes:
            datums, _ = self._changes[0]
            if datums:
                name, datum = datums.popitem()
                return datum, self._passes(name, 0)
            del self._changes[0]
        return None

    def _passes(self, name: DataInfoId, index: int) -> bool:
        return all(owns(name) for _, owns in self._changes[index:])
