"""The numbers of a Raft node; all times are ticks, and meta's tick is 50 ms."""

import msgspec

from zreg.config import Limits


class RaftConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who this node is, and its limits, each with its reason."""

    node_id: str
    """Born with the data directory; never used again for another disk (it has promised votes)."""

    election_ticks: int = 10
    """Silence after which a leader counts as lost; each wait is drawn from one to two times it."""

    heartbeat_ticks: int = 1
    """Pause after which an idle follower hears from the leader; far below `election_ticks`."""

    request_ticks: int = 6
    """Wait for a reply before the next request; a round trip and a slow disk fit in."""

    chunk_request_ticks: int = 10
    """The same for a snapshot's chunk, which is larger and ends in a large write. A lost chunk must
    not silence the follower for longer than an election timeout: the leader may need its answer."""

    append_bytes_max: int = 64 * 1024
    """Entries per request; one entry always fits. More would hold up votes and heartbeats."""

    chunk_bytes_max: int = Limits.raft_data_bytes_max
    """A snapshot's chunk; below the message limit of the links, 1 MiB."""

    command_bytes_max: int = Limits.raft_data_bytes_max
    """One command; a larger one would not fit a message."""

    uncommitted_bytes_max: int = 1024 * 1024
    """Proposals without a majority; a leader cut off from it must not fill its memory and disk."""

    snapshot_bytes_max: int = 64 * 1024 * 1024
    """A snapshot taken from a peer, assembled in memory."""

    apply_count_max: int = 1024
    """Committed entries in one `Ready`."""

    compact_entry_count: int = 10_000
    """Entries applied since the last snapshot that make the next one due."""

    compact_bytes: int = 16 * 1024 * 1024
    """Bytes of log in memory that make a snapshot due earlier."""

    keep_entry_count: int = 1_000
    """Entries kept behind a snapshot, so that a follower a little late needs no snapshot."""
