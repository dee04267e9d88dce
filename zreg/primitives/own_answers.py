"""What a node of any role answers about itself: its last events, and its statistics."""

from collections.abc import Callable, Mapping
from itertools import islice

from zreg.primitives.event_ring import EventRing
from zreg.wire.records.common_messages import (
    STATISTIC_MAX,
    STATISTICS_MAX,
    EventsReply,
    FetchEvents,
    FetchStatistics,
    Statistic,
    StatisticsReply,
)

# What any node answers for itself, and a session asks any other node.
NodeQuestion = FetchEvents | FetchStatistics
NodeAnswer = EventsReply | StatisticsReply

_MILLISECONDS = 1000


class OwnAnswers:
    """Answers from the events and the statistics of one process of a node."""

    def __init__(
        self, events: EventRing, statistics: Callable[[], Mapping[str, int | float | str]]
    ) -> None:
        self._events = events
        self._statistics = statistics

    def answer(self, question: NodeQuestion, now: float) -> NodeAnswer:
        """Return the answer for this node, whichever node the question names."""
        if isinstance(question, FetchEvents):
            return self._events.answer(question, now)
        numbers = [
            Statistic(name, min(max(0.0, float(value)), STATISTIC_MAX))
            for name, value in self._statistics().items()
            if not isinstance(value, str)
        ]
        return StatisticsReply(
            question.request_id,
            self._events.node_id,
            self._events.life,
            int(now * _MILLISECONDS),
            tuple(islice(numbers, STATISTICS_MAX)),
        )
