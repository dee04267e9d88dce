"""A random life of a cluster, from a seed: clients come, publish and go while nodes fail.

First half: faults on, and what must never happen is checked. Second half: everything is left
alone, and every subscriber must end with exactly what the living publish.

    python -m zreg.testing.workloads.cluster_workload --seeds 1-200
"""

import argparse
import sys
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from zreg.model import DataInfoId, data_info_id
from zreg.testing.checkers.membership_checker import differing_memberships
from zreg.testing.checkers.meta_checker import MetaChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.settings_clients import SettingsClient, SettingsHistory
from zreg.testing.workloads.settings_writer import SettingsWriter

if TYPE_CHECKING:
    from zreg.testing.sim.view_log import ViewLog

NAMES: Final = tuple(data_info_id(f"service-{number}") for number in range(4))
HEAL_SECONDS_MAX: Final = 30.0
# This share of killed meta nodes dies with a write that is not synced.
_DIE_WRITING_SHARE: Final = 0.3
# In this share of all steps the leader of meta is cut off from the others.
_CUT_SHARE: Final = 0.2


SETTINGS_CLIENT_COUNT: Final = 4


class Workload:
    """One life of one cluster.

    Without settings clients a seed is the life that it was before there were any: what they send
    and change takes part in everything else.
    """

    def __init__(
        self, seed: int, *, steps: int = 40, settings_client_count: int = SETTINGS_CLIENT_COUNT
    ) -> None:
        self.seed = seed
        self.steps = steps
        self.settings_client_count = settings_client_count
        self.history = SettingsHistory()
        # A source of its own, so that what concerns settings alone takes no chance from others.
        self.settings_rng = Random(f"{seed} settings")  # noqa: S311 -- a simulation wants a seed
        self.cut_until = 0.0
        # Every second seed has a single meta node, every tenth one five.
        metas = 1 if seed % 2 else 5 if seed % 10 == 0 else 3
        # In every third nodes keep the membership on disk, and start from it.
        self.cluster = SimCluster(seed, metas=metas, has_membership_cache=seed % 3 == 2)  # noqa: PLR2004
        self.checker = MetaChecker()
        self.rng = self.cluster.sim.rng
        self.sessions = self.rng.randint(1, 3)
        self.data_nodes = self.rng.randint(1, 3)
        # What is published now: client -> publisher id -> (name, value).
        self.published: dict[str, dict[bytes, tuple[DataInfoId, str]]] = {}
        self.views: dict[tuple[str, DataInfoId], ViewLog] = {}
        # Published, accepted by a view at least once, and never withdrawn: may not be removed.
        self.steady: dict[bytes, tuple[DataInfoId, str]] = {}
        # Clients that were frozen, or whose session was, may be taken for dead until then.
        self.doubtful_until: dict[str, float] = {}
        self.down: dict[str, Callable[[], object]] = {}
        self._made = 0

    def run(self) -> None:
        """Live; AssertionError with the seed when a promise is broken."""
        cluster = self.cluster
        cluster.start(sessions=self.sessions, data=self.data_nodes)
        sessions = [f"tcp://session-{number}:9600" for number in self._all_sessions()]
        self.writer = SettingsWriter(cluster.config.meta_addresses, sessions)
        cluster.sim.add("writer", self.writer, {})
        self._start_settings_clients()
        for number in range(3):
            self._new_publisher(f"publisher-{number}")
        for number in range(3):
            self._new_subscriber(f"subscriber-{number}")
        cluster.run(1.0)
        for _ in range(self.steps):
            self.rng.choice(self._faults())()
            self._cut_or_heal_meta()
            cluster.run(self.rng.choice((0.0, 0.01, 0.1, 0.5, 2.0)))
            self._check_no_false_removal()
            self.checker.check(cluster.meta_cores())
        if self.cut_until:
            self.cluster.sim.heal()
        for start in list(self.down.values()):
            start()
        self.down.clear()
        self._check_convergence()

    def _start_settings_clients(self) -> None:
        addresses = self.cluster.config.meta_addresses
        for number in range(self.settings_client_count):
            rng = Random(self.settings_rng.getrandbits(64))  # noqa: S311 -- the same
            client = SettingsClient(addresses, self.history, rng)
            self.cluster.sim.add(f"settings-{number}", client, {})

    # --- what may happen ----------------------------------------------------------------------

    def _faults(self) -> list[Callable[[], None]]:
        often = [self._publish, self._publish, self._republish, self._unpublish]
        rare = [
            self._kill_publisher,
            self._kill_session,
            self._kill_data_node,
            self._kill_meta,
            self._kill_leader,
            self._kill_all_metas,
            self._freeze,
            self._start_a_node,
            self._add_data_node,
        ]
        return often * 2 + rare

    def _new_publisher(self, client: str) -> None:
        self.cluster.client(client, self._all_sessions())
        self.published[client] = {}
        self._publish_by(client)

    def _new_subscriber(self, client: str) -> None:
        self.cluster.client(client, self._all_sessions())
        for feed_id, name in enumerate(NAMES, start=1):
            view = self.cluster.subscribe(client, name, feed_id=feed_id)
            self.views[client, name] = view

    def _all_sessions(self) -> list[int]:
        return list(range(1, self.sessions + 1))

    def _publish(self) -> None:
        self._publish_by(self.rng.choice(sorted(self.published)))

    def _publish_by(self, client: str) -> None:
        self._made += 1
        name, value = self.rng.choice(NAMES), f"value-{self._made}"
        publisher_id = self.cluster.publish(client, name, value)
        self.published[client][publisher_id] = (name, value)

    def _republish(self) -> None:
        client = self.rng.choice(sorted(self.published))
        if not self.published[client]:
            return
        publisher_id = self.rng.choice(sorted(self.published[client]))
        self._made += 1
        name, _ = self.published[client][publisher_id]
        value = f"value-{self._made}"
        self.cluster.publish(client, name, value, publisher_id)
        self.published[client][publisher_id] = (name, value)

    def _unpublish(self) -> None:
        client = self.rng.choice(sorted(self.published))
        if not self.published[client]:
            return
        publisher_id = self.rng.choice(sorted(self.published[client]))
        del self.published[client][publisher_id]
        self.steady.pop(publisher_id, None)
        self.cluster.unpublish(client, publisher_id)

    def _kill_publisher(self) -> None:
        client = self.rng.choice(sorted(self.published))
        for publisher_id in self.published.pop(client):
            self.steady.pop(publisher_id, None)
        self.cluster.sim.kill(client)
        self._made += 1
        self._new_publisher(f"publisher-{self._made}")

    def _kill_session(self) -> None:
        living = [n for n in self._all_sessions() if self._lives(f"session-{n}")]
        # With all sessions away clients wait, which is another test.
        if len(living) > 1:
            number = self.rng.choice(living)
            self.cluster.sim.kill(f"session-{number}")
            self.down[f"session-{number}"] = lambda: self.cluster.session(number)

    def _kill_data_node(self) -> None:
        living = [n for n in range(1, self.data_nodes + 1) if self._lives(f"data-{n}")]
        if living:
            number = self.rng.choice(living)
            self.cluster.sim.kill(f"data-{number}")
            self.down[f"data-{number}"] = lambda: self.cluster.data(number)

    def _add_data_node(self) -> None:
        if self.data_nodes < 5:  # noqa: PLR2004 -- enough nodes for every kind of arc
            self.data_nodes += 1
            self.cluster.data(self.data_nodes)

    def _kill_meta(self) -> None:
        """Kill one, at once or in the middle of its next write to disk."""
        self._end_meta(self.rng.choice(sorted(self.cluster.meta_cores()) or [""]))

    def _kill_leader(self) -> None:
        self._end_meta(self.cluster.leader() or "")

    def _kill_all_metas(self) -> None:
        """All of them, as in a power cut; they come back at different times."""
        for name in sorted(self.cluster.meta_cores()):
            self._end_meta(name)

    def _end_meta(self, name: str) -> None:
        if not name:
            return
        if self.rng.random() < _DIE_WRITING_SHARE:
            self.cluster.sim.processes[name].dies_at_save = True
        else:
            self.cluster.sim.kill(name)
        self.down[name] = lambda: self._start_meta(name)

    def _start_meta(self, name: str) -> None:
        if not self._lives(name):
            self.cluster.meta(name)
        self.cluster.sim.processes[name].dies_at_save = False

    def _freeze(self) -> None:
        unfrozen = ("subscriber", "writer", "settings")
        nodes = [n for n in self.cluster.sim.processes if not n.startswith(unfrozen)]
        name = self.rng.choice(nodes)
        seconds = self.rng.choice((0.2, 1.0, 5.0))
        doubtful = self.published if name.startswith("session") else [name]
        for client in doubtful:
            # Its own freeze may go on for longer than that of its session.
            until = max(self.doubtful_until.get(client, 0.0), self.cluster.sim.now + seconds + 2.0)
            self.doubtful_until[client] = until
            for publisher_id in self.published.get(client, ()):
                self.steady.pop(publisher_id, None)
        self.cluster.sim.freeze(name, seconds)

    def _cut_or_heal_meta(self) -> None:
        """Cut the leader off from other meta nodes for a while: whoever asks still reaches it.

        Frozen besides, it wakes as one that others have replaced, and does not hear so.
        """
        sim, rng = self.cluster.sim, self.settings_rng
        if self.cut_until and sim.now >= self.cut_until:
            self.cut_until = 0.0
            sim.heal()
        leader = self.cluster.leader()
        is_alone = len(self.cluster.meta_names) == 1
        if not self.settings_client_count or is_alone or self.cut_until or leader is None:
            return
        if rng.random() < _CUT_SHARE:
            frozen_seconds = rng.choice((0.0, 1.5, 3.0))
            self.cut_until = sim.now + frozen_seconds + rng.uniform(1.0, 3.0)
            for name in self.cluster.meta_names:
                if name != leader:
                    sim.cut(leader, name)
            if frozen_seconds:
                sim.freeze(leader, frozen_seconds)

    def _start_a_node(self) -> None:
        if self.down:
            self.down.pop(self.rng.choice(sorted(self.down)))()

    def _lives(self, name: str) -> bool:
        return name in self.cluster.sim.processes

    # --- what must hold -----------------------------------------------------------------------

    def _check_no_false_removal(self) -> None:
        """No view loses a publisher whose client lives and never withdrew it."""
        self.cluster.read_events()
        for (client, name), view in self.views.items():
            for publisher_id in view.removed:
                assert publisher_id not in self.steady, self._story(
                    f"{client} lost {self.steady.get(publisher_id)} of {name}"
                )
            view.removed.clear()
        for client, mine in self.published.items():
            if self.doubtful_until.get(client, 0.0) > self.cluster.sim.now:
                continue
            for publisher_id, (name, value) in mine.items():
                views = [v for (_, of), v in self.views.items() if of == name]
                if all(publisher_id in view.content for view in views):
                    self.steady.setdefault(publisher_id, (name, value))

    def _check_convergence(self) -> None:
        self.views_must_hold = {
            name: sorted(
                value
                for mine in self.published.values()
                for of, value in mine.values()
                if of == name
            )
            for name in NAMES
        }

        def converged() -> bool:
            self.cluster.supervise()
            self.cluster.read_events()
            return self.cluster.leader() is not None and all(
                view.is_known and sorted(map(str, view.values())) == self.views_must_hold[name]
                for (_, name), view in self.views.items()
            )

        if not self.cluster.sim.run_until(converged, HEAL_SECONDS_MAX):
            lines = [
                f"{client} {name}: has {sorted(map(str, view.values()))}, "
                f"must have {self.views_must_hold[name]}, known={view.is_known}"
                for (client, name), view in self.views.items()
                if sorted(map(str, view.values())) != self.views_must_hold[name]
                or not view.is_known
            ]
            raise AssertionError(self._story("\n".join(lines)))
        self.history.is_over = True
        # And it must stay so: nothing may be evicted late.
        self.cluster.run(self.cluster.config.session_grace_seconds + 5.0)
        assert converged(), self._story("converged, and then changed")
        self._check_meta()

    def _check_meta(self) -> None:
        """All meta nodes agree in the end, and hold every setting that was acknowledged."""
        self.cluster.sim.kill("writer")
        self.cluster.run(1.0)
        cores = self.cluster.meta_cores()
        self.checker.check(cores)
        assert len(cores) == len(self.cluster.meta_names)
        images = {core.state.snapshot() for core in cores.values()}
        assert len(images) == 1, self._story("meta nodes differ")
        assert not (others := differing_memberships(self.cluster)), self._story("\n".join(others))
        assert self.writer.answered_count, self._story("no change of a setting was ever answered")
        for core in cores.values():
            self.checker.check_settings(core, self.writer)
        anomaly = self.history.anomaly()
        assert anomaly is None, self._story(f"settings are not linearizable: {anomaly}")

    def _story(self, what: str) -> str:
        trace = "\n".join(self.cluster.sim.trace[-300:])
        nodes = "\n".join(
            f"{p.name} {p.core.statistics()}" for p in self.cluster.sim.processes.values()
        )
        return f"seed {self.seed}: {what}\n{trace}\n{nodes}"


def main() -> int:
    """Run a range of seeds; print the first failure and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-100", help="FIRST-LAST")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--digests", action="store_true", help="print a digest of each seed")
    parser.add_argument("--settings-clients", type=int, default=SETTINGS_CLIENT_COUNT)
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    failed = 0
    for seed in range(first, last + 1):
        try:
            count = arguments.settings_clients
            workload = Workload(seed, steps=arguments.steps, settings_client_count=count)
            workload.run()
        except Exception as error:  # noqa: BLE001 -- whatever it is, it belongs to the seed
            failed += 1
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {str(error)[:6000]}\n")
            if failed >= 3:  # noqa: PLR2004 -- enough to look at
                break
        else:
            if arguments.digests:
                sys.stdout.write(f"{seed} {workload.cluster.sim.sent.hexdigest()}\n")
    sys.stdout.write(f"{last - first + 1} seeds, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
