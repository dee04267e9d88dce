"""`zreg trace`: where the last changes of an id were, and when."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import typer

from zreg.cli.asking.targets import find_target
from zreg.cli.asking.whole_cluster.node_hops import Noted, fetch_hops
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Format, Group, InstanceId, Meta, Output, Timeout, Url
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.showing.printable_text import printable
from zreg.cli.tracing.hop_chains import chains_of
from zreg.cli.tracing.step_text import step_text
from zreg.cli.tracing.traced_change import TracedChange, TracedStep, traced
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, DataInfoId, data_info_id
from zreg.wire.records.common_messages import HopKind

_TIMEOUT_SECONDS: Final = 5.0
_LAST: Final = 3
_LAST_MAX: Final = 100
_COLUMNS: Final = ("at", "+/-", "node", "step")
_WIDE_COLUMNS: Final = ("at", "+/-", "node", "role", "after", "step", "publisher", "version")
_NOTE: Final = (
    "Times are ms after the first step. Those of one node are exact to each other; between nodes "
    "they may be off by +/-. Clients gather acknowledgements, so these may come late."
)


def trace(  # noqa: PLR0913 -- one argument per option
    data_id: Annotated[
        str, typer.Argument(metavar="ID", help="Data id, for example com.acme.Pay.")
    ],
    *,
    last: Annotated[
        int, typer.Option(min=1, max=_LAST_MAX, help="Show so many changes.", metavar="N")
    ] = _LAST,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Also changes of which subscribers see nothing.")
    ] = False,
    group: Group = DEFAULT_GROUP,
    instance_id: InstanceId = DEFAULT_INSTANCE_ID,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show when the last changes of an id were at each node on their way to the subscribers."""
    name = data_info_id(data_id, group=group, instance_id=instance_id)
    target = find_target(url, meta, cluster)
    noted = asyncio.run(fetch_hops(target, name, timeout_seconds=timeout_seconds))
    now, clock = datetime.now().astimezone().timestamp(), time.monotonic()
    chains = chains_of(noted.nodes, is_data_missing=noted.is_data_missing)
    changes = [traced(chain) for chain in chains if chain.is_visible or quiet][-last:]
    for each in noted.silent:
        complain(
            f"what {each.node_id} has noted is missing ({each.reason}): see `zreg nodes`, and the "
            "log of that node"
        )
    if output is Format.JSON:
        say_json(_trace_json(name, noted, changes, now - clock))
    else:
        for number, change in enumerate(changes):
            if number:
                say("")
            _show(data_id, change, now - clock, is_wide=output is Format.WIDE)
        if changes:
            say(f"\n{_NOTE}")
    if not changes:
        raise CommandFailedError(
            f"no node has noted a change of {data_id!r}: nodes remember the last changes of the "
            "last ids since they began; see `zreg ls` for all ids",
            code=NOT_FOUND,
        )


def _show(data_id: str, change: TracedChange, offset: float, *, is_wide: bool) -> None:
    """Write one change; `offset` makes the time of day of a time."""
    at = datetime.fromtimestamp(change.began_at + offset).astimezone()
    version = "a change that has no version yet" if change.version is None else change.version
    head = f"{data_id} {version}, {at.isoformat(' ', timespec='milliseconds')[:23]}: "
    say(printable(f"{head}{_milliseconds(change.seconds)} ms, {_end_text(change)}"))
    cells = _wide_cells if is_wide else _cells
    columns = _WIDE_COLUMNS if is_wide else _COLUMNS
    print_table(columns, [cells(change, step) for step in change.steps])
    if change.slowest is not None:
        slow = change.steps[change.slowest]
        took = _milliseconds(slow.at - change.steps[change.slowest - 1].at)
        say(printable(f"most of it: {took} ms before {slow.node_id}: {_text(change, slow)}"))


def _end_text(change: TracedChange) -> str:
    """Return how far the change has come."""
    kinds = {step.hop.kind for step in change.steps}
    if change.version is None:
        is_accepted = HopKind.ANSWERED in kinds
        return "accepted by a data node that does not answer" if is_accepted else "under way"
    if not change.is_visible:
        return "of which subscribers see nothing"
    confirmed = [step.hop for step in change.steps if step.hop.kind == HopKind.CONFIRMED]
    pushed = {step.node_id: step.hop for step in change.steps if step.hop.kind == HopKind.PUSHED}
    count = sum(hop.count for hop in pushed.values())
    if not count:
        return "and no subscriber got it as a change"
    done = sum(hop.count for hop in confirmed)
    return f"{done} of {count} subscriber{'' if count == 1 else 's'} acknowledged"


def _text(change: TracedChange, step: TracedStep) -> str:
    return step_text(step.hop, change.version)


def _cells(change: TracedChange, step: TracedStep) -> list[str]:
    error = _milliseconds(step.error) if step.error else ""
    return [_milliseconds(step.at), error, step.node_id, _text(change, step)]


def _wide_cells(change: TracedChange, step: TracedStep) -> list[str]:
    at, error, node_id, text = _cells(change, step)
    after = "" if step.since is None else _milliseconds(step.since)
    publisher = step.hop.publisher_id.hex()
    version = str(step.hop.version) if step.hop.version.counter else ""
    return [at, error, node_id, step.role.name.lower(), after, text, publisher, version]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


def _trace_json(
    name: DataInfoId, noted: Noted, changes: Sequence[TracedChange], offset: float
) -> Json:
    """Return what is known for programs."""
    return {
        "data_info_id": name,
        "changes": [_change_json(change, offset) for change in changes],
        "silent": [{"node_id": each.node_id, "reason": each.reason} for each in noted.silent],
    }


def _change_json(change: TracedChange, offset: float) -> Json:
    at = datetime.fromtimestamp(change.began_at + offset).astimezone()
    return {
        "version": None if change.version is None else str(change.version),
        "is_visible": change.is_visible,
        "time": at.isoformat(timespec="milliseconds"),
        "seconds": round(change.seconds, 6),
        "slowest_step": change.slowest,
        "steps": [_step_json(change, step) for step in change.steps],
    }


def _step_json(change: TracedChange, step: TracedStep) -> Json:
    hop = step.hop
    return {
        "at_seconds": round(step.at, 6),
        "error_seconds": round(step.error, 6),
        "since_seconds": None if step.since is None else round(step.since, 6),
        "node_id": step.node_id,
        "role": step.role.name.lower(),
        "kind": HopKind(hop.kind).name.lower(),
        "text": _text(change, step),
        "publisher_id": hop.publisher_id.hex(),
        "publisher_version": hop.publisher_version,
        "version": str(hop.version) if hop.version.counter else "",
        "peer": hop.peer,
        "count": hop.count,
        "total": hop.total,
    }
