"""Digests: compare two sets of (id, number) pairs by one integer each.

The digest of a set is the sum over its pairs of `id * (2 * number + 1)` modulo 2**63, where `id`
is the first eight bytes of a random identifier: multilinear hashing (Carter and Wegman, 1979) with
the ids as random coefficients. It does not depend on order, and adding or removing a pair is one
operation. It guards against loss and mix-ups, not against an attacker who chooses the ids.
"""

import zlib
from collections.abc import Iterable
from typing import Final

from zreg.model import Publisher

_MASK: Final = 2**63 - 1

# Sent in place of the digest of a view that may hold too much: it is treated as equal to no view.
UNSURE_DIGEST: Final = _MASK


def pair_digest(identifier: bytes, number: int) -> int:
    """Return the contribution of one pair to the digest of a set, in 0..2**63-1."""
    return int.from_bytes(identifier[:8]) * (2 * number + 1) & _MASK


class DigestSum:
    """The count and digest of a set that changes pair by pair."""

    __slots__ = ("count", "value")

    def __init__(self) -> None:
        self.count = 0
        self.value = 0

    def add(self, identifier: bytes, number: int) -> None:
        """Add a pair that is not in the set."""
        self.count += 1
        self.value = (self.value + pair_digest(identifier, number)) & _MASK

    def replace(self, identifier: bytes, old: int, new: int) -> None:
        """Replace the number of a pair that is in the set."""
        step = int.from_bytes(identifier[:8]) * 2 * (new - old)
        self.value = (self.value + step) & _MASK

    def discard(self, identifier: bytes, number: int) -> None:
        """Remove a pair that is in the set."""
        self.count -= 1
        self.value = (self.value - pair_digest(identifier, number)) & _MASK

    def __repr__(self) -> str:
        """Show count and value."""
        return f"<DigestSum count={self.count} value={self.value:016x}>"


def view_digest(publishers: Iterable[Publisher]) -> int:
    """Return the digest of what a subscriber sees of the publishers: ids, bodies and labels.

    It leaves out versions and sessions, because they change without a push.
    """
    return sum(map(seen_digest, publishers)) & _MASK


def moved_view_digest(digest: int, gone: Iterable[Publisher], come: Iterable[Publisher]) -> int:
    """Return the digest of a view after these publishers left it and those joined it."""
    return (digest - sum(map(seen_digest, gone)) + sum(map(seen_digest, come))) & _MASK


def seen_digest(publisher: Publisher) -> int:
    """Return the contribution of one publisher to the digest of a view."""
    seen = zlib.crc32(publisher.body)
    for label in (publisher.zone, publisher.data_center, publisher.app):
        # The length goes first, so that moving text from one label to the next is noticed.
        text = label.encode()
        seen = zlib.crc32(len(text).to_bytes(2) + text, seen)
    return pair_digest(publisher.publisher_id, seen)
