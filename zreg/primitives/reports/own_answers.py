"""What a node of any role answers about itself: events, statistics and hops."""

from collections.abc import Callable, Mapping
from itertools import islice

from zreg.primitives.reports.event_ring import EventRing
from zreg.primitives.reports.hop_rings import HopRings
from zreg.wire.records.common_messages import (
    STATISTIC_MAX,
    STATISTICS_MAX,
    EventsReply,
    FetchEvents,
    FetchHops,
    FetchStatistics,
    HopsReply,
    Statistic,
    StatisticsReply,
)

# What any node answers for itself, and a session asks any other node.
NodeQuestion = FetchEvents | FetchStatistics | FetchHops
NodeAnswer = EventsReply | StatisticsReply | HopsReply

_MILLISECONDS = 1000


class OwnAnswers:
    """Answers from the events, the statistics and the hops of one process of a node."""

    def __init__(
        self,
        events: EventRing,
        statistics: Callable[[], Mapping[str, int | float | str]],
        hops: HopRings,
    ) -> None:
        self._events = events
        self._statistics = statistics
        self._hops = hops

    def answer(self, question: NodeQuestion, now: float) -> NodeAnswer:
        """Return the answer for this node, whichever node the question names."""
        if isinstance(question, FetchEvents):
            return self._events.answer(question, now)
        if isinstance(question, FetchHops):
            return self._hops.answer(question, self._events.node_id, now)
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
