"""A random life of empty meta nodes that agree on their founders by `bootstrap_expect`.

Their announcements are lost, late, stale and forged; nodes start late, die, lose their disks, get
other addresses, and are cut off. One set of machines that see each other never founds two clusters.
"""

import enum
from collections.abc import Callable
from typing import Final

from zreg.config import Config
from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.sightings import Sighted
from zreg.meta.core import MetaCore
from zreg.meta.peers.identity import FOUNDERS
from zreg.model import Role
from zreg.testing.checkers.meta_checker import MetaChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.faults.meta_faults import MetaFaults

_HEAL_SECONDS_MAX: Final = 40.0
_MEET_SECONDS_MAX: Final = 30
# How long announcements take to show all nodes of one network, as chance has it.
_SHOWN_SHARE: Final = 0.7
_STALE_SHARE: Final = 0.3
_LIE_SHARE: Final = 0.3
_EMPTY_SHARE: Final = 0.08
_AWAY_MAX: Final = 2
_INTERFACE: Final = Interface("lan")
_PAUSES: Final = (0.05, 0.2, 0.5, 1.0)


class Kind(enum.Enum):
    """Which machines there are, and which of them see each other."""

    ALL = 0  # as many as are expected, with cuts between them
    LOST = 1  # as many as are expected, and some lose their disks before the cluster is founded
    SPARE = 2  # one more than is expected, until one stops for a while
    GROUPS = 3  # two groups that found a cluster each, and meet later
    CROWD = 4  # twice as many as are expected, of which at most two are away at a time
    MOVED = 5  # as many as are expected, and some move before the cluster is founded


def _announcement(node_id: str, raft_address: str) -> Announcement:
    return Announcement(
        role=Role.META,
        node_id=node_id,
        cluster=Config().cluster,
        addresses=(raft_address,),
        raft_address=raft_address,
    )


class GatheringLife:
    """One life of the machines of one kind; the seed chooses the kind."""

    def __init__(self, seed: int, *, steps: int = 30) -> None:
        self.seed = seed
        self.steps = steps
        self.kind = Kind(seed % len(Kind))
        self.expect = 5 if self.kind in (Kind.ALL, Kind.LOST) and seed % 3 == 0 else 3
        extra = {Kind.SPARE: 1, Kind.GROUPS: 3, Kind.CROWD: 3}.get(self.kind, 0)
        self.cluster = SimCluster(seed, metas=self.expect + extra)
        self.rng = self.cluster.sim.rng
        self.names = self.cluster.meta_names
        self.faults = MetaFaults(self.cluster)
        self.group = dict.fromkeys(self.names, 0)
        if self.kind is Kind.GROUPS:
            self.group |= dict.fromkeys(self.names[self.expect :], 1)
        self.has_met = self.kind is not Kind.GROUPS
        # Nodes that must not be started at present.
        self.away: set[str] = set()
        self.checkers: dict[bytes, MetaChecker] = {}
        # The id of the cluster whose membership a journal holds.
        self.clusters: dict[str, bytes] = {}
        # Whether a machine moved after a node had written a list: then the founders wait for it.
        self.has_moved_after_list = False
        kinds = ("gathered", "lost early", "moved early", "reset", "lies", "met")
        self.counts = dict.fromkeys(kinds, 0)

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        if not self.has_met:
            self._cut_groups()
        for name in self.rng.sample(self.names, len(self.names)):
            self._start(name)
            self._pause()
        for _ in range(self.steps):
            self.rng.choice(self._faults())()
            if self.kind is Kind.LOST and self.rng.random() < _EMPTY_SHARE:
                self._empty_before_founding()
            self._pause()
        self._check_end()

    def _faults(self) -> list[Callable[[], None]]:
        if self.kind is Kind.CROWD:
            # With more of them away, the others would rightly be a set of machines of their own.
            is_whole = len(self.cluster.sim.processes) > len(self.names) - _AWAY_MAX
            return [self._start_one, self._kill] if is_whole else [self._start_one]
        faults = [self._kill, self._freeze, *[self._start_one] * 6]
        if self.kind is Kind.MOVED:
            return [*faults, self._move_before_founding]
        return [*faults, self._cut, self._heal] if self.kind is Kind.ALL else faults

    # --- announcements ------------------------------------------------------------------------

    def _see(self, reader: str, name: str) -> bool:
        return self.has_met or self.group[reader] == self.group[name]

    def _announce(self, *, is_honest: bool = False) -> None:
        """Show each running node what it believes of its network at this moment."""
        for reader in [name for name in self.names if name in self.cluster.sim.processes]:
            shown = [
                _announcement(name, self.cluster.raft_address_of(name))
                for name in self.names
                if self._see(reader, name) and self._is_shown(name, is_honest=is_honest)
            ]
            if not is_honest and self.rng.random() < _LIE_SHARE:
                self.counts["lies"] += 1
                shown += self._lies(reader)
                self.rng.shuffle(shown)
            for each in shown:
                if reader in self.cluster.sim.processes:
                    sighted = Sighted(each.node_id, _INTERFACE, each)
                    self.cluster.sim.post(reader, sighted)

    def _is_shown(self, name: str, *, is_honest: bool) -> bool:
        is_running = name in self.cluster.sim.processes
        if is_honest:
            return is_running
        return self.rng.random() < (_SHOWN_SHARE if is_running else _STALE_SHARE)

    def _lies(self, reader: str) -> list[Announcement]:
        """Return forged announcements: of nodes that are not there, and in the name of others."""
        seen = [name for name in self.names if self._see(reader, name)]
        lies = [
            _announcement(f"meta-{self.rng.randrange(9)}", f"tcp://forged-{number}:9611")
            for number in range(self.rng.choice((1, 3, 20)))
        ]
        lies.append(_announcement(self.rng.choice(seen), f"tcp://{self.rng.choice(seen)}:9611"))
        return lies

    def _pause(self) -> None:
        """Let time pass, with announcements, and check."""
        self._announce()
        self.cluster.sim.run(self.rng.choice(_PAUSES))
        self._check()

    def pass_time(self, seconds: float) -> None:
        """Let time pass after honest announcements, and check."""
        self._announce(is_honest=True)
        self.cluster.sim.run(seconds)
        self._check()

    # --- faults -------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        if name not in self.cluster.sim.processes and name not in self.away:
            self.cluster.meta(name, bootstrap_expect=self.expect)
        elif name in self.cluster.sim.processes:
            self.cluster.sim.processes[name].dies_at_save = False

    def start_all(self) -> None:
        """Start all nodes that are not away and do not run."""
        for name in self.names:
            self._start(name)

    def _start_one(self) -> None:
        self._start(self.rng.choice(self.names))

    def _running_one(self) -> str | None:
        running = [name for name in self.names if name in self.cluster.sim.processes]
        return self.rng.choice(running) if running else None

    def _kill(self) -> None:
        if (name := self._running_one()) is not None:
            self.faults.kill(name)

    def _freeze(self) -> None:
        if (name := self._running_one()) is not None:
            self.faults.freeze(name)

    def _cut(self) -> None:
        self.cluster.sim.cut(*self.rng.sample(self.names, 2))

    def _heal(self) -> None:
        self.cluster.sim.heal()

    def _cut_groups(self) -> None:
        for left in self.names:
            for right in self.names:
                if self.group[left] < self.group[right]:
                    self.cluster.sim.cut(left, right)

    def _empty_before_founding(self) -> None:
        if not self.clusters:
            self.counts["lost early"] += 1
            self._empty(self.rng.choice(self.names))

    def _move_before_founding(self) -> None:
        if not self.clusters:
            self.counts["moved early"] += 1
            disks = self.cluster.disks.values()
            self.has_moved_after_list |= any(disk.facts.get(FOUNDERS) for disk in disks)
            self.cluster.change_host(self.rng.choice(self.names))

    def _empty(self, name: str) -> None:
        if name in self.cluster.sim.processes:
            self.cluster.sim.kill(name)
        self.cluster.disks.pop(name, None)

    # --- checks -------------------------------------------------------------------------------

    def _check(self) -> None:
        self.faults.kill_failed()
        cores = self.cluster.meta_cores()
        for name, core in cores.items():
            if core.epoch:
                journal_id = self.cluster.disks[name].journal_id
                found = self.clusters.setdefault(journal_id, core.membership.cluster_id)
                assert found == core.membership.cluster_id, self._report(f"{name} changed sides")
        ids = sorted(set(self.clusters.values()))
        assert len(ids) <= (2 if self.kind is Kind.GROUPS else 1), self._report("founded twice")
        for cluster_id in ids:
            members = {n: c for n, c in cores.items() if c.membership.cluster_id == cluster_id}
            self.checkers.setdefault(cluster_id, MetaChecker()).check(members)
            groups = {self.group[name] for name in members}
            assert len(groups) <= 1, self._report("a cluster of two groups")
        for name, core in cores.items():
            assert len(core.raft_driver.raft.configuration.voters) in (0, self.expect), name
            if core.epoch and self.kind is not Kind.LOST:
                self._check_lists(core)

    def _check_lists(self, core: MetaCore) -> None:
        """Check that a cluster is founded only when all its founders have written its list."""
        raft = core.raft_driver.raft
        lists = {name: self.cluster.disks[name].facts for name in raft.configuration.voters}
        digests = {facts.get(FOUNDERS, "") for facts in lists.values()}
        is_one = len(digests) == 1 and "" not in digests
        assert is_one, self._report(f"founded with the lists {lists}")

    def _check_end(self) -> None:
        self.cluster.sim.heal()
        if self.kind is Kind.CROWD:
            self._end_crowd()
            return
        if self.kind is Kind.GROUPS:
            self._cut_groups()
        if self.kind is Kind.SPARE and not self.clusters:
            self._end_spare()
        if not self._settles():
            # A founder whose disk was lost during the first election is told from none that was
            # there before only by an operator, who begins again; so is one that has moved.
            is_told = self.counts["lost early"] or self.has_moved_after_list
            assert is_told, self._report("not founded")
            assert not self.clusters, self._report("founded by some only")
            self.counts["reset"] += 1
            for name in self.names:
                self._empty(name)
            assert self._settles(), self._report("not founded after a reset")
        self.counts["gathered"] += 1
        if self.kind is Kind.GROUPS:
            self._meet()

    def _settles(self) -> bool:
        """Start all nodes and wait until each group has a leader that all its founders follow."""
        for _ in range(int(_HEAL_SECONDS_MAX)):
            self.start_all()
            self.pass_time(1.0)
            if self._is_settled():
                return True
        return False

    def _is_settled(self) -> bool:
        cores = self.cluster.meta_cores()
        for group in set(self.group.values()):
            members = [n for n, core in cores.items() if core.epoch and self.group[n] == group]
            leaders = [name for name in members if cores[name].is_leading]
            if len(members) != self.expect or not leaders:
                return False
        return True

    def _end_spare(self) -> None:
        """Show all nodes to each other: none founds; then one stops, and the others found."""
        for _ in range(10):
            self.start_all()
            self.pass_time(1.0)
        stages = {core.gathering.stage.name for core in self.cluster.meta_cores().values()}
        if stages == {"EMPTY"}:
            texts = [core.gathering.sentence() for core in self.cluster.meta_cores().values()]
            assert all("4 of 3 found: too many" in text for text in texts), self._report(texts[0])
            name = self.rng.choice(self.names)
            self.away.add(name)
            self.cluster.sim.kill(name)

    def _end_crowd(self) -> None:
        for _ in range(15):
            self.start_all()
            self.pass_time(1.0)
        # The first nodes may have founded a cluster before the others were started.
        wanted = f"has met cluster {self._only_id()}" if self.clusters else "6 of 3 found: too many"
        for name, core in self.cluster.meta_cores().items():
            sentence = core.gathering.sentence()
            assert core.epoch or wanted in sentence, self._report(f"{name} says {sentence}")
        self.counts["gathered"] += bool(self.clusters)

    def _only_id(self) -> str:
        return min(self.clusters.values()).hex()[:8]

    def _meet(self) -> None:
        """Let the groups see each other: both stay, and each names the other."""
        self.has_met = True
        self.cluster.sim.heal()
        for _ in range(_MEET_SECONDS_MAX):
            self.pass_time(1.0)
            if all(codes == ["another-cluster"] for codes in self._health_codes().values()):
                break
        else:
            raise AssertionError(self._report(f"not reported: {self._health_codes()}"))
        self.counts["met"] += 1

    def _health_codes(self) -> dict[str, list[str]]:
        now = self.cluster.sim.now
        cores = self.cluster.meta_cores()
        return {n: [each.code for each in core.health(now).problems] for n, core in cores.items()}

    def _report(self, what: str) -> str:
        trace = "\n".join(self.cluster.sim.trace[-100:])
        nodes = "\n".join(
            f"{name} {core!r} {core.gathering!r} {core.gathering.sentence()}"
            for name, core in self.cluster.meta_cores().items()
        )
        return f"seed {self.seed} {self.kind.name}: {what}\n{trace}\n{nodes}\n{self.clusters}"
