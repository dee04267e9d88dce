"""Raft as one pure object: call `step` and `tick`, carry out `ready()`, then call `advance`.

The algorithm is Ongaro and Ousterhout's "In Search of an Understandable Consensus Algorithm"
(extended version, 2014; § numbers are its), with pre-vote (thesis §9.6), check-quorum (§6.2),
leader stickiness (§4.2.3), read index (§6.4), single-server membership change (§4) and leadership
transfer (§3.10) from Ongaro's thesis. As in etcd's Raft, the core does no
I/O itself and returns what its driver must do.

There are no lease reads, since they trust clocks and a process that never stalls. A read costs one
round trip.

The driver does this, in one thread and in this order:

    while (ready := core.ready()) is not None:
        send ready.appends
        save ready.save             in one durable transaction; on an error the process must end
        send ready.messages
        core.advance()
        restore ready.restore, apply ready.committed, answer ready.reads

The driver calls nothing else between `ready` and `advance`. Each request given to `step` gets
exactly one reply in some later `Ready.messages`. The driver keeps index and term of a proposal: if
the entry applied at that index has the same term, it is the proposal; if not, the proposal failed.
If this node stops leading first, the outcome is unknown.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from zreg.effects import Save
from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration
from zreg.raft.errors import NotLeaderError
from zreg.raft.follower.responder import Responder
from zreg.raft.leader.leadership import Leadership
from zreg.raft.leader.progress import CatchUpState
from zreg.raft.log import RaftLog
from zreg.raft.node_state import NodeState
from zreg.raft.ready import Persisted, Ready, is_granted_pre_vote
from zreg.raft.status import PeerStatus, RaftStatus, Role
from zreg.wire.records.raft_messages import Entry, RaftMessage, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class RaftCore:
    """One Raft node, built from what its journal holds, with its own source of randomness."""

    def __init__(self, config: RaftConfig, persisted: Persisted, rng: "Random") -> None:
        self.log = RaftLog(persisted)
        assert self.log.last_term <= persisted.term
        self._config = config
        self._state = NodeState(config, self.log, rng, term=persisted.term, vote=persisted.vote)
        self._responder = Responder(config, self.log, self._state, restore=persisted.snapshot)
        self._saved_promise = (persisted.term, persisted.vote)
        self._is_handed_out = False
        self._is_saving = False
        # Whether something happened since `ready` last looked for work.
        self._may_have_work = True

    def __repr__(self) -> str:
        """Show role, term and progress of the node."""
        return (
            f"<RaftCore {self._config.node_id} {self.role.value} term={self.term} "
            f"commit={self.log.commit_index} last={self.log.last_index}>"
        )

    @property
    def term(self) -> int:
        """The latest term this node has seen."""
        return self._state.term

    @property
    def vote(self) -> str | None:
        """The id of the node that got this node's vote in `term`, None if none did."""
        return self._state.vote

    @property
    def role(self) -> Role:
        """The role of this node now."""
        return self._state.role

    @property
    def led_term(self) -> int:
        """The term in which this node leads, 0 if it does not."""
        leadership = self._state.leadership
        return leadership.term if leadership is not None else 0

    @property
    def leader(self) -> str | None:
        """The id of the leader of `term`, None if it is unknown."""
        return self._state.leader

    @property
    def configuration(self) -> Configuration:
        """The configuration in force now, committed or not."""
        return self.log.history.latest

    @property
    def configuration_index(self) -> int:
        """The index of the entry that holds `configuration`."""
        return self.log.history.latest_index

    @property
    def is_configuration_committed(self) -> bool:
        """Whether `configuration` is known to be committed."""
        return self.configuration_index <= self.log.commit_index

    @property
    def is_compaction_due(self) -> bool:
        """Whether the driver should call `compact` once it has applied what it was handed."""
        snapshot_index = self.log.snapshot.index if self.log.snapshot else 0
        entry_count = self.log.applied_index - snapshot_index
        if entry_count == 0:
            return False
        is_large = self.log.size_bytes >= self._config.compact_bytes
        return is_large or entry_count >= self._config.compact_entry_count

    def ask_before_elections(self, may_elect: Callable[[int], bool]) -> None:
        """Call `may_elect` with the candidate's last index before each vote and own candidacy."""
        self._state.may_elect = may_elect

    # Inputs.

    def found(self, first: Persisted) -> None:
        """Begin the log of a new cluster; the driver makes what `bootstrap` returned durable first.

        Only for a node that has no entry and has heard of no term.
        """
        assert not self._is_handed_out
        assert self.term == self.log.last_index == 0
        self._may_have_work = True
        self._state.become_follower(first.term, None)
        self.log.append(first.entries)
        self.log.mark_saved()
        self._saved_promise = (first.term, None)

    def tick(self) -> None:
        """Count a tick. After a stall, step what has arrived first, then tick once, not often."""
        assert not self._is_handed_out
        self._may_have_work = True
        self._state.tick()

    def step(self, message: RaftMessage) -> None:
        """Take a peer's request or reply; none of them makes this raise."""
        assert not self._is_handed_out
        self._may_have_work = True
        if not isinstance(message, Reply):
            self._responder.on_request(message)
        elif message.receiver == self._config.node_id:
            self._on_reply(message)

    def _on_reply(self, reply: Reply) -> None:
        state = self._state
        if reply.term > self.term and not is_granted_pre_vote(reply):
            state.become_follower(reply.term, None)
        elif state.campaign is not None:
            state.campaign.receive(reply)
            state.decide()
        elif state.leadership is not None:
            state.leadership.replication.receive(reply)
            state.commit()

    def propose(self, data: bytes) -> Entry:
        """Append a command as the leader; it may be lost if the leadership ends before the commit.

        Raises `NotLeaderError`, `TransferringError`, `OverloadedError`, `CommandTooLargeError`.
        """
        return self._leading().propose(data)

    def change_configuration(self, new: Configuration) -> Entry:
        """Change one member as the leader; a learner gets a vote only once it has caught up.

        Raises `NotLeaderError`, `TransferringError`, `ConfigurationError`.
        """
        return self._leading().change_configuration(new)

    def catch_up_state(self, node_id: str) -> CatchUpState | None:
        """Return how far a learner has come; None if it is none, or this node does not lead."""
        leadership = self._state.leadership
        return leadership.replication.catch_up_state(node_id) if leadership else None

    def read_index(self, token: int) -> None:
        """Start a linearizable read; a `Ready` returns its `token`. Raises `NotLeaderError`."""
        self._leading().reads.add(token)

    def transfer_leader(self, target: str) -> None:
        """Hand over to `target`; go on leading if it takes longer than an election timeout.

        Raises `NotLeaderError`, and `ConfigurationError` if `target` is not another voter.
        """
        self._leading().transfer_to(target)

    def unreachable(self, peer: str, sequence: int) -> None:
        """Try `peer` again after a tick: the request `sequence` could not be sent."""
        self._may_have_work = True
        state, free_at = self._state, self._state.now + 1
        if state.leadership is not None:
            state.leadership.replication.hold(peer, sequence, free_at=free_at)
        elif state.campaign is not None:
            state.campaign.hold(peer, sequence, free_at=free_at)

    def compact(self, data: bytes) -> None:
        """Make `data`, the state after all entries handed out, the snapshot; drop old entries."""
        assert not self._is_handed_out
        self._may_have_work = True
        self.log.compact(
            data,
            keep_count=self._config.keep_entry_count,
            keep_bytes=self._config.compact_bytes // 2,
        )

    def _leading(self) -> Leadership:
        """Return the leadership for a call that uses it; raises `NotLeaderError`."""
        assert not self._is_handed_out
        self._may_have_work = True
        if self._state.leadership is None:
            raise NotLeaderError(self.leader)
        return self._state.leadership

    # Outputs.

    def ready(self) -> Ready | None:
        """Return what to do now, None if nothing; call `advance` once it is saved and sent."""
        assert not self._is_handed_out
        if not self._may_have_work:
            return None
        self._may_have_work = False
        state, replies, restore = self._state, self._responder.replies, self._responder.restore
        leadership, campaign = state.leadership, state.campaign
        appends: Sequence[Request] = ()
        votes: Sequence[Request] = ()
        if leadership is not None:
            leadership.confirm_reads()
            appends = leadership.replication.next_requests()
        elif campaign is not None:
            votes = campaign.next_requests(state.now, state.next_sequence)
        save = self._take_save()
        committed = self.log.take_committed(self._config.apply_count_max)
        reads = leadership.reads.take(self.log.applied_index) if leadership is not None else ()
        refused_reads = state.take_refused_reads()
        is_for_peers = appends or save or replies or votes
        if not (is_for_peers or restore or committed or reads or refused_reads):
            return None
        ready = Ready(
            appends=appends,
            save=save,
            messages=(*replies, *votes),
            restore=restore,
            committed=committed,
            reads=reads,
            refused_reads=refused_reads,
        )
        self._responder.clear()
        self._is_handed_out = True
        self._is_saving = save is not None
        return ready

    def advance(self) -> None:
        """Go on: the last `Ready` is saved and sent, so what it put on disk counts now."""
        assert self._is_handed_out
        self._is_handed_out = False
        if self._is_saving:
            self._is_saving = False
            self.log.mark_saved()
            self._may_have_work = self._state.on_saved()
        self._may_have_work = self._may_have_work or self.log.has_committed()

    def status(self) -> RaftStatus:
        """Return the state of this node, for health, metrics and the command line."""
        leadership = self._state.leadership
        progress = leadership.replication.progress if leadership else {}
        return RaftStatus(
            node_id=self._config.node_id,
            role=self.role,
            term=self.term,
            leader=self.leader,
            commit_index=self.log.commit_index,
            applied_index=self.log.applied_index,
            last_index=self.log.last_index,
            snapshot_index=self.log.snapshot.index if self.log.snapshot else 0,
            log_bytes=self.log.size_bytes,
            configuration=self.configuration,
            transfer_target=leadership.transfer.target if leadership else None,
            peers={
                node_id: PeerStatus(
                    match_index=peer.match_index,
                    silent_ticks=self._state.now - peer.heard_at,
                    catch_up=peer.catch_up.state if peer.catch_up else None,
                )
                for node_id, peer in progress.items()
            },
        )

    def _take_save(self) -> Save | None:
        term, vote = promise = (self._state.term, self._state.vote)
        if promise == self._saved_promise and not self.log.has_unsaved():
            return None
        self._saved_promise = promise
        return self.log.take_save(term, vote)
