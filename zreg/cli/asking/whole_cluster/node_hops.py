"""What all nodes of a cluster have noted of the last changes of one id."""

from functools import partial
from typing import Final

import msgspec

from zreg.cli.asking.targets import Target
from zreg.cli.asking.whole_cluster.every_node import (
    ask_each,
    ask_node_timed,
    living_members,
    lost_members,
)
from zreg.cli.asking.whole_cluster.silence import Silence
from zreg.cli.tracing.hop_chains import NodeHops
from zreg.errors import Error
from zreg.membership.gone_nodes import gone_text
from zreg.model import DataInfoId, Member, Role
from zreg.wire.records.common_messages import FetchHops, HopKind, HopsReply

# With the first question a session makes its connection to the node: that is no round trip. Of the
# others the shortest tells best when the node answered.
_QUESTIONS: Final = 3
_KNOWN_KINDS: Final = frozenset(HopKind)


class Noted(msgspec.Struct, frozen=True):
    """What the nodes have noted, and the nodes that did not say it."""

    nodes: list[NodeHops]
    silent: list[Silence]
    is_data_missing: bool


async def fetch_hops(target: Target, name: DataInfoId, *, timeout_seconds: float) -> Noted:
    """Ask all sessions and data nodes for the hops of an id.

    Raises `UnavailableError` or `RefusedError` if the membership cannot be fetched.
    """
    living = await living_members(target, timeout_seconds=timeout_seconds)
    asked = [each for each in living if each.role is not Role.META]
    found = await ask_each(asked, partial(_ask_node, target, name))
    silent = [each for each in found if isinstance(each, Silence)]
    data_nodes = {member.node_id for member in asked if member.role is Role.DATA}
    lost = [each for each in await lost_members(target) if each.role is not Role.META]
    is_data_lost = any(each.role is Role.DATA for each in lost)
    return Noted(
        [each for each in found if isinstance(each, NodeHops)],
        silent + [Silence(each.incarnation.node_id, gone_text(each)) for each in lost],
        is_data_missing=is_data_lost or any(each.node_id in data_nodes for each in silent),
    )


async def _ask_node(target: Target, name: DataInfoId, member: Member) -> NodeHops | Silence:
    question = partial(FetchHops, data_info_id=name)
    try:
        answers = [
            await ask_node_timed(target, member, question, HopsReply) for _ in range(_QUESTIONS)
        ]
    except Error as error:
        return Silence(member.node_id, str(error))
    best = min(answers, key=lambda each: each.round_trip_seconds)
    hops = tuple(hop for hop in best.answer.hops if hop.kind in _KNOWN_KINDS)
    answered_at = best.came_at - best.round_trip_seconds / 2
    return NodeHops(member.node_id, member.role, hops, answered_at, best.round_trip_seconds)
