"""The promises of Raft, checked after every step of a simulated cluster.

The checks are the five properties of the Raft paper's figure 3 (election safety, leader
append-only, log matching, leader completeness, state machine safety), and what zreg promises in
addition: an acknowledged entry is on disk, a committed entry is on the disks of a majority, terms
and votes survive a crash, each request gets one reply. A step changes one node, so only that node
is checked.
"""

from typing import Protocol

from zreg.raft.leader.quorum import majority
from zreg.raft.ready import Ready
from zreg.raft.status import Role
from zreg.testing.raft.raft_node import SimNode
from zreg.testing.sim.disk import SimDisk
from zreg.wire.records.raft_messages import (
    AppendEntriesReply,
    Entry,
    InstallSnapshotReply,
    RaftMessage,
    Reply,
    RequestVoteReply,
)


class SafetyError(AssertionError):
    """A promise of Raft is broken; the text names the promise and the node."""


class _Nodes(Protocol):
    def __getitem__(self, node_id: str) -> SimNode: ...


def _demand(is_kept: bool, promise: str) -> None:  # noqa: FBT001 - reads like an assert
    if not is_kept:
        raise SafetyError(promise)


class RaftChecker:
    """Sees every step; raises `SafetyError` at the first broken promise."""

    def __init__(self, nodes: _Nodes) -> None:
        self.committed: list[Entry] = []
        self.requests_waiting: dict[str, int] = {}
        self._commit_terms: list[int] = []
        self._nodes = nodes
        self._leaders: dict[int, str] = {}
        self._entries: dict[tuple[int, int], tuple[int, Entry]] = {}
        self._digests: dict[int, str] = {}
        self._promises: dict[str, tuple[int, str | None]] = {}
        self._commits: dict[str, int] = {}
        self._led_until: dict[str, tuple[int, int]] = {}

    def on_start(self, node: SimNode) -> None:
        """Expect of `node` only what is on its disk: it has lost its memory."""
        assert node.core is not None
        self._commits[node.node_id] = node.core.log.commit_index
        self.requests_waiting[node.node_id] = 0
        self._led_until.pop(node.node_id, None)

    def on_ready(self, node: SimNode, ready: Ready) -> None:
        """Check the core after a step: leader, entries, commit index, one reply per request."""
        self._check_leader(node, ready)
        self._check_entries(node, ready)
        self._check_commit(node)
        replies = sum(isinstance(message, Reply) for message in ready.messages)
        waiting = self.requests_waiting.get(node.node_id, 0)
        _demand(replies == waiting, f"{node.node_id}: {replies} replies to {waiting} requests")
        self.requests_waiting[node.node_id] = 0

    def on_saved(self, node: SimNode) -> None:
        """Check that the term on disk never falls, and a vote never changes within a term."""
        before_term, before_vote = self._promises.get(node.node_id, (0, None))
        term, vote = node.disk.term, node.disk.vote
        _demand(term >= before_term, f"{node.node_id}: term fell from {before_term} to {term}")
        if term == before_term and before_vote is not None:
            _demand(vote == before_vote, f"{node.node_id}: voted twice in term {term}")
        self._promises[node.node_id] = (term, vote)

    def on_message(self, node: SimNode, message: RaftMessage) -> None:
        """Check that a vote or an acknowledgement is on disk before it is sent."""
        disk = node.disk
        match message:
            case RequestVoteReply(is_granted=True, is_pre_vote=False):
                is_kept = (disk.term, disk.vote) == (message.term, message.receiver)
                _demand(is_kept, f"{node.node_id}: the vote in term {message.term} is not on disk")
            case AppendEntriesReply(is_success=True) | InstallSnapshotReply():
                _demand(
                    disk.last_index >= message.match_index,
                    f"{node.node_id}: acknowledged {message.match_index}, not on disk",
                )
            case _:
                pass

    def on_applied(self, node: SimNode, ready: Ready) -> None:
        """Check that state machines that have applied the same entries are equal."""
        if ready.restore is None and not ready.committed:
            return
        index, digest = node.machine.index, node.machine.digest
        for entry in ready.committed:
            _demand(self.committed[entry.index - 1] == entry, f"{node.node_id}: applied {entry}")
        _demand(
            self._digests.setdefault(index, digest) == digest,
            f"{node.node_id}: another state after entry {index}",
        )

    def _check_leader(self, node: SimNode, ready: Ready) -> None:
        core = node.core
        assert core is not None
        if core.role is not Role.LEADER:
            return
        leader = self._leaders.setdefault(core.term, node.node_id)
        _demand(leader == node.node_id, f"term {core.term}: {leader} and {node.node_id} lead")
        term, last_index = self._led_until.get(node.node_id, (0, 0))
        if term != core.term:
            self._check_complete(node)
        elif ready.save is not None:
            # A leader only appends: it never overwrites or deletes entries of its log.
            is_kept = core.log.last_index >= last_index and ready.save.truncate_from is None
            _demand(is_kept, f"{node.node_id}: cut its log in term {term}")
        self._led_until[node.node_id] = (core.term, core.log.last_index)

    def _check_complete(self, node: SimNode) -> None:
        core = node.core
        assert core is not None
        pairs = zip(self.committed, self._commit_terms, strict=True)
        for entry, commit_term in pairs:
            if commit_term < core.term and entry.index >= core.log.anchor_index:
                _demand(
                    core.log.term_at(entry.index) == entry.term,
                    f"{node.node_id}: leads term {core.term} without committed {entry.index}",
                )

    def _check_entries(self, node: SimNode, ready: Ready) -> None:
        core = node.core
        assert core is not None
        for entry in ready.save.entries if ready.save else ():
            before = core.log.term_at(entry.index - 1)
            assert before is not None
            known = self._entries.setdefault((entry.index, entry.term), (before, entry))
            _demand(
                known == (before, entry), f"{node.node_id}: logs differ at or before {entry.index}"
            )

    def _check_commit(self, node: SimNode) -> None:
        core = node.core
        assert core is not None
        commit_index = core.log.commit_index
        before = self._commits.get(node.node_id, 0)
        _demand(commit_index >= before, f"{node.node_id}: commit fell to {commit_index}")
        self._commits[node.node_id] = commit_index
        start = max(before, core.log.anchor_index)
        for entry in core.log.entries_between(start, max(start, commit_index)):
            if entry.index <= len(self.committed):
                _demand(
                    self.committed[entry.index - 1] == entry,
                    f"{node.node_id}: entry {entry.index} was committed as something else",
                )
            else:
                self._extend(node, entry)

    def _extend(self, node: SimNode, entry: Entry) -> None:
        core = node.core
        assert core is not None
        assert entry.index == len(self.committed) + 1
        voters = core.configuration.voters
        count = sum(self._disk(voter).holds(entry) for voter in voters)
        _demand(
            count >= majority(len(voters)),
            f"{node.node_id}: committed {entry.index}, on {count} of {len(voters)} disks",
        )
        self.committed.append(entry)
        self._commit_terms.append(core.term)

    def _disk(self, node_id: str) -> SimDisk:
        return self._nodes[node_id].disk
