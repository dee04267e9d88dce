"""`zreg meta`: run one meta node; and look at, add, remove and recover the nodes that meta has."""

import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from zreg.cli.ask import ask_now
from zreg.cli.commands.node_commands import build_meta, start
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import (
    Cluster,
    ConfigFile,
    Flags,
    Format,
    Output,
    Timeout,
    Url,
    with_settings,
)
from zreg.cli.output import Json, print_table, say, say_json
from zreg.cli.process.children import ParentPid
from zreg.cli.process.node_options import CONFIG_FIELDS, OPTION_FIELDS, flag, load, peers
from zreg.cli.targets import Meta, place
from zreg.errors import (
    Error,
    NotLeaderError,
    NotReadyError,
    UnavailableError,
    UsageError,
    VersionMismatchError,
)
from zreg.meta.group.recovery import FIRST_INDEX, last_entry, recovery
from zreg.model import checked_node_id
from zreg.nodes.meta import JOURNAL_ID, JOURNAL_NAME, new_journal_id
from zreg.raft.ready import Persisted, configuration_of
from zreg.storage.journal import Journal
from zreg.wire.common_messages import Accepted
from zreg.wire.messages import Message
from zreg.wire.meta_messages import (
    AddMeta,
    FetchMetaNodes,
    MetaNodesReply,
    MetaNodeState,
    MetaNodeStatus,
    RemoveMeta,
)

_TIMEOUT_SECONDS: Final = 30.0
_ASK_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.25
# Who has not caught up by then has probably not been started.
_TELL_SECONDS: Final = 1.0
_VOTING: Final = (MetaNodeState.LEADER, MetaNodeState.VOTER)

Answer = TypeVar("Answer", bound=Message)
NodeId = Annotated[str, typer.Argument(metavar="ID", help="Node id.")]

app = typer.Typer()


@app.callback(invoke_without_command=True)
@with_settings(*CONFIG_FIELDS, *OPTION_FIELDS)
def node(
    context: typer.Context,
    *,
    flags: Flags,
    config: ConfigFile = None,
    output: Output = Format.TABLE,
    parent_pid: ParentPid = 0,
) -> None:
    """Run one meta node until it is told to stop; or change which nodes meta has."""
    if context.invoked_subcommand is None:
        start("meta", build_meta, flags, config, output, parent_pid)
    elif given := [flag(name) for name, value in flags.items() if value is not None]:
        name = context.invoked_subcommand
        raise UsageError(f"{', '.join(given)} belongs behind `zreg meta {name}`, or to no command")


class _Place:
    """Where to ask, and until when."""

    def __init__(
        self, url: str | None, meta: str | None, cluster: str | None, timeout_seconds: float
    ) -> None:
        self.config = load({"cluster": cluster}, os.environ).config
        self._ends_at = time.monotonic() + timeout_seconds
        self._link, self._addresses = place(url, meta)

    def ask(self, question: tuple[Callable[[int], Message], type[Answer]]) -> Answer:
        """Ask once; raises what the answer says."""
        left = self._ends_at - time.monotonic()
        return ask_now(
            self._link,
            self._addresses,
            question,
            config=self.config,
            timeout_seconds=max(0.1, min(left, _ASK_SECONDS)),
        )

    def nodes(self) -> MetaNodesReply:
        """Return the nodes of meta as its leader sees them."""
        return self._until_done(lambda: self.ask((FetchMetaNodes, MetaNodesReply)))

    def change(self, kind: type[Message], **fields: str) -> None:
        """Look at the nodes, then ask for a change of just these."""

        def look_and_ask() -> Accepted:
            seen = self.ask((FetchMetaNodes, MetaNodesReply))
            index, term = seen.configuration_index, seen.configuration_term
            of_these = partial(kind, configuration_index=index, configuration_term=term)
            return self.ask((partial(of_these, **fields), Accepted))

        self._until_done(look_and_ask)

    def _until_done(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until there is another answer than "not now"; what was said tells most, then."""
        said: Error | None = None
        while True:
            try:
                return ask()
            except (NotReadyError, NotLeaderError, VersionMismatchError) as error:
                said = error
                if not self.pause():
                    raise
            except UnavailableError as error:
                if not self.pause():
                    raise (said or error) from error

    def pause(self) -> bool:
        """Wait a moment before asking again; return whether there is time for that."""
        if time.monotonic() + _PAUSE_SECONDS >= self._ends_at:
            return False
        time.sleep(_PAUSE_SECONDS)
        return True


@app.command("ls")
def ls(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _ASK_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List the nodes of meta, who leads, and how far each of them is."""
    reply = _Place(url, meta, cluster, timeout_seconds).nodes()
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
    print_table(["node id", "state", "address", "behind", "silent s", "trouble"], rows)


@app.command("add")
def add(
    peer: Annotated[
        str, typer.Argument(metavar="ID=HOST:PORT", help="Its id, and where others reach its Raft.")
    ],
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Take a node in, and wait until it has the log and votes."""
    ((node_id, address),) = peers([peer]).items()
    place = _Place(url, meta, cluster, timeout_seconds)
    place.change(AddMeta, node_id=node_id, address=address)
    told_at = time.monotonic() + _TELL_SECONDS
    while True:
        reply = place.nodes()
        found = next((node for node in reply.nodes if node.node_id == node_id), None)
        if found is None:
            raise CommandFailedError(f"{node_id} was removed meanwhile: see `zreg meta ls`")
        if found.state in _VOTING:
            say(f"{node_id} votes. {_count(reply)}")
            return
        if time.monotonic() > told_at:
            told_at = math.inf
            say(
                f"{node_id} is added; it gets the log, and then its vote, once it runs: zreg meta "
                f"--id {node_id} --dir DIR --join --peer {peer}"
            )
        if not place.pause():
            raise CommandFailedError(
                f"{node_id} is added, but has not caught up yet ({found.trouble or 'it is slow'}): "
                "start it with --join; it votes as soon as it has the log, see `zreg meta ls`"
            )


@app.command("rm")
def remove(
    node_id: NodeId,
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Go on without a node, whether it runs or not."""
    checked_node_id(node_id)
    place = _Place(url, meta, cluster, timeout_seconds)
    names = [node.node_id for node in place.nodes().nodes]
    if node_id not in names:
        raise CommandFailedError(
            f"nothing to remove: {node_id} is not among {', '.join(names)}", code=NOT_FOUND
        )
    place.change(RemoveMeta, node_id=node_id)
    say(
        f"{node_id} is removed: its process ends by itself; empty its directory before it comes "
        f"back. {_count(place.nodes())}"
    )


@app.command("recover")
def recover(
    *,
    directory: Annotated[Path, typer.Option("--dir", help="Where the journal of the node is.")],
    force: Annotated[
        bool, typer.Option("--force", help="Do it; without this, only show what it holds.")
    ] = False,
) -> None:
    """Make a node that does not run the only node of meta, when most of them are lost for good."""
    path = directory / JOURNAL_NAME
    if not path.exists():
        raise UsageError(f"there is no journal in {directory}: name the --dir of a meta node")
    journal = Journal(path, identity={})
    try:
        persisted = Persisted.of(journal.contents)
        term, index = last_entry(persisted)
        if index <= FIRST_INDEX:
            raise UsageError(
                f"the journal in {directory} is empty: take another survivor; if there is none, "
                "meta is founded anew: start its nodes on empty directories, without --join"
            )
        node_id = journal.facts["node_id"]
        known = configuration_of(persisted)
        others = ", ".join(member for member in known.members if member != node_id)
        if not others:
            say(f"{node_id} is the only node of meta already: nothing to do")
            return
        if not force:
            raise CommandFailedError(
                f"nothing is changed: {node_id} holds entries up to {index}, the last of term "
                f"{term}. Of all survivors take the one with the highest term, then the highest "
                f"entry. Only if {others} can never come back, run this again with --force"
            )
        journal_id = new_journal_id()
        journal.replace_fact(JOURNAL_ID, journal_id)
        address = known.addresses.get(node_id, "")
        journal.save(recovery(persisted, node_id, address, journal_id))
    finally:
        journal.close()
    say(
        f"{node_id} is the only node of meta now: start it as before, empty the directories of all "
        "others and take them in again with `zreg meta add`. Never start one of them on what it had"
    )


def _count(reply: MetaNodesReply) -> str:
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
