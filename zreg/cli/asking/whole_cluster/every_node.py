"""A question to each node of a cluster, through a session or at the node's own address."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from zreg.cli.asking.ask import Answer, Timed, ask_timed
from zreg.cli.asking.targets import Target
from zreg.effects import Link
from zreg.model import Member
from zreg.wire.messages import Message

_NODES_AT_A_TIME: Final = 16
# How long one node has to answer: a session that asks another one refuses within half of it.
NODE_SECONDS: Final = 2.0

Found = TypeVar("Found")


async def ask_each(
    members: Iterable[Member], ask_one: Callable[[Member], Awaitable[Found]]
) -> list[Found]:
    """Return what each member has answered, in their order; some are asked at a time."""
    gate = asyncio.Semaphore(_NODES_AT_A_TIME)

    async def ask_in_turn(member: Member) -> Found:
        async with gate:
            return await ask_one(member)

    return await asyncio.gather(*map(ask_in_turn, members))


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
