"""A whole cluster in the simulator: nodes and clients by name, and what each of them sees."""

from collections.abc import Iterable
from random import Random

from zreg.client.core.commands import (
    AddSubscription,
    SetPublication,
    ViewChanged,
    WithdrawPublication,
)
from zreg.client.core.core import ClientCore
from zreg.config import Config
from zreg.data.core import DataCore
from zreg.effects import Core, Link, MembershipTaken
from zreg.membership.cluster_member import NodeFailed
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.peers.identity import Identity, first_save, founders_of
from zreg.model import (
    EMPTY_MEMBERSHIP,
    DataInfoId,
    Member,
    Membership,
    Publisher,
    Role,
    Scope,
    Status,
)
from zreg.session.core import SessionCore
from zreg.testing.sim.disk import SimDisk
from zreg.testing.sim.network import Process
from zreg.testing.sim.simulation import Simulation
from zreg.wire.body import pack_body, unpack_body
from zreg.wire.cached_membership import decode_cached_membership, encode_cached_membership


class ViewLog:
    """What one subscriber was told, and the rules that it was told by.

    Raises AssertionError when a version goes back.
    """

    def __init__(self) -> None:
        self.content: dict[bytes, Publisher] = {}
        self.is_known = False
        self.removed: list[bytes] = []
        self.added: list[bytes] = []
        self.callback_count = 0
        self._version = (0, 0)

    def take(self, change: ViewChanged) -> None:
        """Apply one event."""
        difference = change.difference
        version = (difference.version.epoch, difference.version.counter)
        assert version >= self._version, f"version went back from {self._version} to {version}"
        self._version = version
        self.is_known = True
        self.callback_count += difference.is_visible
        for key in difference.removals:
            self.content.pop(key, None)
            self.removed.append(key)
        for key, publisher in difference.upserts.items():
            if key not in self.content:
                self.added.append(key)
            self.content[key] = publisher

    def values(self) -> list[object]:
        """Return what is published, in the order of the publishers' ids."""
        return [unpack_body(p.body).values[0] for _, p in sorted(self.content.items())]


class SimCluster:
    """Nodes, clients and their views on one `Simulation`.

    With `has_memory` session and data nodes have a disk, on which they keep the membership.
    """

    def __init__(
        self, seed: int, config: Config | None = None, *, metas: int = 1, has_memory: bool = False
    ) -> None:
        self.sim = Simulation(seed)
        numbers = range(1, metas + 1)
        self.meta_names = ["meta"] if metas == 1 else [f"meta-{number}" for number in numbers]
        addresses = tuple(f"tcp://{name}:9610" for name in self.meta_names)
        self.config = config or Config(meta_addresses=addresses)
        self.disks: dict[str, SimDisk] = {}
        self.has_memory = has_memory
        self._kept: dict[str, bytes] = {}
        self._last: dict[str, Process] = {}
        self._disks_made = 0
        self._made = 0
        self._views: dict[tuple[str, int], ViewLog] = {}
        self._read: dict[str, int] = {}

    def _unique(self) -> bytes:
        self._made += 1
        return self.sim.rng.randbytes(12) + self._made.to_bytes(4)

    # --- nodes --------------------------------------------------------------------------------

    def start(self, *, sessions: int = 1, data: int = 1) -> "SimCluster":
        """Start meta, `data-1`, …, `session-1`, …, and wait until all of them joined."""
        self.metas()
        for number in range(1, data + 1):
            self.data(number)
        for number in range(1, sessions + 1):
            self.session(number)
        assert self.sim.run_until(lambda: self.members() == sessions + data, 5.0)
        return self

    def metas(self) -> None:
        """Start all meta nodes that do not run."""
        for name in self.meta_names:
            if name not in self.sim.processes:
                self.meta(name)

    def meta(self, name: str = "meta", *, is_joining: bool = False) -> Process:
        """Start one meta node: a founder, one that waits to be added, or any from its disk."""
        founders = {each: f"tcp://{each}:9611" for each in self.meta_names}
        member = Member(
            name,
            Role.META,
            1,
            Status.WORKING,
            f"tcp://{name}:9610",
            f"tcp://{name}:9612",
            process_id=self._unique(),
        )
        disk = self.disks.get(name)
        if disk is None:
            self._disks_made += 1
            first = () if is_joining else (first_save(founders),)
            disk = self.disks[name] = SimDisk(*first, journal_id=f"{name}#{self._disks_made}")
            disk.founders = "" if is_joining else founders_of(founders)
        address = f"tcp://{name}:9611"
        core = MetaCore(
            member,
            self.config,
            raft=new_raft(name, disk.load(), self._rng()),
            identity=Identity(
                node_id=name,
                # A lone one is reached by no other, and begins at once.
                address=address if len(self.meta_names) > 1 else "",
                journal_id=disk.journal_id,
                founders=disk.founders,
            ),
            cluster_id=self._unique(),
            now=self.sim.now,
        )
        binds = {
            Link.NODES: member.address,
            Link.MEMBERSHIP: member.changes_address,
            Link.RAFT_ANSWER: address,
        }
        return self.sim.add(name, core, binds, disk)

    def meta_cores(self) -> dict[str, MetaCore]:
        """Return the cores of the meta nodes that run, by name."""
        found = {}
        for name, process in self.sim.processes.items():
            if isinstance(process.core, MetaCore):
                found[name] = process.core
        return found

    def leader(self) -> str | None:
        """Return the meta node that leads the latest term, if one does and is awake."""
        leading = [
            (core.raft_driver.raft.term, name)
            for name, core in self.meta_cores().items()
            if core.is_leading and self.sim.processes[name].frozen_until <= self.sim.now
        ]
        return max(leading)[1] if leading else None

    def data(self, number: int) -> Process:
        """Start `data-<number>`."""
        name = f"data-{number}"
        member = Member(
            name,
            Role.DATA,
            0,
            Status.INITIAL,
            f"tcp://{name}:9620",
            f"tcp://{name}:9621",
            process_id=self._unique(),
        )
        kept = self.kept(name)
        core = DataCore(member, self.config, rng=self._rng(), now=self.sim.now, cached=kept)
        binds = {Link.REQUESTS: member.address, Link.CHANGES: member.changes_address}
        return self._add(name, core, binds)

    def session(self, number: int) -> Process:
        """Start `session-<number>`."""
        name = f"session-{number}"
        member = Member(
            name, Role.SESSION, 0, Status.INITIAL, f"tcp://{name}:9600", process_id=self._unique()
        )
        kept = self.kept(name)
        core = SessionCore(member, self.config, rng=self._rng(), now=self.sim.now, cached=kept)
        return self._add(name, core, {Link.CLIENTS: member.address})

    def kept(self, name: str) -> Membership | None:
        """Return what a node's disk holds; None if nodes have none."""
        if not self.has_memory:
            return None
        events = self._last[name].events if name in self._last else []
        taken = [event.membership for event in events if isinstance(event, MembershipTaken)]
        mine = {"cluster": self.config.cluster, "node_id": name}
        if taken and taken[-1].epoch:
            self._kept[name] = encode_cached_membership(taken[-1], **mine)
        elif taken:
            self._kept.pop(name, None)
        return (
            decode_cached_membership(self._kept[name], **mine)
            if name in self._kept
            else EMPTY_MEMBERSHIP
        )

    def _add(self, name: str, core: Core, binds: dict[Link, str]) -> Process:
        process = self._last[name] = self.sim.add(name, core, binds)
        return process

    def members(self) -> int:
        """Return how many session and data nodes the leader of meta has as living members."""
        leader = self.leader()
        if leader is None:
            return 0
        membership = self.meta_cores()[leader].membership
        return len(membership.of(Role.SESSION)) + len(membership.of(Role.DATA))

    def _rng(self) -> Random:
        return Random(self.sim.rng.getrandbits(64))  # noqa: S311 -- a simulation wants a seed

    # --- clients ------------------------------------------------------------------------------

    def client(self, name: str, sessions: Iterable[int] = (1,)) -> Process:
        """Start a client that tries these sessions."""
        addresses = [f"tcp://session-{number}:9600" for number in sessions]
        core = ClientCore(
            self.config, client_id=self._unique(), addresses=addresses, app="", rng=self._rng()
        )
        self._read[name] = 0
        self._views = {key: view for key, view in self._views.items() if key[0] != name}
        return self.sim.add(name, core, {})

    def publish(
        self, client: str, name: DataInfoId, value: str, publisher_id: bytes | None = None
    ) -> bytes:
        """Let a client publish, or republish under the id that it got."""
        publisher_id = publisher_id or self._unique()
        body = pack_body([value], attributes={}, registered_at=self.sim.now)
        self.sim.post(client, SetPublication(publisher_id, name, body))
        return publisher_id

    def unpublish(self, client: str, publisher_id: bytes) -> None:
        """Let a client withdraw what it published."""
        self.sim.post(client, WithdrawPublication(publisher_id))

    def subscribe(
        self, client: str, name: DataInfoId, scope: Scope = Scope.GLOBAL, feed_id: int = 1
    ) -> ViewLog:
        """Let a client subscribe; return what it is told."""
        view = self._views[client, feed_id] = ViewLog()
        self.sim.post(client, AddSubscription(feed_id, name, scope))
        return view

    def supervise(self) -> None:
        """Start a node again that gave up, as the service manager would."""
        for name, process in list(self.sim.processes.items()):
            if any(isinstance(event, NodeFailed) for event in process.events):
                self.sim.kill(name)
                role, _, number = name.partition("-")
                (self.data if role == "data" else self.session)(int(number))

    def read_events(self) -> None:
        """Hand what the clients' cores emitted to their views."""
        for name in self._read:
            process = self.sim.processes.get(name)
            if process is None:
                continue
            for event in process.events[self._read[name] :]:
                view = self._views.get((name, getattr(event, "feed_id", 0)))
                if isinstance(event, ViewChanged) and view is not None:
                    view.take(event)
            self._read[name] = len(process.events)

    def run(self, seconds: float) -> None:
        """Let time pass, and hand out the events."""
        self.sim.run(seconds)
        self.supervise()
        self.read_events()

    def settles(self, view: ViewLog, values: Iterable[str], seconds_max: float = 5.0) -> bool:
        """Wait until a view holds exactly these values, in any order."""
        wanted = sorted(values)

        def holds() -> bool:
            self.read_events()
            return view.is_known and sorted(map(str, view.values())) == wanted

        return self.sim.run_until(holds, seconds_max)
