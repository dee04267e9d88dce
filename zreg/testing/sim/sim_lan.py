"""The LAN of a simulated cluster: what its nodes announce, and what any machine can make of it.

Announcements reach the processes that browse: late, or never. Those of killed nodes are seen until
they expire. Other machines forge and withdraw announcements, and flood the LAN.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.sightings import ANNOUNCED_SECONDS, Browse, LanEvent, Sighted, Withdrawn
from zreg.meta.core import MetaCore
from zreg.model import Role
from zreg.session.core import SessionCore
from zreg.testing.sim.cluster import SimCluster

if TYPE_CHECKING:
    from zreg.testing.sim.sim_process import Process

INTERFACES: Final = (Interface("eth0"), Interface("eth1"))
# How often a process that browses is told again; real nodes announce themselves less often.
_TOLD_SECONDS: Final = 5.0
_LATE_SECONDS_MAX: Final = 3.0
_FLOOD_COUNT: Final = 200


class SimLan:
    """Tells the processes that browse; `lose_share` of what they could be told is lost."""

    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster
        self._rng = cluster.sim.rng
        self.lose_share = 0.0
        self.counts: Counter[str] = Counter()
        # By name: what was announced, and until when it is seen without its node.
        self._announced: dict[str, tuple[Announcement, float]] = {}
        # Of each process: how many of its events were looked at, and whether it browses.
        self._read: dict[Process, int] = {}
        self._browsing: set[Process] = set()
        self._forged_count = 0

    def run(self, seconds: float) -> None:
        """Run the cluster, and tell its processes what is announced."""
        end = self._cluster.sim.now + seconds
        while self._cluster.sim.now < end:
            self._cluster.run(min(_TOLD_SECONDS, end - self._cluster.sim.now, 1.0))
            self._note_announced()
            for name in self._browsers():
                self._tell_all(name)

    def is_browsing(self, name: str) -> bool:
        """Return whether a process wants to be told."""
        return name in self._browsers()

    # --- what other machines do ----------------------------------------------------------------

    def forge(self, kind: str) -> None:
        """Announce what is not so, to all processes that browse."""
        forged: dict[str, dict[str, object]] = {
            "black hole": {"addresses": self._silent_address()},
            "other cluster": {"cluster": "other"},
            "other cluster id": {"cluster_id": b"?" * 16},
            "wrong role": {"addresses": ("tcp://session-1:9600", "tcp://data-1:9620")},
            "stolen id": {"node_id": "meta-1", "addresses": self._silent_address()},
        }
        self._spread_forged(forged[kind])
        self.counts[kind] += 1

    def flood(self) -> None:
        """Announce hundreds of nodes that do not exist."""
        for _ in range(_FLOOD_COUNT):
            self._spread_forged({"addresses": self._silent_address()})
        self.counts["flood"] += 1

    def announce_black_holes(
        self, count: int, cluster_id: bytes, *, role: Role = Role.META
    ) -> None:
        """Announce so many nodes of a cluster at addresses where packets are lost."""
        for _ in range(count):
            addresses = self._silent_address()
            self._spread_forged({"role": role, "cluster_id": cluster_id, "addresses": addresses})

    def _silent_address(self) -> tuple[str]:
        """Return an address where packets are lost, a different one each time."""
        address = f"tcp://nowhere-{len(self._cluster.sim.faults.silent_addresses)}:9610"
        self._cluster.sim.faults.silent_addresses.add(address)
        return (address,)

    def withdraw_all(self) -> None:
        """Withdraw the announcements of living nodes in their names."""
        for interface in INTERFACES:
            for name in self._announced:
                self._spread(Withdrawn(name, interface))
        self.counts["forged withdrawal"] += 1

    def _spread_forged(self, changes: dict[str, object]) -> None:
        self._forged_count += 1
        role = self._rng.choice((Role.META, Role.SESSION))
        fields = {
            "role": role,
            "node_id": f"forged-{self._forged_count}",
            "cluster": self._cluster.config.cluster,
            "addresses": (),
        }
        announcement = Announcement(**(fields | changes))  # type: ignore[arg-type]
        name = f"forged-{self._forged_count}"
        self._spread(Sighted(name, self._rng.choice(INTERFACES), announcement))

    def _spread(self, event: LanEvent) -> None:
        for name in self._browsers():
            self._cluster.sim.post(name, event)

    # --- what the nodes announce ---------------------------------------------------------------

    def _note_announced(self) -> None:
        now = self._cluster.sim.now
        for name, process in self._cluster.sim.processes.items():
            core = process.core
            is_meta, host = isinstance(core, MetaCore), self._cluster.host_of(name)
            # A meta node is announced before it knows its cluster, also after a restart.
            if isinstance(core, MetaCore | SessionCore) and (is_meta or core.membership.epoch):
                announcement = Announcement(
                    role=Role.META if is_meta else Role.SESSION,
                    node_id=name,
                    cluster=self._cluster.config.cluster,
                    cluster_id=core.membership.cluster_id,
                    addresses=(f"tcp://{host}:{9610 if is_meta else 9600}",),
                    raft_address=self._cluster.raft_address_of(name) if is_meta else "",
                    journal_id=self._cluster.disks[name].journal_id if is_meta else "",
                )
                self._announced[name] = announcement, now + ANNOUNCED_SECONDS
        for name, (_, seen_until) in list(self._announced.items()):
            if now >= seen_until:
                del self._announced[name]

    def _tell_all(self, process: str) -> None:
        for name, (announcement, _) in self._announced.items():
            if self._rng.random() < self.lose_share:
                self.counts["lost"] += 1
                continue
            event = Sighted(name, INTERFACES[0], announcement)
            delay = self._rng.random() * _LATE_SECONDS_MAX
            self._cluster.sim.after(delay, partial(self._post, process, event))

    def _post(self, process: str, event: LanEvent) -> None:
        # It may have ended meanwhile.
        if process in self._cluster.sim.processes:
            self._cluster.sim.post(process, event)

    def _browsers(self) -> list[str]:
        return list(self._find_browsers())

    def _find_browsers(self) -> Iterator[str]:
        for name, process in self._cluster.sim.processes.items():
            events = process.events
            for event in events[self._read.get(process, 0) :]:
                if isinstance(event, Browse):
                    (self._browsing.add if event.is_wanted else self._browsing.discard)(process)
                    self.counts["browsed"] += event.is_wanted
            self._read[process] = len(events)
            if process in self._browsing:
                yield name
