"""`/v1/prometheus-sd`: the instances of services as targets of Prometheus."""

import asyncio
import re
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from zreg.client.view.endpoint import Endpoint, published_endpoint
from zreg.client.view.marked import HEALTH_ATTRIBUTE
from zreg.client.view.view import Publisher
from zreg.errors import UsageError
from zreg.http.catalogue.asked_node import AskedNode, asked
from zreg.http.catalogue.queries import Text
from zreg.http.catalogue.service_pages import ServicesQuery, pattern_of
from zreg.http.pages import Page
from zreg.http.responses import FaultError, answer
from zreg.model import SEPARATOR, DataInfoId, split_data_info_id
from zreg.session.pages.page_questions import PAGE_LINES_MAX, ReadService, ServiceRead
from zreg.wire.records.data_messages import DatumsListed, ListDatums

# As many services as the session follows for pages; the rest of the bound is left to other pages.
SERVICES_MAX: Final = 50
TARGETS_MAX: Final = 10_000
_MAY_LACK: Final = "a data node has just begun to serve some services: ask again"
_LABEL: Final = "__meta_zreg_"
_NO_LABEL_CHARACTERS: Final = re.compile(r"[^a-zA-Z0-9_]")


class TargetsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which services are targets."""

    prefix: Annotated[Text, Meta(description="How the data ids begin.")] = ""
    glob: Annotated[Text, Meta(description="A data id, or a pattern of them.")] = ""
    group: Annotated[Text, Meta(description="A group, or a pattern of groups.")] = "*"
    instance_id: Annotated[Text, Meta(description="An instance id, or a pattern of them.")] = "*"


class TargetGroup(msgspec.Struct, frozen=True):
    """One target of Prometheus, with its labels."""

    targets: list[str]
    labels: dict[str, str]


class TargetPages:
    """The page for Prometheus."""

    def __init__(self, node: AskedNode) -> None:
        self._node = node

    def pages(self) -> list[Page]:
        """Return the page."""
        return [
            Page(
                path="/v1/prometheus-sd",
                summary="The endpoints of services as targets of Prometheus (http_sd_configs)",
                handler=self._targets,
                query=TargetsQuery,
                answer=list[TargetGroup],
                statuses=(400, 429, 503),
            )
        ]

    async def _targets(self, _request: web.Request, query: TargetsQuery) -> web.Response:
        """Answer with all targets, or with an error: then Prometheus keeps those it has."""
        filters = ServicesQuery(
            prefix=query.prefix, glob=query.glob, group=query.group, instance_id=query.instance_id
        )
        question = ListDatums(0, pattern_of(filters), "", SERVICES_MAX)
        listed = await asked(self._node, question, DatumsListed)
        if not listed.is_complete:
            detail = f"more than {SERVICES_MAX} services match: give a narrower pattern"
            raise FaultError(400, detail)
        if listed.is_unsure:
            raise FaultError(503, _MAY_LACK)
        names = [datum.data_info_id for datum in listed.datums]
        names = [name for name in names if name.count(SEPARATOR) == 2]  # noqa: PLR2004
        if sum(datum.publisher_count for datum in listed.datums) > TARGETS_MAX:
            detail = f"more than {TARGETS_MAX} instances match: give a narrower pattern"
            raise FaultError(400, detail)
        found = await asyncio.gather(*map(self._targets_of, names))
        return answer([group for groups in found for group in groups])

    async def _targets_of(self, name: DataInfoId) -> list[TargetGroup]:
        groups: list[TargetGroup] = []
        after: bytes | None = b""
        while after is not None:
            read = await asked(self._node, ReadService(name, after, PAGE_LINES_MAX), ServiceRead)
            if not read.is_complete:
                raise FaultError(503, _MAY_LACK)
            for record in read.publishers:
                groups += _groups_of(name, Publisher(record))
            after = read.next_after
        return groups


def _groups_of(name: DataInfoId, publisher: Publisher) -> Iterator[TargetGroup]:
    """Yield a target for each value that is an endpoint, or text that reads as one."""
    for value in publisher.values:
        try:
            endpoint = published_endpoint(value)
        except UsageError:
            continue
        yield TargetGroup([endpoint.address], _labels(name, publisher, endpoint))


def _labels(name: DataInfoId, publisher: Publisher, endpoint: Endpoint) -> dict[str, str]:
    data_id, instance_id, group = split_data_info_id(name)
    labels = {
        "data_id": data_id,
        "instance_id": instance_id,
        "group": group,
        "zone": publisher.zone,
        "data_center": publisher.data_center,
        "app": publisher.app,
        "publisher_id": publisher.publisher_id.hex(),
        "version": endpoint.version,
        "weight": str(endpoint.weight),
        "state": "unhealthy" if HEALTH_ATTRIBUTE in publisher.attributes else "up",
        # As Prometheus writes lists: a comma before and after each, so that a pattern finds one.
        "tags": f",{','.join(sorted(endpoint.tags))}," if endpoint.tags else "",
    }
    for key, text in publisher.attributes.items():
        labels[f"attribute_{_NO_LABEL_CHARACTERS.sub('_', key)}"] = text
    for key, text in endpoint.metadata.items():
        labels[f"metadata_{_NO_LABEL_CHARACTERS.sub('_', key)}"] = text
    return {f"{_LABEL}{key}": text for key, text in labels.items()}
