"""One election from the candidate's side: which voters to ask, and what their answers decide.

First a pre-vote asks whether the candidate could win (thesis §9.6). It changes no term anywhere, so
a node that was cut off does not depose a healthy leader when it returns. Then comes the real vote,
in a term of its own. A node counts its own vote only when that vote is on disk.
"""

from collections.abc import Callable, Sequence

from zreg.raft.config import RaftConfig
from zreg.raft.leader.progress import Slot
from zreg.raft.leader.quorum import Outcome, tally
from zreg.raft.log import RaftLog
from zreg.wire.records.raft_messages import Reply, RequestVote, RequestVoteReply


class Campaign:
    """The votes for one candidate in one term; a pre-vote names the term of the vote to follow."""

    def __init__(
        self, config: RaftConfig, log: RaftLog, *, term: int, is_pre_vote: bool, is_transfer: bool
    ) -> None:
        self.term = term
        self.is_pre_vote = is_pre_vote
        self._is_transfer = is_transfer
        self._config = config
        self._log = log
        self._voters: Sequence[str] = log.history.latest.voters
        self._votes: dict[str, bool] = {}
        self._slots = {voter: Slot() for voter in self._voters if voter != config.node_id}

    def count_own_vote(self) -> None:
        """Count this node's own vote. A real vote must be on disk before."""
        self._count(self._config.node_id, is_granted=True)

    def outcome(self) -> Outcome:
        """Return what the votes so far decide."""
        return tally(self._votes, self._voters)

    def receive(self, reply: Reply) -> None:
        """Count an answer to a request of this campaign; ignore any other reply."""
        slot = self._slots.get(reply.sender)
        if slot is None or slot.settle(reply.sequence) is None:
            return
        if isinstance(reply, RequestVoteReply) and reply.is_pre_vote is self.is_pre_vote:
            self._count(reply.sender, is_granted=reply.is_granted and reply.term == self.term)

    def _count(self, voter: str, *, is_granted: bool) -> None:
        self._votes.setdefault(voter, is_granted)

    def hold(self, peer: str, sequence: int, *, free_at: int) -> None:
        """Ask `peer` again at the tick `free_at`: the request `sequence` could not be sent."""
        slot = self._slots.get(peer)
        if slot is not None and slot.settle(sequence) is not None:
            slot.hold(free_at=free_at)

    def next_requests(self, now: int, next_sequence: Callable[[], int]) -> list[RequestVote]:
        """Return the requests to send now, to voters that have not answered and owe no answer."""
        requests = []
        for voter, slot in self._slots.items():
            if voter not in self._votes and slot.free_at <= now:
                request = self._request(voter, next_sequence())
                slot.occupy(request, free_at=now + self._config.request_ticks)
                requests.append(request)
        return requests

    def _request(self, voter: str, sequence: int) -> RequestVote:
        return RequestVote(
            sender=self._config.node_id,
            receiver=voter,
            term=self.term,
            sequence=sequence,
            last_index=self._log.last_index,
            last_term=self._log.last_term,
            is_pre_vote=self.is_pre_vote,
            is_transfer=self._is_transfer,
        )
