"""Go on with one node of meta when the majority is lost for good.

What Raft promises ends here: entries that only the lost nodes had are gone, and entries that this
node had and no majority may become true. It is an operator's decision, about a node that is not
running. The epoch goes far above what the lost nodes can have reached, so that nobody takes what
they said last for newer.
"""

from typing import Final

from zreg.effects import Save
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.ready import Persisted
from zreg.wire.log_commands import Recover, encode_command
from zreg.wire.raft_messages import Entry, EntryKind

# What founders write themselves; a journal that ends there has nothing that anybody agreed on.
FIRST_INDEX: Final = 1


def last_entry(persisted: Persisted) -> tuple[int, int]:
    """Return term and index of the last entry: of several survivors, take the one with the most."""
    if persisted.entries:
        return persisted.entries[-1].term, persisted.entries[-1].index
    snapshot = persisted.snapshot
    return (snapshot.term, snapshot.index) if snapshot is not None else (0, 0)


def recovery(persisted: Persisted, node_id: str, address: str, journal_id: str) -> Save:
    """Return what makes `node_id`, at `address`, the only node of meta from its next start on.

    Its journal has another name from then on: no node that was given up shall take it for a peer.
    """
    _, index = last_entry(persisted)
    assert index > FIRST_INDEX
    term = persisted.term + 1
    alone = Configuration((node_id,), (), {node_id: address}, {node_id: journal_id})
    entries = (
        Entry(index + 1, term, EntryKind.CONFIGURATION, encode_configuration(alone)),
        Entry(index + 2, term, EntryKind.COMMAND, encode_command(Recover())),
    )
    return Save(
        snapshot=None, truncate_from=None, compact_to=None, entries=entries, term=term, vote=None
    )
