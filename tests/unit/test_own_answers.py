"""What a node answers about itself: events, and statistics that are numbers."""

import math

from zreg.primitives.reports.event_ring import EventRing
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.reports.own_answers import OwnAnswers
from zreg.wire.records.common_messages import (
    STATISTICS_MAX,
    EventsReply,
    FetchEvents,
    FetchStatistics,
    Statistic,
    StatisticsReply,
)

LIFE = b"l" * 16


def answers_of(statistics: dict[str, int | float | str]) -> OwnAnswers:
    return OwnAnswers(EventRing("d1", LIFE), lambda: statistics, HopRings())


def test_statistics_are_the_numbers_with_the_clock_of_the_process() -> None:
    own = answers_of({"datums": 3, "incarnation": "d1@4", "lag": 0.5})

    assert own.answer(FetchStatistics(7, "any"), 12.3456) == StatisticsReply(
        7, "d1", LIFE, 12345, (Statistic("datums", 3), Statistic("lag", 0.5))
    )


def test_events_are_those_of_the_ring() -> None:
    assert answers_of({}).answer(FetchEvents(7), 1.0) == EventsReply(7, "d1", LIFE, 0, ())


def test_more_statistics_than_a_record_may_have_are_cut() -> None:
    reply = answers_of({str(each): each for each in range(500)}).answer(FetchStatistics(7), 1.0)

    assert isinstance(reply, StatisticsReply)
    assert [each.value for each in reply.statistics] == list(range(STATISTICS_MAX))


def test_a_number_that_the_wire_does_not_take_is_the_nearest_one() -> None:
    own = answers_of({"a": -1, "b": math.inf, "c": math.nan, "d": 2**60})
    reply = own.answer(FetchStatistics(7), 1.0)

    assert isinstance(reply, StatisticsReply)
    assert [each.value for each in reply.statistics] == [0.0, 2.0**53, 0.0, 2.0**53]
