"""Rules of the pages of a session, each with what takes it out of the production code."""

from mutations import Patch

from zreg.effects import Effect
from zreg.model import DataInfoId, Publisher
from zreg.session.pages import page_datums
from zreg.session.pages.page_datums import PageDatums
from zreg.session.pages.page_questions import ReadService
from zreg.session.pages.page_watches import PageWatches
from zreg.session.proxy.meta_proxy import MetaProxy
from zreg.session.upstream.followed.followed_datum import FollowedDatum


def a_question_for_a_datum_waits_for_ever() -> list[Patch]:
    """A question that waits for a data node is refused in time."""

    def tick(self: PageDatums, now: float) -> list[Effect]:
        return []

    return [(PageDatums, "tick", tick)]


def a_question_to_meta_waits_for_ever() -> list[Patch]:
    """A question that waits for meta is refused in time."""

    def tick(self: MetaProxy, now: float) -> list[Effect]:
        return []

    return [(MetaProxy, "tick", tick), (MetaProxy, "next_tick_at", lambda self: None)]


def a_page_begins_at_its_cursor() -> list[Patch]:
    """The next page begins after the last line of this one."""

    def page_of(
        content: dict[bytes, Publisher], question: ReadService
    ) -> tuple[tuple[Publisher, ...], bytes | None]:
        found = sorted(key for key in content if key >= question.after)
        # One more than was asked for, as a page of one would begin with itself for ever.
        page = found[: question.limit + 1]
        next_after = page[-1] if len(found) > len(page) else None
        return tuple(content[key] for key in page), next_after

    return [(page_datums, "page_of", page_of)]


def a_watch_that_is_closed_stays() -> list[Patch]:
    """A datum that no page watches any more is followed for no page."""

    def end(self: PageWatches, name: DataInfoId | None) -> list[Effect]:
        return []

    return [(PageWatches, "end", end)]


def a_watch_is_told_only_of_the_first_move() -> list[Patch]:
    """A watch is told of each move, so of the last one too."""
    told: set[tuple[int, DataInfoId]] = set()
    on_moved = PageWatches.on_moved

    def first_only(self: PageWatches, followed: FollowedDatum) -> list[Effect]:
        key = (id(self), followed.name)
        effects = [] if key in told else on_moved(self, followed)
        if effects:
            told.add(key)
        return effects

    return [(PageWatches, "on_moved", first_only)]
