"""Raft as one pure object: `step` and `tick` in, `ready` out, `advance` when that is carried out.

The algorithm is Ongaro and Ousterhout's "In Search of an Understandable Consensus Algorithm"
(extended version, 2014; § numbers are its), with pre-vote (thesis §9.6), check-quorum (§6.2),
leader stickiness (§4.2.3), read index (§6.4), single-server membership change (§4) and leadership
transfer (§3.10) from Ongaro's thesis. That a step returns what is to be done is etcd's shape.

Why no lease reads: they trust clocks and a process that never stalls; a read costs one round trip.

The caller's duty, one thread, in this order:

    while (ready := core.ready()) is not None:
        send ready.appends
        save ready.save             one durable transaction; on an error the process must end
        send ready.messages
        core.advance()
        restore ready.restore, apply ready.committed, answer ready.reads

Between `ready` and `advance` nothing else is called. Each request given to `step` gets exactly one
reply in some later `Ready.messages`. Of a proposal the caller keeps index and term: the entry that
is applied at that index is the proposal if the term is the same, and if not, the proposal failed;
when this node stops leading first, the outcome is unknown.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from zreg.effects import Save, Snapshot
from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration
from zreg.raft.errors import NotLeaderError
from zreg.raft.follower import Follower, is_sound_append, is_sound_chunk
from zreg.raft.leadership import Leadership
from zreg.raft.log import RaftLog
from zreg.raft.node_state import NodeState
from zreg.raft.progress import CatchUpState
from zreg.raft.ready import Persisted, Ready, is_promise
from zreg.raft.replies import append_reply, chunk_reply, refusal, transfer_reply, vote_reply
from zreg.raft.status import PeerStatus, RaftStatus, Role
from zreg.wire.raft_messages import (
    AppendEntries,
    Entry,
    InstallSnapshot,
    RaftMessage,
    Reply,
    Request,
    RequestVote,
    TransferLeader,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


class RaftCore:
    """One Raft node; built from what its journal kept, with its own source of randomness."""

    def __init__(self, config: RaftConfig, persisted: Persisted, rng: "Random") -> None:
        self.log = RaftLog(persisted)
        assert self.log.last_term <= persisted.term
        self._config = config
        self._standing = NodeState(config, self.log, rng, term=persisted.term, vote=persisted.vote)
        self._follower = Follower(self.log, snapshot_bytes_max=config.snapshot_bytes_max)
        self._saved_promise = (persisted.term, persisted.vote)
        self._replies: list[Reply] = []
        self._restore: Snapshot | None = persisted.snapshot
        self._is_handed_out = self._is_saving = False
        # Whether anything came since the last look at what is to be done.
        self._is_news = True

    def __repr__(self) -> str:
        """Show where the node stands."""
        return (
            f"<RaftCore {self._config.node_id} {self.role.value} term={self.term} "
            f"commit={self.log.commit_index} last={self.log.last_index}>"
        )

    @property
    def term(self) -> int:
        """The latest term this node has seen."""
        return self._standing.term

    @property
    def vote(self) -> str | None:
        """Who got this node's vote in `term`."""
        return self._standing.vote

    @property
    def role(self) -> Role:
        """What this node is just now."""
        return self._standing.role

    @property
    def led_term(self) -> int:
        """The term in which this node leads, 0 if it does not."""
        leadership = self._standing.leadership
        return leadership.term if leadership is not None else 0

    @property
    def leader(self) -> str | None:
        """The leader of `term`, as far as known."""
        return self._standing.leader

    @property
    def configuration(self) -> Configuration:
        """The members that count now, committed or not."""
        return self.log.history.latest

    @property
    def configuration_index(self) -> int:
        """The entry that brought `configuration`."""
        return self.log.history.latest_index

    @property
    def is_configuration_committed(self) -> bool:
        """Whether `configuration` is known to be committed."""
        return self.configuration_index <= self.log.commit_index

    @property
    def is_compaction_due(self) -> bool:
        """Whether `compact` should be called after what was handed out is applied."""
        snapshot_index = self.log.snapshot.index if self.log.snapshot else 0
        entry_count = self.log.applied_index - snapshot_index
        if entry_count == 0:
            return False
        is_large = self.log.size_bytes >= self._config.compact_bytes
        return is_large or entry_count >= self._config.compact_entry_count

    def ask_before_elections(self, may_elect: Callable[[int], bool]) -> None:
        """Have `may_elect` asked with a candidate's last index, before a vote or own candidacy."""
        self._standing.may_elect = may_elect

    # Inputs.

    def tick(self) -> None:
        """Count a tick. After a stall give what has arrived first, then one tick, not many."""
        assert not self._is_handed_out
        self._is_news = True
        self._standing.tick()

    def step(self, message: RaftMessage) -> None:
        """Take a peer's request or reply; whatever it says, nothing is raised."""
        assert not self._is_handed_out
        self._is_news = True
        if not isinstance(message, Reply):
            self._on_request(message)
        elif message.receiver == self._config.node_id:
            self._on_reply(message)

    def propose(self, data: bytes) -> Entry:
        """Append a command as the leader; the entry may still be lost with the leadership.

        Raises `NotLeaderError`, `TransferringError`, `OverloadedError`, `CommandTooLargeError`.
        """
        return self._leading().propose(data)

    def change_configuration(self, new: Configuration) -> Entry:
        """Change one member as the leader; a learner gets its vote only after it caught up.

        Raises `NotLeaderError`, `TransferringError`, `ConfigurationError`.
        """
        return self._leading().change_configuration(new)

    def catch_up_state(self, node_id: str) -> CatchUpState | None:
        """Say how the learner `node_id` stands; None if it is no learner or this no leader."""
        return (
            self._standing.leadership.catch_up_state(node_id) if self._standing.leadership else None
        )

    def read_index(self, token: int) -> None:
        """Ask for a linearizable read; raises `NotLeaderError`. `token` comes back in a `Ready`."""
        self._leading().reads.add(token)

    def transfer_leader(self, target: str) -> None:
        """Hand over to `target`, or go on leading after an election timeout.

        Raises `NotLeaderError`, `ConfigurationError` when `target` is no other voter.
        """
        self._leading().transfer_to(target)

    def unreachable(self, peer: str, sequence: int) -> None:
        """Try `peer` again after a tick: the request `sequence` could not be sent."""
        self._is_news = True
        for part in (self._standing.leadership, self._standing.campaign):
            if part is not None:
                part.hold(peer, sequence, free_at=self._standing.now + 1)

    def compact(self, data: bytes) -> None:
        """Keep `data` as the state after all entries handed out, and drop old entries."""
        assert not self._is_handed_out
        self._is_news = True
        self.log.compact(
            data,
            keep_count=self._config.keep_entry_count,
            keep_bytes=self._config.compact_bytes // 2,
        )

    def _leading(self) -> Leadership:
        assert not self._is_handed_out
        self._is_news = True
        if self._standing.leadership is None:
            raise NotLeaderError(self.leader)
        return self._standing.leadership

    # Outputs.

    def ready(self) -> Ready | None:
        """Return what is to be done now, None if nothing; call `advance` when it is saved."""
        assert not self._is_handed_out
        if not self._is_news:
            return None
        self._is_news = False
        standing, replies = self._standing, self._replies
        leadership, campaign = standing.leadership, standing.campaign
        appends: Sequence[Request] = ()
        votes: Sequence[Request] = ()
        if leadership is not None:
            appends = leadership.next_requests()
        elif campaign is not None:
            votes = campaign.next_requests(standing.now, standing.next_sequence)
        save = self._take_save()
        committed = self.log.take_committed(self._config.apply_count_max)
        reads = leadership.reads.take(self.log.applied_index) if leadership is not None else ()
        refused_reads = standing.take_refused_reads()
        is_for_others = appends or save or replies or votes
        if not (is_for_others or self._restore or committed or reads or refused_reads):
            return None
        ready = Ready(
            appends=appends,
            save=save,
            messages=(*replies, *votes),
            restore=self._restore,
            committed=committed,
            reads=reads,
            refused_reads=refused_reads,
        )
        self._replies, self._restore = [], None
        self._is_handed_out = True
        self._is_saving = save is not None
        return ready

    def advance(self) -> None:
        """Go on: the last `Ready` is saved and sent, what it put on disk may be counted."""
        assert self._is_handed_out
        self._is_handed_out = False
        if self._is_saving:
            self._is_saving = False
            self.log.mark_saved()
            self._is_news = self._standing.saved()
        self._is_news = self._is_news or self.log.has_committed()

    def status(self) -> RaftStatus:
        """Return what this node shows of itself."""
        leadership = self._standing.leadership
        progress = leadership.progress if leadership else {}
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
            transfer_target=leadership.transfer_target if leadership else None,
            peers={
                node_id: PeerStatus(
                    match_index=peer.match_index,
                    silent_ticks=self._standing.now - peer.heard_at,
                    catch_up=peer.catch_up.state if peer.catch_up else None,
                )
                for node_id, peer in progress.items()
            },
        )

    def _take_save(self) -> Save | None:
        term, vote = promise = (self._standing.term, self._standing.vote)
        if promise == self._saved_promise and not self.log.has_unsaved():
            return None
        self._saved_promise = promise
        return self.log.take_save(term, vote)

    # Requests.

    def _on_request(self, request: Request) -> None:
        node_id = self._config.node_id
        is_ours = request.receiver == node_id and request.sender != node_id
        if not is_ours or (request.term < self.term and not isinstance(request, RequestVote)):
            # The own term in the refusal frees a peer that is stuck in an older one (§5.1).
            self._replies.append(refusal(node_id, request, term=self.term))
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

    def _on_request_vote(self, request: RequestVote) -> None:
        is_granted = self._standing.grant(request)
        # A granted pre-vote repeats the term it is for; a denial tells the own one.
        term = request.term if is_granted else self.term
        self._replies.append(
            vote_reply(self._config.node_id, request, term=term, is_granted=is_granted)
        )

    def _on_append(self, request: AppendEntries) -> None:
        if not is_sound_append(request) or not self._standing.follow(request.term, request.sender):
            self._replies.append(refusal(self._config.node_id, request, term=self.term))
            return
        outcome = self._follower.append(request)
        self._replies.append(
            append_reply(self._config.node_id, request, term=self.term, outcome=outcome)
        )

    def _on_chunk(self, request: InstallSnapshot) -> None:
        if not is_sound_chunk(request) or not self._standing.follow(request.term, request.sender):
            self._replies.append(refusal(self._config.node_id, request, term=self.term))
            return
        outcome, snapshot = self._follower.install(request)
        self._restore = snapshot or self._restore
        self._replies.append(
            chunk_reply(self._config.node_id, request, term=self.term, outcome=outcome)
        )

    def _on_transfer(self, request: TransferLeader) -> None:
        is_voter = self._config.node_id in self.configuration.voters
        is_accepted = is_voter and self._standing.follow(request.term, request.sender)
        self._replies.append(
            transfer_reply(self._config.node_id, request, term=self.term, is_accepted=is_accepted)
        )
        if is_accepted:
            self._standing.stand_for_transfer()

    # Replies.

    def _on_reply(self, reply: Reply) -> None:
        standing = self._standing
        if reply.term > self.term and not is_promise(reply):
            standing.become_follower(reply.term, None)
        elif standing.campaign is not None:
            standing.campaign.receive(reply)
            standing.decide()
        elif standing.leadership is not None:
            standing.leadership.receive(reply)
            standing.commit()
