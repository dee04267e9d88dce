"""`zreg top`: what each node of the cluster does now, as `top` shows it of processes."""

import asyncio
from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.asking.targets import Target, find_target
from zreg.cli.asking.whole_cluster.cluster_view import fetch_view, shown_members, status_of
from zreg.cli.asking.whole_cluster.every_node import ask_each, ask_node
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url
from zreg.cli.output import print_table, say, say_json
from zreg.cli.showing.node_rates import (
    NodeRow,
    SortBy,
    row_json,
    row_of,
    sorted_rows,
    table_of,
)
from zreg.cli.showing.printable_text import printable
from zreg.cli.showing.repeat import now_text, show_again
from zreg.config import Limits
from zreg.errors import Error
from zreg.model import Incarnation, Member, Status
from zreg.wire.records.common_messages import FetchStatistics, StatisticsReply

_TIMEOUT_SECONDS: Final = 5.0
_INTERVAL_SECONDS: Final = 2.0
_DEPARTED: Final = "it has departed"

Sort = Annotated[
    SortBy, typer.Option(help="Number by which the nodes of a role are sorted, or their id.")
]
Interval = Annotated[
    float,
    typer.Option(
        min=0.1, max=Limits.seconds_max, help="Pause between two looks.", metavar="SECONDS"
    ),
]
Count = Annotated[
    int | None, typer.Option("-n", "--count", min=1, help="End after so many looks.", metavar="N")
]


class Looks:
    """Asks all nodes for their statistics, and keeps those of the last look for the rates."""

    def __init__(self, target: Target, timeout_seconds: float) -> None:
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._before: dict[Incarnation, StatisticsReply] = {}

    def next(self) -> list[NodeRow]:
        """Return a row for each node; raises as `fetch_view`."""
        view = fetch_view(self._target, self._timeout_seconds)
        living = [each for each in view.membership.members if each.status is not Status.DEPARTED]
        found = asyncio.run(ask_each(living, self._ask))
        told = dict(zip((each.incarnation for each in living), found, strict=True))
        before, self._before = (
            self._before,
            {
                incarnation: each
                for incarnation, each in told.items()
                if isinstance(each, StatisticsReply)
            },
        )
        meta_nodes = view.meta_nodes
        return [
            row_of(
                member,
                status_of(member, meta_nodes),
                meta_nodes,
                told.get(member.incarnation, _DEPARTED),
                before.get(member.incarnation),
            )
            for member in shown_members(view.membership.members, meta_nodes)
        ]

    async def _ask(self, member: Member) -> StatisticsReply | str:
        try:
            return await ask_node(self._target, member, FetchStatistics, StatisticsReply)
        except Error as error:
            return str(error)


def top(  # noqa: PLR0913 -- one argument per option
    *,
    sort: Sort = SortBy.NODE,
    interval: Interval = _INTERVAL_SECONDS,
    count: Count = None,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show what each node does now, again and again; rates count from the last look."""
    looks = Looks(find_target(url, meta, cluster), timeout_seconds)
    show_again(
        looks.next,
        partial(_show, sort=sort, output=output),
        is_for_programs=output is Format.JSON,
        seconds=interval,
        count=count,
    )


def _show(rows: list[NodeRow], sort: SortBy, output: Format) -> None:
    rows = sorted_rows(rows, sort)
    if output is Format.JSON:
        say_json({"time": now_text(), "nodes": [row_json(row) for row in rows]})
        return
    roles = dict.fromkeys(row.role for row in rows)
    for number, role in enumerate(roles):
        if number:
            say("")
        print_table(*table_of(role, rows, is_wide=output is Format.WIDE))
    for row in rows:
        if row.reason:
            say(printable(f"{row.node_id} told no numbers: {row.reason}"))
