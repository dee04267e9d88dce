"""What one subscriber was told of a datum."""

from typing import TYPE_CHECKING

from zreg.client.core.commands import ViewChanged
from zreg.wire.body import unpack_body

if TYPE_CHECKING:
    from zreg.model import Publisher


class ViewLog:
    """What one subscriber sees, and what was added to it and removed from it.

    Raises AssertionError when a version goes back.
    """

    def __init__(self) -> None:
        self.content: dict[bytes, Publisher] = {}
        self.is_known = False
        self.removed: list[bytes] = []
        self.added: list[bytes] = []
        self.callback_count = 0
        self._version = (0, 0)
        # Unpacked once: a test asks for the values after every event.
        self._values: dict[bytes, object] = {}

    def on_changed(self, change: ViewChanged) -> None:
        """Apply one event of the client's core."""
        difference = change.difference
        version = (difference.version.epoch, difference.version.counter)
        assert version >= self._version, f"version went back from {self._version} to {version}"
        self._version = version
        self.is_known = True
        self.callback_count += difference.is_visible
        for key in difference.removals:
            self.content.pop(key, None)
            self._values.pop(key, None)
            self.removed.append(key)
        for key, publisher in difference.upserts.items():
            if key not in self.content:
                self.added.append(key)
            self.content[key] = publisher
            self._values[key] = unpack_body(publisher.body).values[0]

    def values(self) -> list[object]:
        """Return the published values, in the order of the publishers' ids."""
        return [value for _, value in sorted(self._values.items())]
