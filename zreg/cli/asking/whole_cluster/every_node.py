"""A question to each node of a cluster, through a session or at the node's own address."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Final, TypeVar

from zreg.cli.asking.ask import Answer, Timed, ask, ask_timed
from zreg.cli.asking.targets import Target
from zreg.cli.showing.progress.progress_bar import ProgressBar
from zreg.effects import Link
from zreg.errors import Error
from zreg.model import Member, Status
from zreg.wire.messages import Message
from zreg.wire.records.membership_messages import FetchMembership, GoneNode, MembershipReply
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply

_NODES_AT_A_TIME: Final = 16
# How long one node has to answer: a session that asks another one refuses within half of it.
NODE_SECONDS: Final = 2.0

Found = TypeVar("Found")


async def ask_each(
    members: Collection[Member], ask_one: Callable[[Member], Awaitable[Found]]
) -> list[Found]:
    """Return what each member has answered, in their order; some are asked at a time.

    If it takes over a second, a terminal shows how many have answered, or had their time.
    """
    gate = asyncio.Semaphore(_NODES_AT_A_TIME)

    async def ask_in_turn(member: Member) -> Found:
        async with gate:
            found = await ask_one(member)
        bar.advance()
        return found

    with ProgressBar("asking", "nodes", total=len(members)) as bar:
        return await asyncio.gather(*map(ask_in_turn, members))


async def living_members(target: Target, *, timeout_seconds: float) -> list[Member]:
    """Return the members that have not departed; raises as `ask`."""
    question = FetchMembership, MembershipReply
    reply = await ask(target, question, timeout_seconds=timeout_seconds, tells_ports=True)
    return [each for each in reply.membership.members if each.status is not Status.DEPARTED]


async def lost_members(target: Target) -> Sequence[GoneNode]:
    """Return the lost nodes, which cannot be asked; none if no leader of meta answers."""
    question = FetchMetaNodes, MetaNodesReply
    try:
        reply = await ask(target, question, timeout_seconds=NODE_SECONDS)
    except Error:
        return ()
    return reply.gone


async def ask_node(
    target: Target, member: Member, question: Callable[..., Message], answer_type: type[Answer]
) -> Answer:
    """Ask one node what `question` makes of a request id and a `node_id`; raises as `ask`.

    A session passes the question on, since it may reach nodes that this machine does not. With
    `--meta` the node is asked at its own address.
    """
    timed = await ask_node_timed(target, member, question, answer_type)
    return timed.answer


async def ask_node_timed(
    target: Target, member: Member, question: Callable[..., Message], answer_type: type[Answer]
) -> Timed[Answer]:
    """Ask one node as `ask_node`; return also when it answered."""
    node_id = member.node_id
    if target.link is Link.META:
        target, node_id = Target(Link.EVENTS, (member.address,), target.cluster), ""
    # Shared by the addresses, of which the first that answers is enough.
    seconds = NODE_SECONDS * len(target.addresses)
    named = partial(question, node_id=node_id)
    return await ask_timed(target, (named, answer_type), timeout_seconds=seconds)
