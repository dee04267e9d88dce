"""The topics of a PUB socket that have subscribers."""

from typing import Final

# The shortest topic of ours is a bucket's.
_TOPIC_BYTES_MIN: Final = 2
_SUBSCRIBE: Final = 1
_UNSUBSCRIBE: Final = 0


class Topics:
    """The topics with at least one subscriber.

    An XPUB socket reports the first subscription to a topic and the end of the last one.
    """

    def __init__(self) -> None:
        self._whole: set[bytes] = set()
        # ZeroMQ matches a topic by its beginning. Our subscribers name whole topics, so shorter
        # ones come from foreign subscribers, and are few.
        self._prefixes: set[bytes] = set()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._whole) + len(self._prefixes)

    def on_subscription(self, message: bytes) -> None:
        """Take a subscription, (1, topic), or its end, (0, topic); ignore anything else."""
        topic = message[1:]
        topics = self._whole if len(topic) >= _TOPIC_BYTES_MIN else self._prefixes
        if message[:1] == bytes([_SUBSCRIBE]):
            topics.add(topic)
        elif message[:1] == bytes([_UNSUBSCRIBE]):
            topics.discard(topic)

    def has_subscriber(self, topic: bytes) -> bool:
        """Return whether a topic has a subscriber."""
        return topic in self._whole or any(map(topic.startswith, self._prefixes))
