"""What the directed scenarios share: small clusters, hostile peers, and promises that must hold.

A scenario asserts its preconditions with `assert`, and what the registry promises with `promise`.
So a mutation is noticed only where a promise is broken, and not where a scenario failed to begin.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from zreg.client.core.commands import Registered
from zreg.config import Config
from zreg.effects import Effect, Link, Local, Peer, PeerUp, Send
from zreg.model import DataInfoId, Membership, data_info_id
from zreg.primitives.ring import ring_of
from zreg.session.upstream.registered import replays
from zreg.testing.checkers.store_checker import StoreChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog
from zreg.testing.sim.one_question import TARGET, OneQuestion
from zreg.testing.sim.sim_process import Process
from zreg.wire.messages import Message

PAY = data_info_id("pay")
META = ("tcp://meta:9610",)
# For rules about a primary that has nobody to ask.
ONE_COPY = Config(meta_addresses=META, replica_count=1)


class BrokenPromiseError(AssertionError):
    """The registry did something that it must never do."""


def promise(is_kept: object, what: str) -> None:
    """Raise `BrokenPromiseError` unless a promise is kept."""
    if not is_kept:
        raise BrokenPromiseError(what)


def make_cluster(
    *, seed: int = 1, sessions: int = 2, data: int = 1, config: Config | None = None
) -> SimCluster:
    """Return a cluster whose nodes have joined and compared."""
    cluster = SimCluster(seed, config).start(sessions=sessions, data=data)
    cluster.run(2.0)
    return cluster


def watched(cluster: SimCluster, name: DataInfoId = PAY, *, at: int = 2) -> tuple[ViewLog, bytes]:
    """Let `publisher` publish "alive" at session-1, and `watcher` follow it at another session.

    Return the view and the id of the publisher. The client learns the addresses of all sessions.
    """
    cluster.client("publisher", [1])
    cluster.client("watcher", [at])
    view = cluster.subscribe("watcher", name)
    publisher_id = cluster.publish("publisher", name, "alive")
    assert cluster.settles(view, ["alive"])
    cluster.run(1.0)
    return view, publisher_id


@contextmanager
def calls_answered_at_once() -> Iterator[None]:
    """Let sessions answer the calls of data nodes without the time that a greeting may take.

    That time would hide faults that last for a moment: it lets clients register again.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replays, "GREETING_SECONDS", 0.0)
        yield


def never_loses(cluster: SimCluster, view: ViewLog, seconds: float) -> None:
    """Let time pass; the view must show "alive" all the time."""
    end = cluster.sim.now + seconds
    while cluster.sim.now < end:
        cluster.run(0.1)
        promise(not view.removed, "the view lost a publisher whose client lives")


def is_registered(cluster: SimCluster, client: str, publisher_id: bytes) -> bool:
    """Return whether a client was told that a publication is registered."""
    events = cluster.sim.processes[client].events
    return any(isinstance(e, Registered) and publisher_id in e.publisher_ids for e in events)


def session_of(cluster: SimCluster, client: str) -> str:
    """Return the address of the session that has welcomed a client; "" if none has."""
    statistics = cluster.sim.processes[client].core.statistics()
    return str(statistics["session"]) if statistics["phase"] == "open" else ""


def membership_of(cluster: SimCluster) -> Membership:
    """Return the membership as the leader of meta knows it."""
    leader = cluster.leader()
    assert leader is not None
    return cluster.meta_cores()[leader].membership


def all_owned_by(cluster: SimCluster, node_id: str) -> Iterator[DataInfoId]:
    """Yield ids of which a node is the primary."""
    ring = ring_of(membership_of(cluster))
    names = (data_info_id(f"service-{number}") for number in range(1000))
    return (name for name in names if ring.primary(name) == node_id)


def owned_by(cluster: SimCluster, node_id: str) -> DataInfoId:
    """Return an id of which a node is the primary."""
    return next(all_owned_by(cluster, node_id))


def runs_consistently(cluster: SimCluster, checker: StoreChecker, seconds: float) -> None:
    """Let time pass in short steps, and check the stores of the data nodes after each."""
    end = cluster.sim.now + seconds
    while cluster.sim.now < end:
        cluster.run(0.02)
        found = checker.check(cluster)
        promise(not found, "\n".join(found))


def received(process: Process) -> list[Message]:
    """Return a list to which each record is added that the process receives from now on."""
    messages: list[Message] = []
    receive = process.core.receive

    def note(link: Link, peer: Peer, message: Message | Local, now: float) -> Sequence[Effect]:
        if not isinstance(message, Local):
            messages.append(message)
        return receive(link, peer, message, now)

    process.core.receive = note  # type: ignore[method-assign]
    return messages


class HostilePeer(OneQuestion):
    """A core that connects to one address, and sends there what a test tells it."""

    def __init__(self, link: Link, address: str) -> None:
        super().__init__(link, address)
        self.is_up = False

    @property
    def received(self) -> list[Message]:
        """What came from there."""
        return self.answers

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Note what comes; send what the test has posted."""
        if isinstance(message, Post):
            return [Send(self.link, TARGET, each) for each in message.messages]
        self.is_up = self.is_up or isinstance(message, PeerUp)
        return super().receive(link, peer, message, now)


class Post(Local, frozen=True):
    """What a hostile peer has to send."""

    messages: tuple[Message, ...]
