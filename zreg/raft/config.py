"""The limits and timeouts of a Raft node. All times are ticks; meta's tick is 50 ms."""

import msgspec

from zreg.config import Limits


class RaftConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The id of this node and its limits, each with its reason."""

    node_id: str
    """Created with the data directory. Another disk never gets this id: this one promised votes."""

    election_ticks: int = 10
    """A leader silent this long counts as lost; each timeout is drawn from one to two times it."""

    heartbeat_ticks: int = 1
    """The leader sends to an idle follower at least this often; far below `election_ticks`."""

    request_ticks: int = 6
    """How long to wait for a reply before the next request: a round trip and a slow disk fit in."""

    chunk_request_ticks: int = 10
    """The same for a chunk of a snapshot, which is larger and may end in a large write. A lost
    chunk must not delay the next request for longer than an election timeout: the leader counts
    answers."""

    append_bytes_max: int = 64 * 1024
    """Bytes of entries per request; one always fits. More would delay votes and heartbeats."""

    chunk_bytes_max: int = Limits.raft_data_bytes_max
    """Size of a chunk of a snapshot; below the message limit of the links, 1 MiB."""

    command_bytes_max: int = Limits.raft_data_bytes_max
    """Size of one command; a larger one would not fit into a message."""

    uncommitted_bytes_max: int = 1024 * 1024
    """Bytes not committed: a leader without a majority must not fill its memory and disk."""

    snapshot_bytes_max: int = 64 * 1024 * 1024
    """Size of a snapshot received from a peer; it is assembled in memory."""

    apply_count_max: int = 1024
    """Committed entries in one `Ready`."""

    compact_entry_count: int = 10_000
    """After this many applied entries the next snapshot is due."""

    compact_bytes: int = 16 * 1024 * 1024
    """A log of this size in memory makes a snapshot due earlier."""

    keep_entry_count: int = 1_000
    """Entries kept before a snapshot, so that a follower slightly behind needs no snapshot."""
