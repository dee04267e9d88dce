"""Keep the last changes of one datum, so that a follower can catch up from its version.

An `OpLog` knows nothing of sockets, clocks or other data; `now` is the caller's.
"""

from collections import deque

from zreg.model import Change, Version


class OpLog:
    """The bounded, gap-free tail of one datum's changes, oldest first."""

    __slots__ = ("_changes", "_times", "length_max", "seconds_max")

    def __init__(self, *, length_max: int, seconds_max: float) -> None:
        assert length_max > 0
        assert seconds_max > 0
        self.length_max = length_max
        self.seconds_max = seconds_max
        self._changes: deque[Change] = deque()
        self._times: deque[float] = deque()

    def __len__(self) -> int:
        """Return how many changes are kept."""
        return len(self._changes)

    def append(self, change: Change, now: float) -> None:
        """Add `change`; one that does not start where the last one ended clears what is here."""
        assert change.version > change.source_version
        if self._changes and change.source_version != self._changes[-1].version:
            self.clear()
        self._changes.append(change)
        self._times.append(now)
        self.trim(now)

    def trim(self, now: float) -> None:
        """Drop what is over the length or too old; the newest change always stays."""
        changes, times = self._changes, self._times
        oldest = now - self.seconds_max
        while len(changes) > self.length_max or (len(changes) > 1 and times[0] < oldest):
            changes.popleft()
            times.popleft()

    def clear(self) -> None:
        """Drop everything: what comes next does not follow on what is here."""
        self._changes.clear()
        self._times.clear()

    def since(self, version: Version) -> list[Change] | None:
        """Return the changes after `version`, or None if they are no longer all here.

        A version counts as here if it is exactly the end of a change, or the start of the oldest.
        """
        newer: list[Change] = []
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
