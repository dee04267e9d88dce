"""Which topics of a PUB somebody listens to, as its subscriptions tell."""

from typing import Final

# A bucket's topic, the shortest there is.
_WHOLE_BYTES_MIN: Final = 2
_LISTEN: Final = 1
_UNLISTEN: Final = 0


class Topics:
    """The topics that are listened to. ZeroMQ tells of the first listener and after the last."""

    def __init__(self) -> None:
        self._whole: set[bytes] = set()
        # Topics match by their beginning; ours are whole, so these are strangers', and few.
        self._short: set[bytes] = set()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._whole) + len(self._short)

    def hear(self, message: bytes) -> None:
        """Take one subscription, (1, topic), or its end, (0, topic); ignore anything else."""
        topic = message[1:]
        topics = self._whole if len(topic) >= _WHOLE_BYTES_MIN else self._short
        if message[:1] == bytes([_LISTEN]):
            topics.add(topic)
        elif message[:1] == bytes([_UNLISTEN]):
            topics.discard(topic)

    def is_heard(self, topic: bytes) -> bool:
        """Return whether somebody listens to a topic."""
        return topic in self._whole or any(map(topic.startswith, self._short))
