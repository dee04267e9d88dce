"""Raft with one guard removed, in memory: some test must fail with each of these mutations.

    with mutated("own-term commit"):
        run_seed(17)        # raises

They are in the order of our catalogue of known bugs of Raft implementations.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from zreg.raft.configuration import ConfigurationHistory
from zreg.raft.errors import ConfigurationError
from zreg.raft.follower.follower import Appended, Follower
from zreg.raft.leader.election import Campaign
from zreg.raft.leader.leadership import Leadership
from zreg.raft.leader.progress import Slot
from zreg.raft.leader.quorum import Outcome, majority
from zreg.raft.leader.read_index import ReadQueue
from zreg.raft.log import RaftLog
from zreg.raft.node_state import NodeState
from zreg.raft.ready import Persisted
from zreg.testing.sim.disk import SimDisk
from zreg.wire.records.raft_messages import AppendEntries, Entry, Reply, Request, RequestVoteReply

_load = SimDisk.load
_append = Follower.append
_become_follower = NodeState.become_follower


def _load_without_vote(self: SimDisk) -> Persisted:
    stored = _load(self)
    return Persisted(term=stored.term, snapshot=stored.snapshot, entries=stored.entries)


def _forget(self: SimDisk) -> None:
    """Sync only the first step, which makes the node a member."""
    if not self.rows:
        for step in self._written:
            self._apply(step)
    self._written.clear()


def _commit_any_term(self: Leadership, index: int) -> bool:
    return index > 0 and bool(self.term)


def _change_without_own_commit(self: Leadership) -> None:
    if self._log.history.latest_index > self._log.commit_index:
        raise ConfigurationError("the previous change is not committed yet")


def _change_without_order(self: Leadership) -> None:
    """Allow a change of the members at any time."""


def _count_every_reply(self: Campaign, reply: Reply) -> None:
    if not isinstance(reply, RequestVoteReply) or reply.term != self.term:
        return
    if reply.is_pre_vote is self.is_pre_vote:
        number = len(self._votes)
        self._votes[f"{reply.sender} {number}"] = reply.is_granted


def _count_votes(self: Campaign) -> Outcome:
    granted = sum(self._votes.values())
    return Outcome.WON if granted >= majority(len(self._voters)) else Outcome.PENDING


def _truncate_always(self: RaftLog, entries: Sequence[Entry]) -> None:
    if entries:
        self._truncate(entries[0].index)
        self.append(entries)


def _commit_to_the_end(self: Follower, request: AppendEntries) -> Appended:
    outcome = _append(self, request)
    self._log.commit_to(min(request.commit_index, self._log.last_index))
    return outcome


def _vote_for_any_log(self: RaftLog, last_index: int, last_term: int) -> bool:
    return last_index + last_term >= 0 and self.last_index >= 0


def _count_unsaved(self: Leadership, voter: str) -> int:
    if voter == self._config.node_id:
        return self._log.last_index
    return self.replication.progress[voter].match_index


def _read_without_round(self: ReadQueue, commit_index: int) -> None:
    self._rounds.append((self.round, commit_index, self._waiting))
    self._waiting = []


def _take_any_reply(self: Slot, sequence: int) -> Request | None:
    request, self.request = self.request, None
    self.free_at = 0
    return request if sequence else None


def _forget_vote(self: NodeState, term: int, leader: str | None) -> None:
    _become_follower(self, term, leader)
    self.vote = None


def _keep_configuration(self: ConfigurationHistory, index: int) -> None:
    self._history = [(min(start, index - 1), each) for start, each in self._history]


def _campaign_as_known(self: NodeState) -> bool:
    history = self._log.history
    committed = history.at(self._log.commit_index)
    return self._config.node_id in (*history.latest.voters, *committed.voters)


_MUTATIONS: Final[dict[str, tuple[tuple[type, str, object], ...]]] = {
    "vote durability": ((SimDisk, "load", _load_without_vote),),
    "vote kept in the term": ((NodeState, "become_follower", _forget_vote),),
    "sync before answer": ((SimDisk, "sync", _forget),),
    "own disk counted when saved": ((Leadership, "_match_index", _count_unsaved),),
    "own-term commit": ((Leadership, "_may_commit", _commit_any_term),),
    "conflict-only truncation": ((RaftLog, "merge", _truncate_always),),
    "commit what was matched": ((Follower, "append", _commit_to_the_end),),
    "reply to this request": ((Slot, "settle", _take_any_reply),),
    "duplicate votes": (
        (Campaign, "receive", _count_every_reply),
        (Campaign, "outcome", _count_votes),
    ),
    "membership-change fix": ((Leadership, "_check_change_allowed", _change_without_own_commit),),
    "one change at a time": ((Leadership, "_check_change_allowed", _change_without_order),),
    "configuration rolled back": ((ConfigurationHistory, "truncate", _keep_configuration),),
    "read round": ((ReadQueue, "open_round", _read_without_round),),
    "removed leader finishes": ((NodeState, "_may_campaign", _campaign_as_known),),
    "up-to-date vote": ((RaftLog, "is_up_to_date", _vote_for_any_log),),
}

MUTATIONS: Final = tuple(_MUTATIONS)


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Remove the guard `name`, one of `MUTATIONS`, as long as the block lasts."""
    changes = _MUTATIONS[name]
    before = [(owner, attribute, owner.__dict__[attribute]) for owner, attribute, _ in changes]
    for owner, attribute, replacement in changes:
        setattr(owner, attribute, replacement)
    try:
        yield
    finally:
        for owner, attribute, original in before:
            setattr(owner, attribute, original)
