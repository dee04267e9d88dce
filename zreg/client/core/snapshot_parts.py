"""Gather a snapshot that a session pushes in several parts."""

from typing import Final

from zreg.model import Publisher, Version
from zreg.wire.records.client_messages import Push

# A snapshot of more parts than this (about 1 GiB) is not gathered.
_PARTS_MAX: Final = 4096


class SnapshotParts:
    """The parts of one snapshot that have arrived.

    The parts of a snapshot carry the same version and count down: `parts_left` of the last one is
    0. A part with another version, or with no fewer parts left than the previous one, starts a new
    snapshot. A gap in the count tears the snapshot: a subscriber would take what the missing part
    held for removed. A torn snapshot keeps no publishers.
    """

    __slots__ = ("_is_torn", "_parts_left", "_publishers", "_version")

    def __init__(self) -> None:
        self._publishers: list[Publisher] = []
        self._version: Version | None = None
        self._parts_left = 0
        self._is_torn = False

    def add(self, push: Push) -> None:
        """Add one part."""
        if push.version != self._version or push.parts_left >= self._parts_left:
            self.clear()
            self._is_torn = push.parts_left >= _PARTS_MAX
        elif push.parts_left != self._parts_left - 1:
            self._is_torn = True
            self._publishers = []
        self._version, self._parts_left = push.version, push.parts_left
        if not self._is_torn:
            self._publishers.extend(push.publishers)

    def take(self) -> list[Publisher] | None:
        """End the snapshot after its last part and return its publishers; None if it is torn."""
        publishers = None if self._is_torn else self._publishers
        self.clear()
        return publishers

    def clear(self) -> None:
        """Drop all parts."""
        self._publishers = []
        self._version = None
        self._parts_left = 0
        self._is_torn = False
