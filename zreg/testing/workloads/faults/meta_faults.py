"""Kill, freeze and start meta nodes of a simulated cluster, as often as chance has it."""

from typing import Final

from zreg.testing.sim.cluster import SimCluster

# This share of killed meta nodes dies with a write that is not synced.
_DIE_WRITING_SHARE: Final = 0.3
_FREEZE_SECONDS: Final = (0.2, 1.0, 5.0)


class MetaFaults:
    """Faults of meta nodes, drawn from the randomness of the simulation."""

    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster
        self._rng = cluster.sim.rng

    def kill(self, name: str) -> None:
        """Kill a running node, at once or in the middle of its next write to disk."""
        if self._rng.random() < _DIE_WRITING_SHARE:
            self._cluster.sim.processes[name].dies_at_save = True
        else:
            self._cluster.sim.kill(name)

    def freeze(self, name: str) -> None:
        """Freeze a running node for a while."""
        self._cluster.sim.freeze(name, self._rng.choice(_FREEZE_SECONDS))

    def start(self, name: str) -> None:
        """Start a node; a running one that is to die with its next write stays alive."""
        process = self._cluster.sim.processes.get(name)
        if process is None:
            self._cluster.meta(name)
        else:
            process.dies_at_save = False

    def kill_failed(self) -> None:
        """Kill the nodes whose cores have failed: their processes would end."""
        for name in self._cluster.failed_nodes():
            self._cluster.sim.kill(name)
