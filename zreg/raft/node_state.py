"""The term, vote, role and leader of one node, and every change of them.

follower ──timeout──> pre-candidate ──majority──> candidate ──majority──> leader
    ^                      │                          │                     │
    └──────────── a message of a leader or a higher term, or a lost vote ───┘
                  or the leader has lost its majority, or removed itself
"""

from typing import TYPE_CHECKING

from zreg.raft.config import RaftConfig
from zreg.raft.leader.election import Campaign
from zreg.raft.leader.leadership import Leadership
from zreg.raft.leader.quorum import Outcome
from zreg.raft.log import RaftLog
from zreg.raft.status import Role
from zreg.wire.records.raft_messages import RequestVote

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class NodeState:
    """The term, vote, role and leader of one node; term and vote are saved before a reply is sent.

    A candidate has a `campaign`, a leader a `leadership`, a follower neither.
    """

    def __init__(
        self, config: RaftConfig, log: RaftLog, rng: "Random", *, term: int, vote: str | None
    ) -> None:
        self.term = term
        self.vote = vote
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.campaign: Campaign | None = None
        self.leadership: Leadership | None = None
        self.now = 0
        # Called with a candidate's last index before this node votes or is that candidate.
        self.may_elect: Callable[[int], bool] = _always
        self._config = config
        self._log = log
        self._rng = rng
        self._refused_reads: list[int] = []
        # A random start keeps the sequence numbers of this run apart from those of earlier runs.
        self._sequence = rng.getrandbits(48)
        self._reset_timer()

    def next_sequence(self) -> int:
        """Return the number of the next request."""
        self._sequence += 1
        return self._sequence

    def take_refused_reads(self) -> tuple[int, ...]:
        """Hand out the reads that were lost with a leadership, each once."""
        if not self._refused_reads:
            return ()
        refused, self._refused_reads = self._refused_reads, []
        return tuple(refused)

    def tick(self) -> None:
        """Count a tick: a leader checks its majority, any other node its election timeout."""
        self.now += 1
        if self.leadership is not None:
            if not self.leadership.tick(self.now):
                self.become_follower(self.term, None)
            return
        self._elapsed += 1
        if self._elapsed >= self._timeout:
            self._start_campaign(is_pre_vote=True)

    def follow(self, term: int, leader: str) -> bool:
        """Follow `leader` in `term`; return False, and do nothing, if this node leads that term."""
        if self.role is Role.LEADER and term == self.term:
            return False
        if self.role is not Role.FOLLOWER or term != self.term or leader != self.leader:
            self.become_follower(term, leader)
            self._reset_timer()
        # A node that keeps its leader draws no new timeout: it competes with no other candidate.
        self._elapsed = 0
        return True

    def become_follower(self, term: int, leader: str | None) -> None:
        """Become a follower, or stay one, in `term`, which is never older than the present one."""
        assert term >= self.term
        if term > self.term:
            # Only a new term clears the vote: a node votes once per term (§5.2).
            self.term, self.vote = term, None
        if self.role is not Role.FOLLOWER:
            self._reset_timer()
        if self.leadership is not None:
            self._refused_reads += self.leadership.reads.drop()
        self.leadership = self.campaign = None
        self.role = Role.FOLLOWER
        self.leader = leader

    def grant(self, request: RequestVote) -> bool:
        """Vote on `request` and return whether the vote is granted; a pre-vote changes nothing."""
        if request.term < self.term or (self._has_live_leader() and not request.is_transfer):
            return False
        if request.term > self.term and not request.is_pre_vote:
            self.become_follower(request.term, None)
        is_granted = self._may_vote(request)
        if is_granted and not request.is_pre_vote:
            self.vote = request.sender
            self._reset_timer()
        return is_granted

    def _has_live_leader(self) -> bool:
        if self.role is Role.LEADER:
            return True
        return self.leader is not None and self._elapsed < self._config.election_ticks

    def _may_vote(self, request: RequestVote) -> bool:
        if not self._log.history.latest.members:
            # This node is not a member yet, so its vote counts in no cluster.
            return False
        if not self.may_elect(request.last_index):
            return False
        is_free = (
            request.term > self.term
            or self.vote == request.sender
            or (self.vote is None and self.leader is None)
        )
        return is_free and self._log.is_up_to_date(request.last_index, request.last_term)

    def campaign_for_transfer(self) -> None:
        """Start an election at once: the leader asked for it, so no pre-vote is needed."""
        self._start_campaign(is_pre_vote=False, is_transfer=True)

    def _start_campaign(self, *, is_pre_vote: bool, is_transfer: bool = False) -> None:
        self._reset_timer()
        self.leader = None
        if not self._may_campaign():
            return
        term = self.term + 1
        if not is_pre_vote:
            self.term, self.vote = term, self._config.node_id
        self.role = Role.PRE_CANDIDATE if is_pre_vote else Role.CANDIDATE
        self.campaign = Campaign(
            self._config, self._log, term=term, is_pre_vote=is_pre_vote, is_transfer=is_transfer
        )
        if is_pre_vote:
            self.campaign.count_own_vote()
            self.decide()

    def _may_campaign(self) -> bool:
        if not self.may_elect(self._log.last_index):
            return False
        history = self._log.history
        if self._config.node_id in history.latest.voters:
            return True
        # A node whose removal is not committed may be needed to commit it (thesis §4.2.2). After a
        # restart the commit index is unknown, so the configuration before the latest decides.
        before = history.at(history.latest_index - 1)
        is_committed = history.latest_index <= self._log.commit_index
        return not is_committed and self._config.node_id in before.voters

    def on_saved(self) -> bool:
        """Count this node's own vote and entries, now on disk; return if work may follow."""
        is_voting = self.campaign is not None and not self.campaign.is_pre_vote
        if self.campaign is not None and is_voting:
            self.campaign.count_own_vote()
            self.decide()
        return self.commit() or is_voting

    def decide(self) -> None:
        """End the campaign if its votes decide it: lost, on to the real vote, or leader."""
        assert self.campaign is not None
        outcome = self.campaign.outcome()
        if outcome is Outcome.LOST:
            self.become_follower(self.term, None)
        elif outcome is Outcome.WON and self.campaign.is_pre_vote:
            self._start_campaign(is_pre_vote=False)
        elif outcome is Outcome.WON:
            self._become_leader()

    def _become_leader(self) -> None:
        self.role = Role.LEADER
        self.leader = self._config.node_id
        self.campaign = None
        self.leadership = Leadership(
            self._config,
            self._log,
            term=self.term,
            now=self.now,
            next_sequence=self.next_sequence,
        )

    def commit(self) -> bool:
        """Raise the commit index, and step down if that removed this leader; return if it rose."""
        leadership = self.leadership
        if leadership is None or not leadership.commit():
            return False
        if leadership.is_self_removed():
            self.become_follower(self.term, None)
        return True

    def _reset_timer(self) -> None:
        self._elapsed = 0
        election_ticks = self._config.election_ticks
        self._timeout = election_ticks + self._rng.randrange(election_ticks)


def _always(_last_index: int) -> bool:
    return True
