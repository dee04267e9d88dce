"""Data nodes that join and leave in the course of a workload, also while other things fail."""

from random import Random
from typing import TYPE_CHECKING, Final

from zreg.effects import HandedOver, HandOver, Link
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.one_question import OneQuestion
from zreg.wire.records.membership_messages import SetReplicaCount

if TYPE_CHECKING:
    from collections import Counter

    from zreg.testing.sim.sim_process import Process

CHANGE_KINDS: Final = (
    "data node added",
    "data node leaving",
    "data node left",
    "replica count changed",
)
_REPLICA_COUNTS: Final = (1, 2, 3)


class DataNodeChanges:
    """Which data nodes there are, and which of them hand over because they are about to end."""

    def __init__(
        self,
        cluster: SimCluster,
        rng: Random,
        counts: "Counter[str]",
        *,
        data_nodes: int,
        data_nodes_max: int,
    ) -> None:
        self.cluster = cluster
        self.rng = rng
        self.counts = counts
        self._count = data_nodes
        self._count_max = data_nodes_max
        self._leaving: dict[str, Process] = {}
        self._operators: list[str] = []

    @property
    def names(self) -> list[str]:
        """All data nodes that there ever were."""
        return [f"data-{number}" for number in range(1, self._count + 1)]

    def add(self) -> None:
        """Start a data node that is new to the cluster, unless there are enough."""
        if self._count < self._count_max:
            self._count += 1
            self.counts["data node added"] += 1
            self.cluster.data(self._count)

    def leave(self) -> None:
        """Let a data node hand over, as at SIGTERM."""
        sim = self.cluster.sim
        self._forget_killed()
        if free := [n for n in self.names if n in sim.processes and n not in self._leaving]:
            name = self.rng.choice(free)
            self.counts["data node leaving"] += 1
            self._leaving[name] = sim.processes[name]
            sim.post(name, HandOver())

    def change_replica_count(self) -> None:
        """Let an operator ask all meta nodes for another number of copies; the leader does it."""
        sim = self.cluster.sim
        for name in self._operators:
            sim.kill(name)
        self._operators = [f"operator-of-{name}" for name in self.cluster.meta_names]
        self.counts["replica count changed"] += 1
        request = SetReplicaCount(1, self.rng.choice(_REPLICA_COUNTS))
        for name, meta in zip(self._operators, self.cluster.meta_names, strict=True):
            sim.add(name, OneQuestion(Link.NODES, f"tcp://{meta}:9610", request), {})

    def end_left(self) -> list[str]:
        """Stop the nodes that have handed over; return them: they are down now."""
        self._forget_killed()
        sim = self.cluster.sim
        left = [
            name
            for name, process in self._leaving.items()
            if HandedOver() in process.events and process.frozen_until <= sim.now
        ]
        for name in left:
            self.counts["data node left"] += 1
            del self._leaving[name]
            sim.stop(name)
        return left

    def end(self) -> list[str]:
        """Kill the nodes that still hand over; return them: they are down now."""
        self._forget_killed()
        leaving = list(self._leaving)
        self._leaving.clear()
        for name in leaving:
            self.cluster.sim.kill(name)
        return leaving

    def _forget_killed(self) -> None:
        """Forget the nodes that another fault killed; it starts them again."""
        alive = {name: process for name, process in self._leaving.items() if process.is_alive}
        self._leaving = alive
