"""`/v1/find`: what is on one host, asked of all data nodes and sessions."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from zreg.errors import Error, UsageError, refusal
from zreg.hosts import checked_host
from zreg.http.catalogue.asked_node import AskedNode, asked
from zreg.http.catalogue.queries import LIMIT_DEFAULT, Limit, Text
from zreg.http.catalogue.shapes import (
    FoundClient,
    FoundInstance,
    FoundSubscription,
    HostFinds,
    SilentNode,
    name_parts,
    shown_instance,
)
from zreg.http.pages import Page
from zreg.http.responses import FaultError, answer
from zreg.membership.host_pages import AskNode, instances_at, subscriptions_at
from zreg.model import Member, Role, Status
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import HostInstance, HostSubscription, Refused
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

_NODES_AT_A_TIME: Final = 16

AnswerT = TypeVar("AnswerT", bound=Message)
Found = TypeVar("Found", HostInstance, HostSubscription)


class FindQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query for what is on one host."""

    ip: Annotated[Text, Meta(min_length=1, description="An address, or the name of a host.")]
    limit: Limit = LIMIT_DEFAULT


class _Told(msgspec.Struct, frozen=True):
    """What one node told, or why it told nothing."""

    member: Member
    instances: list[HostInstance] = []
    subscriptions: list[HostSubscription] = []
    reason: str = ""


class HostPage:
    """The page about a host: it asks all nodes through the core of the session."""

    def __init__(self, node: AskedNode) -> None:
        self._node = node

    def pages(self) -> list[Page]:
        """Return the page."""
        return [
            Page(
                path="/v1/find",
                summary="The instances and the clients that are on one host, in the whole cluster",
                handler=self._find,
                query=FindQuery,
                answer=HostFinds,
                statuses=(400, 429, 503),
            )
        ]

    async def _find(self, _request: web.Request, query: FindQuery) -> web.Response:
        try:
            host = checked_host(query.ip.strip("[]"), "ip")
        except UsageError as error:
            raise FaultError(400, str(error)) from None
        reply = await asked(self._node, FetchMembership(0), MembershipReply)
        members = [
            each
            for each in reply.membership.members
            if each.role is not Role.META and each.status is not Status.DEPARTED
        ]
        gate = asyncio.Semaphore(_NODES_AT_A_TIME)

        async def ask_in_turn(member: Member) -> _Told:
            async with gate:
                return await self._ask(member, host, query.limit)

        told = await asyncio.gather(*map(ask_in_turn, members))
        return answer(host_finds(host, query.limit, told))

    async def _ask(self, member: Member, host: str, limit: int) -> _Told:
        ask = self._asking(member.node_id)
        try:
            if member.role is Role.DATA:
                return _Told(member, instances=await instances_at(ask, host, limit))
            return _Told(member, subscriptions=await subscriptions_at(ask, host, limit))
        except Error as error:
            return _Told(member, reason=str(error))

    def _asking(self, node_id: str) -> AskNode:
        async def ask(question: Callable[..., Message], answer_type: type[AnswerT]) -> AnswerT:
            reply = await self._node.ask(question(0, node_id=node_id))
            if isinstance(reply, Refused):
                raise refusal(reply.code, reply.detail)
            assert isinstance(reply, answer_type)
            return reply

        return ask


def host_finds(host: str, limit: int, told: Iterable[_Told]) -> HostFinds:
    """Join what the nodes told, in the order of names and clients, up to the limit."""
    told = list(told)
    # While a bucket gets another primary, two data nodes may have a publisher.
    instances = {
        (each.data_info_id, each.publisher.publisher_id): each
        for node in told
        for each in node.instances
    }
    lines = [(each, node.member.node_id) for node in told for each in node.subscriptions]
    lines.sort(key=lambda line: (line[0].client_id, line[1], line[0].data_info_id))
    ordered = [instances[key] for key in sorted(instances)]
    return HostFinds(
        host=host,
        instances=[
            FoundInstance(**name_parts(each.data_info_id), instance=shown_instance(each.publisher))
            for each in ordered[:limit]
        ],
        clients=_clients(lines[:limit]),
        is_cut=len(ordered) > limit or len(lines) > limit,
        silent=[
            SilentNode(
                node_id=node.member.node_id,
                role=node.member.role.name.lower(),
                reason=node.reason,
            )
            for node in told
            if node.reason
        ],
    )


def _clients(lines: Iterable[tuple[HostSubscription, str]]) -> list[FoundClient]:
    """Return a client for the lines of it at one session, which follow each other."""
    found: dict[tuple[bytes, str], FoundClient] = {}
    for line, session in lines:
        client = found.setdefault(
            (line.client_id, session),
            FoundClient(
                client_id=line.client_id.hex(),
                app=line.app,
                zone=line.zone,
                data_center=line.data_center,
                session=session,
                is_connected=line.is_connected,
                publisher_count=line.publisher_count,
                subscriptions=[],
            ),
        )
        if line.data_info_id:
            scopes = [scope.name.lower() for scope in line.scopes]
            client.subscriptions.append(
                FoundSubscription(**name_parts(line.data_info_id), scopes=scopes)
            )
    return list(found.values())
