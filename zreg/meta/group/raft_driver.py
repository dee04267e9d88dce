"""One meta node's part in Raft: its ticks, its messages, what it proposed and what became of that.

`RaftCore` says what is to be done as one `Ready`; here that becomes effects, in its order: requests
to peers, `Save`, answers to peers, and then what the state machine makes of what is committed.
A proposal is answered when its entry is applied, by the node that proposed it: also when that has
lost the leadership meanwhile, as long as the entry was not replaced.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from zreg.effects import (
    Effect,
    Flush,
    Link,
    Local,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Save,
    Send,
)
from zreg.errors import DeniedError
from zreg.meta.group.meta_peers import Identity, MetaPeers
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import OverloadedError
from zreg.raft.ready import Persisted, Ready, bootstrap
from zreg.raft.status import Role
from zreg.wire.common_messages import Accepted, Refused
from zreg.wire.log_commands import AnyCommand, decode_command, encode_command
from zreg.wire.messages import Message
from zreg.wire.meta_messages import IntroduceMeta, MetaDeclined, MetaIntroduced
from zreg.wire.raft_messages import Entry, EntryKind, Reply, Request

if TYPE_CHECKING:
    from random import Random

TICK_SECONDS: Final = 0.05
# Without a leader for so many ticks, peers are asked who they are: perhaps this node was removed.
_INTRODUCE_TICKS: Final = 60
# Linearizable reads that wait for a majority.
_READERS_MAX: Final = 10_000
_FLUSH: Final = Flush()

# Called with what became of a proposal; None: another entry took its place, or nobody knows.
Waiter = Callable[[Applied | None, float], Sequence[Effect]]
Reader = Callable[[bool, float], Sequence[Effect]]


class RaftDriver:
    """Runs one `RaftCore` over a `MetaState`."""

    def __init__(self, raft: RaftCore, state: MetaState, identity: Identity) -> None:
        self.raft = raft
        self.peers = MetaPeers(identity, raft)
        raft.ask_before_elections(self.peers.founding.may_elect)
        self._state = state
        self._node_id = identity.node_id
        self._configuration: Configuration | None = None
        self._asked: dict[str, int] = {}
        self._askers: dict[tuple[str, int], Peer] = {}
        self._waiters: dict[int, tuple[int, Waiter]] = {}
        self._readers: dict[int, Reader] = {}
        self._read_token = 0
        self._tick_at = 0.0
        self._applied_term = 0
        self.silent_ticks = 0
        # Requests of strangers or for others, and answers that nobody waits for.
        self.strange_count = 0

    def __repr__(self) -> str:
        """Show the node."""
        return f"<RaftDriver {self.raft!r} {self.peers!r}>"

    @property
    def is_leading(self) -> bool:
        """Whether this node leads, and its state holds all that earlier leaders have committed."""
        return self.raft.led_term == self._applied_term > 0

    @property
    def _is_at_rest(self) -> bool:
        """Whether no time passes for Raft: nobody is to be heard, and nothing to be elected."""
        # A lone node that a late request in a higher term made step down must lead again.
        if not self.peers.is_alone:
            return False
        return self.raft.role is Role.LEADER or not self.raft.configuration.members

    # --- inputs ------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Connect to all peers; a node without any elects itself at once."""
        self._tick_at = now + TICK_SECONDS
        effects = self._follow_configuration()
        is_alone = self.raft.configuration.voters == (self._node_id,) and self.peers.is_alone
        founding = self.peers.founding
        may_lead = is_alone and founding.may_elect(self.raft.log.last_index)
        while may_lead and not founding.listens_first and self.raft.role is not Role.LEADER:
            self.raft.tick()
            effects += self.pump(now)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Count a tick, one however late it is; try peers again."""
        effects = self.peers.tick(now)
        if self._is_at_rest or now < self._tick_at:
            return effects
        self._tick_at = now + TICK_SECONDS
        self.raft.tick()
        self.silent_ticks = 0 if self.raft.leader is not None else self.silent_ticks + 1
        if self.silent_ticks and self.silent_ticks % _INTRODUCE_TICKS == 0:
            effects += self.peers.introduce_all(now)
        return effects

    def next_tick_at(self) -> float | None:
        """When `tick` is due."""
        if self._is_at_rest:
            return None
        due = self.peers.next_tick_at()
        return self._tick_at if due is None else min(due, self._tick_at)

    def receive(self, link: Link, peer: Peer, message: Message, now: float) -> list[Effect]:
        """Take what another meta node asks, or answers."""
        if link is Link.RAFT_ANSWER:
            return self._asked_by(peer, message)
        name = str(peer)
        if isinstance(message, Reply) and message.sender == peer:
            if self.peers.is_up(name):
                self.raft.step(message)
            return []
        if isinstance(message, MetaIntroduced):
            return self.peers.take(name, message)
        if isinstance(message, MetaDeclined):
            self._give_up(name)
            return self.peers.declined(name, message)
        if isinstance(message, Refused):
            self._give_up(name)
            return self.peers.refused(name, message, now)
        if not isinstance(message, Accepted):
            self.strange_count += 1
        return []

    def _asked_by(self, peer: Peer, message: Message) -> list[Effect]:
        if isinstance(message, IntroduceMeta):
            return self.peers.answer(peer, message)
        if not isinstance(message, Request):
            self.strange_count += 1
            return []
        if not self.peers.may_ask(message.sender):
            self.strange_count += 1
            detail = f"{message.sender} has not said who it is since {self._node_id} started"
            return [Send(Link.RAFT_ANSWER, peer, Refused(0, DeniedError.code, detail))]
        self.strange_count += message.receiver != self._node_id
        self._askers[message.sender, message.sequence] = peer
        self.raft.step(message)
        return []

    def happened(self, event: Local, now: float) -> list[Effect]:
        """Note that a connection to a peer came or went."""
        match event:
            case PeerUp(link=Link.RAFT_ASK):
                return self.peers.connected(str(event.peer), now)
            case PeerLost(link=Link.RAFT_ASK):
                self._give_up(str(event.peer))
                return self.peers.lost(str(event.peer), now)
            case PeerIncompatible(link=Link.RAFT_ASK):
                return self.peers.strange(str(event.peer), event.detail)
            case _:
                return []

    def change_configuration(self, new: Configuration, waiter: Waiter) -> None:
        """Change one member as the leader; raises `RaftError`."""
        entry = self.raft.change_configuration(new)
        self._waiters[entry.index] = (entry.term, waiter)

    def propose(self, command: AnyCommand, waiter: Waiter) -> None:
        """Propose a command as the leader; raises `RaftError`."""
        entry = self.raft.propose(encode_command(command))
        self._waiters[entry.index] = (entry.term, waiter)

    def read(self, reader: Reader) -> None:
        """Have `reader` called when the state holds all that was acknowledged before now.

        It is called with False when the leadership ended first. Raises `RaftError`.
        """
        if len(self._readers) >= _READERS_MAX:
            raise OverloadedError(f"{_READERS_MAX} reads wait for a majority")
        self._read_token += 1
        self.raft.read_index(self._read_token)
        self._readers[self._read_token] = reader

    def _give_up(self, peer: str) -> None:
        sequence = self._asked.pop(peer, None)
        if sequence is not None:
            self.raft.unreachable(peer, sequence)

    # --- outputs -----------------------------------------------------------------------------

    def pump(self, now: float) -> Iterator[Effect]:
        """Carry out what Raft wants: each effect is done when the next is asked for."""
        while (ready := self.raft.ready()) is not None:
            unsent: list[Request] = []
            yield from self._ask(ready.appends, unsent)
            if ready.save is not None:
                yield ready.save
            for message in ready.messages:
                if isinstance(message, Reply):
                    yield from self._answer(message)
                else:
                    yield from self._ask((message,), unsent)
            if ready.save is not None and ready.messages:
                # The leader waits for this answer, and nobody for what is applied here.
                yield _FLUSH
            self.raft.advance()
            for request_ in unsent:
                self.raft.unreachable(request_.receiver, request_.sequence)
            yield from self._apply(ready, now)
            if ready.committed and self.is_leading:
                # Whoever proposed waits, and nobody for the looks around that come next.
                yield _FLUSH
            if ready.committed and self.raft.is_compaction_due:
                self.raft.compact(self._state.snapshot())
            if ready.save is not None:
                # The members are an entry, or come with a snapshot.
                yield from self._follow_configuration()
        # A request whose turn is over is answered by the reactor.
        self._askers.clear()

    def _follow_configuration(self) -> list[Effect]:
        if self.raft.configuration is self._configuration:
            return []
        self._configuration = self.raft.configuration
        return self.peers.follow()

    def _ask(self, requests: Sequence[Request], unsent: list[Request]) -> list[Effect]:
        effects: list[Effect] = []
        for request in requests:
            peer = request.receiver
            if self.peers.is_up(peer):
                self._asked[peer] = request.sequence
                effects.append(Send(Link.RAFT_ASK, peer, request))
            else:
                unsent.append(request)
        return effects

    def _answer(self, reply: Reply) -> list[Effect]:
        asker = self._askers.pop((reply.receiver, reply.sequence), None)
        return [] if asker is None else [Send(Link.RAFT_ANSWER, asker, reply)]

    def _apply(self, ready: Ready, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if ready.save is not None and ready.save.truncate_from is not None:
            # What takes their place may be long in coming: the new log may be shorter.
            cut_from = ready.save.truncate_from
            effects += self._give_up_waiters(cut_from, max(self._waiters, default=0), now)
        if ready.restore is not None:
            if ready.restore.data:
                self._state.restore(ready.restore.data)
                self.peers.cluster_id = self._state.membership.cluster_id
            self._applied_term = ready.restore.term
            effects += self._give_up_waiters(0, ready.restore.index, now)
        for entry in ready.committed:
            effects += self._apply_entry(entry, now)
        for read in ready.reads:
            effects += self._readers.pop(read.token)(True, now)  # noqa: FBT003 -- whether it may answer
        for token in ready.refused_reads:
            effects += self._readers.pop(token)(False, now)  # noqa: FBT003 -- the same
        return effects

    def _give_up_waiters(self, first: int, last: int, now: float) -> list[Effect]:
        """Answer those who wait for these entries that nobody knows."""
        effects: list[Effect] = []
        for index in [index for index in self._waiters if first <= index <= last]:
            effects += self._waiters.pop(index)[1](None, now)
        return effects

    def _apply_entry(self, entry: Entry, now: float) -> Sequence[Effect]:
        self._applied_term = entry.term
        applied: Applied | None = None
        if entry.kind is EntryKind.COMMAND:
            applied = self._state.apply(decode_command(entry.data))
            self.peers.cluster_id = self._state.membership.cluster_id
        elif entry.kind is EntryKind.CONFIGURATION:
            applied = Applied(is_changed=True)
        term, waiter = self._waiters.pop(entry.index, (0, None))
        if waiter is None:
            return []
        return waiter(applied if term == entry.term else None, now)


def first_save(peers: Mapping[str, str]) -> Save:
    """Return what each voter of a new cluster has on its disk before it starts the first time."""
    return bootstrap(Configuration(tuple(sorted(peers)), (), dict(peers)))


def founders_of(peers: Mapping[str, str]) -> str:
    """Return a digest of a list of peers: whoever founds a cluster must have the same."""
    text = "\n".join(f"{peer}\t{address}" for peer, address in sorted(peers.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def persisted_of(save: Save) -> Persisted:
    """Return what a new journal gives back after its first save."""
    return Persisted(term=save.term, vote=save.vote, entries=save.entries)


def new_raft(node_id: str, persisted: Persisted, rng: "Random") -> RaftCore:
    """Return the Raft core of a meta node."""
    return RaftCore(RaftConfig(node_id=node_id), persisted, rng)
