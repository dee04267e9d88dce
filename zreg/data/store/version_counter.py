"""The counter that gives each content of a data node a version of its own."""

from zreg.model import Version


class VersionCounter:
    """Counts up for the whole life of a process, for all datums together.

    So no two contents of this process, of one datum or of several, have the same version.
    """

    def __init__(self) -> None:
        self._counter = 0

    def next(self, epoch: int) -> Version:
        """Return a version that no content of this process has had."""
        self._counter += 1
        return Version(epoch, self._counter)

    def present(self, epoch: int) -> Version:
        """Return the last version."""
        return Version(epoch, self._counter)
