"""`zreg data drain` and `replica-count`: have a data node leave, change the number of copies."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.asking.repeated_ask import RepeatedAsk
from zreg.cli.asking.targets import find_target
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import (
    Cluster,
    Meta,
    Timeout,
    Url,
)
from zreg.cli.output import complain, say
from zreg.cli.showing.progress.copy_wait import copying_now, copying_of, wait_with_bar
from zreg.cli.showing.ring_report import cost_text
from zreg.config import Limits
from zreg.errors import Error, UnknownNodeError, UsageError
from zreg.model import Incarnation, Member, Membership, Role, checked_node_id
from zreg.primitives.ring import ring_of
from zreg.primitives.ring_plan import RingChange, cost_of, planned_membership
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import (
    Drain,
    FetchMembership,
    MembershipReply,
    SetReplicaCount,
)
from zreg.wire.records.meta_messages import CopyProgress

# `drain_seconds`, and some more to hear of the end.
_TIMEOUT_SECONDS: Final = 90.0


def drain(
    node_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the data node.")],
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Have a data node hand over its data and leave, and wait until it has left."""
    checked_node_id(node_id)
    asking = RepeatedAsk(find_target(url, meta, cluster), timeout_seconds)
    membership = _membership(asking)
    incarnation = to_drain(membership, node_id).incarnation
    _begin(asking, membership.cluster_id, incarnation)
    say(f"{node_id} is LEAVING and hands over its data: waiting until it has left")

    def look() -> Sequence[CopyProgress] | None:
        is_left = not _membership(asking).has_living(incarnation)
        return None if is_left else copying_of(asking, incarnation)

    if not wait_with_bar(asking, "handing over", look):
        raise CommandFailedError(
            f"{node_id} has not left within {timeout_seconds:g} s, and goes on: see "
            "`zreg nodes`, or wait again with the same command"
        )
    say(farewell(_membership(asking), node_id))


def replica_count(
    count: Annotated[
        int | None,
        typer.Argument(
            metavar="COUNT",
            min=1,
            max=Limits.replica_count_max,
            help="Keep each datum on so many data nodes; without it, show how many.",
        ),
    ] = None,
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Show or change on how many data nodes each datum is, and wait until the copies are made."""
    asking = RepeatedAsk(find_target(url, meta, cluster), timeout_seconds)
    reply = asking.until_done(lambda: asking.ask_once((FetchMembership, MembershipReply)))
    membership = reply.membership
    if count is None:
        if reply.trouble:
            complain(f"{reply.trouble}; this is the last known number")
        say(count_text(membership))
        return
    planned = planned_membership(membership, RingChange(replica_count=count))
    question = partial(SetReplicaCount, replica_count=count, cluster_id=membership.cluster_id)
    # The present number changes nothing, and this command waits for its copies too.
    asking.until_done(lambda: asking.ask_once((question, Accepted)))
    say(f"{count_text(planned)}: {cost_text(cost_of(ring_of(membership), ring_of(planned)))}")
    if not wait_with_bar(asking, "making copies", lambda: copying_now(asking)):
        raise CommandFailedError(
            f"the copies were not all made within {timeout_seconds:g} s; the data nodes go on: see "
            "`zreg nodes`"
        )
    say("all copies are made")


def count_text(membership: Membership) -> str:
    """Return on how many data nodes each datum is."""
    wanted, working = membership.ring.replica_count, len(membership.of(Role.DATA))
    text = f"replica_count is {wanted}"
    if working >= wanted:
        return text
    nodes = "1 data node is" if working == 1 else f"{working} data nodes are"
    return f"{text}, but only {nodes} WORKING"


def to_drain(membership: Membership, node_id: str) -> Member:
    """Return the data node with this id; raises `CommandFailedError` if there is none."""
    member = membership.living(node_id)
    data_nodes = [m.node_id for m in membership.members if m.role is Role.DATA]
    if member is None:
        raise CommandFailedError(
            f"nothing to drain: {node_id} is not among the data nodes "
            f"({', '.join(data_nodes) or 'there are none'}): see `zreg nodes`",
            code=NOT_FOUND,
        )
    if member.role is not Role.DATA:
        raise UsageError(
            f"{node_id} is a {member.role.name.lower()} node, and only data nodes are drained: "
            f"name one of {', '.join(data_nodes) or 'them'}"
        )
    return member


def farewell(membership: Membership, node_id: str) -> str:
    """Return what to say when a node has left."""
    count = len([m for m in membership.of(Role.DATA) if m.node_id != node_id])
    are_left = "1 other data node is" if count == 1 else f"{count} other data nodes are"
    sentence = f"{node_id} has left; {are_left} WORKING"
    if membership.living(node_id) is not None:
        sentence += (
            ". A process with its id has joined again: stop it, or the service that starts it again"
        )
    return sentence


def _begin(asking: RepeatedAsk, cluster_id: bytes, incarnation: Incarnation) -> None:
    """Have a node become LEAVING; say once what this waits for."""
    said: list[str] = []

    def on_refused(error: Error) -> None:
        if str(error) not in said:
            said.append(str(error))
            say(f"waiting: {error}")

    question = partial(
        Drain,
        node_id=incarnation.node_id,
        cluster_id=cluster_id,
        incarnation_epoch=incarnation.epoch,
    )
    try:
        asking.until_done(lambda: asking.ask_once((question, Accepted)), on_refused=on_refused)
    except UnknownNodeError:
        # It has left since, perhaps because of an earlier request whose answer was lost.
        return


def _membership(asking: RepeatedAsk) -> Membership:
    question = FetchMembership, MembershipReply
    return asking.until_done(lambda: asking.ask_once(question)).membership
