"""The requests of a session for what came after its versions: one at a time for each id.

A request that was refused, or not answered in time, is asked again; one that cannot be sent waits
for the connection.
"""

from typing import TYPE_CHECKING, Final

from zreg.config import Config
from zreg.effects import Effect, Link, Send
from zreg.model import ZERO, DataInfoId
from zreg.session.upstream.data_links import DataLinks
from zreg.session.upstream.followed_datum import FollowedDatum
from zreg.wire.data_messages import FetchChanges

if TYPE_CHECKING:
    from random import Random

_RETRY_SECONDS: Final = 0.1


class Fetches:
    """All requests under way, and all that wait."""

    def __init__(self, config: Config, links: DataLinks, *, rng: "Random") -> None:
        self._config = config
        self._links = links
        self._rng = rng
        # Oldest first, so that patience ends in their order.
        self._under_way: dict[int, FollowedDatum] = {}
        self._waiting: dict[DataInfoId, FollowedDatum] = {}
        self.count = 0

    def fetch(self, interest: FollowedDatum, now: float) -> list[Effect]:
        """Ask for what came after my version, unless that was asked already."""
        if interest.request_id:
            return []
        if not self._links.is_up(interest.peer):
            interest.retry_at = None
            self._waiting[interest.name] = interest
            return []
        self._waiting.pop(interest.name, None)
        interest.retry_at = None
        self.count += 1
        interest.request_id = request_id = self._links.next_request_id()
        interest.sent_at = now
        interest.parts = []
        self._under_way[request_id] = interest
        mirror = interest.mirror
        interest.asked = interest.claimed
        fetch = FetchChanges(
            request_id,
            interest.name,
            mirror.version if mirror.is_known else ZERO,
            max(mirror.highest_seen, interest.asked),
            mirror.is_unsure,
        )
        return [Send(Link.DATA, interest.peer, fetch)]

    def of_answer(self, peer: str, request_id: int) -> FollowedDatum | None:
        """Return what a data node answers about, if it was asked."""
        interest = self._under_way.get(request_id)
        return interest if interest is not None and interest.peer == peer else None

    def goes_on(self, interest: FollowedDatum, now: float) -> None:
        """Note that an answer comes in parts: to the end of those whose patience is counted."""
        interest.sent_at = now
        self._under_way[interest.request_id] = self._under_way.pop(interest.request_id)

    def end(self, interest: FollowedDatum) -> None:
        """Forget the request under way: it was answered, or will not be."""
        self._under_way.pop(interest.request_id, None)
        interest.request_id = 0
        interest.parts = []

    def forget(self, interest: FollowedDatum) -> None:
        """Ask no more."""
        self.end(interest)
        self._waiting.pop(interest.name, None)

    def retry(self, interest: FollowedDatum, now: float) -> None:
        """Ask again in a while."""
        interest.retry_at = now + _RETRY_SECONDS * (1 + self._rng.random())
        self._waiting[interest.name] = interest

    def node_up(self, peer: str, now: float) -> list[Effect]:
        """Ask a data node for what could not be asked before."""
        effects: list[Effect] = []
        for interest in list(self._waiting.values()):
            if interest.peer == peer:
                effects += self.fetch(interest, now)
        return effects

    def node_lost(self, peer: str, now: float) -> None:
        """Ask again what was under way when the connection went."""
        for interest in list(self._under_way.values()):
            if interest.peer == peer:
                self.end(interest)
                self.retry(interest, now)

    def tick(self, now: float) -> list[Effect]:
        """Ask again what is due."""
        effects: list[Effect] = []
        oldest = now - self._config.request_retry_seconds
        for interest in list(self._under_way.values()):
            if interest.sent_at > oldest:
                break
            self.end(interest)
            effects += self.fetch(interest, now)
        for interest in list(self._waiting.values()):
            if interest.retry_at is not None and now >= interest.retry_at:
                effects += self.fetch(interest, now)
        return effects

    def next_tick_at(self) -> float | None:
        """When something is due."""
        due = [i.retry_at for i in self._waiting.values() if i.retry_at is not None]
        for interest in self._under_way.values():
            due.append(interest.sent_at + self._config.request_retry_seconds)
            break
        return min(due, default=None)
