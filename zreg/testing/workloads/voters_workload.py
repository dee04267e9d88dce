"""A random life of meta's own nodes: they are added, removed, killed, and lose their disks.

All the while somebody writes settings. An operator does what the nodes tell operators to do, one
thing at a time, and makes the usual mistake too: to start a node whose disk is lost as if nothing
had happened. Nothing acknowledged may be lost, no two lead one term, and in the end everybody who
was taken in agrees. And a random life of founders: they start, die and come back on empty disks, as
many as chance will have it, and never found a second cluster while one of them holds the first.

    python -m zreg.testing.workloads.voters_workload --seeds 1-100
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from zreg.effects import Connect, Disconnect, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.errors import NotLeaderError, NotReadyError, VersionMismatchError
from zreg.membership.cluster_member import NodeFailed
from zreg.testing.checkers.meta_checker import MetaChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.settings_writer import SettingsWriter
from zreg.wire.common_messages import Accepted, Refused
from zreg.wire.messages import Message
from zreg.wire.meta_messages import AddMeta, FetchMetaNodes, MetaNodesReply, RemoveMeta

_FOUNDERS: Final = 3
_NODES_MAX: Final = 6
# Fewer voters than this have no disk to spare.
_VOTERS_MIN: Final = 3
_VOTERS_MAX: Final = 5
_RETRY_SECONDS: Final = 0.5
_HEAL_SECONDS_MAX: Final = 60.0
_DIE_WRITING_SHARE: Final = 0.3
# How often, with each step, a founder comes back empty.
_EMPTY_SHARE: Final = 0.1


class Wish(Local, frozen=True):
    """What the operator is to ask for."""

    message: AddMeta | RemoveMeta


class Operator:
    """A core that asks meta for one change of its nodes at a time, until it gets an answer."""

    epoch = 0

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)
        self._address = ""
        self._wish: AddMeta | RemoveMeta | None = None
        self._request_id = 0
        self._next_at = 0.0
        # The last wish that came true, or None where it was denied.
        self.answer: AddMeta | RemoveMeta | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a wish is under way."""
        return self._wish is not None

    def start(self, now: float) -> Sequence[Effect]:
        """Wait for a wish."""
        del now
        return ()

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take an answer, or go where the leader is."""
        del link
        if peer not in ("", self._address):
            return ()
        match message:
            case Wish():
                assert self._wish is None
                self._wish, self.answer = message.message, None
                self._next_at = now
            case PeerUp() if message.peer == self._address and self._wish is not None:
                return [Send(Link.META, self._address, FetchMetaNodes(self._request_id))]
            case MetaNodesReply(request_id=self._request_id) if self._wish is not None:
                wish = replace(
                    self._wish,
                    request_id=self._request_id,
                    configuration_index=message.configuration_index,
                    configuration_term=message.configuration_term,
                )
                return [Send(Link.META, self._address, wish)]
            case PeerLost() if message.peer == self._address:
                self._next_at = now + _RETRY_SECONDS
            case Accepted() if message.request_ids == (self._request_id,):
                self.answer, self._wish = self._wish, None
            case Refused(code=NotLeaderError.code) if message.address:
                return self._ask(message.address, now)
            case Refused(code=NotReadyError.code | NotLeaderError.code | VersionMismatchError.code):
                self._next_at = now + _RETRY_SECONDS
            case Refused():
                self._wish = None
            case _:
                pass
        return ()

    def tick(self, now: float) -> Sequence[Effect]:
        """Ask at the next address."""
        self._addresses.append(self._addresses.pop(0))
        return self._ask(self._addresses[0], now)

    def _ask(self, address: str, now: float) -> list[Effect]:
        leave: list[Effect] = [Disconnect(Link.META, self._address)] if self._address else []
        self._address, self._next_at = address, now + 2 * _RETRY_SECONDS
        if self._wish is None:
            self._address = ""
            return leave
        self._request_id += 1
        return [*leave, Connect(Link.META, address, address)]

    def settle(self, now: float) -> Sequence[Effect]:
        """Return nothing: there is nothing to join."""
        del now
        return ()

    def next_tick_at(self) -> float | None:
        """When to ask again."""
        return self._next_at if self._wish is not None or self._address else None

    def statistics(self) -> dict[str, int | float | str]:
        """Return what it wishes."""
        return {"wish": str(self._wish)}


class VotersLife:
    """One life of the nodes of one meta."""

    def __init__(self, seed: int, *, steps: int = 60) -> None:
        self.seed = seed
        self.steps = steps
        self.cluster = SimCluster(seed, metas=_FOUNDERS)
        self.rng = self.cluster.sim.rng
        self.checker = MetaChecker()
        names = [f"meta-{number}" for number in range(1, _NODES_MAX + 1)]
        addresses = [f"tcp://{name}:9610" for name in names]
        self.names = names
        self.operator = Operator(addresses)
        self.writer = SettingsWriter(addresses, ())
        # Who votes or will, as far as the operator knows; who lost its disk, and what comes next.
        self.members = set(names[:_FOUNDERS])
        self.lost = ""
        self.then: Callable[[], None] | None = None
        self.counts = dict.fromkeys(("added", "removed", "lost", "denied"), 0)

    def run(self) -> None:
        """Live; AssertionError with the seed when a promise is broken."""
        sim = self.cluster.sim
        self.cluster.metas()
        sim.add("writer", self.writer, {})
        sim.add("operator", self.operator, {})
        sim.run(2.0)
        for _ in range(self.steps):
            self._go_on()
            self.rng.choice(self._faults())()
            sim.run(self.rng.choice((0.0, 0.01, 0.1, 0.5, 2.0)))
            self._check()
        self._heal()

    # --- what may happen ----------------------------------------------------------------------

    def _faults(self) -> list[Callable[[], None]]:
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
        ]

    def _living(self) -> list[str]:
        return sorted(self.cluster.meta_cores())

    def _end(self, name: str) -> None:
        if self.rng.random() < _DIE_WRITING_SHARE:
            self.cluster.sim.processes[name].dies_at_save = True
        else:
            self.cluster.sim.kill(name)

    def _kill(self) -> None:
        if living := self._living():
            self._end(self.rng.choice(living))

    def _kill_leader(self) -> None:
        if leader := self.cluster.leader():
            self._end(leader)

    def _freeze(self) -> None:
        if living := self._living():
            self.cluster.sim.freeze(self.rng.choice(living), self.rng.choice((0.2, 1.0, 5.0)))

    def _start(self, name: str) -> None:
        process = self.cluster.sim.processes.get(name)
        if process is not None:
            process.dies_at_save = False
        elif name in self.cluster.disks:
            self.cluster.meta(name)

    def _start_one(self) -> None:
        self._start(self.rng.choice(sorted(self.members - {self.lost})))

    def _start_all(self) -> None:
        for name in sorted(self.members - {self.lost}):
            self._start(name)

    def _add(self) -> None:
        strangers = sorted(set(self.names) - self.members)
        if self.operator.is_waiting or self.then or len(self.members) >= _VOTERS_MAX:
            return
        self._take_in(self.rng.choice(strangers))

    def _take_in(self, name: str) -> None:
        """Add a node, and start it on an empty disk before that or after it."""
        is_early = self.rng.random() < 0.5  # noqa: PLR2004 -- as often as not
        if is_early:
            self._begin_anew(name)
        self.members.add(name)
        self._wish(
            AddMeta(0, name, f"tcp://{name}:9611", 0), "added", lambda: self._start_new(name)
        )

    def _start_new(self, name: str) -> None:
        if name not in self.cluster.disks:
            self._begin_anew(name)

    def _begin_anew(self, name: str, *, is_joining: bool = True) -> None:
        if name in self.cluster.sim.processes:
            self.cluster.sim.kill(name)
        self.cluster.disks.pop(name, None)
        self.cluster.meta(name, is_joining=is_joining)

    def _remove(self) -> None:
        if self.operator.is_waiting or self.then or len(self.members) <= _VOTERS_MIN:
            return
        self._take_out(self.rng.choice(sorted(self.members)))

    def _take_out(self, name: str) -> None:
        def remove() -> None:
            self.members.discard(name)
            if name in self.cluster.sim.processes:
                self.cluster.sim.kill(name)
            self.cluster.disks.pop(name, None)
            if self.lost == name:
                self.lost = ""
                self.then = lambda: self._take_in(name)

        self._wish(RemoveMeta(0, name, 0), "removed", remove)

    def _lose_disk(self) -> None:
        """Lose one for good; the service manager may start the node again all the same."""
        if self.lost or self.operator.is_waiting or self.then or not self._has_spare():
            return
        self.lost = name = self.rng.choice(sorted(self.members))
        self.counts["lost"] += 1
        if name in self.cluster.sim.processes:
            self.cluster.sim.kill(name)
        del self.cluster.disks[name]
        if self.rng.random() < 0.7:  # noqa: PLR2004 -- a usual mistake
            self._begin_anew(name, is_joining=self.rng.random() < 0.3)  # noqa: PLR2004
        self._take_out(name)

    def _has_spare(self) -> bool:
        """Whether all that were taken in vote, and are enough to lose one."""
        leader = self.cluster.leader()
        if leader is None or len(self.members) < _VOTERS_MIN:
            return False
        raft = self.cluster.meta_cores()[leader].raft_driver.raft
        return raft.is_configuration_committed and set(raft.configuration.voters) == self.members

    def _wish(self, message: AddMeta | RemoveMeta, count: str, then: Callable[[], None]) -> None:
        self.cluster.sim.post("operator", Wish(message))

        def see() -> None:
            if self.operator.answer is None:
                # Denied, as too few would be left: ask again.
                self.counts["denied"] += 1
                self._wish(message, count, then)
                return
            self.counts[count] += 1
            then()

        self.then = see

    def _go_on(self) -> None:
        """Do what waits for the operator's last wish; end nodes that say they cannot go on."""
        for name, process in list(self.cluster.sim.processes.items()):
            if any(isinstance(event, NodeFailed) for event in process.events):
                self.cluster.sim.kill(name)
        if self.then is not None and not self.operator.is_waiting:
            then, self.then = self.then, None
            then()

    # --- what must hold -----------------------------------------------------------------------

    def _check(self) -> None:
        self.checker.check(self.cluster.meta_cores())
        for name, core in self.cluster.meta_cores().items():
            if name == self.lost:
                assert not core.is_leading, self._story(f"{name} leads without its journal")

    def _heal(self) -> None:
        """Let everything run: all agree, on all that was acknowledged."""
        sim = self.cluster.sim
        before = self.writer.answered_count

        def healed() -> bool:
            self._go_on()
            self._start_all()
            if self.then is not None or self.lost or self.cluster.leader() is None:
                return False
            cores = self.cluster.meta_cores()
            voters = {core.raft_driver.raft.configuration.voters for core in cores.values()}
            shown = {tuple(m.node_id for m in core.membership.members) for core in cores.values()}
            return voters == {tuple(sorted(self.members))} == shown

        assert sim.run_until(healed, _HEAL_SECONDS_MAX), self._story("not healed")
        assert sim.run_until(lambda: self.writer.answered_count > before, 10.0), self._story("mute")
        sim.kill("writer")

        def agree() -> bool:
            cores = self.cluster.meta_cores()
            states = {core.state.snapshot() for core in cores.values()}
            return len(states) == 1 and set(cores) == self.members

        assert sim.run_until(agree, 10.0), self._story("differ")
        cores = self.cluster.meta_cores()
        self.checker.check(cores)
        for core in cores.values():
            self.checker.check_settings(core, self.writer)

    def _story(self, what: str) -> str:
        trace = "\n".join(self.cluster.sim.trace[-200:])
        nodes = "\n".join(
            f"{name} {core!r} {core.raft_driver.raft.configuration} {core._quorum_alarm.sentence()}"  # noqa: SLF001
            for name, core in self.cluster.meta_cores().items()
        )
        wants = f"members {sorted(self.members)} lost {self.lost!r} {self.operator.statistics()}"
        return f"seed {self.seed}: {what}\n{trace}\n{nodes}\n{wants}"


class BootstrapLife:
    """One life of the nodes that found a cluster, each started as the first time, whatever it lost.

    Nobody adds or removes any, so a node whose disk is lost stays out once the cluster is founded.
    """

    def __init__(self, seed: int, *, steps: int = 40) -> None:
        self.seed = seed
        self.steps = steps
        self.cluster = SimCluster(seed, metas=_FOUNDERS if seed % 3 else _VOTERS_MAX)
        self.rng = self.cluster.sim.rng
        self.names = self.cluster.meta_names
        self.checker = MetaChecker()
        # Who holds something that was agreed on, of which cluster; who lost its disk since then.
        self.holders: dict[str, bytes] = {}
        self.lost: set[str] = set()
        self.counts = dict.fromkeys(("founded", "emptied", "for good"), 0)

    def run(self) -> None:
        """Live; AssertionError with the seed when a promise is broken."""
        for name in self.rng.sample(self.names, len(self.names)):
            self._start(name)
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
        self._end()

    def _start(self, name: str) -> None:
        process = self.cluster.sim.processes.get(name)
        if process is None:
            self.cluster.meta(name)
        else:
            process.dies_at_save = False

    def _start_one(self) -> None:
        self._start(self.rng.choice(self.names))

    def _kill(self) -> None:
        name = self.rng.choice(self.names)
        if name in self.cluster.sim.processes:
            if self.rng.random() < _DIE_WRITING_SHARE:
                self.cluster.sim.processes[name].dies_at_save = True
            else:
                self.cluster.sim.kill(name)

    def _freeze(self) -> None:
        name = self.rng.choice(self.names)
        if name in self.cluster.sim.processes:
            self.cluster.sim.freeze(name, self.rng.choice((0.2, 1.0, 5.0)))

    def _cut(self) -> None:
        self.cluster.sim.cut(*self.rng.sample(self.names, 2))

    def _heal(self) -> None:
        self.cluster.sim.heal()

    def _empty(self, name: str) -> None:
        """Lose a disk; its node comes back as if nothing had happened, sooner or later."""
        if name in self.cluster.sim.processes:
            self.cluster.sim.kill(name)
        self.cluster.disks.pop(name, None)
        self.holders.pop(name, None)
        self.counts["emptied"] += 1
        if self.holders:
            self.lost.add(name)
        else:
            # What was agreed on is lost for good: these nodes may begin anew.
            self.checker = MetaChecker()
            self.lost.clear()

    def _check(self) -> None:
        for name, process in list(self.cluster.sim.processes.items()):
            if any(isinstance(event, NodeFailed) for event in process.events):
                self.cluster.sim.kill(name)
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

    def _end(self) -> None:
        """Let everything run: they agree, unless most of them have forgotten it."""
        sim = self.cluster.sim
        sim.heal()
        if not self.holders:
            for name in self.names:
                self._empty(name)

        is_lost = 2 * len(self.lost) > len(self.names)
        self.counts["for good"] += is_lost
        for _ in range(10 if is_lost else int(_HEAL_SECONDS_MAX)):
            for name in self.names:
                self._start(name)
            sim.run(1.0)
            self._check()
            if not is_lost and self.cluster.leader() is not None:
                return
        what = "have forgotten it, and yet it leads" if is_lost else "lack, and nobody leads"
        story = f"seed {self.seed}: {sorted(self.lost)} {what}\n{sim.trace[-200:]}"
        assert is_lost, story
        assert self.cluster.leader() is None, story


def main() -> int:
    """Run a range of seeds; print the first failures and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-100", help="FIRST-LAST")
    parser.add_argument("--digests", action="store_true", help="print a digest of each life")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    failed = 0
    counts: dict[str, int] = {}
    for seed in range(first, last + 1):
        for life in (VotersLife(seed), BootstrapLife(seed)):
            try:
                life.run()
            except Exception as error:  # noqa: BLE001 -- whatever it is, it belongs to the seed
                failed += 1
                sys.stdout.write(f"seed {seed}: {type(error).__name__}: {str(error)[:6000]}\n")
            if arguments.digests:
                digest = life.cluster.sim.sent.hexdigest()
                sys.stdout.write(f"{seed} {type(life).__name__} {digest}\n")
            for name, count in life.counts.items():
                counts[name] = counts.get(name, 0) + count
        if failed >= 3:  # noqa: PLR2004 -- enough to look at
            break
    sys.stdout.write(f"{last - first + 1} seeds, {failed} failed, {counts}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
