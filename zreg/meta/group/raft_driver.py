"""One meta node's part in Raft: its ticks, its messages, and what it applies.

`RaftCore` says what is to be done as one `Ready`. Here that becomes effects, in this order:
requests to peers, `Save`, answers to peers, then what the state machine makes of the committed
entries.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from zreg.effects import Effect, Flush, Link, Local, Peer
from zreg.meta.group.raft_exchange import RaftExchange
from zreg.meta.group.raft_requests import RaftRequests
from zreg.meta.peers.identity import FOUNDERS, Identity, first_save, persisted_of
from zreg.meta.peers.meta_peers import MetaPeers
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.raft.config import RaftConfig
from zreg.raft.consensus import RaftCore
from zreg.raft.ready import Persisted, Ready
from zreg.raft.status import Role
from zreg.wire.log_commands import decode_command
from zreg.wire.messages import Message
from zreg.wire.records.raft_messages import Entry, EntryKind, Reply, Request

if TYPE_CHECKING:
    from random import Random

    from zreg.raft.configuration import Configuration

TICK_SECONDS: Final = 0.05
# A node that was silent for longer does not count as running.
ALIVE_TICKS: Final = 2 * RaftConfig(node_id="").election_ticks
# After so many ticks without a leader, peers are asked again: perhaps this node was removed.
_INTRODUCE_TICKS: Final = 60
_FLUSH: Final = Flush()


class RaftDriver:
    """Runs one `RaftCore` over a `MetaState`."""

    def __init__(self, raft: RaftCore, state: MetaState, identity: Identity) -> None:
        self.raft = raft
        self.peers = MetaPeers(identity, raft)
        self.requests = RaftRequests(raft)
        self._exchange = RaftExchange(raft, self.peers, identity.node_id)
        self._state = state
        self._node_id = identity.node_id
        # The configuration whose members are connected.
        self._configuration: Configuration | None = None
        self._tick_at = 0.0
        self._applied_term = 0
        # What is applied up to this entry had happened before this process began.
        self._first_index = raft.log.last_index
        # How many ticks this node has known no leader.
        self.silent_ticks = 0

    def __repr__(self) -> str:
        """Show the node."""
        return f"<RaftDriver {self.raft!r} {self.peers!r}>"

    @property
    def is_leading(self) -> bool:
        """Whether this node leads, and its state holds all that earlier leaders have committed."""
        return self.raft.led_term == self._applied_term > 0

    @property
    def unexpected_count(self) -> int:
        """How many messages of meta nodes came that fit nothing."""
        return self._exchange.unexpected_count

    @property
    def _is_idle(self) -> bool:
        """Whether Raft needs no ticks: there is no peer to wait for, and no election to hold."""
        # A lone node that a late request with a higher term made step down must lead again.
        if not self.peers.is_alone:
            return False
        return self.raft.role is Role.LEADER or not self.raft.configuration.members

    # --- inputs ------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Connect to all peers; a node that is alone elects itself at once."""
        self._tick_at = now + TICK_SECONDS
        effects = self._follow_configuration()
        is_alone = self.raft.configuration.voters == (self._node_id,) and self.peers.is_alone
        bootstrap = self.peers.introductions.bootstrap
        may_lead = is_alone and bootstrap.may_elect(self.raft.log.last_index)
        while may_lead and not bootstrap.must_listen_first and self.raft.role is not Role.LEADER:
            self.raft.tick()
            effects += self.pump(now)
        return effects

    def found(self, founders: Mapping[str, str]) -> list[Effect]:
        """Write the list of founders; take part in their first election from then on."""
        save = first_save(founders)
        self.raft.found(persisted_of(save))
        self.peers.introductions.identity.founders = save.facts[FOUNDERS]
        return [save, *self._follow_configuration()]

    def tick(self, now: float) -> list[Effect]:
        """Count one tick, however late it is, and try missing peers again."""
        effects = self.peers.tick(now)
        if self._is_idle or now < self._tick_at:
            return effects
        self._tick_at = now + TICK_SECONDS
        self.raft.tick()
        self.silent_ticks = 0 if self.raft.leader is not None else self.silent_ticks + 1
        if self.silent_ticks and self.silent_ticks % _INTRODUCE_TICKS == 0:
            effects += self.peers.introduce_to_all(now)
        return effects

    def next_tick_at(self) -> float | None:
        """When `tick` is due."""
        if self._is_idle:
            return None
        due = self.peers.next_tick_at()
        return self._tick_at if due is None else min(due, self._tick_at)

    def receive(self, link: Link, peer: Peer, message: Message, now: float) -> list[Effect]:
        """Take a request or an answer of another meta node."""
        if link is Link.RAFT_ANSWER:
            return self._exchange.on_request(peer, message)
        return self._exchange.on_answer(str(peer), message, now)

    def on_event(self, event: Local, now: float) -> list[Effect]:
        """Take an event of the connection to another meta node."""
        return self._exchange.on_event(event, now)

    # --- outputs -----------------------------------------------------------------------------

    def pump(self, now: float) -> Iterator[Effect]:
        """Carry out what Raft wants: each effect is done when the next is asked for."""
        exchange = self._exchange
        while (ready := self.raft.ready()) is not None:
            unsent: list[Request] = []
            yield from exchange.send(ready.appends, unsent)
            if ready.save is not None:
                yield ready.save
            for message in ready.messages:
                if isinstance(message, Reply):
                    yield from exchange.answer(message)
                else:
                    yield from exchange.send((message,), unsent)
            if ready.save is not None and ready.messages:
                # The leader waits for this answer; what is applied next can wait.
                yield _FLUSH
            self.raft.advance()
            for request in unsent:
                self.raft.unreachable(request.receiver, request.sequence)
            yield from self._apply(ready, now)
            if ready.committed and self.is_leading:
                # The proposers wait for their answers; the next look at Raft can wait.
                yield _FLUSH
            if ready.committed and self.raft.is_compaction_due:
                self.raft.compact(self._state.snapshot())
            if ready.save is not None:
                # The members may have changed, by an entry or by a snapshot.
                yield from self._follow_configuration()
        exchange.end_turn()

    def _follow_configuration(self) -> list[Effect]:
        if self.raft.configuration is self._configuration:
            return []
        self._configuration = self.raft.configuration
        return self.peers.follow_configuration()

    def _apply(self, ready: Ready, now: float) -> list[Effect]:
        effects: list[Effect] = []
        requests = self.requests
        if ready.save is not None and ready.save.truncate_from is not None:
            effects += requests.on_log_truncated(ready.save.truncate_from, now)
        if ready.restore is not None:
            if ready.restore.data:
                self._state.restore(ready.restore.data)
                self.peers.introductions.cluster_id = self._state.membership.cluster_id
            self._applied_term = ready.restore.term
            effects += requests.on_snapshot_restored(ready.restore.index, now)
        for entry in ready.committed:
            effects += requests.on_entry_applied(entry, self._apply_entry(entry), now)
        for read in ready.reads:
            effects += requests.on_read(read.token, now, is_confirmed=True)
        for token in ready.refused_reads:
            effects += requests.on_read(token, now, is_confirmed=False)
        return effects

    def _apply_entry(self, entry: Entry) -> Applied | None:
        self._applied_term = entry.term
        if entry.kind is EntryKind.COMMAND:
            applied = self._state.apply(decode_command(entry.data))
            if entry.index <= self._first_index:
                self._state.inherited_epoch = self._state.epoch
            self.peers.introductions.cluster_id = self._state.membership.cluster_id
            return applied
        if entry.kind is EntryKind.CONFIGURATION:
            return Applied(is_changed=True)
        return None


def new_raft(node_id: str, persisted: Persisted, rng: "Random") -> RaftCore:
    """Return the Raft core of a meta node."""
    return RaftCore(RaftConfig(node_id=node_id), persisted, rng)
