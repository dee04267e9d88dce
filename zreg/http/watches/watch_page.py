"""`/v1/watch`: a stream of events for one service, or for all that the session follows."""

import asyncio
from collections import Counter
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from zreg.errors import UsageError
from zreg.http.catalogue.asked_node import AskedNode
from zreg.http.catalogue.queries import Group, InstanceId, Text
from zreg.http.catalogue.service_pages import ServiceQuery, read_service
from zreg.http.catalogue.shapes import ServiceLine, name_parts
from zreg.http.connections import Connection
from zreg.http.pages import Page
from zreg.http.responses import HEADERS, FaultError
from zreg.http.watches.watch_hub import WatchHub, chunk_of
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, DataInfoId, data_info_id
from zreg.session.pages.page_watches import DatumMoved

_HEADERS = {**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
_BEGIN = b"retry: 1000\n\n"
_INSTANCES_MAX = 100


class WatchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of a watch."""

    data_id: Annotated[
        Text | None, Meta(description="A service; without it: all that this session follows.")
    ] = None
    group: Group = DEFAULT_GROUP
    instance_id: InstanceId = DEFAULT_INSTANCE_ID


class WatchPage:
    """Opens watches, and writes what the hub tells them."""

    def __init__(self, node: AskedNode, counts: Counter[str]) -> None:
        self._node = node
        tell = node.watch(self._on_moved)
        self.hub = WatchHub(tell, self._state_of, _hint_of, counts)

    def pages(self) -> list[Page]:
        """Return the page."""
        return [
            Page(
                path="/v1/watch",
                summary="Changes of one service, or of all that this session follows, as events",
                handler=self._watch,
                query=WatchQuery,
                content_type="text/event-stream",
                statuses=(400, 429, 503),
            )
        ]

    def _on_moved(self, moved: DatumMoved) -> None:
        self.hub.on_moved(moved)

    async def _watch(self, request: web.Request, query: WatchQuery) -> web.StreamResponse:
        name = _name_of(query)
        connection = request.protocol
        assert isinstance(connection, Connection)
        response = web.StreamResponse(headers=_HEADERS)
        response.enable_chunked_encoding()
        ended = asyncio.get_running_loop().create_future()
        watch = self.hub.open(connection, name)
        try:
            first = b"" if name is None else await self._first_state(name)
            connection.become_watch(ended)
            response.force_close()
            await response.prepare(request)
            connection.write(chunk_of(_BEGIN + first))
            self.hub.go_live(watch)
            await ended
        except ConnectionError:
            # The reader left before the first byte was sent.
            return response
        finally:
            self.hub.close(watch)
        return response

    async def _first_state(self, name: DataInfoId) -> bytes:
        return _state(await read_service(self._node, name, ServiceQuery(limit=_INSTANCES_MAX)))

    async def _state_of(self, name: DataInfoId) -> bytes | None:
        """Return the event with the present state of a service; None if it is not known now."""
        try:
            return await self._first_state(name)
        except FaultError:
            return None


def _name_of(query: WatchQuery) -> DataInfoId | None:
    if query.data_id is None:
        return None
    try:
        return data_info_id(query.data_id, instance_id=query.instance_id, group=query.group)
    except UsageError as error:
        raise FaultError(400, str(error)) from None


def _state(service: msgspec.Struct) -> bytes:
    return b"event: service\ndata: %s\n\n" % msgspec.json.encode(service)


def _hint_of(moved: DatumMoved) -> bytes:
    line = ServiceLine(
        **name_parts(moved.name),
        instance_count=moved.publisher_count,
        version=str(moved.version),
    )
    return b"event: changed\ndata: %s\n\n" % msgspec.json.encode(line)
