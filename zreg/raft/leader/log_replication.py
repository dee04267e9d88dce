"""Replicate a leader's log: what its peers have, and which request each gets next.

A peer has one request under way, so a request carries all that waits for that peer: batches form
by themselves. The commit index goes along with the next request, at the latest a heartbeat.
"""

from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration
from zreg.raft.leader.leader_transfer import LeaderTransfer
from zreg.raft.leader.progress import CatchUp, CatchUpState, Progress
from zreg.raft.leader.read_index import ReadQueue
from zreg.raft.leader.requests import RequestBuilder
from zreg.raft.log import RaftLog
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Reply,
    Request,
    TransferLeader,
    TransferLeaderReply,
)


class LogReplication:
    """The progress of each peer during one term of a leader.

    Invariants: `progress` holds every member but this node. A reply counts only for the request
    under way. A peer's `match_index` never exceeds what this leader has sent.
    """

    def __init__(
        self,
        config: RaftConfig,
        log: RaftLog,
        requests: RequestBuilder,
        reads: ReadQueue,
        transfer: LeaderTransfer,
        *,
        now: int,
    ) -> None:
        self.progress: dict[str, Progress] = {}
        self.now = now
        self._config = config
        self._log = log
        self._requests = requests
        self._reads = reads
        self._transfer = transfer

    # Members.

    def sync_members(self) -> None:
        """Make `progress` follow the configuration that is in force."""
        latest = self._log.history.latest
        before, self.progress = self.progress, {}
        for node_id in latest.members:
            if node_id == self._config.node_id:
                continue
            # A new peer is due at once; its first request asks about the end of the log.
            sent_at = self.now - self._config.heartbeat_ticks
            progress = before.get(node_id) or Progress(
                next_index=self._log.last_index + 1, now=sent_at
            )
            if node_id in latest.voters:
                progress.catch_up = None
            elif progress.catch_up is None:
                progress.catch_up = CatchUp(
                    target_index=self._log.last_index, election_ticks=self._config.election_ticks
                )
            self.progress[node_id] = progress

    def forget_changed_journals(self, old: Configuration, new: Configuration) -> None:
        """Drop the progress of learners with a new journal: what the old one held may be lost."""
        for node_id in new.learners:
            if new.journals.get(node_id) != old.journals.get(node_id):
                self.progress.pop(node_id, None)

    def catch_up_state(self, node_id: str) -> CatchUpState | None:
        """Return how far the learner `node_id` has come; None if it is no learner."""
        progress = self.progress.get(node_id)
        return progress.catch_up.state if progress and progress.catch_up else None

    def tick(self, now: int) -> None:
        """Count a tick for each learner."""
        self.now = now
        for progress in self.progress.values():
            if progress.catch_up is not None:
                progress.catch_up.tick()

    # Replies.

    def receive(self, reply: Reply) -> None:
        """Take a reply of this term to the request under way at its sender; ignore any other."""
        progress = self.progress.get(reply.sender)
        request = progress.slot.settle(reply.sequence) if progress else None
        if progress is None or request is None or reply.term != self._requests.term:
            return
        match (reply, request):
            case (AppendEntriesReply(), AppendEntries()):
                self._on_appended(progress, reply, request)
            case (InstallSnapshotReply(), InstallSnapshot()):
                self._on_installed(progress, reply, request)
            case (TransferLeaderReply(is_accepted=is_accepted), TransferLeader()):
                self._transfer.on_reply(is_accepted=is_accepted)
            case _:
                pass

    def _on_appended(
        self, progress: Progress, reply: AppendEntriesReply, request: AppendEntries
    ) -> None:
        if reply.is_success:
            # Count at most what the request carried, even if the reply claims more.
            progress.on_matched(min(reply.match_index, request.prev_index + len(request.entries)))
        else:
            agreed = self._log.index_not_above(reply.hint_index, reply.hint_term)
            agreed = min(agreed, reply.hint_index)
            if not progress.on_rejected(request.prev_index, agreed):
                # The peer refuses what it acknowledged: without a pause both would spin.
                progress.slot.hold(free_at=self.now + 1)
        self._mark_answered(progress)

    def _on_installed(
        self, progress: Progress, reply: InstallSnapshotReply, request: InstallSnapshot
    ) -> None:
        if reply.match_index >= request.snapshot_index:
            progress.snapshot = None
            progress.on_matched(request.snapshot_index)
        else:
            progress.snapshot_offset = min(reply.next_offset, request.total_bytes)
            if reply.next_offset <= request.offset:
                progress.slot.hold(free_at=self.now + 1)
        self._mark_answered(progress)

    def _mark_answered(self, progress: Progress) -> None:
        progress.is_active = True
        progress.heard_at = self.now
        progress.confirmed_round = max(progress.confirmed_round, progress.slot.read_round)
        if progress.catch_up is not None:
            progress.catch_up.on_matched(progress.match_index, self._log.last_index)

    def hold(self, peer: str, sequence: int, *, free_at: int) -> None:
        """Try `peer` again at the tick `free_at`: the request `sequence` could not be sent."""
        progress = self.progress.get(peer)
        if progress and progress.slot.settle(sequence) is not None:
            progress.slot.hold(free_at=free_at)

    # Requests.

    def next_requests(self) -> list[Request]:
        """Return the next request for each peer that owes no answer and has something due."""
        requests: list[Request] = []
        for node_id, progress in self.progress.items():
            if progress.slot.free_at > self.now:
                continue
            request = self._next_request(node_id, progress)
            if request is not None:
                is_chunk = isinstance(request, InstallSnapshot)
                wait = self._config.chunk_request_ticks if is_chunk else self._config.request_ticks
                progress.slot.occupy(request, free_at=self.now + wait)
                progress.slot.read_round = self._reads.round
                progress.sent_at = self.now
                requests.append(request)
        return requests

    def _next_request(self, node_id: str, progress: Progress) -> Request | None:
        if self._transfer.target is not None and self._is_transfer_due(node_id, progress):
            return self._requests.transfer(node_id)
        if not self._is_due(progress):
            return None
        if progress.next_index <= self._log.anchor_index:
            return self._requests.chunk(node_id, progress)
        return self._requests.append(node_id, progress)

    def _is_transfer_due(self, node_id: str, progress: Progress) -> bool:
        has_whole_log = progress.match_index == self._log.last_index
        return has_whole_log and self._transfer.is_due_for(node_id)

    def _is_due(self, progress: Progress) -> bool:
        return (
            progress.next_index <= self._log.last_index
            or self.now - progress.sent_at >= self._config.heartbeat_ticks
            or progress.slot.read_round < self._reads.round
        )
