"""One term of one leader: propose, commit, confirm reads, change members, hand over.

`LogReplication` brings the leader's entries to its peers.
"""

from collections.abc import Callable
from typing import Final

from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration, check_change, encode_configuration
from zreg.raft.errors import (
    CommandTooLargeError,
    ConfigurationError,
    OverloadedError,
    TransferringError,
)
from zreg.raft.leader.leader_transfer import LeaderTransfer
from zreg.raft.leader.log_replication import LogReplication
from zreg.raft.leader.progress import CatchUpState
from zreg.raft.leader.quorum import majority, majority_value
from zreg.raft.leader.read_index import ReadQueue
from zreg.raft.leader.requests import RequestBuilder
from zreg.raft.log import RaftLog
from zreg.wire.records.raft_messages import Entry, EntryKind

_EVERY_ROUND: Final = 2**62


class Leadership:
    """What a leader decides during its term; a new term has a new object.

    Invariants: only an entry of this term is committed by counting, and all before it with it. One
    change of members is under way at a time. Proposed and uncommitted bytes stay below their limit.
    """

    def __init__(
        self,
        config: RaftConfig,
        log: RaftLog,
        *,
        term: int,
        now: int,
        next_sequence: Callable[[], int],
    ) -> None:
        self.term = term
        self.reads = ReadQueue()
        self.transfer = LeaderTransfer()
        requests = RequestBuilder(config, log, term=term, next_sequence=next_sequence)
        self.replication = LogReplication(config, log, requests, self.reads, self.transfer, now=now)
        self._config = config
        self._log = log
        self._now = now
        self._quorum_checked_at = now
        tail = log.entries_between(log.commit_index, log.last_index)
        self._uncommitted_bytes = sum(entry.size_bytes for entry in tail)
        self.replication.sync_members()
        self._append(EntryKind.NOOP, b"")

    # What the node asks for.

    def propose(self, data: bytes) -> Entry:
        """Append a command; it may be lost if the leadership ends before the commit."""
        if self.transfer.target is not None:
            raise TransferringError
        if len(data) > self._config.command_bytes_max:
            raise CommandTooLargeError(
                f"the command has {len(data)} B, of at most {self._config.command_bytes_max} B"
            )
        if self._uncommitted_bytes + len(data) > self._config.uncommitted_bytes_max:
            raise OverloadedError(
                f"{self._uncommitted_bytes} B wait for a majority: try again when fewer wait"
            )
        return self._append(EntryKind.COMMAND, data)

    def change_configuration(self, new: Configuration) -> Entry:
        """Append a configuration with one member changed; it is in force at once."""
        if self.transfer.target is not None:
            raise TransferringError
        self._check_change_allowed()
        old = self._log.history.latest
        check_change(old, new)
        for node_id in (voter for voter in new.voters if voter not in old.voters):
            if self.replication.catch_up_state(node_id) is not CatchUpState.READY:
                raise ConfigurationError(f"{node_id} has not caught up yet: try again later")
        self.replication.forget_changed_journals(old, new)
        entry = self._append(EntryKind.CONFIGURATION, encode_configuration(new))
        self.replication.sync_members()
        return entry

    def _check_change_allowed(self) -> None:
        if not self.has_own_commit():
            raise ConfigurationError(
                "the leader has committed nothing in its own term yet: try again"
            )
        if self._log.history.latest_index > self._log.commit_index:
            raise ConfigurationError("the previous change is not committed yet: try again")

    def transfer_to(self, target: str) -> None:
        """Hand over to `target` as soon as it has the whole log; until then propose nothing."""
        if target == self._config.node_id or target not in self._log.history.latest.voters:
            raise ConfigurationError(f"{target} is not another voter")
        self.transfer.start(target, ends_at=self._now + self._config.election_ticks)

    def has_own_commit(self) -> bool:
        """Return whether an entry of this term is committed, and so all entries before it are."""
        return self._log.term_at(self._log.commit_index) == self.term

    def _append(self, kind: EntryKind, data: bytes) -> Entry:
        entry = Entry(self._log.last_index + 1, self.term, kind, data)
        self._log.append((entry,))
        self._uncommitted_bytes += entry.size_bytes
        return entry

    # What follows from replies and saves.

    def commit(self) -> bool:
        """Commit what a majority has on disk (§5.3, §5.4.2); return if the commit index rose."""
        log = self._log
        before = log.commit_index
        if before == log.last_index:
            return False
        index = majority_value([self._match_index(voter) for voter in log.history.latest.voters])
        if index <= before or not self._may_commit(index):
            return False
        log.commit_to(index)
        for entry in log.entries_between(before, index):
            self._uncommitted_bytes -= entry.size_bytes
        return True

    def _may_commit(self, index: int) -> bool:
        return self._log.term_at(index) == self.term

    def _match_index(self, voter: str) -> int:
        if voter == self._config.node_id:
            return self._log.saved_index
        return self.replication.progress[voter].match_index

    def is_self_removed(self) -> bool:
        """Return whether the leader's own removal is committed (thesis §4.2.2)."""
        history = self._log.history
        is_voter = self._config.node_id in history.latest.voters
        return not is_voter and history.latest_index <= self._log.commit_index

    def confirm_reads(self) -> None:
        """Start a round for the reads that wait, and confirm those that a majority answered."""
        if self.reads.is_idle:
            return
        if self.has_own_commit():
            self.reads.open_round(self._log.commit_index)
        if self.reads.is_pending:
            voters = self._log.history.latest.voters
            self.reads.confirm(majority_value([self._confirmed_round(voter) for voter in voters]))

    def _confirmed_round(self, voter: str) -> int:
        if voter == self._config.node_id:
            return _EVERY_ROUND
        return self.replication.progress[voter].confirmed_round

    # Time.

    def tick(self, now: int) -> bool:
        """Count a tick; return False when the leader has lost its majority (thesis §6.2)."""
        self._now = now
        self.replication.tick(now)
        self.transfer.tick(now)
        if now - self._quorum_checked_at < self._config.election_ticks:
            return True
        self._quorum_checked_at = now
        voters = self._log.history.latest.voters
        active_count = sum(self._take_active(voter) for voter in voters)
        return active_count >= majority(len(voters))

    def _take_active(self, voter: str) -> bool:
        if voter == self._config.node_id:
            return True
        progress = self.replication.progress[voter]
        was_active, progress.is_active = progress.is_active, False
        return was_active
