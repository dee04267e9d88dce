"""Who a meta node is to the other meta nodes, and what a founder's journal holds at first."""

import hashlib
from collections.abc import Mapping

import msgspec

from zreg.effects import Save
from zreg.raft.configuration import Configuration
from zreg.raft.ready import Persisted, bootstrap


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a meta node says of itself; `journal_id` and `founders` never change."""

    node_id: str
    # Where other meta nodes reach its Raft; empty: nowhere, it stays alone.
    address: str
    journal_id: str
    # A digest of the list of peers that the cluster began with; empty: it was added later.
    founders: str = ""


def founders_of(peers: Mapping[str, str]) -> str:
    """Return a digest of a list of peers; all founders of a cluster must have the same list."""
    text = "\n".join(f"{peer}\t{address}" for peer, address in sorted(peers.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def first_save(peers: Mapping[str, str]) -> Save:
    """Return what each voter of a new cluster writes to its disk before its first start."""
    return bootstrap(Configuration(tuple(sorted(peers)), (), dict(peers)))


def persisted_of(save: Save) -> Persisted:
    """Return what a new journal gives back after its first save."""
    return Persisted(term=save.term, vote=save.vote, entries=save.entries)
