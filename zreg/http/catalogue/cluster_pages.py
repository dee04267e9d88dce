"""`/v1/clients`, `/v1/nodes` and `/v1/settings`: what there is in the cluster besides services."""

from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta

from zreg.config import Limits
from zreg.http.catalogue.asked_node import AskedNode, asked
from zreg.http.catalogue.queries import ListQuery, Text, cursor_of, key_of, text_key_of
from zreg.http.catalogue.shapes import (
    ClientList,
    NodeList,
    SettingList,
    ShownClient,
    ShownNode,
    ShownSetting,
)
from zreg.http.pages import Page
from zreg.http.responses import FaultError, answer
from zreg.model import Member
from zreg.session.pages.page_questions import ClientLine, ClientsRead, ReadClients
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply


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


class ClusterPages:
    """The pages about clients, nodes and settings."""

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
                summary="The members of the cluster, by role and id, as this session knows them",
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
        ]

    async def _clients(self, _request: web.Request, query: ClientsQuery) -> web.Response:
        question = ReadClients(key_of(query.cursor), query.limit, query.app)
        read = await asked(self._node, question, ClientsRead)
        clients = list(map(_shown_client, read.clients))
        return answer(ClientList(read.client_count, clients, cursor_of(read.next_after)))

    async def _nodes(self, _request: web.Request, query: NodesQuery) -> web.Response:
        reply = await asked(self._node, FetchMembership(0), MembershipReply)
        membership, after = reply.membership, text_key_of(query.cursor)
        members = [
            member
            for member in membership.members
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
                meta_outage=reply.trouble,
                nodes=list(map(_shown_node, page)),
                next_cursor=cursor_of(_key_of_member(page[-1]).encode()) if has_more else None,
            )
        )

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


def _key_of_member(member: Member) -> str:
    return f"{member.role:d}/{member.node_id}/{member.incarnation_epoch:020d}"


def _shown_node(member: Member) -> ShownNode:
    return ShownNode(
        node_id=member.node_id,
        role=member.role.name.lower(),
        status=member.status.name.lower(),
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
