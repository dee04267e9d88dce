"""The outcome of a send, and the messages that wait for one peer that does not read."""

import enum
from collections import deque
from typing import Final

BACKLOG_BYTES_MAX: Final = 1 << 20
BACKLOG_MESSAGES_MAX: Final = 64


class Outcome(enum.Enum):
    """What became of one message that was handed to a socket."""

    SENT = enum.auto()
    FULL = enum.auto()  # the peer does not read: try again
    GONE = enum.auto()  # there is no such peer any more


class Backlog:
    """The messages that wait for one peer, oldest first, within bounds.

    Once one message was dropped, all later ones are dropped too until the peer has read the rest:
    what the peer receives has no gap in its middle.
    """

    def __init__(self) -> None:
        self.messages: deque[tuple[bytes, bytes]] = deque()
        self.bytes = 0
        # Whether a message was dropped for want of room.
        self.is_slow = False

    def has_room_for(self, frame: bytes) -> bool:
        """Return whether the frame may be added."""
        return (
            not self.is_slow
            and len(self.messages) < BACKLOG_MESSAGES_MAX
            and self.bytes + len(frame) <= BACKLOG_BYTES_MAX
        )

    def add(self, header: bytes, frame: bytes) -> None:
        """Keep a message for which there is room."""
        self.messages.append((header, frame))
        self.bytes += len(frame)

    def drop_first(self) -> None:
        """Remove the oldest message, which has been sent."""
        self.bytes -= len(self.messages.popleft()[1])

    def __repr__(self) -> str:
        """Show the state."""
        return f"<Backlog messages={len(self.messages)} bytes={self.bytes} slow={self.is_slow}>"
