"""The last changes of a datum or of the members, with which a follower catches up.

An `OpLog` knows no socket and no clock; the caller passes `now`.
"""

from bisect import bisect_right
from typing import Generic, Protocol, TypeVar

from zreg.model import Version


class Step(Protocol):
    """A change from one version to a higher one."""

    @property
    def source_version(self) -> Version:
        """The version before the change."""
        ...

    @property
    def version(self) -> Version:
        """The version after the change."""
        ...


S = TypeVar("S", bound=Step)


class OpLog(Generic[S]):
    """The bounded tail of a history of changes, without gaps, the oldest first."""

    # Lists, not deques: an empty deque takes 600 bytes, and most datums change rarely.
    __slots__ = ("_changes", "_times")

    def __init__(self) -> None:
        self._changes: list[S] = []
        self._times: list[float] = []

    def __len__(self) -> int:
        """Return the number of changes."""
        return len(self._changes)

    def append(self, change: S, now: float) -> None:
        """Add a change. If it does not start where the last one ended, drop all earlier ones."""
        assert change.version > change.source_version
        if self._changes and change.source_version != self._changes[-1].version:
            self.clear()
        self._changes.append(change)
        self._times.append(now)

    def trim(self, now: float, *, length_max: int, seconds_max: float) -> None:
        """Drop changes beyond the length or too old; the newest change always stays."""
        assert length_max > 0
        excess = max(len(self._changes) - length_max, 0)
        oldest = now - seconds_max
        while excess < len(self._times) - 1 and self._times[excess] < oldest:
            excess += 1
        del self._changes[:excess], self._times[:excess]

    def oldest(self) -> S:
        """Return the oldest change; there must be one."""
        return self._changes[0]

    def newest(self) -> S | None:
        """Return the newest change; None if there is none."""
        return self._changes[-1] if self._changes else None

    def pop_oldest(self) -> S:
        """Drop the oldest change and return it."""
        del self._times[0]
        return self._changes.pop(0)

    def clear(self) -> None:
        """Drop all changes."""
        self._changes.clear()
        self._times.clear()

    def floor(self, version: Version) -> Version | None:
        """Return the highest version in the log that is not above `version`; None if all are."""
        index = bisect_right(self._changes, version, key=_end_of)
        if index:
            return self._changes[index - 1].version
        if self._changes and self._changes[0].source_version <= version:
            return self._changes[0].source_version
        return None

    def since(self, version: Version) -> list[S] | None:
        """Return the changes after `version`, or None if the log does not have all of them.

        The log has them if `version` is exactly the end of a change or the start of the oldest one.
        """
        newer: list[S] = []
        for change in reversed(self._changes):
            if change.version == version:
                break
            newer.append(change)
            if change.source_version == version:
                break
        else:
            return None
        newer.reverse()
        return newer


def _end_of(change: Step) -> Version:
    return change.version
