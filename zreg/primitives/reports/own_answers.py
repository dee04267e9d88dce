"""What a node of any role answers about itself: events, statistics, hops, a host."""

from collections.abc import Callable, Mapping
from itertools import islice

from zreg.primitives.reports.event_ring import EventRing
from zreg.primitives.reports.hop_rings import HopRings
from zreg.primitives.reports.host_search import HostSearch
from zreg.wire.records.common_messages import (
    STATISTIC_MAX,
    STATISTICS_MAX,
    ClientsFound,
    EventsReply,
    FetchEvents,
    FetchHops,
    FetchStatistics,
    FindClients,
    FindInstances,
    HopsReply,
    InstancesFound,
    Statistic,
    StatisticsReply,
)

# What any node answers for itself, and a session asks any other node.
NodeQuestion = FetchEvents | FetchStatistics | FetchHops | FindInstances | FindClients
NodeAnswer = EventsReply | StatisticsReply | HopsReply | InstancesFound | ClientsFound

_MILLISECONDS = 1000


class OwnAnswers:
    """Answers from the events, statistics and hops of one process, and from what the node holds."""

    def __init__(
        self,
        events: EventRing,
        statistics: Callable[[], Mapping[str, int | float | str]],
        hops: HopRings,
        host_search: HostSearch,
    ) -> None:
        self._host_search = host_search
        self._events = events
        self._statistics = statistics
        self._hops = hops

    def answer(self, question: NodeQuestion, now: float) -> NodeAnswer:
        """Return the answer for this node, whichever node the question names."""
        node_id = self._events.node_id
        match question:
            case FetchEvents():
                return self._events.answer(question, now)
            case FetchHops():
                return self._hops.answer(question, node_id, now)
            case FindInstances():
                return self._host_search.instances(question, node_id)
            case FindClients():
                return self._host_search.clients(question, node_id)
            case FetchStatistics():
                return self._numbers(question, now)

    def _numbers(self, question: FetchStatistics, now: float) -> StatisticsReply:
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
