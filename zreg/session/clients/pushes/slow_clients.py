"""The clients that did not read, so that records for them were dropped: each has to replay."""

from zreg.config import Config
from zreg.effects import Peer


class SlowClients:
    """The connections of such clients, each until its client has replayed.

    Dropped records may include every answer, also a Welcome, so the session asks who the client is
    until it says Hello. The question is dropped too while the client does not read. The end of the
    replay shows that the client has read the Welcome, and with it all before it: what is dropped
    after that is reported anew.

    Invariant: `_due_at` is None exactly while there are no such clients.
    """

    def __init__(self, config: Config) -> None:
        self._ask_seconds = config.ping_seconds
        # As long as a client waits for a Welcome.
        self._replay_seconds = config.lease_seconds
        # When each has said Hello since its records were dropped; None: not yet.
        self._greeted_at: dict[Peer, float | None] = {}
        self._due_at: float | None = None

    def __len__(self) -> int:
        """Return how many clients are slow."""
        return len(self._greeted_at)

    def __contains__(self, peer: Peer) -> bool:
        """Return whether the client behind a connection is slow."""
        return peer in self._greeted_at

    def add(self, peer: Peer, now: float) -> None:
        """Note that records for a client were dropped: a replay that has begun does not count."""
        self._greeted_at[peer] = None
        if self._due_at is None:
            self._due_at = now + self._ask_seconds

    def on_hello(self, peer: Peer, now: float) -> None:
        """Wait for the replay of a client that has just said who it is."""
        if peer in self._greeted_at:
            self._greeted_at[peer] = now

    def is_replaying(self, peer: Peer) -> bool:
        """Return whether a client has said Hello since records for it were dropped."""
        return self._greeted_at.get(peer) is not None

    def remove(self, peer: Peer) -> None:
        """Forget a connection whose client has replayed, or that has ended."""
        self._greeted_at.pop(peer, None)
        if not self._greeted_at:
            self._due_at = None

    def take_due(self, now: float) -> list[Peer]:
        """Return the clients to ask now who they are; each is asked again later."""
        if self._due_at is None or now < self._due_at:
            return []
        self._due_at = now + self._ask_seconds
        return [peer for peer, at in self._greeted_at.items() if self._is_due(peer, at, now)]

    def _is_due(self, peer: Peer, greeted_at: float | None, now: float) -> bool:
        if greeted_at is None:
            return True
        if now - greeted_at < self._replay_seconds:
            return False
        self._greeted_at[peer] = now
        return True

    def next_tick_at(self) -> float | None:
        """Return when `take_due` has to be called; None if no client is slow."""
        return self._due_at
