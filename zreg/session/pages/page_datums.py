"""The datums that a session follows because its pages show them.

A page shows what the session follows, as a subscriber sees it. So a question for a datum has the
session follow it, and the session goes on for a while: the next page, or the same page a moment
later, costs the data nodes nothing.
"""

from collections import OrderedDict
from collections.abc import Iterator
from heapq import nsmallest
from typing import Final, NamedTuple

from zreg.effects import Effect, Emit
from zreg.errors import LimitError, NotReadyError
from zreg.model import DataInfoId, Publisher
from zreg.session.clients.pushes.subscriptions import Subscriptions
from zreg.session.pages.page_questions import ReadService, ServiceRead
from zreg.session.proxy.askers import PageAnswered
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.wire.records.common_messages import Refused

# How long a question waits for a data node: less than an HTTP connection lives.
_SECONDS_MAX: Final = 2.0
_KEPT_SECONDS: Final = 15.0
_DATUMS_MAX: Final = 100


class _Waiting(NamedTuple):
    """A question whose datum has not come yet."""

    question: ReadService
    deadline: float


class PageDatums:
    """The datums that pages asked for lately, and the questions that wait for one.

    Invariants: each name in `until` is followed once for the pages; a name with a question that
    waits is among them. Both are in the order of their times, since all have the same span.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self.until: OrderedDict[DataInfoId, float] = OrderedDict()
        self._waiting: dict[int, _Waiting] = {}
        self.waiting_by_name: dict[DataInfoId, dict[int, None]] = {}

    def __len__(self) -> int:
        """Return how many datums are followed for pages."""
        return len(self.until)

    def ask(self, question_id: int, question: ReadService, now: float) -> list[Effect]:
        """Answer a question if the session has the datum, else when it has it."""
        name = question.name
        effects: list[Effect] = []
        if name not in self.until and len(self.until) >= _DATUMS_MAX:
            oldest = next((each for each in self.until if each not in self.waiting_by_name), None)
            if oldest is None:
                detail = f"{_DATUMS_MAX} services are being fetched for pages: try again"
                return [_refused(question_id, LimitError.code, detail)]
            effects += self._release(oldest)
        if name in self.until:
            followed = self._subscriptions.followed(name)
        else:
            followed, following = self._subscriptions.follow(name, now)
            effects += following
        self.until[name] = now + _KEPT_SECONDS
        self.until.move_to_end(name)
        if followed.mirror.is_known:
            return [*effects, _answer(question_id, question, followed)]
        self._waiting[question_id] = _Waiting(question, now + _SECONDS_MAX)
        self.waiting_by_name.setdefault(name, {})[question_id] = None
        return effects

    def on_moved(self, followed: FollowedDatum) -> list[Effect]:
        """Answer the questions that waited for this datum, if the session has it now."""
        if followed.name not in self.waiting_by_name or not followed.mirror.is_known:
            return []
        waiting = self.waiting_by_name.pop(followed.name)
        return [_answer(each, self._waiting.pop(each).question, followed) for each in waiting]

    def tick(self, now: float) -> list[Effect]:
        """Refuse the questions that have waited too long; end what no page has asked for lately."""
        effects: list[Effect] = []
        for question_id in list(self._due(now)):
            name = self._waiting.pop(question_id).question.name
            waiting = self.waiting_by_name[name]
            del waiting[question_id]
            if not waiting:
                del self.waiting_by_name[name]
            detail = f"no data node has told yet what is published under {name}: try again"
            effects.append(_refused(question_id, NotReadyError.code, detail))
        while self.until:
            name, until = next(iter(self.until.items()))
            if until > now:
                break
            effects += self._release(name)
        return effects

    def _due(self, now: float) -> Iterator[int]:
        for question_id, waiting in self._waiting.items():
            if waiting.deadline > now:
                return
            yield question_id

    def _release(self, name: DataInfoId) -> list[Effect]:
        del self.until[name]
        return self._subscriptions.unfollow(name)

    def next_tick_at(self) -> float | None:
        """Return when the next question or datum has had its time; None if there is none."""
        if not self.until:
            return None
        until = next(iter(self.until.values()))
        for waiting in self._waiting.values():
            return min(waiting.deadline, until)
        return until


def _answer(question_id: int, question: ReadService, followed: FollowedDatum) -> Effect:
    mirror = followed.mirror
    publishers, next_after = page_of(mirror.content, question)
    answer = ServiceRead(
        followed.name,
        mirror.version,
        len(mirror.content),
        not mirror.is_unsure,
        publishers,
        next_after,
    )
    return Emit(PageAnswered(question_id, answer))


def page_of(
    content: dict[bytes, Publisher], question: ReadService
) -> tuple[tuple[Publisher, ...], bytes | None]:
    """Return the next publishers in the order of their ids, and where the page after begins."""
    after, zone, data_center = question.after, question.zone, question.data_center
    matching = (
        publisher_id
        for publisher_id, publisher in content.items()
        if publisher_id > after
        and (not zone or publisher.zone == zone)
        and (not data_center or publisher.data_center == data_center)
    )
    ids = nsmallest(question.limit + 1, matching)
    page = ids[: question.limit]
    return tuple(content[each] for each in page), page[-1] if len(ids) > len(page) else None


def _refused(question_id: int, code: int, detail: str) -> Effect:
    return Emit(PageAnswered(question_id, Refused(0, code, detail)))
