"""`zreg ping`: the round trip from this machine to each node of the cluster."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from zreg.cli.asking.ask import ask_now, round_trip_of
from zreg.cli.asking.targets import Target, find_target
from zreg.cli.asking.whole_cluster.every_node import ask_each
from zreg.cli.exits import UNREACHABLE, CommandFailedError
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url
from zreg.cli.output import print_table, say_json
from zreg.effects import Link
from zreg.errors import Error
from zreg.model import Member, Status
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

_TIMEOUT_SECONDS: Final = 5.0
_NODE_SECONDS_MAX: Final = 2.0


class Pinged(msgspec.Struct, frozen=True):
    """One node, and how long a ping to it takes; None: it did not answer, for a reason."""

    member: Member
    seconds: float | None
    reason: str = ""


def ping(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Measure the round trip from here to each node of the cluster."""
    target = find_target(url, meta, cluster)
    question = FetchMembership, MembershipReply
    reply = ask_now(target, question, timeout_seconds=timeout_seconds)
    living = [each for each in reply.membership.members if each.status is not Status.DEPARTED]
    found = ping_all(living, target.cluster, min(timeout_seconds, _NODE_SECONDS_MAX))
    if output is Format.JSON:
        say_json(
            [
                {
                    "role": each.member.role.name.lower(),
                    "node_id": each.member.node_id,
                    "address": each.member.address.removeprefix("tcp://"),
                    "round_trip_seconds": each.seconds,
                    "reason": each.reason,
                }
                for each in found
            ]
        )
    else:
        print_table(("role", "node id", "address", "round trip"), [_row(each) for each in found])
    silent = [each.member.node_id for each in found if each.seconds is None]
    if silent:
        raise CommandFailedError(
            f"{len(silent)} of {len(found)} nodes do not answer from here ({', '.join(silent)}): "
            "check whether they run, and the network and firewalls between",
            code=UNREACHABLE,
        )


def ping_all(members: Sequence[Member], cluster: str, seconds: float) -> list[Pinged]:
    """Ping each of these nodes at its own address.

    First several nodes at a time, so that those that do not answer take no long time together. Then
    those that have answered one by one, so that no other connection is in the measured time.
    """

    async def ping_one(member: Member) -> Pinged:
        target = Target(Link.EVENTS, (member.address,), cluster)
        try:
            return Pinged(member, await round_trip_of(target, timeout_seconds=seconds))
        except Error as error:
            return Pinged(member, None, str(error))

    async def run() -> list[Pinged]:
        found = await ask_each(members, ping_one)
        return [each if each.seconds is None else await ping_one(each.member) for each in found]

    return asyncio.run(run())


def _row(pinged: Pinged) -> list[str]:
    member, seconds = pinged.member, pinged.seconds
    trip = "no answer" if seconds is None else f"{seconds * 1000:.1f} ms"
    return [member.role.name.lower(), member.node_id, member.address.removeprefix("tcp://"), trip]
