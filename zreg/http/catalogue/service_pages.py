"""`/v1/services`: which services there are, their instances, and who subscribes to them."""

from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta

from zreg.config import Limits
from zreg.http.catalogue.asked_node import AskedNode, asked
from zreg.http.catalogue.queries import (
    ListQuery,
    NameQuery,
    Text,
    cursor_of,
    key_of,
    name_of,
    text_key_of,
)
from zreg.http.catalogue.shapes import (
    Service,
    ServiceLine,
    ServiceList,
    ShownSubscriber,
    SubscriberList,
    name_parts,
    shown_instance,
)
from zreg.http.pages import Page
from zreg.http.responses import FaultError, answer
from zreg.model import SEPARATOR, DataInfoId
from zreg.session.pages.page_questions import (
    ReadService,
    ReadSubscribers,
    ServiceRead,
    SubscriberLine,
    SubscribersRead,
)
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums

_SEPARATORS: Final = 2
_SPECIAL: Final = frozenset("*?[]")


class ServicesQuery(ListQuery, frozen=True, kw_only=True):
    """The query of the list of services. A pattern is one as of a shell."""

    prefix: Annotated[Text, Meta(description="How the data ids begin.")] = ""
    glob: Annotated[Text, Meta(description="A pattern of data ids, such as `pay*`.")] = ""
    group: Annotated[Text, Meta(description="A group, or a pattern of groups.")] = "*"
    instance_id: Annotated[Text, Meta(description="An instance id, or a pattern of them.")] = "*"


class ServiceQuery(NameQuery, frozen=True, kw_only=True):
    """The query of one service."""

    zone: Annotated[Text, Meta(description="Only the instances of this zone.")] = ""
    data_center: Annotated[Text, Meta(description="Only those of this data center.")] = ""


class ServicePages:
    """The pages about services; each request asks the core of the session anew."""

    def __init__(self, node: AskedNode) -> None:
        self._node = node

    def pages(self) -> list[Page]:
        """Return the pages."""
        return [
            Page(
                path="/v1/services",
                summary="The services with at least one instance, in the order of their names",
                handler=self._services,
                query=ServicesQuery,
                answer=ServiceList,
                statuses=(400, 429, 503),
            ),
            Page(
                path="/v1/services/{data_id}",
                summary="The instances of one service, in the order of their publisher ids",
                handler=self._service,
                query=ServiceQuery,
                answer=Service,
                statuses=(400, 429, 503),
            ),
            Page(
                path="/v1/services/{data_id}/subscribers",
                summary="The clients of this session that subscribe to one service",
                handler=self._subscribers,
                query=NameQuery,
                answer=SubscriberList,
                statuses=(400,),
            ),
        ]

    async def _services(self, _request: web.Request, query: ServicesQuery) -> web.Response:
        pattern = pattern_of(query)
        after = text_key_of(query.cursor)
        if len(after) > Limits.data_info_id_characters_max:
            raise FaultError(400, "this cursor is too long: pass `next_cursor` as it is")
        question = ListDatums(0, pattern, after, query.limit)
        listed = await asked(self._node, question, DatumsListed)
        lines = [_service_line(datum) for datum in listed.datums if _has_three_parts(datum)]
        last = listed.datums[-1].data_info_id.encode() if listed.datums else None
        next_cursor = None if listed.is_complete else cursor_of(last)
        return answer(ServiceList(not listed.is_unsure, lines, next_cursor))

    async def _service(self, request: web.Request, query: ServiceQuery) -> web.Response:
        return answer(await read_service(self._node, name_of(request, query), query))

    async def _subscribers(self, request: web.Request, query: NameQuery) -> web.Response:
        name = name_of(request, query)
        question = ReadSubscribers(name, key_of(query.cursor), query.limit)
        read = await asked(self._node, question, SubscribersRead)
        shown = SubscriberList(
            **name_parts(name),
            subscribers=list(map(_shown_subscriber, read.subscribers)),
            next_cursor=cursor_of(read.next_after),
        )
        return answer(shown)


async def read_service(node: AskedNode, name: DataInfoId, query: ServiceQuery) -> Service:
    """Return a page of the instances of a service."""
    after = key_of(query.cursor)
    question = ReadService(name, after, query.limit, query.zone, query.data_center)
    read = await asked(node, question, ServiceRead)
    return Service(
        **name_parts(name),
        version=str(read.version),
        is_complete=read.is_complete,
        instance_count=read.publisher_count,
        instances=list(map(shown_instance, read.publishers)),
        next_cursor=cursor_of(read.next_after),
    )


def pattern_of(query: ServicesQuery) -> str:
    """Return the pattern of the whole name that a query stands for."""
    if query.prefix and query.glob:
        raise FaultError(400, "give `prefix` or `glob`, not both")
    if _SPECIAL & set(query.prefix):
        raise FaultError(400, "no data id has any of * ? [ ] in it: give `glob` for a pattern")
    data_id = query.glob or f"{query.prefix}*"
    pattern = SEPARATOR.join((data_id, query.instance_id or "*", query.group or "*"))
    if len(pattern) > Limits.data_info_id_characters_max:
        raise FaultError(400, "the pattern is too long: no name is")
    return pattern


def _has_three_parts(datum: DatumSummary) -> bool:
    # What is no id of three parts is not from a node of zreg.
    return datum.data_info_id.count(SEPARATOR) == _SEPARATORS


def _service_line(datum: DatumSummary) -> ServiceLine:
    return ServiceLine(
        **name_parts(datum.data_info_id),
        instance_count=datum.publisher_count,
        version=str(datum.version),
    )


def _shown_subscriber(line: SubscriberLine) -> ShownSubscriber:
    return ShownSubscriber(
        client_id=line.client_id.hex(),
        app=line.app,
        zone=line.zone,
        data_center=line.data_center,
        scopes=[scope.name.lower() for scope in line.scopes],
        version=None if line.version is None else str(line.version),
        pushes_in_flight=line.pushes_in_flight,
        is_behind=line.is_behind,
    )
