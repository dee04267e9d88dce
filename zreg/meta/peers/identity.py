"""Who a meta node is to the other meta nodes, and what a founder's journal holds at first."""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from zreg.effects import Save
from zreg.raft.configuration import Configuration
from zreg.raft.ready import Persisted, bootstrap

# The fact of a journal that holds `Identity.founders`.
FOUNDERS: Final = "founders"


class Identity(msgspec.Struct, kw_only=True):
    """What a meta node says of itself.

    All that need it share one object. `address` changes when the machine gets another one, and
    `founders` once: when a node with `bootstrap_expect` has written the list of founders.
    """

    node_id: str
    # Where other meta nodes reach its Raft; empty: nowhere, it stays alone.
    address: str
    journal_id: str
    # A digest of the list of peers that the cluster began with; empty: it was added later.
    founders: str = ""
    # With how many founders, itself included, it agrees on their list; 0: the list is given, or it
    # waits to be added.
    bootstrap_expect: int = 0


def founders_of(peers: Mapping[str, str]) -> str:
    """Return a digest of a list of peers; all founders of a cluster must have the same list."""
    text = "\n".join(f"{peer}\t{address}" for peer, address in sorted(peers.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def first_save(peers: Mapping[str, str]) -> Save:
    """Return what each founder of a new cluster writes to its disk before its first election."""
    save = bootstrap(Configuration(tuple(sorted(peers)), (), dict(peers)))
    return replace(save, facts={FOUNDERS: founders_of(peers)})


def persisted_of(save: Save) -> Persisted:
    """Return what a new journal gives back after its first save."""
    return Persisted(term=save.term, vote=save.vote, entries=save.entries)
