"""`zreg nodes`: list the nodes; the commands beside it are loaded when they are called."""

from collections.abc import Mapping
from typing import ClassVar

import typer

from zreg.cli.commands.meta.membership_command import TIMEOUT_SECONDS, nodes
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url
from zreg.cli.parsing.lazy_group import LazyGroup
from zreg.errors import UsageError


class NodesGroup(LazyGroup):
    """The commands of `zreg nodes`."""

    homes: ClassVar[Mapping[str, str]] = {
        "dismiss": "zreg.cli.commands.meta.dismiss_command:dismiss",
    }


app = typer.Typer(cls=NodesGroup, add_completion=False)


@app.callback(invoke_without_command=True)
def list_nodes(
    context: typer.Context,
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List the nodes of the cluster; with a command: show a lost node no more."""
    name = context.invoked_subcommand
    if name is None:
        nodes(url=url, meta=meta, cluster=cluster, timeout_seconds=timeout_seconds, output=output)
    elif (url, meta, cluster) != (None, None, None) or output is not Format.TABLE:
        raise UsageError(
            f"options cannot be given before {name!r}: write the options of the command after "
            f"`zreg nodes {name}`"
        )
