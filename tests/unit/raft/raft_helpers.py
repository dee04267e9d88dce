"""Builders for Raft tests: a core with a given log, a cluster whose messages the test delivers."""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from zreg.effects import Save, Snapshot
from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.consensus import RaftCore
from zreg.raft.ready import Persisted, ReadState, Ready, bootstrap
from zreg.raft.status import Role
from zreg.testing.raft.checker import RaftChecker
from zreg.testing.raft.raft_node import SimNode
from zreg.testing.sim.disk import SimDisk
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    InstallSnapshot,
    RaftMessage,
    Reply,
    Request,
    RequestVote,
    RequestVoteReply,
    TransferLeader,
)

THREE = ("n1", "n2", "n3")
FIVE = ("n1", "n2", "n3", "n4", "n5")


def members(voters: Sequence[str] = THREE, learners: Sequence[str] = ()) -> Configuration:
    addresses = {node_id: f"at {node_id}" for node_id in (*voters, *learners)}
    return Configuration(tuple(voters), tuple(learners), addresses)


def log_of(*terms: int, configuration: Configuration | None = None) -> tuple[Entry, ...]:
    """Return a log with these terms; its first entry holds the members."""
    data = encode_configuration(configuration or members())
    first = Entry(1, terms[0], EntryKind.CONFIGURATION, data)
    rest = [
        Entry(index, term, EntryKind.COMMAND, b"a=%d" % index)
        for index, term in enumerate(terms[1:], start=2)
    ]
    return (first, *rest)


def commands(first_index: int, *terms: int) -> tuple[Entry, ...]:
    return tuple(
        Entry(index, term, EntryKind.COMMAND, b"a=%d" % index)
        for index, term in enumerate(terms, start=first_index)
    )


def make_core(
    node_id: str = "n1",
    *,
    log: tuple[Entry, ...] | None = None,
    term: int | None = None,
    vote: str | None = None,
    snapshot: Snapshot | None = None,
    seed: int = 1,
    **limits: int,
) -> RaftCore:
    entries = log_of(1) if log is None else log
    last_term = entries[-1].term if entries else snapshot.term if snapshot else 0
    persisted = Persisted(
        term=last_term if term is None else term, vote=vote, snapshot=snapshot, entries=entries
    )
    return RaftCore(RaftConfig(node_id=node_id, **limits), persisted, Random(seed))


class Outcome(NamedTuple):
    """All that a core asked its driver to do, in order."""

    appends: list[Request]
    saves: list[Save]
    messages: list[RaftMessage]
    committed: list[Entry]
    reads: list[ReadState]
    refused_reads: list[int]
    restored: list[Snapshot]

    @property
    def reply(self) -> Reply:
        (reply,) = (message for message in self.messages if isinstance(message, Reply))
        return reply

    @property
    def requests(self) -> list[Request]:
        late = [message for message in self.messages if isinstance(message, Request)]
        return [*self.appends, *late]


def drive(core: RaftCore) -> Outcome:
    """Take all that the core asks for, as if every save succeeds; send nothing."""
    outcome = Outcome([], [], [], [], [], [], [])
    while (ready := core.ready()) is not None:
        outcome.appends.extend(ready.appends)
        outcome.saves.extend([ready.save] if ready.save else [])
        outcome.messages.extend(ready.messages)
        outcome.committed.extend(ready.committed)
        outcome.reads.extend(ready.reads)
        outcome.refused_reads.extend(ready.refused_reads)
        outcome.restored.extend([ready.restore] if ready.restore else [])
        core.advance()
    return outcome


def step(core: RaftCore, message: RaftMessage) -> Outcome:
    core.step(message)
    return drive(core)


def tick(core: RaftCore, count: int = 1) -> Outcome:
    outcome = Outcome([], [], [], [], [], [], [])
    for _ in range(count):
        core.tick()
        for part, more in zip(outcome, drive(core), strict=True):
            part.extend(more)
    return outcome


def vote_request(
    sender: str = "n2",
    receiver: str = "n1",
    *,
    term: int,
    last: tuple[int, int] = (1, 1),
    is_pre_vote: bool = False,
    is_transfer: bool = False,
) -> RequestVote:
    """`last` is index and term of the candidate's last entry."""
    return RequestVote(
        sender=sender,
        receiver=receiver,
        term=term,
        sequence=7,
        last_index=last[0],
        last_term=last[1],
        is_pre_vote=is_pre_vote,
        is_transfer=is_transfer,
    )


def append_request(
    sender: str = "n2",
    receiver: str = "n1",
    *,
    term: int,
    prev: tuple[int, int] = (1, 1),
    commit: int = 0,
    entries: tuple[Entry, ...] = (),
) -> AppendEntries:
    """`prev` is index and term of the entry before `entries`."""
    return AppendEntries(
        sender=sender,
        receiver=receiver,
        term=term,
        sequence=8,
        prev_index=prev[0],
        prev_term=prev[1],
        commit_index=commit,
        entries=entries,
    )


def chunk_request(
    snapshot: Snapshot, *, term: int, offset: int = 0, size: int = 1000, checksum: int
) -> InstallSnapshot:
    return InstallSnapshot(
        sender="n2",
        receiver="n1",
        term=term,
        sequence=9,
        snapshot_index=snapshot.index,
        snapshot_term=snapshot.term,
        configuration=snapshot.configuration,
        total_bytes=len(snapshot.data),
        checksum=checksum,
        offset=offset,
        data=snapshot.data[offset : offset + size],
    )


def transfer_request(*, sender: str = "n2", term: int) -> TransferLeader:
    return TransferLeader(sender=sender, receiver="n1", term=term, sequence=10)


def vote_reply(request: Request, *, is_granted: bool = True, term: int | None = None) -> Reply:
    assert isinstance(request, RequestVote)
    return RequestVoteReply(
        sender=request.receiver,
        receiver=request.sender,
        term=request.term if term is None else term,
        sequence=request.sequence,
        is_pre_vote=request.is_pre_vote,
        is_granted=is_granted,
    )


def append_reply(
    request: Request,
    *,
    is_success: bool = True,
    match: int | None = None,
    hint: tuple[int, int] = (0, 0),
    term: int | None = None,
) -> AppendEntriesReply:
    assert isinstance(request, AppendEntries)
    reached = request.prev_index + len(request.entries)
    return AppendEntriesReply(
        sender=request.receiver,
        receiver=request.sender,
        term=request.term if term is None else term,
        sequence=request.sequence,
        is_success=is_success,
        match_index=reached if match is None and is_success else match or 0,
        hint_index=hint[0],
        hint_term=hint[1],
    )


def campaign(core: RaftCore) -> Outcome:
    """Let time pass until the core asks for pre-votes; return what it asked for then."""
    for _ in range(300):
        outcome = tick(core)
        if any(isinstance(each, RequestVote) and each.is_pre_vote for each in outcome.messages):
            return outcome
    raise AssertionError("no campaign")


def elect(core: RaftCore) -> Outcome:
    """Make the core a leader by the votes of all; return what it asked for first as a leader."""
    asked = campaign(core)
    while core.role is not Role.LEADER:
        following = Outcome([], [], [], [], [], [], [])
        for request in asked.requests:
            for part, more in zip(following, step(core, vote_reply(request)), strict=True):
                part.extend(more)
        asked = following
    return asked


def elect_alone(core: RaftCore) -> None:
    """Let the only voter become the leader and commit what it has."""
    while core.role is not Role.LEADER:
        tick(core)


def settle_leader(core: RaftCore, first: Outcome) -> Outcome:
    """Answer every append with success until none is left; return all that the leader asked for."""
    total = Outcome(*(list(part) for part in first))
    waiting = list(first.appends)
    while waiting:
        outcome = step(core, append_reply(waiting.pop(0)))
        waiting.extend(outcome.appends)
        for part, more in zip(total, outcome, strict=True):
            part.extend(more)
    return total


class Cluster:
    """Cores on simulated disks; messages wait in `mail` until the test delivers them."""

    def __init__(
        self, voters: Sequence[str] = THREE, *, spares: Sequence[str] = (), **limits: int
    ) -> None:
        self.nodes: dict[str, SimNode] = {}
        self.mail: list[RaftMessage] = []
        self.checker = RaftChecker(self.nodes)
        self.reads: dict[str, list[ReadState]] = {}
        self.refused_reads: dict[str, list[int]] = {}
        self._cut: dict[tuple[str, str], bool] = {}
        for node_id in (*voters, *spares):
            first = [bootstrap(members(voters))] if node_id in voters else []
            config = RaftConfig(node_id=node_id, **limits)
            self.nodes[node_id] = SimNode(config, SimDisk(*first))
            self.start(node_id)

    # Nodes.

    def core(self, node_id: str) -> RaftCore:
        core = self.nodes[node_id].core
        assert core is not None
        return core

    def start(self, node_id: str) -> None:
        number = list(self.nodes).index(node_id)
        self.nodes[node_id].start(Random(number))
        self.checker.on_start(self.nodes[node_id])
        self.settle(node_id)

    def crash(self, node_id: str) -> None:
        self.nodes[node_id].crash()

    def tick(self, *node_ids: str, count: int = 1) -> None:
        for _ in range(count):
            for node_id in node_ids or self.nodes:
                if self.nodes[node_id].core is not None:
                    self.core(node_id).tick()
                    self.settle(node_id)

    def settle(self, node_id: str) -> None:
        self.nodes[node_id].settle(self.mail.append, self, lambda _: None)

    def do(self, node_id: str, action: Callable[[RaftCore], object]) -> None:
        action(self.core(node_id))
        self.settle(node_id)

    def propose(self, node_id: str, value: int = 1) -> None:
        self.do(node_id, lambda core: core.propose(b"a=%d" % value))

    # Messages.

    def cut(self, *pairs: tuple[str, str]) -> None:
        """Lose the messages from the first node of each pair to the second."""
        for pair in pairs:
            self._cut[pair] = True

    def isolate(self, *node_ids: str) -> None:
        for inside in node_ids:
            for outside in self.nodes:
                if outside not in node_ids:
                    self.cut((inside, outside), (outside, inside))

    def heal(self) -> None:
        self._cut.clear()

    def give(self, message: RaftMessage) -> None:
        """Deliver one message, cut or not."""
        node = self.nodes[message.receiver]
        if node.core is not None:
            if isinstance(message, Request):
                self.checker.requests_waiting[node.node_id] += 1
            node.core.step(message)
            self.settle(node.node_id)

    def deliver(self, rounds: int = 200) -> None:
        """Deliver all messages, and those that they cause, until there are none."""
        for _ in range(rounds):
            batch, self.mail[:] = list(self.mail), []
            for message in batch:
                if not self._cut.get((message.sender, message.receiver)):
                    self.give(message)
            if not self.mail:
                return
        raise AssertionError("the messages never end")

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick()
            self.deliver()

    def elect(self, node_id: str) -> None:
        """Let `node_id` win an election: the other nodes lose their leader and then do not tick."""
        for other, node in self.nodes.items():
            if other != node_id and node.core is not None and node.core.leader is not None:
                self.tick(other, count=node.config.election_ticks)
        self.mail.clear()
        for _ in range(40):
            self.tick(node_id)
            self.deliver()
            if self.core(node_id).role is Role.LEADER:
                self.run(2)
                return
        raise AssertionError(f"{node_id} was not elected")

    def leaders(self) -> list[str]:
        up = [node for node in self.nodes.values() if node.core is not None]
        return [node.node_id for node in up if node.core and node.core.role is Role.LEADER]

    def values(self) -> list[int | None]:
        return [node.machine.values.get("a") for node in self.nodes.values()]

    # What the checker sees of a step.

    def on_ready(self, node: SimNode, ready: Ready) -> None:
        self.checker.on_ready(node, ready)

    def on_saved(self, node: SimNode) -> None:
        self.checker.on_saved(node)

    def on_message(self, node: SimNode, message: RaftMessage) -> None:
        self.checker.on_message(node, message)

    def on_applied(self, node: SimNode, ready: Ready) -> None:
        self.checker.on_applied(node, ready)
        self.reads.setdefault(node.node_id, []).extend(ready.reads)
        self.refused_reads.setdefault(node.node_id, []).extend(ready.refused_reads)


def lead_alone(cluster: Cluster, node_id: str, *, without: tuple[str, ...] = ()) -> None:
    """Make `node_id` leader, and deliver none of its messages after that."""
    core = cluster.core(node_id)
    up = [each.node_id for each in cluster.nodes.values() if each.core is not None]
    for other in up:
        if other != node_id and other not in without:
            cluster.tick(other, count=cluster.nodes[other].config.election_ticks)
    cluster.mail.clear()
    while core.role is not Role.LEADER:
        cluster.tick(node_id)
        while cluster.mail and core.role is not Role.LEADER:
            message = cluster.mail.pop(0)
            if message.receiver not in without:
                cluster.give(message)
