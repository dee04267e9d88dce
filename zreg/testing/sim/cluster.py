"""A whole cluster in the simulator: its nodes and clients by name."""

from zreg.config import Config
from zreg.data.core import DataCore
from zreg.effects import Core, Link, MembershipTaken
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.peers.identity import FOUNDERS, Identity, first_save
from zreg.model import EMPTY_MEMBERSHIP, Member, Membership, Role, Status
from zreg.session.core import SessionCore
from zreg.testing.sim.disk import SimDisk
from zreg.testing.sim.sim_clients import SimClients
from zreg.testing.sim.sim_process import Process
from zreg.testing.sim.simulation import Simulation
from zreg.wire.cached_membership import decode_cached_membership, encode_cached_membership


class SimCluster(SimClients):
    """Nodes and clients on one `Simulation`.

    With `has_membership_cache` session and data nodes keep the membership on disk, and start from
    it.
    """

    def __init__(
        self,
        seed: int,
        config: Config | None = None,
        *,
        metas: int = 1,
        has_membership_cache: bool = False,
    ) -> None:
        numbers = range(1, metas + 1)
        self.meta_names = ["meta"] if metas == 1 else [f"meta-{number}" for number in numbers]
        addresses = tuple(f"tcp://{name}:9610" for name in self.meta_names)
        super().__init__(Simulation(seed), config or Config(meta_addresses=addresses))
        self.disks: dict[str, SimDisk] = {}
        self.has_membership_cache = has_membership_cache
        # By session or data node: the membership on its disk, and its latest process.
        self._caches: dict[str, bytes] = {}
        self._latest: dict[str, Process] = {}
        self._disk_count = 0
        # By node: the host that its machine has now, if it has changed.
        self._hosts: dict[str, str] = {}
        self._host_count = 0

    # --- nodes --------------------------------------------------------------------------------

    def start(self, *, sessions: int = 1, data: int = 1) -> "SimCluster":
        """Start meta, `data-1`, …, `session-1`, …, and wait until all of them have joined."""
        self.metas()
        for number in range(1, data + 1):
            self.data(number)
        for number in range(1, sessions + 1):
            self.session(number)
        assert self.sim.run_until(lambda: self.member_count() == sessions + data, 5.0)
        return self

    def metas(self) -> None:
        """Start all meta nodes that are not running."""
        for name in self.meta_names:
            if name not in self.sim.processes:
                self.meta(name)

    def meta(
        self, name: str = "meta", *, is_joining: bool = False, bootstrap_expect: int = 0
    ) -> Process:
        """Start a meta node from its disk.

        Without a disk it is a founder, or waits to be added, or agrees with others on the founders.
        """
        founders = {each: f"tcp://{each}:9611" for each in self.meta_names}
        member = Member(
            name,
            Role.META,
            1,
            Status.WORKING,
            f"tcp://{self.host_of(name)}:9610",
            f"tcp://{self.host_of(name)}:9612",
            process_id=self._new_id(),
        )
        disk = self.disks.get(name)
        if disk is None:
            self._disk_count += 1
            first = () if is_joining or bootstrap_expect else (first_save(founders),)
            disk = self.disks[name] = SimDisk(*first, journal_id=f"{name}#{self._disk_count}")
        address = self.raft_address_of(name)
        is_reached = len(self.meta_names) > 1 or bootstrap_expect
        core = MetaCore(
            member,
            self.config,
            raft=new_raft(name, disk.load(), self._new_rng()),
            identity=Identity(
                node_id=name,
                # A single founder needs no address for other founders, and starts at once.
                address=address if is_reached else "",
                journal_id=disk.journal_id,
                founders=disk.facts.get(FOUNDERS, ""),
                bootstrap_expect=bootstrap_expect,
            ),
            cluster_id=self._new_id(),
            now=self.sim.now,
        )
        binds = {
            Link.NODES: member.address,
            Link.MEMBERSHIP: member.changes_address,
            Link.RAFT_ANSWER: address,
        }
        return self.sim.add(name, core, binds, disk)

    def host_of(self, name: str) -> str:
        """Return the host that the machine of a node has now: at first the name of the node."""
        return self._hosts.get(name, name)

    def raft_address_of(self, name: str) -> str:
        """Return the address at which other meta nodes reach one now."""
        return f"tcp://{self.host_of(name)}:9611"

    def change_host(self, name: str) -> None:
        """Give the machine of a node another address, as DHCP does; the node may run or not."""
        self._host_count += 1
        self._hosts[name] = f"10.0.{self._host_count // 250}.{self._host_count % 250 + 1}"
        if name in self.sim.processes:
            self.sim.change_host(name, self._hosts[name], self._new_id())

    def meta_cores(self) -> dict[str, MetaCore]:
        """Return the cores of the running meta nodes, by name."""
        found = {}
        for name, process in self.sim.processes.items():
            if isinstance(process.core, MetaCore):
                found[name] = process.core
        return found

    def leader(self) -> str | None:
        """Return the leader of the latest term, None if there is none that is not frozen."""
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
            f"tcp://{self.host_of(name)}:9620",
            f"tcp://{self.host_of(name)}:9621",
            process_id=self._new_id(),
        )
        kept = self.cached_membership(name)
        core = DataCore(member, self.config, rng=self._new_rng(), now=self.sim.now, cached=kept)
        binds = {Link.REQUESTS: member.address, Link.CHANGES: member.changes_address}
        return self._add(name, core, binds)

    def session(self, number: int) -> Process:
        """Start `session-<number>`."""
        name = f"session-{number}"
        address = f"tcp://{self.host_of(name)}:9600"
        member = Member(name, Role.SESSION, 0, Status.INITIAL, address, process_id=self._new_id())
        kept = self.cached_membership(name)
        core = SessionCore(member, self.config, rng=self._new_rng(), now=self.sim.now, cached=kept)
        return self._add(name, core, {Link.CLIENTS: member.address})

    def cached_membership(self, name: str) -> Membership | None:
        """Return the membership on a node's disk; None if nodes have no disk."""
        if not self.has_membership_cache:
            return None
        events = self._latest[name].events if name in self._latest else []
        taken = [event.membership for event in events if isinstance(event, MembershipTaken)]
        owner = {"cluster": self.config.cluster, "node_id": name}
        if taken and taken[-1].epoch:
            self._caches[name] = encode_cached_membership(taken[-1], **owner)
        elif taken:
            self._caches.pop(name, None)
        return (
            decode_cached_membership(self._caches[name], **owner)
            if name in self._caches
            else EMPTY_MEMBERSHIP
        )

    def _add(self, name: str, core: Core, binds: dict[Link, str]) -> Process:
        process = self._latest[name] = self.sim.add(name, core, binds)
        return process

    def member_count(self) -> int:
        """Return how many session and data nodes are members, as the leader of meta knows it."""
        leader = self.leader()
        if leader is None:
            return 0
        membership = self.meta_cores()[leader].membership
        return len(membership.of(Role.SESSION)) + len(membership.of(Role.DATA))

    # --- time ---------------------------------------------------------------------------------

    def failed_nodes(self) -> list[str]:
        """Return the running processes whose cores have said that they cannot go on."""
        return [name for name, process in self.sim.processes.items() if process.has_failed]

    def supervise(self) -> None:
        """Restart the session and data nodes that have failed, as the service manager would."""
        for name in self.failed_nodes():
            role, _, number = name.partition("-")
            if role == "meta":
                continue
            self.sim.kill(name)
            (self.data if role == "data" else self.session)(int(number))

    def run(self, seconds: float) -> None:
        """Run for `seconds`, restart failed nodes, and hand the events to the views."""
        self.sim.run(seconds)
        self.supervise()
        self.read_events()
