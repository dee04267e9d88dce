"""A mapping of text to text that never changes, so that a frozen value can hold it."""

from collections.abc import Iterator, Mapping
from typing import Final


class FrozenMapping(Mapping[str, str]):
    """A copy of a mapping; unlike a proxy it has a hash, and can be copied and pickled."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> str:
        """Return the text under a key."""
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in the order in which they were given."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._items)

    def __hash__(self) -> int:
        """Equal mappings have one hash; their order does not matter."""
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        """Show it as the dict that it was made from."""
        return repr(self._items)


NO_ITEMS: Final = FrozenMapping({})
