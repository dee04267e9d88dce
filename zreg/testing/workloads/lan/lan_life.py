"""A random life of a cluster whose nodes and clients know no address and look at the LAN.

Announcements are lost, late, stale and forged, and flood the LAN, while nodes die and come back. No
lie costs more than time: in the end each node is a member of the one cluster, each view is exact,
and no process browses any more.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from zreg.config import Config
from zreg.discovery.announcement_table import KEPT_MAX
from zreg.model import DataInfoId, data_info_id
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.sim_lan import SimLan

_HEAL_SECONDS_MAX: Final = 240.0
_FORGERIES: Final = ("black hole", "other cluster", "other cluster id", "wrong role", "stolen id")
KINDS: Final = (
    *_FORGERIES,
    "flood",
    "forged withdrawal",
    "lost",
    "browsed",
    "killed",
    "moved",
    "metas moved",
)
_NODES: Final = ("meta", "data-1", "data-2", "session-1", "session-2")
ID: Final[DataInfoId] = data_info_id("orders")


class LanLife:
    """One life: a meta node or three, two sessions, two data nodes, and two clients."""

    def __init__(self, seed: int, *, steps: int = 25) -> None:
        self.seed = seed
        self.steps = steps
        config = Config(meta_addresses=())
        self.cluster = SimCluster(seed, config, metas=3 if seed % 2 else 1)
        self.lan = SimLan(self.cluster)
        self.rng = self.cluster.sim.rng
        self._killed_count = 0
        self._moved_count = self._metas_moved_count = 0
        self._was_founded = False

    @property
    def fault_counts(self) -> Counter[str]:
        """How often each kind of fault fired so far."""
        moved = {"moved": self._moved_count, "metas moved": self._metas_moved_count}
        return self.lan.counts + Counter({"killed": self._killed_count, **moved})

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        cluster = self.cluster
        for name in self.rng.sample(_NODES, len(_NODES)):
            self._start(name)
            self._fault()
            self.lan.run(self.rng.choice((0.1, 1.0, 3.0)))
        for name in ("client-1", "client-2"):
            cluster.client(name, ())
        view = cluster.subscribe("client-1", ID)
        cluster.publish("client-2", ID, "here")
        for _ in range(self.steps):
            self._fault()
            self.lan.run(self.rng.choice((0.1, 1.0, 5.0)))
            self._check_bounds()
        self._heal()
        self._wait_until_whole()
        assert cluster.settles(view, ["here"], 60.0), f"seed {self.seed}: {view}"

    # --- faults --------------------------------------------------------------------------------

    def _fault(self) -> None:
        lan = self.lan
        self.rng.choice(
            [
                lambda: lan.forge(self.rng.choice(_FORGERIES)),
                lambda: lan.forge(self.rng.choice(_FORGERIES)),
                lan.flood,
                lan.withdraw_all,
                self._lose_some,
                self._kill_one,
                self._start_all,
                self._move_one,
                self._move_metas,
            ]
        )()

    def _lose_some(self) -> None:
        self.lan.lose_share = self.rng.choice((0.0, 0.5, 0.9, 1.0))

    def _kill_one(self) -> None:
        names = [name for name in self.cluster.sim.processes if not name.startswith("client")]
        if names:
            self.cluster.sim.kill(self.rng.choice(names))
            self._killed_count += 1

    def _move_one(self) -> None:
        """Give a machine another address."""
        others = [name for name in _NODES if name != "meta"]
        metas = self.cluster.meta_names if self._is_founded() else []
        self.cluster.change_host(self.rng.choice([*others, *metas]))
        self._moved_count += 1

    def _move_metas(self) -> None:
        """Give the machines of most or all meta nodes another address, at once or one by one."""
        if not self._is_founded():
            return
        names = self.cluster.meta_names
        pause = self.rng.choice((0.0, 0.0, 0.5))
        for name in self.rng.sample(names, self.rng.randint(len(names) // 2 + 1, len(names))):
            self.cluster.change_host(name)
            self.lan.run(pause)
        self._metas_moved_count += 1

    def _is_founded(self) -> bool:
        """Return whether the journals of all meta nodes are agreed on.

        Founders that move before that are as unknown as new ones: an operator begins again.
        """
        for core in self.cluster.meta_cores().values():
            raft = core.raft_driver.raft
            named = raft.configuration.journals
            if core.is_leading and raft.is_configuration_committed:
                self._was_founded |= len(named) == len(self.cluster.meta_names)
        return self._was_founded

    def _start_all(self) -> None:
        for name in _NODES:
            self._start(name)

    def _start(self, name: str) -> None:
        """Start a node, or all meta nodes, if it does not run."""
        role, _, number = name.partition("-")
        if role == "meta":
            self.cluster.metas()
        elif name not in self.cluster.sim.processes:
            (self.cluster.data if role == "data" else self.cluster.session)(int(number))

    def _heal(self) -> None:
        self.lan.lose_share = 0.0
        self._start_all()

    # --- checks --------------------------------------------------------------------------------

    def _check_bounds(self) -> None:
        for name, process in self.cluster.sim.processes.items():
            count = process.core.statistics().get("announcements", 0)
            assert int(count) <= KEPT_MAX, f"seed {self.seed}: {name} believes {count}"

    def _wait_until_whole(self) -> None:
        for _ in range(int(_HEAL_SECONDS_MAX)):
            self.lan.run(1.0)
            self._start_all()
            if not self._missing():
                return
        report = "\n".join(self.cluster.sim.trace[-60:])
        raise AssertionError(f"seed {self.seed}: {', '.join(self._missing())}\n{report}")

    def _missing(self) -> Sequence[str]:
        """Return what is not as it has to be in the end."""
        processes = self.cluster.sim.processes
        others = [name for name in processes if not name.startswith("meta")]
        missing = [f"{name} still browses" for name in others if self.lan.is_browsing(name)]
        for name in others:
            statistics = processes[name].core.statistics()
            is_in = statistics.get("incarnation", "") != "-"
            if not is_in or statistics.get("state", "connected") != "connected":
                missing.append(f"{name} is not in")
        return missing
