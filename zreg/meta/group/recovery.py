"""Going on with one meta node when the majority is lost for good.

Raft's promises end here. Entries that only the lost nodes had are gone, and entries that this node
had without a majority may become committed. An operator decides this, about a node that does not
run. The epoch goes far above all that the lost nodes can have reached, so that no node takes what
they announced last for newer.
"""

from typing import Final

from zreg.effects import Save
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.ready import Persisted
from zreg.wire.log_commands import Recover, encode_command
from zreg.wire.records.raft_messages import Entry, EntryKind

# The entry that founders write themselves. A journal that ends there has nothing committed.
FIRST_INDEX: Final = 1


def last_entry(persisted: Persisted) -> tuple[int, int]:
    """Return term and index of the last entry; of several survivors, recover the highest."""
    if persisted.entries:
        return persisted.entries[-1].term, persisted.entries[-1].index
    snapshot = persisted.snapshot
    return (snapshot.term, snapshot.index) if snapshot is not None else (0, 0)


def recovery(persisted: Persisted, node_id: str, address: str, journal_id: str) -> Save:
    """Return what makes `node_id`, at `address`, the only meta node from its next start on.

    Its journal gets another name, so that no abandoned node takes it for a peer.
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
