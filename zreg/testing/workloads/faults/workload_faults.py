"""The faults of a cluster workload: nodes are killed, frozen, cut off, added and started again."""

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final

from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.faults.data_node_changes import CHANGE_KINDS, DataNodeChanges
from zreg.testing.workloads.faults.meta_faults import MetaFaults

if TYPE_CHECKING:
    from collections.abc import Callable

FAULT_KINDS: Final = (
    "session killed",
    "data node killed",
    *CHANGE_KINDS,
    "meta node killed",
    "leader killed",
    "all meta nodes killed",
    "frozen",
    "leader cut off",
    "leader cut off and frozen",
    "client killed",
)

_DATA_NODES_MAX: Final = 5
_NEVER_FROZEN: Final = ("subscriber", "writer", "settings")
# In this share of all steps the leader of meta is cut off from the other meta nodes.
_CUT_SHARE: Final = 0.2


class WorkloadFaults:
    """Which nodes there are, which of them are down, and until when the leader is cut off."""

    def __init__(self, cluster: SimCluster, *, session_count: int, data_count: int) -> None:
        self.cluster = cluster
        self.rng = cluster.sim.rng
        self._metas = MetaFaults(cluster)
        self._session_count = session_count
        # By node that was killed: how to start it again.
        self._down: dict[str, Callable[[], object]] = {}
        self._cut_until = 0.0
        # How often each kind of fault fired.
        self.counts: Counter[str] = Counter()
        self.changes = DataNodeChanges(
            cluster,
            self.rng,
            self.counts,
            data_nodes=data_count,
            data_nodes_max=_DATA_NODES_MAX,
        )

    def _is_running(self, name: str) -> bool:
        return name in self.cluster.sim.processes

    # --- session and data nodes ---------------------------------------------------------------

    def kill_session(self) -> None:
        """Kill a session, unless it is the last one."""
        numbers = range(1, self._session_count + 1)
        running = [number for number in numbers if self._is_running(f"session-{number}")]
        # Without any session clients only wait, which another test covers.
        if len(running) > 1:
            number = self.rng.choice(running)
            self.counts["session killed"] += 1
            self.cluster.sim.kill(f"session-{number}")
            self._down[f"session-{number}"] = lambda: self.cluster.session(number)

    def kill_data_node(self) -> None:
        """Kill a data node."""
        if running := [name for name in self.changes.names if self._is_running(name)]:
            name = self.rng.choice(running)
            self.counts["data node killed"] += 1
            self.cluster.sim.kill(name)
            self._down_data_node(name)

    def _down_data_node(self, name: str) -> None:
        number = int(name.removeprefix("data-"))
        self._down[name] = lambda: self.cluster.data(number)

    def end_left_data_nodes(self) -> None:
        """Stop the data nodes that have handed over, until they are started again."""
        for name in self.changes.end_left():
            self._down_data_node(name)

    # --- meta nodes ---------------------------------------------------------------------------

    def kill_meta(self) -> None:
        """Kill a meta node."""
        running: list[str | None] = [*sorted(self.cluster.meta_cores())]
        if name := self.rng.choice(running or [None]):
            self.counts["meta node killed"] += 1
            self._kill_meta(name)

    def kill_leader(self) -> None:
        """Kill the leader of meta."""
        if leader := self.cluster.leader():
            self.counts["leader killed"] += 1
            self._kill_meta(leader)

    def kill_all_metas(self) -> None:
        """Kill all meta nodes, as in a power cut; they start again at different times."""
        names = sorted(self.cluster.meta_cores())
        self.counts["all meta nodes killed"] += len(names) > 1
        for name in names:
            self._kill_meta(name)

    def _kill_meta(self, name: str) -> None:
        self._metas.kill(name)
        self._down[name] = lambda: self._metas.start(name)

    def cut_or_heal_meta(self, rng: Random) -> None:
        """Cut the leader off from the other meta nodes for a while; its clients still reach it.

        If it is frozen as well, it wakes after the others have elected a new leader, and does not
        learn of that.
        """
        sim = self.cluster.sim
        if self._cut_until and sim.now >= self._cut_until:
            self._cut_until = 0.0
            sim.heal()
        leader = self.cluster.leader()
        is_alone = len(self.cluster.meta_names) == 1
        if is_alone or self._cut_until or leader is None:
            return
        if rng.random() < _CUT_SHARE:
            frozen_seconds = rng.choice((0.0, 1.5, 3.0))
            self._cut_until = sim.now + frozen_seconds + rng.uniform(1.0, 3.0)
            self.counts["leader cut off and frozen" if frozen_seconds else "leader cut off"] += 1
            for name in self.cluster.meta_names:
                if name != leader:
                    sim.cut(leader, name)
            if frozen_seconds:
                sim.freeze(leader, frozen_seconds)

    # --- all nodes ----------------------------------------------------------------------------

    def choose_freeze(self) -> tuple[str, float]:
        """Return a process to freeze, and for how many seconds."""
        self.counts["frozen"] += 1
        names = [n for n in self.cluster.sim.processes if not n.startswith(_NEVER_FROZEN)]
        return self.rng.choice(names), self.rng.choice((0.2, 1.0, 5.0))

    def start_one(self) -> None:
        """Start a node that is down."""
        if self._down:
            self._down.pop(self.rng.choice(sorted(self._down)))()

    def end(self) -> None:
        """End all faults: heal the network and start every node that is down."""
        if self._cut_until:
            self.cluster.sim.heal()
        for name in self.changes.end():
            self._down_data_node(name)
        for start in list(self._down.values()):
            start()
        self._down.clear()
