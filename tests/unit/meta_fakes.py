"""Some meta cores, and a network between them that carries Raft's messages at once."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from zreg.config import Config
from zreg.discovery.sightings import Browse
from zreg.effects import (
    Broadcast,
    Connect,
    Disconnect,
    Effect,
    Emit,
    Flush,
    Link,
    Local,
    Log,
    Peer,
    PeerLost,
    PeerUp,
    Save,
    Send,
)
from zreg.membership.cluster_member import NodeFailed
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import TICK_SECONDS, new_raft
from zreg.meta.peers.identity import Identity, first_save, founders_of, persisted_of
from zreg.model import Member, Role, Status
from zreg.raft.ready import Persisted
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.meta_messages import AddMeta, RemoveMeta

if TYPE_CHECKING:
    import msgspec

CONFIG = Config()
NAMES = ("m1", "m2", "m3")
PEERS = {name: f"tcp://{name}:9611" for name in NAMES}
SESSION = Member("s1", Role.SESSION, 0, Status.INITIAL, "tcp://s1:1", process_id=b"s1")
CLIENT = b"a node"


def meta_member(name: str, process_id: str = "") -> Member:
    return Member(
        name,
        Role.META,
        1,
        Status.WORKING,
        f"tcp://{name}:9610",
        f"tcp://{name}:9612",
        process_id=(process_id or name).encode(),
    )


def identity_of(
    name: str,
    *,
    journal_id: str = "",
    peers: Mapping[str, str] = PEERS,
    bootstrap_expect: int = 0,
) -> Identity:
    """Return the identity of a founder; without peers, of a node that was added, or gathers."""
    return Identity(
        node_id=name,
        address=peers.get(name, f"tcp://{name}:9611"),
        journal_id=journal_id or f"journal of {name}",
        founders=founders_of(peers) if peers else "",
        bootstrap_expect=bootstrap_expect,
    )


class Cluster:
    """Carries Raft's messages between the cores at once, and records all others."""

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        self.now = 0.0
        self.sent: list[tuple[str, Send]] = []
        self.logged: list[Log] = []
        self.emitted: list[tuple[str, msgspec.Struct]] = []
        # The nodes that have the LAN watched.
        self.browsing: list[str] = []
        self.saves: list[str] = []
        # The names of the checks that were begun.
        self.checks: list[str] = []
        self.cut: set[str] = set()
        self.cores: dict[str, MetaCore] = {}
        # The address that each node dials for each peer.
        self.wanted: dict[tuple[str, str], str] = {}
        self.connected: set[tuple[str, str]] = set()
        peers = {name: f"tcp://{name}:9611" for name in names}
        for name in names:
            self.start(name, peers)
        self.connect()

    def start(
        self,
        name: str,
        peers: Mapping[str, str] = PEERS,
        *,
        journal_id: str = "",
        persisted: Persisted | None = None,
        bootstrap_expect: int = 0,
    ) -> MetaCore:
        """Start a founder with these peers; without any, a node that waits to be added.

        With `bootstrap_expect` and no peers, it agrees with others on the founders.
        """
        if persisted is None:
            persisted = persisted_of(first_save(peers)) if peers else Persisted()
        core = self.cores[name] = MetaCore(
            meta_member(name),
            CONFIG,
            raft=new_raft(name, persisted, Random(name)),
            identity=identity_of(
                name, journal_id=journal_id, peers=peers, bootstrap_expect=bootstrap_expect
            ),
            cluster_id=name.encode() * 8,
            now=self.now,
        )
        self.take(name, core.start(self.now))
        return core

    def stop(self, name: str) -> None:
        """End a node; its connections end too."""
        del self.cores[name]
        both = (name, f"@tcp://{name}:9611")
        for pair in [pair for pair in self.connected if set(pair) & set(both)]:
            self.connected.discard(pair)
            if pair[0] in self.cores:
                self.give(pair[0], Link.LOCAL, "", PeerLost(Link.RAFT_ASK, pair[1], "closed"))
        self.wanted = {pair: at for pair, at in self.wanted.items() if pair[0] != name}

    def journal_of(self, name: str) -> Persisted:
        """Return what is in the journal of a node that runs."""
        raft = self.cores[name].raft_driver.raft
        entries = raft.log.entries_between(0, raft.log.last_index)
        return Persisted(term=raft.term, vote=raft.vote, entries=entries)

    def connect(self) -> None:
        """Make the wanted connections whose two ends run and are not cut off."""
        running = {
            core.raft_driver.peers.introductions.identity.address: name
            for name, core in self.cores.items()
        }
        for pair, address in list(self.wanted.items()):
            is_cut = {pair[0], running.get(address)} & self.cut
            if pair not in self.connected and address in running and not is_cut:
                self.connected.add(pair)
                self.give(pair[0], Link.LOCAL, "", PeerUp(Link.RAFT_ASK, pair[1]))

    def take(  # noqa: C901 -- one case per effect
        self, name: str, effects: Iterable[Effect]
    ) -> None:
        for effect in list(effects):
            match effect:
                case Send(link=Link.RAFT_ASK):
                    self.ask(name, str(effect.peer), effect.message)
                case Send():
                    self.sent.append((name, effect))
                case Log():
                    self.logged.append(effect)
                case Save():
                    self.saves.append(name)
                case Emit(event=Browse()):
                    self.browsing.append(name)
                case Emit():
                    self.emitted.append((name, effect.event))
                case Connect(link=Link.CHECKS):
                    self.checks.append(effect.peer)
                case Connect():
                    self.wanted[name, effect.peer] = effect.address
                case Disconnect():
                    self.wanted.pop((name, str(effect.peer)), None)
                    self.connected.discard((name, str(effect.peer)))
                case Broadcast() | Flush():
                    pass
                case _:
                    raise AssertionError(effect)

    def wake(self, *names: str) -> None:
        """End the cut of these nodes; their connections are made again."""
        self.cut -= set(names)
        for name, peer in list(self.connected):
            if {name, peer} & set(names):
                self.connected.discard((name, peer))
                self.give(name, Link.LOCAL, "", PeerLost(Link.RAFT_ASK, peer, "closed"))

    def ask(self, name: str, peer: str, message: Message) -> None:
        """Carry a request to a peer, and its answer back."""
        # A candidate is named by its address.
        asked = peer.removeprefix("@tcp://").removesuffix(":9611")
        if {name, asked} & self.cut or asked not in self.cores:
            return
        before = len(self.sent)
        self.give(asked, Link.RAFT_ANSWER, b"request", message)
        for who, answer in self.sent[before:]:
            if who == asked and answer.link is Link.RAFT_ANSWER:
                self.sent.remove((who, answer))
                self.give(name, Link.RAFT_ASK, peer, answer.message)

    def give(self, name: str, link: Link, peer: Peer, message: Message | Local) -> None:
        core = self.cores[name]
        self.take(name, core.receive(link, peer, message, self.now))
        self.take(name, core.settle(self.now))

    def request(self, name: str, message: Message) -> list[Message]:
        """Send a request like a node; return the answers so far."""
        self.sent.clear()
        self.give(name, Link.NODES, CLIENT, message)
        return self.answers()

    def answers(self) -> list[Message]:
        return [send.message for _, send in self.sent if send.peer == CLIENT]

    def run(self, seconds: float, *names: str) -> None:
        """Let time pass for these nodes, or for all."""
        end = self.now + seconds
        while self.now < end:
            self.now += TICK_SECONDS
            self.connect()
            for name in names or list(self.cores):
                self.take(name, self.cores[name].tick(self.now))
                self.take(name, self.cores[name].settle(self.now))

    def leader(self) -> str:
        (name,) = [name for name, core in self.cores.items() if core.is_leading]
        return name

    def followers(self) -> list[str]:
        return [name for name in self.cores if name != self.leader()]

    def failed(self) -> dict[str, str]:
        """Return the nodes that must end, and why."""
        return {name: event.reason for name, event in self.emitted if isinstance(event, NodeFailed)}

    def events(self) -> list[str]:
        return [log.event for log in self.logged]


def running(names: Sequence[str] = NAMES) -> Cluster:
    cluster = Cluster(names)
    cluster.run(2.0)
    return cluster


def change(
    cluster: Cluster, name: str, kind: type[AddMeta] | type[RemoveMeta], *fields: int | str
) -> list[Message]:
    """Ask for a change of the present configuration."""
    index = cluster.cores[name].raft_driver.raft.configuration_index
    return cluster.request(name, kind(*fields, configuration_index=index))  # type: ignore[arg-type]


def refusal(messages: list[Message]) -> Refused:
    (refused,) = messages
    assert isinstance(refused, Refused)
    return refused
