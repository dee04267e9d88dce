"""Build the requests that a leader sends to its peers."""

from collections.abc import Callable
from zlib import crc32

from zreg.raft.config import RaftConfig
from zreg.raft.leader.progress import Progress
from zreg.raft.log import RaftLog
from zreg.wire.records.raft_messages import AppendEntries, InstallSnapshot, TransferLeader


class RequestBuilder:
    """Builds requests from the log, each with a sequence number of its own."""

    def __init__(
        self, config: RaftConfig, log: RaftLog, *, term: int, next_sequence: Callable[[], int]
    ) -> None:
        self._config = config
        self._log = log
        self.term = term
        self._next_sequence = next_sequence

    def append(self, node_id: str, progress: Progress) -> AppendEntries:
        """Return the next entries for a peer, or a heartbeat if it has them all."""
        prev_index = progress.next_index - 1
        prev_term = self._log.term_at(prev_index)
        assert prev_term is not None
        return AppendEntries(
            sender=self._config.node_id,
            receiver=node_id,
            term=self.term,
            sequence=self._next_sequence(),
            prev_index=prev_index,
            prev_term=prev_term,
            commit_index=self._log.commit_index,
            entries=self._log.entries_from(progress.next_index, self._config.append_bytes_max),
        )

    def chunk(self, node_id: str, progress: Progress) -> InstallSnapshot:
        """Return the next chunk of the snapshot, for a peer whose entries are compacted away."""
        assert self._log.snapshot is not None
        snapshot = progress.pin_snapshot(self._log.snapshot)
        offset = progress.snapshot_offset
        return InstallSnapshot(
            sender=self._config.node_id,
            receiver=node_id,
            term=self.term,
            sequence=self._next_sequence(),
            snapshot_index=snapshot.index,
            snapshot_term=snapshot.term,
            configuration=snapshot.configuration,
            total_bytes=len(snapshot.data),
            checksum=crc32(snapshot.data),
            offset=offset,
            data=snapshot.data[offset : offset + self._config.chunk_bytes_max],
        )

    def transfer(self, node_id: str) -> TransferLeader:
        """Return the request to `node_id` to start an election at once."""
        return TransferLeader(
            sender=self._config.node_id,
            receiver=node_id,
            term=self.term,
            sequence=self._next_sequence(),
        )
