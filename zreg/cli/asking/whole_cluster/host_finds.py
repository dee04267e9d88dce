"""What is on one host in the whole cluster: instances at data nodes, clients of sessions."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import msgspec

from zreg.cli.asking.targets import Target
from zreg.cli.asking.whole_cluster.every_node import ask_each, ask_node, living_members
from zreg.cli.asking.whole_cluster.silence import Silence
from zreg.errors import Error
from zreg.membership.host_pages import AskNode, instances_at, subscriptions_at
from zreg.model import Member, Role
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import HostInstance, HostSubscription

# A host has far fewer; a wrong one may be the address of a proxy before all clients.
LINES_MAX: Final = 100_000

AnswerT = TypeVar("AnswerT", bound=Message)


class HostFinds(msgspec.Struct):
    """What was found, each subscription with its session, and the nodes that did not answer."""

    instances: list[HostInstance] = []
    subscriptions: list[tuple[str, HostSubscription]] = []
    silent: list[Silence] = []


async def find_on_host(target: Target, host: str, *, timeout_seconds: float) -> HostFinds:
    """Ask all data nodes and sessions what they have of a host.

    Raises `UnavailableError` or `RefusedError` if the membership cannot be fetched.
    """
    living = await living_members(target, timeout_seconds=timeout_seconds)
    members = [each for each in living if each.role is not Role.META]
    finds = HostFinds()
    await ask_each(members, partial(_ask, target, host, finds))
    # While a bucket gets another primary, two data nodes may have a publisher.
    unique = {(each.data_info_id, each.publisher.publisher_id): each for each in finds.instances}
    finds.instances = [unique[key] for key in sorted(unique)]
    finds.subscriptions.sort(key=lambda each: (each[1].client_id, each[0], each[1].data_info_id))
    return finds


async def _ask(target: Target, host: str, finds: HostFinds, member: Member) -> None:
    asking = _asking(target, member)
    try:
        if member.role is Role.DATA:
            finds.instances += await instances_at(asking, host, LINES_MAX)
        else:
            lines = await subscriptions_at(asking, host, LINES_MAX)
            finds.subscriptions += [(member.node_id, line) for line in lines]
    except Error as error:
        finds.silent.append(Silence(member.node_id, str(error)))


def _asking(target: Target, member: Member) -> AskNode:
    async def ask_member(question: Callable[..., Message], answer_type: type[AnswerT]) -> AnswerT:
        return await ask_node(target, member, question, answer_type)

    return ask_member
