"""`zreg ring`: on which data nodes the buckets are, and what a planned change would move."""

import re
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.asking.ask import ask_now
from zreg.cli.asking.targets import find_target
from zreg.cli.flags import Cluster, Format, Group, InstanceId, Meta, Output, Timeout, Url, Watch
from zreg.cli.output import complain, print_table, say, say_json
from zreg.cli.showing.repeat import show_again
from zreg.cli.showing.ring_report import (
    PLACEMENT_COLUMNS,
    SHARE_COLUMNS,
    copy_count_text,
    cost_text,
    placement_json,
    placement_rows,
    share_rows,
    shares_json,
)
from zreg.config import Limits
from zreg.errors import UsageError
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, DataInfoId, Membership, data_info_id
from zreg.primitives.ring import ring_of
from zreg.primitives.ring_plan import PlannedNode, RingChange, cost_of, planned_membership
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

_TIMEOUT_SECONDS: Final = 5.0
_WEIGHT: Final = re.compile(r"[0-9]{1,9}")
_NOTHING_CHANGED: Final = "Nothing was changed: this is what the plan would do."


DataId = Annotated[
    str | None,
    typer.Argument(metavar="ID", help="Show where this data id is, instead of the shares."),
]
Add = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID:WEIGHT:ZONE",
        help="Plan: add a data node, ID or ID:WEIGHT or ID:WEIGHT:ZONE; may be repeated.",
    ),
]
Remove = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Plan: remove a data node; may be repeated."),
]
Weight = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID=WEIGHT", help="Plan: give a data node another weight; may be repeated."
    ),
]
ReplicaCount = Annotated[
    int | None,
    typer.Option(
        min=1, max=Limits.replica_count_max, help="Plan: keep so many copies of each datum."
    ),
]


def ring(  # noqa: PLR0913 -- one argument per option
    data_id: DataId = None,
    *,
    group: Group = DEFAULT_GROUP,
    instance_id: InstanceId = DEFAULT_INSTANCE_ID,
    add: Add = None,
    remove: Remove = None,
    weight: Weight = None,
    replica_count: ReplicaCount = None,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
    watch: Watch = False,
) -> None:
    """Show how the data is spread over the data nodes; or plan a change, which changes nothing."""
    name = _name(data_id, group, instance_id)
    change = ring_change(add or [], remove or [], weight or [], replica_count)
    target = find_target(url, meta, cluster)
    question = FetchMembership, MembershipReply
    look = partial(ask_now, target, question, timeout_seconds=timeout_seconds)
    show = partial(_show_ring, name=name, change=change, output=output)
    if watch:
        show_again(look, show, is_for_programs=output is Format.JSON)
    else:
        show(look())


def _show_ring(
    reply: MembershipReply, name: DataInfoId | None, change: RingChange, output: Format
) -> None:
    now = reply.membership
    planned = planned_membership(now, change) if change != RingChange() else None
    if reply.trouble:
        complain(f"{reply.trouble}; the ring is that of the last known membership")
    if name is None:
        _show_shares(now, planned, output)
    else:
        _show_placement(name, now, planned, output)


def ring_change(
    add: Iterable[str], remove: Iterable[str], weight: Iterable[str], replica_count: int | None
) -> RingChange:
    """Return the change that the options describe; raises `UsageError`."""
    return RingChange(
        added=tuple(map(_planned_node, add)),
        removed=tuple(remove),
        weights=tuple(map(_new_weight, weight)),
        replica_count=replica_count,
    )


def _name(data_id: str | None, group: str, instance_id: str) -> DataInfoId | None:
    """Return the data info id to look for, if one is named."""
    if data_id is not None:
        return data_info_id(data_id, instance_id=instance_id, group=group)
    if (group, instance_id) != (DEFAULT_GROUP, DEFAULT_INSTANCE_ID):
        raise UsageError(
            "--group and --instance-id are parts of the name of a datum: give its data id as well, "
            "as in `zreg ring ID --group GROUP`"
        )
    return None


def _planned_node(text: str) -> PlannedNode:
    node_id, *more = text.split(":", 2)
    weight = _weight_of(f"--add {text!r:.80}", more[0], "ID:WEIGHT:ZONE") if more else 1
    return PlannedNode(node_id, weight, *more[1:])


def _new_weight(text: str) -> tuple[str, int]:
    node_id, _, weight = text.partition("=")
    return node_id, _weight_of(f"--weight {text!r:.80}", weight, "ID=WEIGHT")


def _weight_of(what: str, text: str, form: str) -> int:
    if not _WEIGHT.fullmatch(text):
        raise UsageError(
            f"{what} has no weight that is a whole number: write {form}, with a weight from 1 to "
            f"{Limits.weight_max}"
        )
    return int(text)


def _show_shares(now: Membership, planned: Membership | None, output: Format) -> None:
    if output is Format.JSON:
        say_json(shares_json(now, planned))
        return
    print_table(SHARE_COLUMNS, share_rows(now, planned, is_wide=output is Format.WIDE))
    about_now = copy_count_text(now)
    say(f"{about_now}; epoch {now.epoch}, ring epoch {now.ring_epoch}")
    if planned is not None:
        if (about_planned := copy_count_text(planned)) != about_now:
            say(f"planned: {about_planned}")
        say(cost_text(cost_of(ring_of(now), ring_of(planned))))
        say(_NOTHING_CHANGED)


def _show_placement(
    name: DataInfoId, now: Membership, planned: Membership | None, output: Format
) -> None:
    if output is Format.JSON:
        say_json(placement_json(name, now, planned))
        return
    print_table(PLACEMENT_COLUMNS, placement_rows(name, now, planned))
    if planned is not None:
        say(_NOTHING_CHANGED)
