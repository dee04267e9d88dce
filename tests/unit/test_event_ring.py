"""The ring of events of one node, and the pages in which it is read."""

import pytest

from zreg.config import Limits
from zreg.effects import INFO, WARNING
from zreg.primitives.reports.event_ring import (
    EVENTS_PER_KIND_MAX,
    EventRing,
    fields_text,
    is_of_kind,
)
from zreg.wire.records.common_messages import Event, EventsReply, FetchEvents

LIFE, OTHER_LIFE = b"a" * 16, b"b" * 16


def ring_of(*kinds: str) -> EventRing:
    """Return a ring with an event of each kind, one a second from 1 on."""
    ring = EventRing("data-1", LIFE)
    for at, kind in enumerate(kinds, 1):
        ring.note(INFO, kind, {}, float(at))
    return ring


def kinds_of(reply: EventsReply) -> list[str]:
    return [event.kind for event in reply.events]


def test_an_event_says_how_long_ago_it_was_whom_it_is_about_and_the_rest() -> None:
    ring = EventRing("meta-1", LIFE)
    ring.note(WARNING, "member.departed", {"incarnation": "data-2@7", "reason": "gone"}, 10.0)

    event = Event(1, 2500, WARNING, "member.departed", "data-2@7", "reason=gone")
    assert ring.answer(FetchEvents(5), 12.5) == EventsReply(5, "meta-1", LIFE, 1, (event,))


def test_an_event_without_a_subject_is_about_the_node_itself() -> None:
    ring = EventRing("meta-1", LIFE)
    ring.note(INFO, "raft.leading", {"term": 3, "epoch": 9}, 0.0)

    (event,) = ring.answer(FetchEvents(1), 0.0).events
    assert (event.subject, event.detail) == ("", "term=3 epoch=9")


def test_pages_follow_each_other_without_a_gap_and_without_a_repeat() -> None:
    ring = ring_of("a", "b", "a", "c", "b")

    first = ring.answer(FetchEvents(1, limit=2), 9.0)
    second = ring.answer(FetchEvents(2, life=first.life, after=first.last, limit=2), 9.0)
    third = ring.answer(FetchEvents(3, life=second.life, after=second.last, limit=2), 9.0)

    assert [kinds_of(page) for page in (first, second, third)] == [["a", "b"], ["a", "c"], ["b"]]
    assert [page.is_complete for page in (first, second, third)] == [False, False, True]
    assert ring.answer(FetchEvents(4, life=LIFE, after=third.last), 9.0).events == ()


def test_a_reader_of_an_earlier_process_gets_all_events_of_this_one() -> None:
    reply = ring_of("a", "b").answer(FetchEvents(1, life=OTHER_LIFE, after=70), 9.0)

    assert (kinds_of(reply), reply.life, reply.last) == (["a", "b"], LIFE, 2)


def test_many_events_of_one_kind_push_out_none_of_another() -> None:
    ring = EventRing("session-1", LIFE)
    ring.note(WARNING, "node.incarnation.gone", {}, 0.0)
    for number in range(10 * EVENTS_PER_KIND_MAX):
        ring.note(INFO, "client.off", {"client": number}, 1.0)

    reply = ring.answer(FetchEvents(1), 1.0)
    assert len(ring) == len(reply.events) == EVENTS_PER_KIND_MAX + 1
    assert reply.events[0].kind == "node.incarnation.gone"
    assert reply.events[-1].number == reply.last == 10 * EVENTS_PER_KIND_MAX + 1


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", True), ("member", True), ("member.departed", True), ("mem", False), ("raft", False)],
)
def test_a_kind_is_asked_for_by_its_first_words(wanted: str, *, found: bool) -> None:
    assert is_of_kind("member.departed", wanted) is found


def test_the_cursor_passes_events_of_other_kinds() -> None:
    reply = ring_of("a.x", "b", "a.y", "b").answer(FetchEvents(1, kind="a"), 9.0)

    assert (kinds_of(reply), reply.last) == (["a.x", "a.y"], 4)


def test_events_that_are_too_old_are_left_out() -> None:
    reply = ring_of("a", "b", "c").answer(FetchEvents(1, milliseconds_ago_max=1500), 4.0)

    assert kinds_of(reply) == ["c"]


def test_long_texts_are_cut_to_the_limit_of_a_record() -> None:
    ring = EventRing("meta-1", LIFE)
    ring.note(INFO, "a", {"id": "x" * 9999, "detail": "y" * 9999}, 0.0)

    (event,) = ring.answer(FetchEvents(1), 0.0).events
    assert len(event.subject) == len(event.detail) == Limits.detail_characters_max


def test_a_value_that_would_read_as_several_is_quoted() -> None:
    assert fields_text({"n": 1, "detail": "two words", "empty": ""}) == (
        "n=1 detail='two words' empty=''"
    )
