"""The names of the datums in order, so that a page of a listing costs what it shows."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from zreg.model import DataInfoId

# Beyond so many new names, or forgotten ones, it is cheaper to sort all names when they are needed.
_CHANGES_MAX: Final = 10_000


class NameIndex:
    """A sorted list of names, made by the first listing.

    Invariant: while there is a list, each name that was added is in it or in `_added`. Names stay
    in it when their datums are dropped: the caller looks at the datum anyway. So a data node that
    lists nothing pays nothing, and one whose names change all the time sorts them at most once for
    each `_CHANGES_MAX` changes, or listing.
    """

    def __init__(self, names: Callable[[], Iterable[DataInfoId]]) -> None:
        # Returns all names that there are.
        self._names = names
        self._sorted: list[DataInfoId] | None = None
        self._added: list[DataInfoId] = []
        self._removed_count = 0

    def add(self, name: DataInfoId) -> None:
        """Note a new name."""
        if self._sorted is not None:
            self._added.append(name)
            self._check()

    def note_removed(self) -> None:
        """Note that a name is of no datum any more."""
        if self._sorted is not None:
            self._removed_count += 1
            self._check()

    def forget(self) -> None:
        """Drop the list: many names have come or gone."""
        self._sorted = None
        self._added.clear()
        self._removed_count = 0

    def after(self, name: str, prefix: str) -> Iterator[DataInfoId]:
        """Yield the names after one that begin with a prefix, in order; some may have no datum."""
        names = self._in_order()
        previous = name
        at = bisect_left(names, prefix) if prefix > name else bisect_right(names, name)
        while at < len(names) and names[at].startswith(prefix):
            # A name that was dropped and added again is in the list twice.
            if names[at] != previous:
                previous = names[at]
                yield names[at]
            at += 1

    def _in_order(self) -> list[DataInfoId]:
        if self._sorted is None:
            self._sorted = sorted(self._names())
        elif self._added:
            # Sorting a long sorted list with a short tail takes about as long as reading it.
            self._sorted += self._added
            self._sorted.sort()
            self._added.clear()
        return self._sorted

    def _check(self) -> None:
        if len(self._added) + self._removed_count > _CHANGES_MAX:
            self.forget()
