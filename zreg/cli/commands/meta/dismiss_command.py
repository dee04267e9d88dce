"""`zreg nodes dismiss`: an operator has seen that a node was lost, and does not expect it back."""

from functools import partial
from typing import Annotated

import typer

from zreg.cli.asking.repeated_ask import RepeatedAsk
from zreg.cli.asking.targets import find_target
from zreg.cli.commands.meta.membership_command import TIMEOUT_SECONDS
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Meta, Timeout, Url
from zreg.cli.output import say
from zreg.errors import UnknownMessageError
from zreg.model import checked_node_id
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import DismissLoss
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply


def dismiss(
    node_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the lost node.")],
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = TIMEOUT_SECONDS,
) -> None:
    """Show a node that is GONE no more: it is not expected back."""
    checked_node_id(node_id)
    asking = RepeatedAsk(find_target(url, meta, cluster), timeout_seconds)
    reply = asking.until_done(lambda: asking.ask_once((FetchMetaNodes, MetaNodesReply)))
    gone = [each.incarnation.node_id for each in reply.gone]
    if node_id not in gone:
        which = f"of {', '.join(gone)} only" if gone else "of no node now"
        raise CommandFailedError(
            f"nothing to dismiss: meta shows the loss {which}, and not of {node_id}: see "
            "`zreg nodes`",
            code=NOT_FOUND,
        )
    question = partial(DismissLoss, node_id=node_id)
    try:
        asking.until_done(lambda: asking.ask_once((question, Accepted)))
    except UnknownMessageError as error:
        raise CommandFailedError(
            f"{node_id} is not dismissed, since the node that was asked runs an earlier version of "
            "zreg: upgrade it, or ask another one"
        ) from error
    say(f"{node_id} is dismissed: `zreg nodes` and health show its loss no more")
