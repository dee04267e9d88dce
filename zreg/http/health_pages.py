"""`/healthz`, `/readyz` and `/v1/status`: the health of one node, for probes and for people."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Final

import msgspec
from aiohttp import web

from zreg.health import Health
from zreg.http.pages import AnyQuery, Page
from zreg.http.responses import answer
from zreg.http.served_node import ServedNode


def _own_version() -> str:
    """Return the installed version of zreg; unknown if zreg runs from a folder."""
    try:
        return installed_version("zreg")
    except PackageNotFoundError:
        return "unknown"


VERSION: Final = _own_version()


class ShownProblem(msgspec.Struct, frozen=True):
    """One problem as JSON."""

    code: str
    detail: str


class HealthReport(msgspec.Struct, frozen=True):
    """The health of a node as JSON."""

    status: str
    ready: bool
    role: str
    node_id: str
    version: str
    problems: list[ShownProblem]


class StatusReport(HealthReport, frozen=True):
    """The health of a node, what it is, and its counters, as JSON."""

    cluster: str
    epoch: int
    address: str
    addresses: dict[str, str]
    uptime_seconds: float
    core: str
    statistics: dict[str, int | float | str]
    http: dict[str, int]


class HealthPages:
    """The pages about one node; each request asks the node anew."""

    def __init__(self, node: ServedNode, counts: Mapping[str, int]) -> None:
        self._node = node
        self._counts = counts

    def pages(self) -> list[Page]:
        """Return these pages. A probe may use any name of this node, so no host is foreign."""
        return [
            Page(
                path="/healthz",
                summary="Whether the process is alive; 503 says that it is stuck",
                handler=self._healthz,
                answer=HealthReport,
                statuses=(503,),
                checks_host=False,
            ),
            Page(
                path="/readyz",
                summary="Whether the node accepts work; 503 says why it does not",
                handler=self._readyz,
                answer=HealthReport,
                statuses=(503,),
                checks_host=False,
            ),
            Page(
                path="/v1/status",
                summary="The health of the node, what it is, and its counters",
                handler=self._status,
                answer=StatusReport,
                checks_host=False,
            ),
        ]

    async def _healthz(self, _request: web.Request, _query: AnyQuery) -> web.Response:
        health = await self._health()
        return answer(self._report(health), status=200 if health.is_alive else 503)

    async def _readyz(self, _request: web.Request, _query: AnyQuery) -> web.Response:
        health = await self._health()
        is_ready = health.is_alive and health.is_ready
        return answer(self._report(health), status=200 if is_ready else 503)

    async def _status(self, _request: web.Request, _query: AnyQuery) -> web.Response:
        health = await self._health()
        node = self._node
        report = StatusReport(
            **msgspec.structs.asdict(self._report(health)),
            cluster=node.cluster,
            epoch=node.epoch,
            address=node.address,
            addresses=dict(node.addresses),
            uptime_seconds=round(node.uptime_seconds, 3),
            core=repr(node),
            statistics=node.statistics(),
            http=dict(self._counts),
        )
        return answer(report)

    async def _health(self) -> Health:
        # After a stall of the loop the request may come before the node's own timers: let them run.
        await asyncio.sleep(0)
        return self._node.health(self._counts)

    def _report(self, health: Health) -> HealthReport:
        node = self._node
        shown = [ShownProblem(problem.code, problem.detail) for problem in health.problems]
        return HealthReport(health.status, health.is_ready, node.role, node.node_id, VERSION, shown)
