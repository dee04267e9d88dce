"""A random life of founders: they start, die and come back on empty disks.

They never found a second cluster while one of them holds the first.
"""

from typing import Final

from zreg.testing.checkers.meta_checker import MetaChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.faults.meta_faults import MetaFaults

_FOUNDER_COUNT: Final = 3
_FOUNDERS_MAX: Final = 5
_HEAL_SECONDS_MAX: Final = 60.0
_LOST_SECONDS: Final = 10
# The chance of each step that a founder loses its disk.
_EMPTY_SHARE: Final = 0.1


class BootstrapLife:
    """One life of the founders of a cluster; each start is like the first one.

    No node is added or removed, so a founder that loses its disk after the founding stays out.
    """

    def __init__(self, seed: int, *, steps: int = 40) -> None:
        self.seed = seed
        self.steps = steps
        self.cluster = SimCluster(seed, metas=_FOUNDER_COUNT if seed % 3 else _FOUNDERS_MAX)
        self.rng = self.cluster.sim.rng
        self.names = self.cluster.meta_names
        self.faults = MetaFaults(self.cluster)
        self.checker = MetaChecker()
        # The nodes that hold a membership, and the id of its cluster.
        self.holders: dict[str, bytes] = {}
        # The nodes that lost their disks while others held a membership.
        self.lost: set[str] = set()
        self.counts = dict.fromkeys(("founded", "emptied", "for good"), 0)

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        for name in self.rng.sample(self.names, len(self.names)):
            self.faults.start(name)
            self.cluster.sim.run(self.rng.choice((0.0, 0.1, 2.0)))
            self._check()
        for _ in range(self.steps):
            self.rng.choice(
                [self._kill, self._freeze, self._cut, self._heal, *[self._start_one] * 6]
            )()
            if self.rng.random() < _EMPTY_SHARE:
                self._empty(self.rng.choice(self.names))
            self.cluster.sim.run(self.rng.choice((0.0, 0.01, 0.1, 0.5, 2.0)))
            self._check()
        self._check_end()

    # --- faults -------------------------------------------------------------------------------

    def _start_one(self) -> None:
        self.faults.start(self.rng.choice(self.names))

    def _kill(self) -> None:
        name = self.rng.choice(self.names)
        if name in self.cluster.sim.processes:
            self.faults.kill(name)

    def _freeze(self) -> None:
        name = self.rng.choice(self.names)
        if name in self.cluster.sim.processes:
            self.faults.freeze(name)

    def _cut(self) -> None:
        self.cluster.sim.cut(*self.rng.sample(self.names, 2))

    def _heal(self) -> None:
        self.cluster.sim.heal()

    def _empty(self, name: str) -> None:
        """Lose a disk; a later start of its node is like the first one."""
        if name in self.cluster.sim.processes:
            self.cluster.sim.kill(name)
        self.cluster.disks.pop(name, None)
        self.holders.pop(name, None)
        self.counts["emptied"] += 1
        if self.holders:
            self.lost.add(name)
        else:
            # No disk holds the cluster any more, so the nodes may found a new one.
            self.checker = MetaChecker()
            self.lost.clear()

    # --- checks -------------------------------------------------------------------------------

    def _check(self) -> None:
        self.faults.kill_failed()
        cores = self.cluster.meta_cores()
        self.counts["founded"] += not self.holders and any(core.epoch for core in cores.values())
        self.holders |= {n: core.membership.cluster_id for n, core in cores.items() if core.epoch}
        ids = set(self.holders.values())
        assert len(ids) <= 1, f"seed {self.seed}: founded twice, {self.holders}\n{cores}"
        if self.holders:
            self.checker.check(cores)
            joined = self.lost & self.holders.keys()
            assert not joined, f"seed {self.seed}: {joined} were counted without their journals"
        else:
            self.checker = MetaChecker()

    def _check_end(self) -> None:
        """Start all nodes: they elect a leader, unless a majority has lost its disks."""
        sim = self.cluster.sim
        sim.heal()
        if not self.holders:
            for name in self.names:
                self._empty(name)

        is_lost = 2 * len(self.lost) > len(self.names)
        self.counts["for good"] += is_lost
        for _ in range(_LOST_SECONDS if is_lost else int(_HEAL_SECONDS_MAX)):
            for name in self.names:
                self.faults.start(name)
            sim.run(1.0)
            self._check()
            if not is_lost and self.cluster.leader() is not None:
                return
        what = "a majority, and a node leads" if is_lost else "a minority, and no node leads"
        report = f"seed {self.seed}: lost {sorted(self.lost)}, {what}\n{sim.trace[-200:]}"
        assert is_lost, report
        assert self.cluster.leader() is None, report
