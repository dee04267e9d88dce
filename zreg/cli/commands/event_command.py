"""`zreg events`: what happened at all nodes of the cluster, merged by time."""

import re
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final

import typer

from zreg.cli.asking.targets import find_target
from zreg.cli.asking.whole_cluster.node_events import NodeEvent, NodeEvents
from zreg.cli.asking.whole_cluster.silence import Silence
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.process.streams import drop_output
from zreg.cli.showing.printable_text import printable
from zreg.config import Limits
from zreg.errors import Error, UsageError

_TIMEOUT_SECONDS: Final = 5.0
_FOLLOW_SECONDS: Final = 1.0
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEVELS: Final = {10: "debug", 20: "info", 30: "warning", 40: "error"}
_COLUMNS: Final = ("time", "node", "level", "kind", "subject", "detail")


def events(  # noqa: PLR0913 -- one argument per option
    *,
    since: Annotated[
        str | None, typer.Option(help="Only what happened in the last 30s, 10m, 1h or 2d.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="Only events of this kind, such as member or member.departed.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on, and write further events as they come.")
    ] = False,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show what happened in the cluster: the last events of all nodes."""
    if len(kind) > Limits.label_characters_max:
        raise UsageError(f"--kind is too long: a kind has {Limits.label_characters_max} characters")
    seconds = None if since is None else seconds_of(since)
    target = find_target(url, meta, cluster)
    asked = NodeEvents(target, kind=kind, since_seconds=seconds, timeout_seconds=timeout_seconds)
    if follow:
        _follow(asked, output)
        return
    found, silent = asked.next()
    for each in silent:
        complain(silence_text(each))
    if output is Format.JSON:
        say_json([event_json(each) for each in found])
    elif found:
        print_table(_COLUMNS, [_cells(each) for each in found])
    else:
        say("No events: nothing happened, or not in this time or of this kind.")


def seconds_of(text: str) -> float:
    """Return the seconds of a duration such as 90s, 10m, 1h or 2d; `UsageError` if it is none."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", text, re.ASCII)
    if match is None:
        raise UsageError(f"--since {text!r} is no duration: write a number and a unit, as in 10m")
    return float(match[1]) * _UNITS[match[2]]


def silence_text(silence: Silence) -> str:
    """Return which node did not answer, and what to do about it."""
    return (
        f"the events of {silence.node_id} are missing ({silence.reason}): see `zreg nodes`, and "
        "the log of that node"
    )


def event_json(found: NodeEvent) -> Json:
    """Return an event for programs."""
    event = found.event
    return {
        "time": datetime.fromtimestamp(found.at).astimezone().isoformat(timespec="milliseconds"),
        "node_id": found.node_id,
        "number": event.number,
        "level": _level_of(found),
        "kind": event.kind,
        "subject": event.subject,
        "detail": event.detail,
    }


def _follow(asked: NodeEvents, output: Format) -> None:
    """Write events until Ctrl-C; say once that a node does not answer, and once that it does."""
    told: set[str] = set()
    try:
        while True:
            try:
                found, silent = asked.next()
            except UsageError:
                raise
            except Error as error:
                found, silent = [], [Silence("the cluster", str(error))]
            _complain_of_changes(silent, told)
            for each in found:
                if output is Format.JSON:
                    say_json(event_json(each))
                else:
                    say("  ".join(filter(None, map(printable, _cells(each)))))
            time.sleep(_FOLLOW_SECONDS)
    except KeyboardInterrupt:
        drop_output()


def _complain_of_changes(silent: Iterable[Silence], told: set[str]) -> None:
    now = {each.node_id: each for each in silent}
    for node_id, each in now.items():
        if node_id not in told:
            complain(silence_text(each))
    for node_id in sorted(told - now.keys()):
        complain(f"{node_id} answers again")
    told.clear()
    told.update(now)


def _cells(found: NodeEvent) -> list[str]:
    event = found.event
    at = datetime.fromtimestamp(found.at).astimezone()
    return [
        at.isoformat(" ", timespec="milliseconds")[:23],
        found.node_id,
        _level_of(found),
        event.kind,
        event.subject,
        event.detail,
    ]


def _level_of(found: NodeEvent) -> str:
    return _LEVELS.get(found.event.level, str(found.event.level))
