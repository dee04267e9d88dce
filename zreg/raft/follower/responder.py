"""Answer the requests of peers: each gets exactly one reply in a later `Ready`."""

from typing import assert_never

from zreg.effects import Snapshot
from zreg.raft.config import RaftConfig
from zreg.raft.follower.follower import Follower, is_sound_append, is_sound_chunk
from zreg.raft.follower.replies import (
    append_reply,
    chunk_reply,
    refusal,
    transfer_reply,
    vote_reply,
)
from zreg.raft.log import RaftLog
from zreg.raft.node_state import NodeState
from zreg.wire.records.raft_messages import (
    AppendEntries,
    InstallSnapshot,
    Reply,
    Request,
    RequestVote,
    TransferLeader,
)


class Responder:
    """Takes requests, and collects their replies and the snapshot that they completed."""

    def __init__(
        self, config: RaftConfig, log: RaftLog, state: NodeState, *, restore: Snapshot | None
    ) -> None:
        self.replies: list[Reply] = []
        # The snapshot that the state machine must load next, None if there is none.
        self.restore = restore
        self._node_id = config.node_id
        self._log = log
        self._state = state
        self._follower = Follower(log, snapshot_bytes_max=config.snapshot_bytes_max)

    def clear(self) -> None:
        """Forget the replies and the snapshot: they were handed out."""
        self.replies, self.restore = [], None

    def on_request(self, request: Request) -> None:
        """Take a request and add its reply."""
        is_addressed = request.receiver == self._node_id and request.sender != self._node_id
        is_old = request.term < self._state.term and not isinstance(request, RequestVote)
        if not is_addressed or is_old:
            # The newer term in the refusal frees a peer that is stuck in an older one (§5.1).
            self._refuse(request)
            return
        match request:
            case RequestVote():
                self._on_request_vote(request)
            case AppendEntries():
                self._on_append(request)
            case InstallSnapshot():
                self._on_chunk(request)
            case TransferLeader():
                self._on_transfer(request)
            case _:
                assert_never(request)

    def _refuse(self, request: Request) -> None:
        self.replies.append(refusal(self._node_id, request, term=self._state.term))

    def _on_request_vote(self, request: RequestVote) -> None:
        is_granted = self._state.grant(request)
        # A granted pre-vote repeats the term asked for; a refusal names this node's term.
        term = request.term if is_granted else self._state.term
        self.replies.append(vote_reply(self._node_id, request, term=term, is_granted=is_granted))

    def _on_append(self, request: AppendEntries) -> None:
        if not is_sound_append(request) or not self._state.follow(request.term, request.sender):
            self._refuse(request)
            return
        outcome = self._follower.append(request)
        self.replies.append(
            append_reply(self._node_id, request, term=self._state.term, outcome=outcome)
        )

    def _on_chunk(self, request: InstallSnapshot) -> None:
        if not is_sound_chunk(request) or not self._state.follow(request.term, request.sender):
            self._refuse(request)
            return
        outcome, snapshot = self._follower.install(request)
        self.restore = snapshot or self.restore
        self.replies.append(
            chunk_reply(self._node_id, request, term=self._state.term, outcome=outcome)
        )

    def _on_transfer(self, request: TransferLeader) -> None:
        is_voter = self._node_id in self._log.history.latest.voters
        is_accepted = is_voter and self._state.follow(request.term, request.sender)
        self.replies.append(
            transfer_reply(self._node_id, request, term=self._state.term, is_accepted=is_accepted)
        )
        if is_accepted:
            self._state.campaign_for_transfer()
