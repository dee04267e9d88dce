"""A random life of the voters of meta: they are added, removed, killed, and lose their disks.

A client writes settings all the time. The operator does what the nodes tell operators to do, one
change at a time, and sometimes makes a usual mistake: it starts a node that has lost its disk as if
nothing had happened. In lives with a LAN the machines of nodes also get other addresses, at any
time and several at once. No acknowledged write may be lost, no two nodes lead one term, and in the
end all members agree.
"""

from collections.abc import Callable
from typing import Final

from zreg.raft.consensus import RaftCore
from zreg.testing.checkers.meta_checker import MetaChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.sim_lan import SimLan
from zreg.testing.workloads.clients.meta_operator import Operator, OperatorRequest
from zreg.testing.workloads.clients.settings_writer import SettingsWriter
from zreg.testing.workloads.faults.meta_faults import MetaFaults
from zreg.wire.records.meta_messages import AddMeta, RemoveMeta

_FOUNDER_COUNT: Final = 3
_NODE_COUNT: Final = 6
# With fewer voters the loss of one disk could lose the majority.
_VOTERS_MIN: Final = 3
_VOTERS_MAX: Final = 5
_HEAL_SECONDS_MAX: Final = 60.0
# Shares of cases: a node starts before it is added; a lost disk is replaced by an empty one at
# once; such a node is started as one that joins.
_START_EARLY_SHARE: Final = 0.5
_EMPTY_DISK_SHARE: Final = 0.7
_JOINING_SHARE: Final = 0.3


class VotersLife:
    """One life of the meta nodes of one cluster; with a LAN their machines change addresses."""

    def __init__(self, seed: int, *, steps: int = 60, has_lan: bool = False) -> None:
        self.seed = seed
        self.steps = steps
        self.cluster = SimCluster(seed, metas=_FOUNDER_COUNT)
        self.rng = self.cluster.sim.rng
        self.lan = SimLan(self.cluster) if has_lan else None
        self.faults = MetaFaults(self.cluster)
        self.checker = MetaChecker()
        names = [f"meta-{number}" for number in range(1, _NODE_COUNT + 1)]
        self.names = names
        addresses = [self._address_of(name) for name in names]
        self.operator = Operator(addresses)
        self.writer = SettingsWriter(addresses, ())
        # The nodes that are members, or will be after the operator's change.
        self.members = set(names[:_FOUNDER_COUNT])
        # The member that has lost its disk, "" if none has.
        self.lost = ""
        # What to do once the operator's change is answered.
        self.next_action: Callable[[], None] | None = None
        kinds = ("added", "added again", "removed", "lost", "refused", "moved")
        self.counts = dict.fromkeys(kinds, 0)

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        sim = self.cluster.sim
        self.cluster.metas()
        sim.add("writer", self.writer, {})
        sim.add("operator", self.operator, {})
        self._run(2.0)
        for _ in range(self.steps):
            self._continue()
            self.rng.choice(self._events())()
            self._run(self.rng.choice((0.0, 0.01, 0.1, 0.5, 2.0)))
            self._check()
        self._check_agreement()

    def _run(self, seconds: float) -> None:
        (self.cluster.sim if self.lan is None else self.lan).run(seconds)

    def _run_until(self, is_done: Callable[[], bool], seconds_max: float) -> bool:
        if self.lan is None:
            return self.cluster.sim.run_until(is_done, seconds_max)
        end = self.cluster.sim.now + seconds_max
        while not is_done():
            if self.cluster.sim.now >= end:
                return False
            self.lan.run(1.0)
        return True

    def _events(self) -> list[Callable[[], None]]:
        return [
            self._kill,
            self._kill_leader,
            self._freeze,
            self._start_one,
            self._start_one,
            self._start_all,
            self._add,
            self._add,
            self._remove,
            self._lose_disk,
            *([] if self.lan is None else [self._move, self._move_all]),
        ]

    # --- faults -------------------------------------------------------------------------------

    def _running(self) -> list[str]:
        return sorted(self.cluster.meta_cores())

    def _kill(self) -> None:
        if running := self._running():
            self.faults.kill(self.rng.choice(running))

    def _kill_leader(self) -> None:
        if leader := self.cluster.leader():
            self.faults.kill(leader)

    def _freeze(self) -> None:
        if running := self._running():
            self.faults.freeze(self.rng.choice(running))

    def _start(self, name: str) -> None:
        if name in self.cluster.disks:
            self.faults.start(name)

    def _start_one(self) -> None:
        self._start(self.rng.choice(sorted(self.members - {self.lost})))

    def _start_all(self) -> None:
        for name in sorted(self.members - {self.lost}):
            self._start(name)

    def _end(self, name: str) -> None:
        """Kill a node if it runs, and take its disk away."""
        if name in self.cluster.sim.processes:
            self.cluster.sim.kill(name)
        self.cluster.disks.pop(name, None)

    def _start_empty(self, name: str, *, is_joining: bool = True) -> None:
        """Start a node on an empty disk."""
        self._end(name)
        self.cluster.meta(name, is_joining=is_joining)

    def _address_of(self, name: str) -> str:
        return f"tcp://{self.cluster.host_of(name)}:9610"

    def _move(self) -> None:
        """Give a machine another address; who asks meta is told of it."""
        name = self.rng.choice(self.names)
        former = self._address_of(name)
        self.cluster.change_host(name)
        for client in (self.operator, self.writer):
            client.replace_address(former, self._address_of(name))
        self.counts["moved"] += 1

    def _move_all(self) -> None:
        for _ in range(self.rng.randint(2, _NODE_COUNT)):
            self._move()

    # --- changes of the members ---------------------------------------------------------------

    @property
    def _is_changing(self) -> bool:
        return self.operator.is_waiting or self.next_action is not None

    def _add(self) -> None:
        if self._is_changing or len(self.members) >= _VOTERS_MAX:
            return
        self._add_node(self.rng.choice(sorted(set(self.names) - self.members)))

    def _add_node(self, name: str) -> None:
        """Add a node, and start it on an empty disk before that or after it."""
        if self.rng.random() < _START_EARLY_SHARE:
            self._start_empty(name)
        self.members.add(name)

        def start() -> None:
            if name not in self.cluster.disks:
                self._start_empty(name)

        self._change(AddMeta(0, name, self.cluster.raft_address_of(name), 0), "added", start)

    def _add_moved(self) -> None:
        """Add a node again that moved before any other node met it: none follows such a move."""
        raft = self._leading()
        if raft is None or self._is_changing:
            return
        configuration = raft.configuration
        for name in configuration.learners:
            address = self.cluster.raft_address_of(name)
            if name not in configuration.journals and configuration.addresses[name] != address:
                self._change(AddMeta(0, name, address, 0), "added again", lambda: None)
                return

    def _remove(self) -> None:
        if self._is_changing or len(self.members) <= _VOTERS_MIN:
            return
        self._remove_node(self.rng.choice(sorted(self.members)))

    def _remove_node(self, name: str) -> None:
        """Remove a node; add it again, on an empty disk, if it had lost its disk."""

        def end() -> None:
            self.members.discard(name)
            self._end(name)
            if self.lost == name:
                self.lost = ""
                self.next_action = lambda: self._add_node(name)

        self._change(RemoveMeta(0, name, 0), "removed", end)

    def _lose_disk(self) -> None:
        """Lose a disk for good and replace its node, which may be started again by mistake."""
        if self.lost or self._is_changing or not self._has_spare_voter():
            return
        self.lost = name = self.rng.choice(sorted(self.members))
        self.counts["lost"] += 1
        self._end(name)
        if self.rng.random() < _EMPTY_DISK_SHARE:
            self._start_empty(name, is_joining=self.rng.random() < _JOINING_SHARE)
        self._remove_node(name)

    def _has_spare_voter(self) -> bool:
        """Return whether all members vote, and are enough to lose one."""
        raft = self._leading()
        if raft is None or len(self.members) < _VOTERS_MIN:
            return False
        return raft.is_configuration_committed and set(raft.configuration.voters) == self.members

    def _change(
        self, change: AddMeta | RemoveMeta, count: str, when_done: Callable[[], None]
    ) -> None:
        """Have the operator make a change, and repeat it until it is made."""
        self.cluster.sim.post("operator", OperatorRequest(change))

        def on_answer() -> None:
            if self.operator.done is None and not self._is_added(change):
                # Meta refuses while too few voters would be left.
                self.counts["refused"] += 1
                self._change(change, count, when_done)
                return
            self.counts[count] += 1
            when_done()

        self.next_action = on_answer

    def _is_added(self, change: AddMeta | RemoveMeta) -> bool:
        """Return whether a node is there: the first answer was lost, and it has moved since."""
        raft = self._leading()
        return (
            raft is not None
            and isinstance(change, AddMeta)
            and change.node_id in raft.configuration.members
        )

    def _leading(self) -> RaftCore | None:
        leader = self.cluster.leader()
        return None if leader is None else self.cluster.meta_cores()[leader].raft_driver.raft

    def _continue(self) -> None:
        """Kill failed nodes, and go on once the operator's last change is answered."""
        self.faults.kill_failed()
        if self.next_action is not None and not self.operator.is_waiting:
            action, self.next_action = self.next_action, None
            action()
        self._add_moved()

    # --- checks -------------------------------------------------------------------------------

    def _check(self) -> None:
        self.checker.check(self.cluster.meta_cores())
        for name, core in self.cluster.meta_cores().items():
            if name == self.lost:
                assert not core.is_leading, self._report(f"{name} leads without its journal")

    def _check_agreement(self) -> None:
        """Start all nodes: they must agree, on all that was acknowledged."""
        sim = self.cluster.sim
        before = self.writer.answered_count
        assert self._run_until(self._has_healed, _HEAL_SECONDS_MAX), self._report("not healed")
        is_written = self._run_until(lambda: self.writer.answered_count > before, 10.0)
        assert is_written, self._report("no setting was answered")
        sim.kill("writer")
        assert self._run_until(self._has_agreed, 10.0), self._report("the states differ")
        cores = self.cluster.meta_cores()
        self.checker.check(cores)
        for core in cores.values():
            self.checker.check_settings(core, self.writer)

    def _has_healed(self) -> bool:
        self._continue()
        self._start_all()
        if self.next_action is not None or self.lost or self.cluster.leader() is None:
            return False
        cores = self.cluster.meta_cores()
        voters = {core.raft_driver.raft.configuration.voters for core in cores.values()}
        shown = {tuple(m.node_id for m in core.membership.members) for core in cores.values()}
        return voters == {tuple(sorted(self.members))} == shown

    def _has_agreed(self) -> bool:
        cores = self.cluster.meta_cores()
        states = {core.state.snapshot() for core in cores.values()}
        return len(states) == 1 and set(cores) == self.members

    def _report(self, what: str) -> str:
        trace = "\n".join(self.cluster.sim.trace[-200:])
        nodes = "\n".join(
            f"{name} {core!r} {core.raft_driver.raft.configuration} {core._quorum_alarm.sentence()}"  # noqa: SLF001
            for name, core in self.cluster.meta_cores().items()
        )
        change = f"members {sorted(self.members)} lost {self.lost!r} {self.operator.statistics()}"
        return f"seed {self.seed}: {what}\n{trace}\n{nodes}\n{change}"
