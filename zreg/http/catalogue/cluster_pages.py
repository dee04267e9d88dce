"""What there is in the cluster besides services: clients, nodes, settings and events."""

import logging
import time
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from zreg.config import Limits
from zreg.http.catalogue.asked_node import AskedNode, asked
from zreg.http.catalogue.queries import Cursor, ListQuery, Text, cursor_of, key_of, text_key_of
from zreg.http.catalogue.shapes import (
    ClientList,
    EventList,
    NodeList,
    SettingList,
    ShownClient,
    ShownEvent,
    ShownNode,
    ShownSetting,
    shown_time,
)
from zreg.http.pages import Page
from zreg.http.responses import FaultError, answer
from zreg.membership.shown_nodes import shown_members, status_of
from zreg.model import COUNT_MAX, Label, Member
from zreg.session.pages.page_questions import ClientLine, ClientsRead, ReadClients
from zreg.wire.records.common_messages import (
    EVENTS_MAX,
    Event,
    EventsReply,
    FetchEvents,
    Refused,
)
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply

_NUMBER_BYTES: Final = 8
_LIFE_BYTES_MAX: Final = 16
# No event is older.
_EVENT_SECONDS_MAX: Final = 1e9


class ClientsQuery(ListQuery, frozen=True, kw_only=True):
    """The query of the list of clients."""

    app: Annotated[Text, Meta(description="Only the clients of this app.")] = ""


class NodesQuery(ListQuery, frozen=True, kw_only=True):
    """The query of the list of nodes."""

    role: Annotated[
        Literal["", "session", "data", "meta"], Meta(description="Only the nodes of this role.")
    ] = ""


class SettingsQuery(ListQuery, frozen=True, kw_only=True):
    """The query of the list of settings."""

    glob: Annotated[Text, Meta(description="A pattern of names, such as `pay.*`.")] = "*"


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of the events of a node."""

    limit: Annotated[int, Meta(ge=1, le=EVENTS_MAX, description="How many events at most.")] = 100
    cursor: Cursor = ""
    node: Annotated[Label, Meta(description="The id of a node; empty: this session.")] = ""
    kind: Annotated[
        Label, Meta(description="Only this kind, or kinds that begin with it and a dot.")
    ] = ""
    seconds: Annotated[
        float, Meta(ge=0, le=_EVENT_SECONDS_MAX, description="Only events that are not older.")
    ] = _EVENT_SECONDS_MAX


class ClusterPages:
    """The pages about clients, nodes, settings and events."""

    def __init__(self, node: AskedNode) -> None:
        self._node = node

    def pages(self) -> list[Page]:
        """Return the pages."""
        return [
            Page(
                path="/v1/clients",
                summary="The clients of this session, in the order of their ids",
                handler=self._clients,
                query=ClientsQuery,
                answer=ClientList,
                statuses=(400,),
            ),
            Page(
                path="/v1/nodes",
                summary="The members of the cluster and the lost nodes, by role and id",
                handler=self._nodes,
                query=NodesQuery,
                answer=NodeList,
                statuses=(400,),
            ),
            Page(
                path="/v1/settings",
                summary="The settings of the cluster, in the order of their names",
                handler=self._settings,
                query=SettingsQuery,
                answer=SettingList,
                statuses=(400, 429, 503),
            ),
            Page(
                path="/v1/events",
                summary="What happened at a node, the oldest first, as its log says",
                handler=self._events,
                query=EventsQuery,
                answer=EventList,
                statuses=(400, 404, 429, 503),
            ),
        ]

    async def _clients(self, _request: web.Request, query: ClientsQuery) -> web.Response:
        question = ReadClients(key_of(query.cursor), query.limit, query.app)
        read = await asked(self._node, question, ClientsRead)
        clients = list(map(_shown_client, read.clients))
        return answer(ClientList(read.client_count, clients, cursor_of(read.next_after)))

    async def _nodes(self, _request: web.Request, query: NodesQuery) -> web.Response:
        reply = await asked(self._node, FetchMembership(0), MembershipReply)
        membership, after = reply.membership, text_key_of(query.cursor)
        meta_nodes = await self._meta_nodes(reply)
        members = [
            member
            for member in shown_members(membership.members, meta_nodes)
            if _key_of_member(member) > after
            and (not query.role or member.role.name.lower() == query.role)
        ]
        page = sorted(members, key=_key_of_member)[: query.limit]
        has_more = len(members) > len(page)
        return answer(
            NodeList(
                cluster_id=membership.cluster_id.hex(),
                epoch=membership.epoch,
                ring_epoch=membership.ring_epoch,
                replica_count=membership.ring.replica_count,
                meta_outage=meta_nodes if isinstance(meta_nodes, str) else "",
                nodes=[_shown_node(member, status_of(member, meta_nodes)) for member in page],
                next_cursor=cursor_of(_key_of_member(page[-1]).encode()) if has_more else None,
            )
        )

    async def _meta_nodes(self, reply: MembershipReply) -> MetaNodesReply | str:
        """Return what meta's leader knows of the nodes, or why it does not say so."""
        if reply.trouble:
            return reply.trouble
        told = await self._node.ask(FetchMetaNodes(0))
        if isinstance(told, MetaNodesReply):
            return told
        return told.detail if isinstance(told, Refused) else "meta did not answer"

    async def _settings(self, _request: web.Request, query: SettingsQuery) -> web.Response:
        after = text_key_of(query.cursor)
        if max(len(query.glob), len(after)) > Limits.id_part_characters_max:
            raise FaultError(400, "the pattern or the cursor is too long: no name is")
        question = FetchSettings(0, query.glob or "*", after)
        reply = await asked(self._node, question, SettingsReply)
        page = reply.settings[: query.limit]
        has_more = not reply.is_complete or len(page) < len(reply.settings)
        last = page[-1].name.encode() if page and has_more else None
        shown = [ShownSetting(each.name, each.value, each.version) for each in page]
        return answer(SettingList(shown, cursor_of(last)))

    async def _events(self, _request: web.Request, query: EventsQuery) -> web.Response:
        life, after = _life_and_number(query.cursor)
        age_max = int(query.seconds * 1000)
        question = FetchEvents(0, query.node, life, after, query.limit, query.kind, age_max)
        reply = await asked(self._node, question, EventsReply)
        now = time.time()  # noqa: TID251 -- wall time, shown to people
        return answer(
            EventList(
                node_id=reply.node_id,
                is_complete=reply.is_complete,
                events=[_shown_event(event, now) for event in reply.events],
                next_cursor=cursor_of(reply.life + reply.last.to_bytes(_NUMBER_BYTES)),
            )
        )


def _life_and_number(cursor: str) -> tuple[bytes, int]:
    """Return the process of a node, and the number of its event, after which to go on."""
    key = key_of(cursor)
    life, number = key[:-_NUMBER_BYTES], int.from_bytes(key[-_NUMBER_BYTES:])
    if key and (len(key) < _NUMBER_BYTES or len(life) > _LIFE_BYTES_MAX or number > COUNT_MAX):
        raise FaultError(400, "this is no cursor: pass `next_cursor` of the page before as it is")
    return life, number


def _shown_event(event: Event, now: float) -> ShownEvent:
    return ShownEvent(
        number=event.number,
        at=shown_time(now - event.milliseconds_ago / 1000),
        level=logging.getLevelName(event.level).lower(),
        kind=event.kind,
        subject=event.subject,
        detail=event.detail,
    )


def _key_of_member(member: Member) -> str:
    return f"{member.role:d}/{member.node_id}/{member.incarnation_epoch:020d}"


def _shown_node(member: Member, status: str) -> ShownNode:
    return ShownNode(
        node_id=member.node_id,
        role=member.role.name.lower(),
        status=status.lower(),
        joined_epoch=member.incarnation_epoch,
        address=member.address,
        changes_address=member.changes_address,
        zone=member.zone,
        data_center=member.data_center,
        weight=member.weight,
    )


def _shown_client(line: ClientLine) -> ShownClient:
    connected: Literal["connected", "slow"] = "slow" if line.is_slow else "connected"
    return ShownClient(
        client_id=line.client_id.hex(),
        app=line.app,
        zone=line.zone,
        data_center=line.data_center,
        state=connected if line.is_connected else "disconnected",
        seconds=round(line.seconds, 3),
        publisher_count=line.publisher_count,
        subscription_count=line.subscription_count,
    )
