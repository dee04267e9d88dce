"""`zreg meta ls`, `add` and `rm`: list, add and remove the nodes of meta."""

import math
import time
from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.asking.repeated_ask import ASK_SECONDS, RepeatedAsk
from zreg.cli.asking.targets import find_target
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import (
    Cluster,
    Format,
    Meta,
    Output,
    Timeout,
    Url,
)
from zreg.cli.options.address_options import peers
from zreg.cli.output import Json, print_table, say, say_json
from zreg.model import checked_node_id
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.meta_messages import (
    AddMeta,
    FetchMetaNodes,
    MetaNodesReply,
    MetaNodeState,
    MetaNodeStatus,
    RemoveMeta,
)

_TIMEOUT_SECONDS: Final = 30.0
# A node that has not caught up after this time has probably not been started.
_ADVISE_AFTER_SECONDS: Final = 1.0
_VOTING: Final = (MetaNodeState.LEADER, MetaNodeState.VOTER)

NodeId = Annotated[str, typer.Argument(metavar="ID", help="Id of the meta node.")]


class _MetaRequests:
    """Asks meta, through a session or directly, until it answers or the timeout has passed."""

    def __init__(
        self, url: str | None, meta: str | None, cluster: str | None, timeout_seconds: float
    ) -> None:
        self.asking = RepeatedAsk(find_target(url, meta, cluster), timeout_seconds)

    def nodes(self) -> MetaNodesReply:
        """Return the nodes of meta as its leader sees them."""
        asking = self.asking
        return asking.until_done(lambda: asking.ask_once((FetchMetaNodes, MetaNodesReply)))

    def change(self, kind: type[Message], **fields: str) -> None:
        """Fetch the configuration, and ask for a change of exactly that one."""

        def fetch_and_ask() -> Accepted:
            fetched = self.asking.ask_once((FetchMetaNodes, MetaNodesReply))
            change = partial(
                kind,
                configuration_index=fetched.configuration_index,
                configuration_term=fetched.configuration_term,
                **fields,
            )
            return self.asking.ask_once((change, Accepted))

        self.asking.until_done(fetch_and_ask)


def ls(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = ASK_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List the nodes of meta: which one leads, which vote, and how far behind each is."""
    reply = _MetaRequests(url, meta, cluster, timeout_seconds).nodes()
    if output is Format.JSON:
        say_json([_json(node) for node in reply.nodes])
        return
    rows = [
        [
            node.node_id,
            node.state.name.lower(),
            node.address.removeprefix("tcp://"),
            str(reply.last_index - node.match_index),
            f"{node.silent_milliseconds / 1000:.1f}",
            node.trouble,
        ]
        for node in reply.nodes
    ]
    print_table(
        ["node id", "state", "address", "entries behind", "silent seconds", "trouble"], rows
    )


def add(
    peer: Annotated[
        str,
        typer.Argument(
            metavar="ID=HOST:PORT",
            help="Id of the new node, and the address at which other meta nodes reach it.",
        ),
    ],
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Add a node to meta, and wait until it has the log and votes."""
    ((node_id, address),) = peers([peer]).items()
    requests = _MetaRequests(url, meta, cluster, timeout_seconds)
    requests.change(AddMeta, node_id=node_id, address=address)
    advise_at = time.monotonic() + _ADVISE_AFTER_SECONDS
    while True:
        reply = requests.nodes()
        found = next((node for node in reply.nodes if node.node_id == node_id), None)
        if found is None:
            raise CommandFailedError(
                f"{node_id} was removed again by another command: see `zreg meta ls`"
            )
        if found.state in _VOTING:
            say(f"{node_id} votes. {_voters_text(reply)}")
            return
        if time.monotonic() > advise_at:
            advise_at = math.inf
            say(
                f"{node_id} is added; it will get the log, and then its vote, when it runs: start "
                f"it with zreg meta --id {node_id} --dir DIR --join --peer {peer}"
            )
        if not requests.asking.has_time():
            raise CommandFailedError(
                f"{node_id} is added, but has not caught up yet ({found.trouble or 'it is slow'}): "
                "start it with --join; it votes as soon as it has the log, see `zreg meta ls`; "
                "if it has another address, add it again with that"
            )
        requests.asking.pause()


def remove(
    node_id: NodeId,
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Remove a node from meta, whether it runs or not."""
    checked_node_id(node_id)
    requests = _MetaRequests(url, meta, cluster, timeout_seconds)
    names = [node.node_id for node in requests.nodes().nodes]
    if node_id not in names:
        raise CommandFailedError(
            f"nothing to remove: {node_id} is not among the nodes of meta ({', '.join(names)}): "
            "see `zreg meta ls`",
            code=NOT_FOUND,
        )
    requests.change(RemoveMeta, node_id=node_id)
    say(
        f"{node_id} is removed and its process ends by itself. Empty its directory before you add "
        f"it again. {_voters_text(requests.nodes())}"
    )


def _voters_text(reply: MetaNodesReply) -> str:
    """Return how many nodes vote, and how many of them may fail."""
    voters = sum(node.state in _VOTING for node in reply.nodes)
    spare = (voters - 1) // 2
    sentence = f"Meta has {voters} voters, of which {spare} may fail"
    return f"{sentence}, no more than with {voters - 1}" if voters % 2 == 0 else sentence


def _json(node: MetaNodeStatus) -> Json:
    return {
        "node_id": node.node_id,
        "state": node.state.name.lower(),
        "address": node.address.removeprefix("tcp://"),
        "match_index": node.match_index,
        "silent_seconds": node.silent_milliseconds / 1000,
        "trouble": node.trouble,
    }
