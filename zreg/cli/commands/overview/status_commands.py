"""`zreg status` and `zreg check`: is the cluster well, for people and for monitoring."""

import enum
from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.asking.targets import find_target
from zreg.cli.asking.whole_cluster.cluster_view import fetch_view
from zreg.cli.exits import FAILED, OK
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url, Watch
from zreg.cli.output import print_table, say, say_json
from zreg.cli.showing.cluster_findings import (
    ClusterView,
    State,
    counts_of,
    findings_of,
    state_of,
    summary_of,
)
from zreg.cli.showing.repeat import show_again
from zreg.errors import Error, UnavailableError

_TIMEOUT_SECONDS: Final = 5.0


class CheckFormat(enum.StrEnum):
    """How `zreg check` writes."""

    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"


def status(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
    watch: Watch = False,
) -> int:
    """Show whether the cluster is well, and what to do where it is not."""
    look = partial(fetch_view, find_target(url, meta, cluster), timeout_seconds)
    show = partial(_show_status, output=output)
    if not watch:
        return show(look())
    show_again(look, show, is_for_programs=output is Format.JSON)
    return OK


def _show_status(view: ClusterView, output: Format) -> int:
    findings = findings_of(view)
    state = state_of(findings)
    if output is Format.JSON:
        say_json(
            {
                "state": state.name.lower(),
                "summary": summary_of(view),
                **counts_of(view),
                "findings": [
                    {"state": each.state.name.lower(), "what": each.what, "advice": each.advice}
                    for each in findings
                ],
            }
        )
    else:
        head = "All is well" if state is State.OK else state.name
        say(f"{head}: {summary_of(view)}")
        if findings:
            rows = [[each.state.name, each.what, each.advice] for each in findings]
            print_table(("state", "what", "what to do"), rows)
        say("See more with `zreg nodes`, `zreg ls`, `zreg events` and `zreg ping`.")
    return FAILED if state is State.CRITICAL else OK


def check(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Annotated[
        CheckFormat,
        typer.Option("-o", "--output", help="A line for Nagios, or metrics for Prometheus."),
    ] = CheckFormat.NAGIOS,
) -> int:
    """Check the cluster for monitoring: exit code 0 ok, 1 warning, 2 critical, 3 unknown."""
    counts: dict[str, int] = {}
    try:
        view = fetch_view(find_target(url, meta, cluster), timeout_seconds)
        findings = findings_of(view)
        state, counts = state_of(findings), counts_of(view)
        text = "; ".join(each.what for each in findings) or summary_of(view)
    except UnavailableError as error:
        state, text = State.CRITICAL, str(error)
    except Error as error:
        state, text = State.UNKNOWN, str(error)
    if output is CheckFormat.PROMETHEUS:
        say("# HELP zreg_check_state 0 ok, 1 warning, 2 critical, 3 unknown")
        say("# TYPE zreg_check_state gauge")
        say(f"zreg_check_state {state.value}")
        for name, count in counts.items():
            say(f"# TYPE zreg_check_{name} gauge")
            say(f"zreg_check_{name} {count}")
    else:
        # Nagios takes what follows a bar for numbers.
        line = " ".join(text.replace("|", "/").split())
        numbers = " ".join(f"{name}={count}" for name, count in counts.items())
        say(f"ZREG {state.name} - {line}{f' | {numbers}' if numbers else ''}")
    return state.value
