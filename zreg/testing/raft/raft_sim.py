"""Run a Raft cluster of production cores in a virtual world that one seed decides.

A run has two halves. In the first, nodes crash, pause and join, disks lose what was not synced, and
the network loses, duplicates, delays and cuts; `checker` checks the promises of Raft after every
step. Then all faults end, and the cluster must agree within a bounded time. The same seed gives the
same trace.

    python -m zreg.testing.raft.raft_sim --seeds 1-300
    python -m zreg.testing.raft.raft_sim --seeds 8213 --trace
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final

from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration
from zreg.raft.errors import RaftError
from zreg.raft.leader.progress import CatchUpState
from zreg.raft.ready import bootstrap
from zreg.raft.status import Role
from zreg.testing.raft.checker import SafetyError
from zreg.testing.raft.faults import Faults
from zreg.testing.raft.raft_cluster import RaftCluster
from zreg.testing.raft.raft_node import SimNode
from zreg.testing.sim.disk import SimDisk

TICK_MS: Final = 50
FAULTY_STEPS: Final = 8_000
# On a network without faults an election ends within some timeouts; a learner may have to catch up.
HEALED_TIMEOUTS_MAX: Final = 40
_SPARE_COUNT: Final = 2


class LivenessError(AssertionError):
    """The cluster did not agree in time after all faults had ended."""


class RaftSim(RaftCluster):
    """One run: clients write and read, nodes and network fail, then all must agree."""

    def __init__(self, seed: int, *, faults: Faults | None = None) -> None:
        super().__init__(Random(seed), faults)  # noqa: S311 - a simulation wants its seed
        self._build(self.rng.choice((1, 3, 3, 5, 5)))

    def _build(self, voter_count: int) -> None:
        rng = self.rng
        voters = tuple(f"n{number}" for number in range(1, voter_count + 1))
        configuration = Configuration(voters, (), {voter: f"at {voter}" for voter in voters})
        limits = {
            "election_ticks": rng.randint(4, 10),
            "append_bytes_max": rng.choice((1, 200, 2000)),
            "chunk_bytes_max": rng.choice((16, 60, 1000)),
            "uncommitted_bytes_max": rng.choice((300, 3000)),
            "compact_entry_count": rng.choice((5, 20, 1000)),
            "keep_entry_count": rng.choice((0, 3, 10)),
            "apply_count_max": rng.choice((1, 1000)),
        }
        for number in range(1, voter_count + _SPARE_COUNT + 1):
            node_id = f"n{number}"
            disk = SimDisk(bootstrap(configuration)) if node_id in voters else SimDisk()
            waits = {"request_ticks": rng.randint(1, 6), "chunk_request_ticks": rng.randint(1, 10)}
            config = RaftConfig(node_id=node_id, **waits, **limits)
            self.nodes[node_id] = SimNode(config, disk)
            self.start(node_id)
            # Clocks differ by up to a factor of three.
            self.tick(node_id, rng.randint(TICK_MS // 2, TICK_MS * 3 // 2))
        self.at(rng.randint(1, 100), self._act)
        self.at(rng.randint(1, 100), self._disturb)

    # The two halves.

    def run(self) -> None:
        """Run both halves; raises `SafetyError` or `LivenessError`."""
        for _ in range(FAULTY_STEPS):
            self.run_next()
        self._heal()
        ticks = max(node.config.election_ticks for node in self.nodes.values())
        deadline = self.now + HEALED_TIMEOUTS_MAX * ticks * TICK_MS
        while not self._has_agreed():
            if self.now > deadline:
                raise LivenessError(f"no agreement after {HEALED_TIMEOUTS_MAX} election timeouts")
            for _ in range(20):
                self.run_next()
        self._finish()

    def digest(self) -> str:
        """Return a digest of every record that was sent."""
        return self.sent.hexdigest()

    def _finish(self) -> None:
        for index, command in self.clients.acknowledged.items():
            if self.checker.committed[index - 1].data != command.encode():
                raise SafetyError(f"acknowledged {command} is not entry {index}")
        self.clients.check()
        self.counts["commits"] = len(self.checker.committed)
        self.counts["reads"] = self.clients.read_count
        self.counts["acknowledged"] = len(self.clients.acknowledged)

    def _heal(self) -> None:
        self.note("heal")
        self.network.faults = Faults()
        self.network.heal()
        for node in self.nodes.values():
            node.paused_until = 0
            if node.core is None:
                self.start(node.node_id)

    def _has_agreed(self) -> bool:
        leaders = [node for node in self.running() if node.core and node.core.role is Role.LEADER]
        if len(leaders) != 1:
            return False
        core = leaders[0].core
        assert core is not None
        last = core.log.last_index
        members = [self.nodes[member] for member in core.configuration.members]
        return core.log.commit_index == last and all(
            member.machine.index == last for member in members
        )

    # Clients and faults.

    def _act(self) -> None:
        self.at(self.now + self.rng.randint(1, 60), self._act)
        node = self._choose_node()
        if node is not None:
            operation = self.clients.act(node)
            if operation is not None:
                self.note(operation)
                self.settle(node)

    def _choose_node(self) -> SimNode | None:
        """Return a leader; without one, any node that is neither down nor paused."""
        awake = [node for node in self.running() if node.paused_until <= self.now]
        leaders = [node for node in awake if node.core and node.core.role is Role.LEADER]
        return self.rng.choice(leaders or awake) if awake else None

    def _disturb(self) -> None:
        self.at(self.now + self.rng.randint(20, 200), self._disturb)
        faults, rng = self.network.faults, self.rng
        node = rng.choice(list(self.nodes.values()))
        if rng.random() < faults.crash and node.core is not None:
            self.crash(node, "killed")
        leader = self.leader()
        if rng.random() < faults.crash_leader and leader is not None:
            self.crash(self.nodes[leader], "leader killed")
        if rng.random() < faults.power_loss:
            for each in self.running():
                self.crash(each, "power")
        if rng.random() < faults.disk_full:
            node.disk.fail_next()
        if rng.random() < faults.pause:
            node.paused_until = self.now + rng.randint(50, 3_000)
            self.note(f"pause {node.node_id} until {node.paused_until}")
        if rng.random() < faults.partition:
            self.note(self.network.partition(list(self.nodes), self.leader()))
        if rng.random() < faults.membership:
            self._ask_node(self._change_members)
        if rng.random() < faults.transfer:
            self._ask_node(self._transfer)

    def _ask_node(self, action: Callable[[SimNode], str]) -> None:
        node = self._choose_node()
        if node is None:
            return
        try:
            self.note(action(node))
        except RaftError:
            return
        self.settle(node)

    def _change_members(self, leader: SimNode) -> str:
        core = leader.core
        assert core is not None
        old = core.configuration
        node_id = self.rng.choice(list(self.nodes))
        if node_id not in old.members:
            core.change_configuration(old.with_learner(node_id, f"at {node_id}"))
        elif core.catch_up_state(node_id) is CatchUpState.READY:
            core.change_configuration(old.with_voter(node_id))
        else:
            core.change_configuration(old.without(node_id))
        self.counts["changes"] += 1
        return f"change {node_id}"

    def _transfer(self, leader: SimNode) -> str:
        assert leader.core is not None
        target = self.rng.choice(list(self.nodes))
        leader.core.transfer_leader(target)
        self.counts["transfers"] += 1
        return f"transfer {leader.node_id} to {target}"


def run_seed(seed: int) -> RaftSim:
    """Run one seed and return it; raises `SafetyError`, `LivenessError` or `AssertionError`."""
    sim = RaftSim(seed)
    sim.run()
    return sim


def main(arguments: list[str] | None = None) -> int:
    """Run a range of seeds; return 1 if a seed fails."""
    parser = argparse.ArgumentParser(prog="zreg.testing.raft.raft_sim", description=__doc__)
    parser.add_argument("--seeds", default="1-300", help="FIRST-LAST, or one seed")
    parser.add_argument("--trace", action="store_true", help="print each event")
    parser.add_argument("--digests", action="store_true", help="print a digest of each seed")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    counts: Counter[str] = Counter()
    failed = []
    started = time.monotonic()
    for seed in range(int(first), int(last or first) + 1):
        sim = RaftSim(seed)
        try:
            sim.run()
        except AssertionError as error:
            failed.append(seed)
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {error}\n")
            sys.stdout.flush()
        counts += sim.counts
        if options.digests:
            sys.stdout.write(f"{seed} {sim.digest()}\n")
        if options.trace:
            sys.stdout.write("\n".join([*sim.trace, f"digest {sim.digest()}", ""]))
    seconds = time.monotonic() - started
    summary = " ".join(f"{name}={count}" for name, count in sorted(counts.items()))
    sys.stdout.write(f"seeds={options.seeds} failed={failed} seconds={seconds:.1f} {summary}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
