"""`zreg meta recover`: continue from the journal of one meta node when most nodes are lost."""

from pathlib import Path
from typing import Annotated

import typer

from zreg.cli.exits import CommandFailedError
from zreg.cli.output import say
from zreg.errors import UsageError
from zreg.meta.group.recovery import FIRST_INDEX, last_entry, recovery
from zreg.nodes.meta import JOURNAL_ID, JOURNAL_NAME, new_journal_id
from zreg.raft.ready import Persisted, configuration_of
from zreg.storage.journal import Journal


def recover(
    *,
    directory: Annotated[
        Path, typer.Option("--dir", help="Directory of the node, which holds its journal.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Recover; without it only show what the journal holds.")
    ] = False,
) -> None:
    """Make one stopped node the only node of meta, after most nodes were lost for good."""
    path = directory / JOURNAL_NAME
    if not path.exists():
        raise UsageError(
            f"there is no journal in {directory}: name with --dir the directory of a meta node"
        )
    journal = Journal(path, identity={})
    try:
        persisted = Persisted.of(journal.contents)
        term, index = last_entry(persisted)
        if index <= FIRST_INDEX:
            raise UsageError(
                f"the journal in {directory} is empty: recover another node that is left; if there "
                "is none, begin a new cluster: start all meta nodes on empty directories, without "
                "--join"
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
                f"{term}. Of the nodes that are left recover the one with the highest term, and "
                "among equal terms the one with the highest entry. Run this again with --force "
                f"only if {others} can never come back"
            )
        journal_id = new_journal_id()
        journal.replace_fact(JOURNAL_ID, journal_id)
        address = known.addresses.get(node_id, "")
        journal.save(recovery(persisted, node_id, address, journal_id))
    finally:
        journal.close()
    say(
        f"{node_id} is the only node of meta now. Start it as before. Empty the directories of all "
        "other meta nodes, then add them again with `zreg meta add`. Never start one of them on "
        "its old directory"
    )
