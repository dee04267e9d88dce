"""`zreg ls`: the ids under which something is published."""

from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.asking.ask import ask_now
from zreg.cli.asking.repeated_ask import RepeatedAsk
from zreg.cli.asking.targets import Target, find_target
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Format, Output, Timeout, Url
from zreg.cli.options.text_arguments import checked_pattern
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.showing.progress.progress_bar import ProgressBar
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, split_data_info_id
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

_TIMEOUT_SECONDS: Final = 5.0
# After a change of the data nodes they have mostly compared with all sessions within this time.
_UNSURE_SECONDS_MAX: Final = 3.0


def ls(
    pattern: Annotated[
        str, typer.Argument(metavar="[GLOB]", help="Ids to list, with * ? [...] as in a shell.")
    ] = "*",
    *,
    url: Url = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List the ids under which something is published."""
    checked_pattern(pattern)
    listed = _list_surely(find_target(url, None, cluster), pattern, timeout_seconds)
    found = [datum for datum in listed if datum.publisher_count]
    if output is Format.JSON:
        say_json([_datum_json(datum) for datum in found])
    elif found:
        _print_datums(found, is_wide=output is Format.WIDE)
    elif pattern == "*":
        say("Nothing is published yet: try `zreg publish ID VALUE --hold`.")
    if not found and pattern != "*":
        raise CommandFailedError(
            f"nothing that matches {pattern!r} is published: see all ids with `zreg ls`",
            code=NOT_FOUND,
        )


def _list_surely(target: Target, pattern: str, timeout_seconds: float) -> list[DatumSummary]:
    """List again while a data node cannot say yet whether it has all; then warn."""
    # A data node would list its own datums only. It refuses this question, and says what it is.
    ask_now(target, (FetchMembership, MembershipReply), timeout_seconds=timeout_seconds)
    asking = RepeatedAsk(target, _UNSURE_SECONDS_MAX)
    with ProgressBar("listing", "ids") as bar:
        found, is_unsure = _list(target, pattern, timeout_seconds, bar)
        while is_unsure and asking.has_time():
            asking.pause()
            found, is_unsure = _list(target, pattern, timeout_seconds, bar)
    if is_unsure:
        complain("there may be more ids: a data node has just begun to serve some of them")
    return found


def _list(
    target: Target, pattern: str, timeout_seconds: float, bar: ProgressBar
) -> tuple[list[DatumSummary], bool]:
    """Fetch page after page; a pattern that names no group is matched against data ids.

    Also return whether ids may be missing.
    """
    full_pattern = pattern if "#@#" in pattern or pattern == "*" else f"{pattern}#@#*"
    found: list[DatumSummary] = []
    is_unsure = False
    while True:
        after = found[-1].data_info_id if found else ""
        question = partial(ListDatums, pattern=full_pattern, after=after), DatumsListed
        answer = ask_now(target, question, timeout_seconds=timeout_seconds)
        found += answer.datums
        bar.set(len(found))
        is_unsure |= answer.is_unsure
        if answer.is_complete or not answer.datums:
            return found, is_unsure


def _print_datums(found: list[DatumSummary], *, is_wide: bool) -> None:
    columns = ["id", "group", "instance id", "publishers", "version"]
    rows = [_datum_row(datum) for datum in found]
    if not is_wide and all(row[1:3] == [DEFAULT_GROUP, DEFAULT_INSTANCE_ID] for row in rows):
        columns, rows = [columns[0], *columns[3:]], [[row[0], *row[3:]] for row in rows]
    print_table(columns, rows)


def _datum_row(datum: DatumSummary) -> list[str]:
    data_id, instance_id, group = split_data_info_id(datum.data_info_id)
    return [data_id, group, instance_id, str(datum.publisher_count), str(datum.version)]


def _datum_json(datum: DatumSummary) -> Json:
    data_id, instance_id, group = split_data_info_id(datum.data_info_id)
    return {
        "data_info_id": datum.data_info_id,
        "data_id": data_id,
        "group": group,
        "instance_id": instance_id,
        "publishers": datum.publisher_count,
        "version": str(datum.version),
    }
