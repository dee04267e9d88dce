"""A copy that is kept up to date by following versions: hint, compare, fetch.

Whoever follows something uses this one class: sessions a datum, clients their session's view,
nodes the membership. It knows no messages and sends nothing. What it promises:

- the version never goes back, but for `clear`;
- an item is never replaced by an older one of the same key;
- what could not be fetched changes nothing;
- in whatever order, and however often, hints and snapshots of one history come in, the same
  version means the same content.

The last one has an exception, and it is marked: a copy merged from a snapshot that may lack
something (`is_partial`) is `is_unsure` until a whole one was taken.
"""

import enum
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from zreg.model import (
    ZERO,
    Cause,
    Incarnation,
    Member,
    Publisher,
    Removal,
    Version,
    publisher_wins,
    same_to_subscribers,
)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Whatever version a follower has of something that a whole snapshot lacks, it is gone.
ANY_VERSION: Final = 2**63 - 1


class Verdict(enum.Enum):
    """What became of a hint: taken, something has to be fetched, or nothing new."""

    APPLIED = enum.auto()
    FETCH = enum.auto()
    IGNORED = enum.auto()


class Items(NamedTuple, Generic[K, V]):
    """How to treat the items of a mirror."""

    key: Callable[[V], K]
    version: Callable[[V], int]
    # Whether an item replaces another of the same key,
    wins: Callable[[V, V], bool]
    # and whether anybody downstream could tell the two apart.
    looks_same: Callable[[V, V], bool]


PUBLISHERS: Final = Items[bytes, Publisher](
    key=lambda publisher: publisher.publisher_id,
    version=lambda publisher: publisher.version,
    wins=publisher_wins,
    looks_same=same_to_subscribers,
)
MEMBERS: Final = Items[Incarnation, Member](
    key=lambda member: member.incarnation,
    version=lambda member: member.incarnation_epoch,
    wins=lambda _new, _old: True,
    looks_same=lambda new, old: new == old,
)


class Difference(msgspec.Struct, Generic[K, V], frozen=True):
    """What became visible between two versions: what came or changed, and what went.

    `former` holds, for what was replaced or went, the item that was there at `source_version`.
    """

    source_version: Version
    version: Version
    upserts: dict[K, V]
    removals: dict[K, Removal | None]
    former: dict[K, V]

    @property
    def is_visible(self) -> bool:
        """Return whether there is anything to see."""
        return bool(self.upserts or self.removals)


class Mirror(Generic[K, V]):
    """One followed thing: its items by key, and the version that they are at."""

    def __init__(self, items: Items[K, V]) -> None:
        self._items = items
        self.content: dict[K, V] = {}
        self.version = ZERO
        self.is_known = False
        self.is_unsure = False
        self._hinted = ZERO
        self._taken_version = ZERO
        self._upserts: dict[K, V] = {}
        self._removals: dict[K, Removal | None] = {}
        self._former: dict[K, V] = {}

    def __repr__(self) -> str:
        """Show version and size."""
        return f"<Mirror {self.version} is_known={self.is_known} items={len(self.content)}>"

    @property
    def is_behind(self) -> bool:
        """Return whether a version above mine is known to exist."""
        return self._hinted > self.version

    @property
    def highest_seen(self) -> Version:
        """Return the highest version that I have or heard of."""
        return max(self.version, self._hinted)

    def expect(self, version: Version) -> None:
        """Hear that this version exists."""
        self._hinted = max(self._hinted, version)

    def hint(
        self,
        source_version: Version,
        version: Version,
        items: Iterable[V] | None,
        removals: Iterable[Removal] = (),
    ) -> Verdict:
        """Hear how the thing went from one version to another; `items` None: it was not said.

        A change that starts at ZERO made the thing out of nothing, so it fits any empty copy. One
        that changes nothing only gives the same content another version, so that a copy that is
        unsure has something to fetch: it must not take the version without the content.
        """
        if self.is_known and version <= self.version:
            return Verdict.IGNORED
        self.expect(version)
        fits = self.is_known and (
            source_version == self.version or (source_version == ZERO and not self.content)
        )
        if items is None or not fits:
            return Verdict.FETCH
        items, removals = tuple(items), tuple(removals)
        if self.is_unsure and not items and not removals:
            return Verdict.FETCH
        self._merge(items, removals)
        self.version = version
        return Verdict.FETCH if self.is_behind else Verdict.APPLIED

    def snapshot(self, version: Version, items: Iterable[V], *, is_partial: bool = False) -> bool:
        """Take the whole; False if it is older than what is here, and nothing was done.

        What is here and the snapshot lacks is dropped, unless it is partial.
        """
        if self.is_known and version < self.version:
            return False
        fresh = {self._items.key(item): item for item in items}
        if not is_partial:
            for key in [key for key in self.content if key not in fresh]:
                self._drop(key, None)
        self._merge(fresh.values(), ())
        self.version = version
        self.is_known = True
        self.is_unsure = is_partial
        return True

    def clear(self) -> None:
        """Start again from nothing: the history that this was a copy of is over."""
        for key in list(self.content):
            self._drop(key, None)
        self.version = self._hinted = self._taken_version = ZERO
        self.is_known = self.is_unsure = False

    def take_difference(self) -> Difference[K, V]:
        """Return what became visible since this was called last."""
        difference = Difference(
            self._taken_version, self.version, self._upserts, self._removals, self._former
        )
        self._taken_version = self.version
        self._upserts, self._removals, self._former = {}, {}, {}
        return difference

    def _merge(self, items: Iterable[V], removals: Iterable[Removal]) -> None:
        kind, content, upserts = self._items, self.content, self._upserts
        for item in items:
            key = kind.key(item)
            old = content.get(key)
            if old is not None and not kind.wins(item, old):
                continue
            content[key] = item
            if old is None or key in upserts or not kind.looks_same(item, old):
                if old is not None and key not in upserts:
                    self._former.setdefault(key, old)
                upserts[key] = item
                self._removals.pop(key, None)
        for removal in removals:
            # Only datums are told of removals, and their keys are publisher ids.
            gone: K = removal.publisher_id  # type: ignore[assignment]
            present = content.get(gone)
            if present is not None and kind.version(present) <= removal.version:
                self._drop(gone, removal)

    def _drop(self, key: K, removal: Removal | None) -> None:
        old = self.content.pop(key)
        if self._upserts.pop(key, None) is None:
            self._former.setdefault(key, old)
        self._removals[key] = removal


def absent(publisher_id: bytes) -> Removal:
    """Return the removal of a publisher that a whole snapshot lacked, at any version."""
    return Removal(publisher_id, ANY_VERSION, Cause.ABSENT)
