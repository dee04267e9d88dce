"""Which instances of this session's clients are on one host: for an operator who empties a machine.

Each instance is registered by one session, so the answers of all sessions together have all of
them. There is no index: operators ask rarely, and programs publish often. So a search goes through
what the session registers piece by piece, and other work goes on between.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from zreg.effects import Effect, Emit
from zreg.errors import LimitError, PeerError
from zreg.hosts import bracketed
from zreg.session.pages.page_questions import FindHost, FoundInstance, HostFound
from zreg.session.proxy.askers import PageAnswered
from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.registrations import Registrations
from zreg.wire.body import unpack_body
from zreg.wire.records.common_messages import Refused

_SEARCHES_MAX: Final = 8
# How many registrations one turn looks at: a millisecond or two.
_SLICE: Final = 5000


class _Search:
    """One search, and what it has found so far."""

    def __init__(
        self, question_id: int, question: FindHost, unseen: Iterator[Registration]
    ) -> None:
        self.question_id = question_id
        self.question = question
        self.found: list[FoundInstance] = []
        self.is_cut = False
        self._unseen = unseen
        # What is on the host has its name in the body: most bodies need not be unpacked.
        self._needle = question.host.encode()

    def go_on(self) -> bool:
        """Look at some registrations; return whether there may be more to find."""
        looked_at = 0
        for registration in islice(self._unseen, _SLICE):
            looked_at += 1
            if registration.removal is None and self._needle in registration.publisher.body:
                self._look_at(registration)
        return looked_at == _SLICE and not self.is_cut

    def _look_at(self, registration: Registration) -> None:
        if not _is_on(self.question.host, registration.publisher.body):
            return
        if len(self.found) == self.question.limit:
            self.is_cut = True
            return
        self.found.append(FoundInstance(registration.name, registration.publisher))

    def answer(self) -> Effect:
        """Return the answer with all that was found."""
        read = HostFound(tuple(self.found), self.is_cut)
        return Emit(PageAnswered(self.question_id, read))


class HostSearches:
    """The searches under way, bounded in number; each turn goes on with one of them."""

    def __init__(self, registrations: Registrations) -> None:
        self._registrations = registrations
        self.under_way: deque[_Search] = deque()

    def ask(self, question_id: int, question: FindHost) -> list[Effect]:
        """Begin a search."""
        if len(self.under_way) >= _SEARCHES_MAX:
            detail = f"{_SEARCHES_MAX} searches are under way at this session: ask again"
            return [Emit(PageAnswered(question_id, Refused(0, LimitError.code, detail)))]
        self.under_way.append(_Search(question_id, question, iter(self._registrations)))
        return []

    def tick(self) -> list[Effect]:
        """Go on with the search that has waited longest."""
        if not self.under_way:
            return []
        search = self.under_way.popleft()
        if search.go_on():
            self.under_way.append(search)
            return []
        return [search.answer()]

    def next_tick_at(self) -> float | None:
        """Return that the next piece is due at once; None if no search is under way."""
        return 0.0 if self.under_way else None


def _is_on(host: str, body: bytes) -> bool:
    """Return whether a value names the host: as an endpoint, as `host:port`, or alone."""
    try:
        values = unpack_body(body).values
    except PeerError:
        return False
    beginning = f"{bracketed(host)}:"
    for value in values:
        if isinstance(value, dict):
            if value.get("host") == host:
                return True
        elif isinstance(value, str) and (value == host or value.startswith(beginning)):
            return True
    return False
