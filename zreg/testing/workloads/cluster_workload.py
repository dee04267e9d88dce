"""A random life of a cluster, from a seed: clients come, publish and go while nodes fail.

In the first half there are faults, and nothing forbidden may happen. In the second half there are
none, and every view must end with exactly what the living clients publish.

    python -m zreg.testing.workloads.cluster_workload --seeds 1-200
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from zreg.testing.checkers.membership_checker import differing_memberships
from zreg.testing.checkers.meta_checker import MetaChecker
from zreg.testing.checkers.store_checker import StoreChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.campaign import Campaign, campaign_parser
from zreg.testing.workloads.clients.settings_clients import SettingsClient, SettingsHistory
from zreg.testing.workloads.clients.settings_writer import SettingsWriter
from zreg.testing.workloads.clients.workload_clients import NAMES, WorkloadClients
from zreg.testing.workloads.faults.workload_faults import FAULT_KINDS, WorkloadFaults
from zreg.testing.workloads.pages.page_reader import KINDS as PAGE_KINDS
from zreg.testing.workloads.pages.page_reader import PageReader

HEAL_SECONDS_MAX: Final = 30.0
SETTINGS_CLIENT_COUNT: Final = 4


class Workload:
    """One life of one cluster.

    Without settings clients a seed gives the same life as before there were any, since what they
    send takes part in all that follows; without leaving, as before data nodes left in order.
    """

    def __init__(
        self,
        seed: int,
        *,
        steps: int = 40,
        settings_client_count: int = SETTINGS_CLIENT_COUNT,
        has_leaving: bool = True,
        has_pages: bool = False,
    ) -> None:
        self.seed = seed
        self.steps = steps
        self.settings_client_count = settings_client_count
        self.has_leaving = has_leaving
        self.history = SettingsHistory()
        # A source of its own, so that settings clients do not change what others draw.
        self.settings_rng = Random(f"{seed} settings")  # noqa: S311 -- a simulation wants a seed
        # Every second seed has a single meta node, every tenth has five, the others have three.
        metas = 1 if seed % 2 else 5 if seed % 10 == 0 else 3
        # In every third seed nodes keep the membership on disk, and start from it.
        has_cache = seed % 3 == 2  # noqa: PLR2004
        self.cluster = SimCluster(seed, metas=metas, has_membership_cache=has_cache)
        self.checker = MetaChecker()
        self.stores = StoreChecker()
        self.rng = self.cluster.sim.rng
        self.session_count = self.rng.randint(1, 3)
        self.data_count = self.rng.randint(1, 3)
        self.clients = WorkloadClients(self.cluster, self.session_count)
        self.faults = WorkloadFaults(
            self.cluster, session_count=self.session_count, data_count=self.data_count
        )
        numbers = range(1, self.session_count + 1)
        self.pages = (
            PageReader(
                self.cluster,
                NAMES,
                self.clients.protected,
                Random(f"{seed} pages"),  # noqa: S311 -- a simulation wants a seed
            )
            if has_pages
            else None
        )
        sessions = [f"tcp://session-{number}:9600" for number in numbers]
        self.writer = SettingsWriter(self.cluster.config.meta_addresses, sessions)

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        cluster = self.cluster
        cluster.start(sessions=self.session_count, data=self.data_count)
        cluster.sim.add("writer", self.writer, {})
        self._start_settings_clients()
        self.clients.start()
        cluster.run(1.0)
        for _ in range(self.steps):
            self.rng.choice(self._events())()
            if self.settings_client_count:
                self.faults.cut_or_heal_meta(self.settings_rng)
            if self.pages is not None:
                self.pages.step()
            cluster.run(self.rng.choice((0.0, 0.01, 0.1, 0.5, 2.0)))
            self.faults.end_left_data_nodes()
            false_removals = self.clients.false_removals()
            assert not false_removals, self._report("\n".join(false_removals))
            self.clients.protect_shown()
            self.checker.check(cluster.meta_cores())
            self._check_stores()
            self._check_pages()
        self.faults.end()
        self._check_convergence()
        self._check_meta()

    def _start_settings_clients(self) -> None:
        addresses = self.cluster.config.meta_addresses
        for number in range(self.settings_client_count):
            rng = Random(self.settings_rng.getrandbits(64))  # noqa: S311 -- a simulation wants a seed
            client = SettingsClient(addresses, self.history, rng)
            self.cluster.sim.add(f"settings-{number}", client, {})

    def _events(self) -> list[Callable[[], None]]:
        clients, faults = self.clients, self.faults
        often = [clients.publish, clients.publish, clients.republish, clients.unpublish]
        rare = [
            clients.kill_publisher,
            faults.kill_session,
            faults.kill_data_node,
            faults.kill_meta,
            faults.kill_leader,
            faults.kill_all_metas,
            self._freeze,
            faults.start_one,
            faults.changes.add,
        ]
        if self.has_leaving:
            rare += [faults.changes.leave, faults.changes.change_replica_count]
        return often * 2 + rare

    def _freeze(self) -> None:
        name, seconds = self.faults.choose_freeze()
        self.clients.on_freeze(name, seconds)
        self.cluster.sim.freeze(name, seconds)

    @property
    def fault_counts(self) -> Counter[str]:
        """How often each kind of fault fired."""
        counts = self.faults.counts + Counter({"client killed": self.clients.killed_count})
        return counts if self.pages is None else counts + self.pages.counts

    # --- checks at the end --------------------------------------------------------------------

    def _check_convergence(self) -> None:
        """Check that every view comes to show exactly what is published, and goes on to."""
        expected = self.clients.expected_values()

        def has_converged() -> bool:
            self.cluster.supervise()
            self.cluster.read_events()
            return self.cluster.leader() is not None and self.clients.do_views_show(expected)

        if not self.cluster.sim.run_until(has_converged, HEAL_SECONDS_MAX):
            raise AssertionError(self._report("\n".join(self.clients.differences(expected))))
        self.history.is_over = True
        if self.pages is not None:
            found = self.pages.end()
            assert not found, self._report("\n".join(found))
        # No session may be evicted late.
        self.cluster.run(self.cluster.config.session_grace_seconds + 5.0)
        assert has_converged(), self._report("converged, and then changed")
        self._check_stores()
        if self.pages is not None:
            found = self.pages.leftovers()
            assert not found, self._report("\n".join(found))

    def _check_pages(self) -> None:
        found = self.pages.check() if self.pages is not None else []
        assert not found, self._report("\n".join(found))

    def _check_stores(self) -> None:
        found = self.stores.check(self.cluster)
        assert not found, self._report("\n".join(found))

    def _check_meta(self) -> None:
        """Check that all meta nodes agree, and hold every setting that was acknowledged."""
        self.cluster.sim.kill("writer")
        self.cluster.run(1.0)
        cores = self.cluster.meta_cores()
        self.checker.check(cores)
        assert len(cores) == len(self.cluster.meta_names)
        states = {core.state.snapshot() for core in cores.values()}
        assert len(states) == 1, self._report("the states of meta nodes differ")
        differing = differing_memberships(self.cluster)
        assert not differing, self._report("\n".join(differing))
        assert self.writer.answered_count, self._report("no change of a setting was ever answered")
        for core in cores.values():
            self.checker.check_settings(core, self.writer)
        anomaly = self.history.anomaly()
        assert anomaly is None, self._report(f"settings are not linearizable: {anomaly}")

    def _report(self, what: str) -> str:
        trace = "\n".join(self.cluster.sim.trace[-300:])
        nodes = "\n".join(
            f"{p.name} {p.core.statistics()}" for p in self.cluster.sim.processes.values()
        )
        return f"seed {self.seed}: {what}\n{trace}\n{nodes}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a range of seeds; print failures, and how often each kind of fault fired."""
    parser = campaign_parser(__doc__, "1-100")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--digests", action="store_true", help="print a digest of each seed")
    parser.add_argument("--settings-clients", type=int, default=SETTINGS_CLIENT_COUNT)
    parser.add_argument("--no-pages", action="store_true", help="let no page ask the sessions")
    arguments = parser.parse_args(argv)
    lives: list[Workload] = []

    def new_life(seed: int) -> Workload:
        life = Workload(
            seed,
            steps=arguments.steps,
            settings_client_count=arguments.settings_clients,
            has_pages=not arguments.no_pages,
        )
        lives[:] = [life]
        return life

    def print_digest(seed: int) -> None:
        if arguments.digests:
            sys.stdout.write(f"{seed} {lives[0].cluster.sim.sent.hexdigest()}\n")

    # Only a life with settings clients cuts the leader off.
    kinds = [kind for kind in FAULT_KINDS if arguments.settings_clients or " cut " not in kind]
    campaign = Campaign(
        kinds if arguments.no_pages else [*kinds, *PAGE_KINDS],
        failures_max=arguments.failures,
        characters_max=arguments.characters,
        is_buggified=arguments.buggify,
    )
    return campaign.run(arguments.seeds, new_life, on_passed=print_digest)


if __name__ == "__main__":
    sys.exit(main())
