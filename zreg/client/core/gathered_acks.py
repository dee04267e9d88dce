"""The acknowledgements of pushes that wait, so that one stands for several pushes.

An acknowledgement costs the session a turn, and nothing waits for it while the session's window has
room. So it waits for a few more pushes, or for a part of the ping interval, and leaves with a ping.
"""

import math
from typing import Final, Generic, TypeVar

from zreg.config import Limits
from zreg.wire.records.client_messages import Capability, Push, Welcome, body_bytes

K = TypeVar("K")

# How long an acknowledgement waits, as a share of the ping interval. Less than one, so that it
# leaves in place of a ping.
_PING_SHARE: Final = 0.5


class GatheredAcks(Generic[K]):
    """Which subscriptions have pushes to acknowledge, and how many, the oldest first.

    Invariant: of each subscription fewer pushes and bytes wait than `Limits` has gathered, so the
    window of the session never fills up before the acknowledgement leaves.
    """

    def __init__(self) -> None:
        # Of each: when it is due, how many pushes, and the bytes of their bodies.
        self._waiting: dict[K, tuple[float, int, int]] = {}
        # Zero: the session has one push in flight and waits for each acknowledgement.
        self._pause_seconds = 0.0

    def begin(self, welcome: Welcome, ping_seconds: float) -> None:
        """Start with a session that has welcomed the client; nothing of before is acknowledged.

        `ping_seconds` is how often the client pings: not always what the welcome says.
        """
        self._waiting.clear()
        is_gathering = welcome.capabilities & Capability.GATHERED_ACKS
        self._pause_seconds = ping_seconds * _PING_SHARE if is_gathering else 0.0

    def may_wait(self, subscription: K, push: Push, now: float) -> bool:
        """Count a push that was applied; return whether its acknowledgement waits."""
        due_at, count, size = self._waiting.get(subscription, (now + self._pause_seconds, 0, 0))
        count, size = count + 1, size + body_bytes(push)
        is_snapshot = push.source_version is None
        if (
            is_snapshot
            or not self._pause_seconds
            or count >= Limits.pushes_gathered_max
            or size >= Limits.push_bytes_gathered_max
        ):
            return False
        self._waiting[subscription] = due_at, count, size
        return True

    def drop(self, subscription: K) -> None:
        """Let nothing of a subscription wait any more."""
        self._waiting.pop(subscription, None)

    def take_all(self) -> list[K]:
        """Return all subscriptions with pushes to acknowledge; nothing waits any more."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def next_due_at(self) -> float:
        """Return when the first acknowledgement is due; infinity if none waits."""
        for due_at, _, _ in self._waiting.values():
            return due_at
        return math.inf
