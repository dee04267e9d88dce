"""Whether sessions are there now, which this data node asks before it believes a suspicion.

A connection that stands proves little: its link may have been cut off a moment ago, and the session
may not run. The client that another session suspects may have moved there, and its registration
waits. So a suspicion is judged when every other session has answered a call that was sent after the
suspicion came. Until then it waits as for a session that is not connected.
"""

import heapq
import math
from typing import Final, NamedTuple

from zreg.data.sessions.contacts import SessionContacts
from zreg.effects import Effect, Link, Peer, Send
from zreg.model import Incarnation
from zreg.wire.records.data_messages import RollCall

# A call that is not answered is repeated: the message may have been dropped. It keeps its number,
# since a session that is only slow answers the first one.
_REPEAT_SECONDS: Final = 1.0
# A session that is there answers when the replays of its clients have ended, after a lease at most
# and the time in which one may greet.
_GIVE_UP_LEASES: Final = 2


class _Called:
    """A connection that was called."""

    __slots__ = ("answered_at", "asked_at", "number", "sent_at")

    def __init__(self) -> None:
        # The number of the call that is not answered yet, when it was sent first and last.
        self.number: int | None = None
        self.asked_at = self.sent_at = -math.inf
        # When the last call that was answered was sent first.
        self.answered_at = -math.inf


class _Oldest(NamedTuple):
    """Since when all sessions have not answered, and since when all but the one that is latest."""

    at: float = math.inf
    others_at: float = math.inf
    # None if several sessions are equally late.
    latest: Incarnation | None = None


class RollCalls:
    """Calls the sessions that may take clients in; one call at a time is under way to each."""

    def __init__(self, contacts: SessionContacts, lease_seconds: float) -> None:
        self._contacts = contacts
        self._lease_seconds = lease_seconds
        self._called: dict[Peer, _Called] = {}
        self._number = 0
        # With what the sessions were called last, and when a call has to be repeated.
        self._called_with: tuple[int, int, float] | None = None
        self._repeat_at = math.inf
        self._answer_count = 0
        # What is known of the oldest answers, and with what it was found.
        self._oldest = _Oldest()
        self._oldest_with: tuple[int, int] | None = None
        # Raised when an answer may let a suspicion be judged: the last one of a roll, mostly.
        self.news_count = 0

    def have_answered(self, since: float, suspecting: Incarnation | None) -> bool:
        """Return whether all sessions but the one that suspects answered a call sent since then."""
        oldest = self._find_oldest()
        at = oldest.at if oldest.latest != suspecting else oldest.others_at
        return at >= since

    def _find_oldest(self) -> _Oldest:
        known = (self._contacts.news_count, self._answer_count)
        if known == self._oldest_with:
            return self._oldest
        answered: dict[Incarnation, float] = {}
        for peer, session in self._contacts.connected():
            called = self._called.get(peer)
            at = -math.inf if called is None else called.answered_at
            answered[session] = max(at, answered.get(session, -math.inf))
        self._oldest_with = known
        self._oldest = _oldest_of(answered)
        return self._oldest

    def call(self, since: float, now: float) -> list[Effect]:
        """Call the sessions that have answered no call sent since then."""
        known = (self._contacts.news_count, self._answer_count, since)
        if known == self._called_with and now < self._repeat_at:
            return []
        self._called_with = known
        self._repeat_at = math.inf
        effects: list[Effect] = []
        for peer, _ in self._contacts.connected():
            called = self._called.setdefault(peer, _Called())
            if called.answered_at >= since:
                continue
            given_up_at = called.asked_at + _GIVE_UP_LEASES * self._lease_seconds
            is_owed = called.number is not None and now >= given_up_at
            if is_owed and self._contacts.give_up(peer):
                # It gets another call once it has said something.
                called.number = None
                continue
            if called.number is None or now >= called.sent_at + _REPEAT_SECONDS:
                effects.append(Send(Link.REQUESTS, peer, self._next_call(called, now)))
            self._repeat_at = min(self._repeat_at, called.sent_at + _REPEAT_SECONDS)
        return effects

    def _next_call(self, called: _Called, now: float) -> RollCall:
        called.sent_at = now
        if called.number is None:
            self._number += 1
            called.number = self._number
            called.asked_at = now
        return RollCall(called.number)

    def on_present(self, peer: Peer, number: int) -> None:
        """Take an answer; one to an earlier call or of a stranger says nothing of a suspicion."""
        self._contacts.note_heard(peer)
        called = self._called.get(peer)
        if called is None or called.number != number:
            return
        before = self._find_oldest()
        called.number = None
        called.answered_at = called.asked_at
        self._answer_count += 1
        self.news_count += self._find_oldest() != before

    def forget(self, peer: Peer) -> None:
        """Forget a connection that is gone."""
        self._called.pop(peer, None)


def _oldest_of(answered: dict[Incarnation, float]) -> _Oldest:
    latest = heapq.nsmallest(2, ((at, session) for session, at in answered.items()))
    match latest:
        case [(at, session), (others_at, _)]:
            return _Oldest(at, others_at, session if at < others_at else None)
        case [(at, session)]:
            return _Oldest(at, math.inf, session)
        case _:
            return _Oldest()
