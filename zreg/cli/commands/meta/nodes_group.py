"""`zreg nodes`: list the nodes; the commands beside it are loaded when they are called."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import typer

from zreg.cli.asking.targets import find_target
from zreg.cli.asking.whole_cluster.cluster_view import fetch_view
from zreg.cli.commands.meta.membership_command import TIMEOUT_SECONDS, show_nodes
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url, Watch
from zreg.cli.parsing.lazy_group import LazyGroup
from zreg.cli.showing.repeat import show_again
from zreg.errors import UsageError


class NodesGroup(LazyGroup):
    """The commands of `zreg nodes`."""

    homes: ClassVar[Mapping[str, str]] = {
        "dismiss": "zreg.cli.commands.meta.dismiss_command:dismiss",
    }


app = typer.Typer(cls=NodesGroup, add_completion=False)


@app.callback(invoke_without_command=True)
def list_nodes(  # noqa: PLR0913 -- one argument per option
    context: typer.Context,
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
    watch: Watch = False,
) -> None:
    """List the nodes of the cluster; with a command: show a lost node no more."""
    name = context.invoked_subcommand
    if name is None:
        target = find_target(url, meta, cluster)
        look = partial(fetch_view, target, timeout_seconds)
        show = partial(show_nodes, output=output)
        if watch:
            show_again(look, show, is_for_programs=output is Format.JSON)
        else:
            show(look())
    elif watch or (url, meta, cluster) != (None, None, None) or output is not Format.TABLE:
        raise UsageError(
            f"options cannot be given before {name!r}: write the options of the command after "
            f"`zreg nodes {name}`"
        )
