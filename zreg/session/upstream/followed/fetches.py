"""A session's requests to data nodes for what came after its versions: one at a time per datum.

The session repeats a refused fetch after a pause that doubles each time. A fetch without a
connection waits until the connection stands. The session never repeats a fetch because its answer
is late: while the connection stands, the data node has the request.
"""

from collections.abc import Container
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import Effect, Link, Send
from zreg.model import ZERO, DataInfoId, Version
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.wire.records.data_messages import FetchChanges

if TYPE_CHECKING:
    from random import Random

# The pause before the first retry, and how often it is doubled.
_RETRY_SECONDS: Final = 0.1
_DOUBLINGS_MAX: Final = 4


class Fetches:
    """The fetches that wait, and the claims to ask about; those under way are in `DataLinks`.

    Invariants: a datum has a request id exactly while its request is pending at its primary. A
    datum waits for its `retry_at`, which is in `_pauses`, or for the connection to its primary.
    """

    def __init__(self, config: Config, links: DataLinks, *, rng: "Random") -> None:
        self._config = config
        self._links = links
        self._rng = rng
        self._unconnected: dict[str, dict[DataInfoId, FollowedDatum]] = {}
        # A heap; an entry counts only while it has the datum's own `retry_at`.
        self._pauses: list[tuple[float, int, FollowedDatum]] = []
        self._pause_count = 0
        self._claims: dict[DataInfoId, FollowedDatum] = {}
        self.count = 0

    def fetch(self, followed: FollowedDatum) -> list[Effect]:
        """Ask for what came after the version here, unless a request is under way already."""
        if followed.request_id:
            return []
        followed.retry_at = None
        if not self._links.is_up(followed.peer):
            self._unconnected.setdefault(followed.peer, {})[followed.name] = followed
            return []
        self._forget_waiting(followed)
        self.count += 1
        followed.request_id = request_id = self._links.requests.next_id()
        followed.parts = []
        self._links.requests.add(followed.peer, request_id, followed)
        mirror = followed.mirror
        followed.asked = followed.claimed
        request = FetchChanges(
            request_id,
            followed.name,
            mirror.version if mirror.is_known else ZERO,
            max(mirror.highest_seen, followed.asked),
            mirror.is_unsure,
        )
        return [Send(Link.DATA, followed.peer, request)]

    def end(self, followed: FollowedDatum) -> None:
        """End the request under way: it was answered, or will not be."""
        self._links.requests.take(followed.peer, followed.request_id)
        followed.request_id = 0
        followed.parts = []

    def forget(self, followed: FollowedDatum) -> None:
        """Ask for this datum no more."""
        self.end(followed)
        followed.retry_at = None
        self._forget_waiting(followed)
        self._claims.pop(followed.name, None)

    def retry(self, followed: FollowedDatum, now: float) -> None:
        """Ask again after a pause, which is twice as long as the last one."""
        pause = _RETRY_SECONDS * 2 ** min(followed.retry_count, _DOUBLINGS_MAX)
        followed.retry_count += 1
        followed.retry_at = now + pause * (1 + self._rng.random())
        self._pause_count += 1
        heappush(self._pauses, (followed.retry_at, self._pause_count, followed))

    def _forget_waiting(self, followed: FollowedDatum) -> None:
        waiting = self._unconnected.get(followed.peer)
        if waiting is not None:
            waiting.pop(followed.name, None)

    # --- claims -------------------------------------------------------------------------------

    def claim(self, followed: FollowedDatum, version: Version) -> None:
        """Note that a client claims to have seen a version; `settle` asks the primary about it."""
        if version > max(followed.claimed, followed.mirror.highest_seen):
            followed.claimed = version
            self._claims[followed.name] = followed

    def settle_claim(self, followed: FollowedDatum) -> None:
        """Note that an answer came: the claim that its request named is judged."""
        if followed.claimed == followed.asked:
            followed.claimed = followed.asked = ZERO
            self._claims.pop(followed.name, None)

    def settle(self) -> list[Effect]:
        """Ask about the claims that no request has named yet."""
        effects: list[Effect] = []
        for followed in list(self._claims.values()):
            if followed.asked != followed.claimed:
                effects += self.fetch(followed)
        return effects

    # --- connections and time -----------------------------------------------------------------

    def on_node_up(self, peer: str) -> list[Effect]:
        """Ask a data node for all that waits for the connection to it."""
        effects: list[Effect] = []
        for followed in self._unconnected.pop(peer, {}).values():
            if followed.peer == peer:
                effects += self.fetch(followed)
        return effects

    def on_node_lost(self, peer: str) -> None:
        """Ask again over the next connection what was under way when this one broke."""
        waiting = self._unconnected.setdefault(peer, {})
        for owner in self._links.requests.pending(peer):
            if isinstance(owner, FollowedDatum):
                self.end(owner)
                waiting[owner.name] = owner

    def keep_only(self, peers: Container[str]) -> None:
        """Drop what waits for data nodes that are no longer members."""
        self._unconnected = {p: waiting for p, waiting in self._unconnected.items() if p in peers}

    def tick(self, now: float) -> list[Effect]:
        """Ask again what has waited for its pause."""
        effects: list[Effect] = []
        while self._pauses and self._pauses[0][0] <= now:
            retry_at, _, followed = heappop(self._pauses)
            if followed.retry_at == retry_at:
                effects += self.fetch(followed)
        return effects

    def next_tick_at(self) -> float | None:
        """Return when the next pause ends; None if no datum waits for one."""
        while self._pauses and self._pauses[0][2].retry_at != self._pauses[0][0]:
            heappop(self._pauses)
        return self._pauses[0][0] if self._pauses else None
