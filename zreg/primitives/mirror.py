"""A copy that is kept up to date by following versions: hint, compare, fetch.

Every follower uses this class: a session follows a datum, a client the view of its session, a node
the membership. A mirror knows no records and sends nothing. It promises:

- The version never goes back, except by `clear`.
- An item is never replaced by an older one of the same key.
- A failed fetch changes nothing.
- Hints and snapshots of one history may come in any order and any number of times: the same version
  means the same content.

The last promise has one exception. After a snapshot that may lack items (`is_partial`) the mirror
`is_unsure` until it takes a whole snapshot.
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

# The version of a removal that applies to every version of the publisher.
ANY_VERSION: Final = 2**63 - 1


class Verdict(enum.Enum):
    """What a hint led to: it was applied, the follower has to fetch, or it had nothing new."""

    APPLIED = enum.auto()
    FETCH = enum.auto()
    IGNORED = enum.auto()


class Items(NamedTuple, Generic[K, V]):
    """How a mirror treats its items."""

    key: Callable[[V], K]
    version: Callable[[V], int]
    # Whether the first item replaces the second, which has the same key.
    wins: Callable[[V, V], bool]
    # Whether the two items look the same to followers of this copy.
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
    """The visible changes between two versions: items that are new or changed, and removed items.

    `former` has the item at `source_version` for each key that was changed or removed.
    """

    source_version: Version
    version: Version
    upserts: dict[K, V]
    removals: dict[K, Removal | None]
    former: dict[K, V]

    @property
    def is_visible(self) -> bool:
        """Return whether there are visible changes."""
        return bool(self.upserts or self.removals)


class Mirror(Generic[K, V]):
    """A copy of a followed collection: its items by key, and their version."""

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
        """Return whether a version above the copy's own is known to exist."""
        return self._hinted > self.version

    @property
    def highest_seen(self) -> Version:
        """Return the highest version that the copy has or that a hint named."""
        return max(self.version, self._hinted)

    def expect(self, version: Version) -> None:
        """Note that this version exists."""
        self._hinted = max(self._hinted, version)

    def hint(
        self,
        source_version: Version,
        version: Version,
        items: Iterable[V] | None,
        removals: Iterable[Removal] = (),
    ) -> Verdict:
        """Handle a hint that the original went from one version to another.

        `items` and `removals` are the change; `items` None means that the hint does not include it.
        A change from ZERO created the original, so it fits any empty copy. An empty change only
        gives the same content a new version, so that unsure copies fetch: an unsure copy must not
        take the version without the content.
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
        """Take a snapshot. Return False, without a change, if it is older than the copy.

        Items that the snapshot lacks are dropped, unless the snapshot is partial.
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
        """Drop the content and the version, because the history that was followed has ended."""
        for key in list(self.content):
            self._drop(key, None)
        self.version = self._hinted = self._taken_version = ZERO
        self.is_known = self.is_unsure = False

    def take_difference(self) -> Difference[K, V]:
        """Return the visible changes since the last call."""
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
            # Only hints of datums have removals, and the keys of a datum are publisher ids.
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
    """Return the removal, at any version, of a publisher that a whole snapshot lacks."""
    return Removal(publisher_id, ANY_VERSION, Cause.ABSENT)
