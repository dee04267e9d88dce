"""`/metrics`, for Prometheus: what the node's core and reactor count, read when it is asked for."""

from collections.abc import Iterable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from zreg.http.health_pages import VERSION
from zreg.http.metrics.metric_table import OF_ALL, OF_ROLE, OTHERS, Kind, Metric
from zreg.http.pages import AnyQuery, Page
from zreg.http.responses import HEADERS
from zreg.http.served_node import ServedNode

Family = CounterMetricFamily | GaugeMetricFamily
_MEANINGS = {name: meaning for name, _, meaning in OTHERS}


class MetricsPage:
    """The metrics of one node, and of the process in which it runs."""

    def __init__(self, node: ServedNode, counts: Mapping[str, int]) -> None:
        # A registry of its own: the one of the library is shared by all nodes of a process.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeCollector(node, counts))
        ProcessCollector(registry=self._registry)

    def pages(self) -> list[Page]:
        """Return the page."""
        return [
            Page(
                path="/metrics",
                summary="The node's statistics in the text format of Prometheus",
                handler=self._metrics,
                content_type="text/plain",
                checks_host=False,
            )
        ]

    async def _metrics(self, _request: web.Request, _query: AnyQuery) -> web.Response:
        text = generate_latest(self._registry)
        return web.Response(
            body=text, headers={**HEADERS, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )


class NodeCollector(Collector):
    """Makes metrics of the statistics and the health of one node."""

    def __init__(self, node: ServedNode, counts: Mapping[str, int]) -> None:
        self._node = node
        self._counts = counts

    def collect(self) -> Iterator[Family]:
        """Yield all metrics; none of them scans what the node holds."""
        node = self._node
        statistics = {**self._counts, **node.statistics()}
        yield from _families((*OF_ALL, *OF_ROLE[node.role]), statistics)
        labels = {
            "cluster": node.cluster,
            "node_id": node.node_id,
            "role": node.role,
            "version": VERSION,
        }
        info = GaugeMetricFamily("zreg_node_info", _MEANINGS["zreg_node_info"], labels=list(labels))
        info.add_metric(list(labels.values()), 1)
        yield info
        yield _other("zreg_node_uptime_seconds", node.uptime_seconds)
        health = node.health(self._counts)
        yield _other("zreg_node_ready", health.is_alive and health.is_ready)
        problems = GaugeMetricFamily(
            "zreg_node_problems", _MEANINGS["zreg_node_problems"], labels=["code"]
        )
        for code in {problem.code: None for problem in health.problems}:
            problems.add_metric([code], 1)
        yield problems
        if "raft_role" in statistics:
            yield _other("zreg_meta_is_leader", statistics["raft_role"] == "leader")


def _other(name: str, value: float) -> Family:
    return GaugeMetricFamily(name, _MEANINGS[name], value=float(value))


def _families(
    metrics: Iterable[Metric], statistics: Mapping[str, int | float | str]
) -> Iterator[Family]:
    """Return one family for each name, with a line for each of its labels."""
    families: dict[str, Family] = {}
    for metric in metrics:
        family = families.get(metric.name)
        if family is None:
            make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            labels = [] if metric.label is None else [metric.label[0]]
            family = families[metric.name] = make(metric.name, metric.meaning, labels=labels)
        value = statistics.get(metric.statistic, 0)
        assert not isinstance(value, str)
        family.add_metric([] if metric.label is None else [metric.label[1]], value)
    yield from families.values()
