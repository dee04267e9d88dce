"""`zreg doctor`: what on this machine, and on the way to each node, may be wrong."""

import os
from typing import Final

from zreg.cli.asking.targets import find_target
from zreg.cli.asking.whole_cluster.cluster_view import fetch_view
from zreg.cli.commands.overview.ping_command import ping_all
from zreg.cli.exits import FAILED, OK
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url
from zreg.cli.options.node_options import unknown_variables
from zreg.cli.options.settings_sources import explained_settings
from zreg.cli.output import print_table, say, say_json
from zreg.cli.process.own_machine import this_machine
from zreg.cli.showing.cluster_findings import Finding, State, findings_of, state_of
from zreg.cli.showing.machine_findings import machine_findings
from zreg.errors import Error, UsageError
from zreg.model import Status

_TIMEOUT_SECONDS: Final = 5.0
_NODE_SECONDS_MAX: Final = 2.0


def doctor(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> int:
    """Examine this machine, its configuration, the cluster, and the way from here to each node."""
    areas = [("machine", machine_findings(this_machine())), ("configuration", _configuration())]
    if state_of(areas[1][1]) is not State.CRITICAL:
        areas += _cluster(url, meta, cluster, timeout_seconds)
    found = [(area, finding) for area, findings in areas for finding in findings]
    if output is Format.JSON:
        say_json(
            [
                {
                    "area": area,
                    "state": finding.state.name.lower(),
                    "what": finding.what,
                    "advice": finding.advice,
                }
                for area, finding in found
            ]
        )
    else:
        for area, findings in areas:
            if not findings:
                say(f"{area}: all is well")
        if found:
            rows = [[area, each.state.name, each.what, each.advice] for area, each in found]
            print_table(("area", "state", "what", "what to do"), rows)
    is_critical = any(each.state is State.CRITICAL for _, each in found)
    return FAILED if is_critical else OK


def _configuration() -> list[Finding]:
    advice = "see where each setting comes from with `zreg config show`"
    try:
        explained_settings(os.environ)
    except UsageError as error:
        return [Finding(State.CRITICAL, str(error), "correct it; then run this again")]
    return [Finding(State.WARNING, each, advice) for each in unknown_variables(os.environ)]


def _cluster(
    url: str | None, meta: str | None, cluster: str | None, timeout_seconds: float
) -> list[tuple[str, list[Finding]]]:
    """Return what is wrong with the cluster, and with the way to its nodes."""
    target = find_target(url, meta, cluster)
    try:
        view = fetch_view(target, timeout_seconds)
    except Error as error:
        advice = "give the address of a running session with --url, or of a meta node with --meta"
        return [("cluster", [Finding(State.CRITICAL, str(error), advice)])]
    living = [each for each in view.membership.members if each.status is not Status.DEPARTED]
    pinged = ping_all(living, target.cluster, min(timeout_seconds, _NODE_SECONDS_MAX))
    silent = [
        Finding(
            State.WARNING,
            f"{each.member.node_id} is not reached from here: {each.reason}",
            "check the network and firewalls between here and its address",
        )
        for each in pinged
        if each.seconds is None
    ]
    return [("cluster", findings_of(view)), ("network", silent)]
