"""One term of one leader: replicate, commit, read, change members, hand over.

A peer has one request under way, so a request carries all that waits for that peer: batches form
by themselves. The commit index goes along with the next request, at the latest a heartbeat.
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
from zreg.raft.log import RaftLog
from zreg.raft.progress import CatchUp, CatchUpState, Progress
from zreg.raft.quorum import majority, majority_value
from zreg.raft.read_index import ReadQueue
from zreg.raft.requests import Requests
from zreg.wire.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    InstallSnapshot,
    InstallSnapshotReply,
    Reply,
    Request,
    TransferLeader,
    TransferLeaderReply,
)

_EVERY_ROUND: Final = 2**62


class Leadership:
    """What a leader knows and decides in its term; it ends with the term."""

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
        self.progress: dict[str, Progress] = {}
        self.transfer_target: str | None = None
        self._config = config
        self._log = log
        self._now = now
        self._requests = Requests(config, log, term=term, next_sequence=next_sequence)
        self._transfer_ends_at = 0
        self._is_transfer_accepted = False
        self._quorum_checked_at = now
        tail = log.entries_between(log.commit_index, log.last_index)
        self._uncommitted_bytes = sum(entry.size_bytes for entry in tail)
        self._sync_members()
        self._append(EntryKind.NOOP, b"")

    # What the node asks for.

    def propose(self, data: bytes) -> Entry:
        """Append a command; it may still be lost with the leadership."""
        if self.transfer_target is not None:
            raise TransferringError
        if len(data) > self._config.command_bytes_max:
            raise CommandTooLargeError(f"a command has at most {self._config.command_bytes_max} B")
        if self._uncommitted_bytes + len(data) > self._config.uncommitted_bytes_max:
            raise OverloadedError(f"{self._uncommitted_bytes} B wait for a majority")
        return self._append(EntryKind.COMMAND, data)

    def change_configuration(self, new: Configuration) -> Entry:
        """Append a configuration with one member changed; it counts at once."""
        if self.transfer_target is not None:
            raise TransferringError
        self._check_change_allowed()
        old = self._log.history.latest
        check_change(old, new)
        for node_id in (voter for voter in new.voters if voter not in old.voters):
            if self.catch_up_state(node_id) is not CatchUpState.READY:
                raise ConfigurationError(f"{node_id} has not caught up yet")
        _forget_former_journals(self.progress, old, new)
        entry = self._append(EntryKind.CONFIGURATION, encode_configuration(new))
        self._sync_members()
        return entry

    def _check_change_allowed(self) -> None:
        if not self.has_own_commit():
            raise ConfigurationError("the leader has committed nothing in its own term yet")
        if self._log.history.latest_index > self._log.commit_index:
            raise ConfigurationError("the change before is not committed yet")

    def catch_up_state(self, node_id: str) -> CatchUpState | None:
        """Say how the learner `node_id` stands; None if it is no learner."""
        progress = self.progress.get(node_id)
        return progress.catch_up.state if progress and progress.catch_up else None

    def transfer_to(self, target: str) -> None:
        """Hand over to `target` as soon as it has the whole log; until then nothing is proposed."""
        if target == self._config.node_id or target not in self._log.history.latest.voters:
            raise ConfigurationError(f"{target} is no other voter")
        self.transfer_target = target
        self._is_transfer_accepted = False
        self._transfer_ends_at = self._now + self._config.election_ticks

    def has_own_commit(self) -> bool:
        """Say whether an entry of this term is committed, so that all before it is known to be."""
        return self._log.term_at(self._log.commit_index) == self.term

    def _append(self, kind: EntryKind, data: bytes) -> Entry:
        entry = Entry(self._log.last_index + 1, self.term, kind, data)
        self._log.append((entry,))
        self._uncommitted_bytes += entry.size_bytes
        return entry

    def _sync_members(self) -> None:
        latest = self._log.history.latest
        before, self.progress = self.progress, {}
        for node_id in latest.members:
            if node_id == self._config.node_id:
                continue
            # A new peer is due at once, and is first asked for the end of the log.
            beat_at = self._now - self._config.heartbeat_ticks
            progress = before.get(node_id) or Progress(
                next_index=self._log.last_index + 1, now=beat_at
            )
            if node_id in latest.voters:
                progress.catch_up = None
            elif progress.catch_up is None:
                progress.catch_up = CatchUp(
                    target_index=self._log.last_index, election_ticks=self._config.election_ticks
                )
            self.progress[node_id] = progress

    # What peers answer.

    def receive(self, reply: Reply) -> None:
        """Take a reply of this term to the request that its sender owes; drop any other."""
        progress = self.progress.get(reply.sender)
        request = progress.slot.settle(reply.sequence) if progress else None
        if progress is None or request is None or reply.term != self.term:
            return
        match (reply, request):
            case (AppendEntriesReply(), AppendEntries()):
                self._on_appended(progress, reply, request)
            case (InstallSnapshotReply(), InstallSnapshot()):
                self._on_installed(progress, reply, request)
            case (TransferLeaderReply(is_accepted=is_accepted), TransferLeader()):
                self._is_transfer_accepted = is_accepted
                if not is_accepted:
                    self.transfer_target = None
            case _:
                pass

    def _heard(self, progress: Progress) -> None:
        progress.is_active = True
        progress.heard_at = self._now
        progress.acked_round = max(progress.acked_round, progress.slot.read_round)
        if progress.catch_up is not None:
            progress.catch_up.matched(progress.match_index, self._log.last_index)

    def _on_appended(
        self, progress: Progress, reply: AppendEntriesReply, request: AppendEntries
    ) -> None:
        if reply.is_success:
            # What was sent is what may be counted, whatever the reply claims beyond it.
            progress.matched(min(reply.match_index, request.prev_index + len(request.entries)))
        else:
            agreed = self._log.index_not_above(reply.hint_index, reply.hint_term)
            agreed = min(agreed, reply.hint_index)
            if not progress.rejected(request.prev_index, agreed):
                # It refuses what it said it has: without a pause this would spin.
                progress.slot.hold(free_at=self._now + 1)
        self._heard(progress)

    def _on_installed(
        self, progress: Progress, reply: InstallSnapshotReply, request: InstallSnapshot
    ) -> None:
        if reply.match_index >= request.snapshot_index:
            progress.snapshot = None
            progress.matched(request.snapshot_index)
        else:
            progress.snapshot_offset = min(reply.next_offset, request.total_bytes)
            if reply.next_offset <= request.offset:
                progress.slot.hold(free_at=self._now + 1)
        self._heard(progress)

    def hold(self, peer: str, sequence: int, *, free_at: int) -> None:
        """`peer` could not be reached: try it again at the tick `free_at`."""
        progress = self.progress.get(peer)
        if progress and progress.slot.settle(sequence) is not None:
            progress.slot.hold(free_at=free_at)

    # What follows from it.

    def commit(self) -> bool:
        """Raise the commit index to what a majority has on disk (§5.3, §5.4.2); say if it rose."""
        log = self._log
        before = log.commit_index
        if before == log.last_index:
            return False
        index = majority_value([self._matched(voter) for voter in log.history.latest.voters])
        if index <= before or not self._may_commit(index):
            return False
        log.commit_to(index)
        for entry in log.entries_between(before, index):
            self._uncommitted_bytes -= entry.size_bytes
        return True

    def _may_commit(self, index: int) -> bool:
        return self._log.term_at(index) == self.term

    def _matched(self, voter: str) -> int:
        if voter == self._config.node_id:
            return self._log.saved_index
        return self.progress[voter].match_index

    def is_over(self) -> bool:
        """Say whether the leader took itself out and that is committed (thesis §4.2.2)."""
        history = self._log.history
        is_voter = self._config.node_id in history.latest.voters
        return not is_voter and history.latest_index <= self._log.commit_index

    def tick(self, now: int) -> bool:
        """One tick passed; return False when the leader has lost its majority (thesis §6.2)."""
        self._now = now
        for progress in self.progress.values():
            if progress.catch_up is not None:
                progress.catch_up.tick()
        if self.transfer_target is not None and now >= self._transfer_ends_at:
            self.transfer_target = None
        if now - self._quorum_checked_at < self._config.election_ticks:
            return True
        self._quorum_checked_at = now
        voters = self._log.history.latest.voters
        active_count = sum(self._take_active(voter) for voter in voters)
        return active_count >= majority(len(voters))

    def _take_active(self, voter: str) -> bool:
        if voter == self._config.node_id:
            return True
        progress = self.progress[voter]
        was_active, progress.is_active = progress.is_active, False
        return was_active

    def _confirm_reads(self) -> None:
        """Start a round for the reads that wait, and release those that a majority confirmed."""
        if self.reads.is_idle:
            return
        if self.has_own_commit():
            self.reads.open_round(self._log.commit_index)
        if self.reads.is_pending:
            voters = self._log.history.latest.voters
            self.reads.confirm(majority_value([self._acked_round(voter) for voter in voters]))

    def _acked_round(self, voter: str) -> int:
        return _EVERY_ROUND if voter == self._config.node_id else self.progress[voter].acked_round

    # What is to be sent.

    def next_requests(self) -> list[Request]:
        """Return the next request for each peer that owes no answer and has something due."""
        self._confirm_reads()
        requests: list[Request] = []
        for node_id, progress in self.progress.items():
            if progress.slot.free_at > self._now:
                continue
            request = self._next_request(node_id, progress)
            if request is not None:
                is_chunk = isinstance(request, InstallSnapshot)
                wait = self._config.chunk_request_ticks if is_chunk else self._config.request_ticks
                progress.slot.occupy(request, free_at=self._now + wait)
                progress.slot.read_round = self.reads.round
                progress.beat_at = self._now
                requests.append(request)
        return requests

    def _next_request(self, node_id: str, progress: Progress) -> Request | None:
        if self.transfer_target is not None and self._is_transfer_due(node_id, progress):
            return self._requests.transfer(node_id)
        if not self._is_due(progress):
            return None
        if progress.next_index <= self._log.anchor_index:
            return self._requests.chunk(node_id, progress)
        return self._requests.append(node_id, progress)

    def _is_transfer_due(self, node_id: str, progress: Progress) -> bool:
        return (
            node_id == self.transfer_target
            and not self._is_transfer_accepted
            and progress.match_index == self._log.last_index
        )

    def _is_due(self, progress: Progress) -> bool:
        return (
            progress.next_index <= self._log.last_index
            or self._now - progress.beat_at >= self._config.heartbeat_ticks
            or progress.slot.read_round < self.reads.round
        )


def _forget_former_journals(
    progress: dict[str, Progress], old: Configuration, new: Configuration
) -> None:
    """Let learners begin anew whose journal becomes known: one before it may have been lost."""
    for node_id in new.learners:
        if new.journals.get(node_id) != old.journals.get(node_id):
            progress.pop(node_id, None)
