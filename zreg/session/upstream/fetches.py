"""A session's requests to data nodes for what came after its versions: one at a time per datum.

The session repeats a refused fetch after a pause, and an unanswered one at once. A fetch without a
connection waits until the connection stands.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import Effect, Link, Send
from zreg.model import ZERO, DataInfoId, Version
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed_datum import FollowedDatum
from zreg.wire.data_messages import FetchChanges

if TYPE_CHECKING:
    from random import Random

_RETRY_SECONDS: Final = 0.1


class Fetches:
    """The fetches that wait, and the claims to ask about; those under way are in `DataLinks`.

    Invariants: a datum has a request id exactly while its request is pending at its primary. A
    datum waits for its `retry_at`, or for its connection if that is None.
    """

    def __init__(self, config: Config, links: DataLinks, *, rng: "Random") -> None:
        self._config = config
        self._links = links
        self._rng = rng
        self._waiting: dict[DataInfoId, FollowedDatum] = {}
        self._claims: dict[DataInfoId, FollowedDatum] = {}
        self.count = 0

    def fetch(self, followed: FollowedDatum, now: float) -> list[Effect]:
        """Ask for what came after the version here, unless a request is under way already."""
        if followed.request_id:
            return []
        followed.retry_at = None
        if not self._links.is_up(followed.peer):
            self._waiting[followed.name] = followed
            return []
        self._waiting.pop(followed.name, None)
        self.count += 1
        followed.request_id = request_id = self._links.requests.next_id()
        followed.parts = []
        self._add(followed, now)
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

    def on_part(self, followed: FollowedDatum, now: float) -> None:
        """Start the time for an answer anew: a part of it came, and more are to follow."""
        self._links.requests.take(followed.peer, followed.request_id)
        self._add(followed, now)

    def end(self, followed: FollowedDatum) -> None:
        """End the request under way: it was answered, or will not be."""
        self._links.requests.take(followed.peer, followed.request_id)
        followed.request_id = 0
        followed.parts = []

    def forget(self, followed: FollowedDatum) -> None:
        """Ask for this datum no more."""
        self.end(followed)
        self._waiting.pop(followed.name, None)
        self._claims.pop(followed.name, None)

    def retry(self, followed: FollowedDatum, now: float) -> None:
        """Ask again after a pause."""
        followed.retry_at = now + _RETRY_SECONDS * (1 + self._rng.random())
        self._waiting[followed.name] = followed

    def _add(self, followed: FollowedDatum, now: float) -> None:
        self._links.requests.add(
            followed.peer,
            followed.request_id,
            followed,
            now=now,
            timeout_seconds=self._config.request_retry_seconds,
        )

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

    def settle(self, now: float) -> list[Effect]:
        """Ask about the claims that no request has named yet."""
        effects: list[Effect] = []
        for followed in list(self._claims.values()):
            if followed.asked != followed.claimed:
                effects += self.fetch(followed, now)
        return effects

    # --- connections and time -----------------------------------------------------------------

    def on_node_up(self, peer: str, now: float) -> list[Effect]:
        """Ask a data node for all that waits for it."""
        effects: list[Effect] = []
        for followed in list(self._waiting.values()):
            if followed.peer == peer:
                effects += self.fetch(followed, now)
        return effects

    def on_node_lost(self, peer: str, now: float) -> None:
        """End what was under way when the connection broke, and ask again after a pause."""
        for node, _, owner in list(self._links.requests):
            if node == peer and isinstance(owner, FollowedDatum):
                self.end(owner)
                self.retry(owner, now)

    def tick(self, expired: Iterable[FollowedDatum], now: float) -> list[Effect]:
        """Ask again what was not answered in time, and what has waited for its pause."""
        effects: list[Effect] = []
        for followed in expired:
            self.end(followed)
            effects += self.fetch(followed, now)
        for followed in list(self._waiting.values()):
            if followed.retry_at is not None and now >= followed.retry_at:
                effects += self.fetch(followed, now)
        return effects

    def next_tick_at(self) -> float | None:
        """Return when the next pause ends; None if no datum waits for one."""
        due = [f.retry_at for f in self._waiting.values() if f.retry_at is not None]
        return min(due, default=None)
