"""Run a Raft cluster of production cores in a virtual world that one seed decides.

Two halves: first nodes crash, pause and join, disks lose what was not synced, the network loses,
doubles, delays and cuts, and the promises of `raft_checker` are checked after every step. Then all
is healed, and the cluster must agree within a bounded time. The same seed gives the same trace.

    python -m zreg.testing.raft.raft_sim --seeds 1-300
    python -m zreg.testing.raft.raft_sim --seeds 8213 --trace
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Final

from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration
from zreg.raft.errors import RaftError
from zreg.raft.progress import CatchUpState
from zreg.raft.ready import Ready, bootstrap
from zreg.raft.status import Role
from zreg.storage.failures import JournalError
from zreg.testing.raft.checker import RaftChecker, SafetyError
from zreg.testing.raft.clients import Clients
from zreg.testing.raft.faults import Faults, Network
from zreg.testing.raft.raft_node import CrashError, SimNode
from zreg.testing.sim.disk import SimDisk
from zreg.testing.sim.sent_records import SentRecords
from zreg.wire.raft_messages import RaftMessage, Request

TICK_MS: Final = 50
FAULTY_STEPS: Final = 8_000
# Elections on a healed network end within some timeouts; a learner may have to catch up before.
HEALED_TIMEOUTS_MAX: Final = 40
_SPARE_COUNT: Final = 2


class LivenessError(AssertionError):
    """The healed cluster did not agree in time."""


class RaftSim:
    """One run; `trace` has a line per event, `counts` what happened how often."""

    def __init__(self, seed: int, *, faults: Faults | None = None) -> None:
        self._rng = Random(seed)  # noqa: S311 - a simulation wants its seed, not secrecy
        self.trace: list[str] = []
        self.sent = SentRecords()
        self.counts: Counter[str] = Counter()
        self.now = 0
        self.nodes: dict[str, SimNode] = {}
        self.checker = RaftChecker(self.nodes)
        self.clients = Clients(self._rng)
        self._faults = faults or Faults.draw(self._rng)
        self._network = Network(self._rng, self._faults, self._deliver_at)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._event_number = 0
        self._terms: dict[int, str] = {}
        self._build(self._rng.choice((1, 3, 3, 5, 5)))

    def _build(self, voter_count: int) -> None:
        rng = self._rng
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
            self._start(node_id)
            # Clocks differ by up to a factor of three.
            self._tick(node_id, rng.randint(TICK_MS // 2, TICK_MS * 3 // 2))
        self._at(rng.randint(1, 100), self._act)
        self._at(rng.randint(1, 100), self._disturb)

    # The run.

    def run(self) -> None:
        """Run both halves; raises `SafetyError` or `LivenessError`."""
        for _ in range(FAULTY_STEPS):
            self._next()
        self._heal()
        ticks = max(node.config.election_ticks for node in self.nodes.values())
        deadline = self.now + HEALED_TIMEOUTS_MAX * ticks * TICK_MS
        while not self._has_agreed():
            if self.now > deadline:
                raise LivenessError(f"no agreement after {HEALED_TIMEOUTS_MAX} election timeouts")
            for _ in range(20):
                self._next()
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
        self._note("heal")
        self._faults = self._network.faults = Faults()
        self._network.heal()
        for node in self.nodes.values():
            node.paused_until = 0
            if node.core is None:
                self._start(node.node_id)

    def _has_agreed(self) -> bool:
        leaders = [node for node in self._up() if node.core and node.core.role is Role.LEADER]
        if len(leaders) != 1:
            return False
        core = leaders[0].core
        assert core is not None
        last = core.log.last_index
        members = [self.nodes[member] for member in core.configuration.members]
        return core.log.commit_index == last and all(
            member.machine.index == last for member in members
        )

    def _next(self) -> None:
        self.now, _, event = heappop(self._events)
        event()

    def _at(self, at: int, event: Callable[[], None]) -> None:
        self._event_number += 1
        heappush(self._events, (at, self._event_number, event))

    def _note(self, line: str) -> None:
        self.trace.append(f"{self.now} {line}")

    def _up(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.core is not None]

    # Nodes.

    def _start(self, node_id: str) -> None:
        node = self.nodes[node_id]
        if node.core is None:
            node.start(Random(self._rng.getrandbits(64)))  # noqa: S311 - the same
            self.checker.on_start(node)
            self._note(f"start {node_id}")
            self._settle(node)

    def _tick(self, node_id: str, interval: int) -> None:
        node = self.nodes[node_id]
        # After a pause there is one tick, not all that were missed.
        self._at(max(self.now + interval, node.paused_until), lambda: self._tick(node_id, interval))
        if node.core is not None and node.paused_until <= self.now:
            node.core.tick()
            self._settle(node)

    def _deliver_at(self, at: int, message: RaftMessage) -> None:
        self._at(at, lambda: self._deliver(message))

    def _deliver(self, message: RaftMessage) -> None:
        node = self.nodes[message.receiver]
        if node.paused_until > self.now:
            self._deliver_at(node.paused_until, message)
        elif node.core is not None:
            self._note(
                f"{type(message).__name__} {message.sender}>{message.receiver} t{message.term}"
                f" {message.sequence % 1000}"
            )
            if isinstance(message, Request):
                self.checker.requests_waiting[node.node_id] += 1
            node.core.step(message)
            self._settle(node)

    def _settle(self, node: SimNode) -> None:
        try:
            node.settle(self._send, self, self._may_crash)
        except (CrashError, JournalError) as reason:
            self._crash(node, str(reason))
            return
        assert node.core is not None
        if node.core.role is Role.LEADER and node.core.term not in self._terms:
            self._terms[node.core.term] = node.node_id
            self.counts["elections"] += 1
            self._note(f"leader {node.node_id} t{node.core.term}")

    def _may_crash(self, where: str) -> None:
        if self._faults.crash_in_step and self._rng.random() < self._faults.crash_in_step:
            raise CrashError(where)

    def _crash(self, node: SimNode, reason: str) -> None:
        self._note(f"crash {node.node_id} {reason}")
        self.counts["crashes"] += 1
        node.crash()
        self.clients.on_crash(node)
        self._at(self.now + self._rng.randint(1, 2_000), lambda: self._start(node.node_id))

    def _send(self, message: RaftMessage) -> None:
        self.sent.add(self.now, message.sender, message.receiver, message)
        if not self._network.send(self.now, message) and isinstance(message, Request):
            core = self.nodes[message.sender].core
            assert core is not None
            self._at(self.now, lambda: core.unreachable(message.receiver, message.sequence))

    # What the checker and the clients see.

    def on_ready(self, node: SimNode, ready: Ready) -> None:
        """Check a step."""
        self.checker.on_ready(node, ready)
        self.counts["snapshots"] += ready.restore is not None

    def on_saved(self, node: SimNode) -> None:
        """Check a disk."""
        self.checker.on_saved(node)

    def on_message(self, node: SimNode, message: RaftMessage) -> None:
        """Check a promise."""
        self.checker.on_message(node, message)

    def on_applied(self, node: SimNode, ready: Ready) -> None:
        """Check a state machine and take its answers."""
        self.checker.on_applied(node, ready)
        self.clients.on_applied(node, ready)

    # What people and fate do.

    def _act(self) -> None:
        self._at(self.now + self._rng.randint(1, 60), self._act)
        node = self._somebody()
        if node is not None:
            asked = self.clients.act(node)
            if asked is not None:
                self._note(asked)
                self._settle(node)

    def _somebody(self) -> SimNode | None:
        up = [node for node in self._up() if node.paused_until <= self.now]
        leaders = [node for node in up if node.core and node.core.role is Role.LEADER]
        return self._rng.choice(leaders or up) if up else None

    def _leader(self) -> str | None:
        for node in self._up():
            if node.core and node.core.role is Role.LEADER:
                return node.node_id
        return None

    def _disturb(self) -> None:
        self._at(self.now + self._rng.randint(20, 200), self._disturb)
        faults, rng = self._faults, self._rng
        node = rng.choice(list(self.nodes.values()))
        if rng.random() < faults.crash and node.core is not None:
            self._crash(node, "killed")
        leader = self._leader()
        if rng.random() < faults.crash_leader and leader is not None:
            self._crash(self.nodes[leader], "leader killed")
        if rng.random() < faults.power_loss:
            for each in self._up():
                self._crash(each, "power")
        if rng.random() < faults.disk_full:
            node.disk.fail_next()
        if rng.random() < faults.pause:
            node.paused_until = self.now + rng.randint(50, 3_000)
            self._note(f"pause {node.node_id} until {node.paused_until}")
        if rng.random() < faults.partition:
            self._note(self._network.partition(list(self.nodes), self._leader()))
        if rng.random() < faults.membership:
            self._lead(self._change_members)
        if rng.random() < faults.transfer:
            self._lead(self._transfer)

    def _lead(self, action: Callable[[SimNode], str]) -> None:
        leader = self._somebody()
        if leader is None or leader.core is None:
            return
        try:
            self._note(action(leader))
        except RaftError:
            return
        self._settle(leader)

    def _change_members(self, leader: SimNode) -> str:
        core = leader.core
        assert core is not None
        old = core.configuration
        node_id = self._rng.choice(list(self.nodes))
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
        target = self._rng.choice(list(self.nodes))
        leader.core.transfer_leader(target)
        self.counts["transfers"] += 1
        return f"transfer {leader.node_id} to {target}"


def run_seed(seed: int) -> RaftSim:
    """Run one seed and return it; raises `SafetyError`, `LivenessError` or `AssertionError`."""
    sim = RaftSim(seed)
    sim.run()
    return sim


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign; the exit code is 1 when some seed fails."""
    parser = argparse.ArgumentParser(prog="zreg.testing.raft.raft_sim", description=__doc__)
    parser.add_argument("--seeds", default="1-300", help="A-B, or one seed")
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
