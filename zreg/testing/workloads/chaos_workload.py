"""A cluster under faults of every kind, by seed: no view ever loses a publisher whose client lives.

python -m zreg.testing.workloads.chaos_workload --seeds 1-200
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from zreg.model import DataInfoId, data_info_id
from zreg.testing.checkers.store_checker import StoreChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.campaign import Campaign, campaign_parser
from zreg.testing.workloads.faults.chaos_faults import FAULT_KINDS, ChaosFaults
from zreg.testing.workloads.pages.page_reader import KINDS as PAGE_KINDS
from zreg.testing.workloads.pages.page_reader import PageReader

if TYPE_CHECKING:
    from zreg.testing.sim.observations.view_log import ViewLog

HEAL_SECONDS_MAX: Final = 60.0
_NAMES: Final = tuple(data_info_id(f"service-{number}") for number in range(6))
_PUBLISHER_COUNT: Final = 3
_SUBSCRIBER_COUNT: Final = 2


class ChaosLife:
    """One life: publishers that never withdraw, subscribers of everything, and faults.

    Without ring changes or isolation a seed gives the same life as before there were any.
    """

    def __init__(
        self,
        seed: int,
        *,
        steps: int = 30,
        has_ring_changes: bool = True,
        has_isolation: bool = True,
        has_pages: bool = False,
    ) -> None:
        self.seed = seed
        self.steps = steps
        self.cluster = SimCluster(
            seed,
            metas=1 if seed % 2 else 3,
            has_membership_cache=seed % 3 == 2,  # noqa: PLR2004
        )
        self.rng = self.cluster.sim.rng
        self.session_count = self.rng.randint(2, 4)
        self.data_count = self.rng.randint(2, 4)
        # Six subscriptions and a few publications fill no backlog of the usual length.
        self.cluster.sim.faults.backlog_frames_max = self.rng.choice((1, 3, 8))
        self.faults = ChaosFaults(
            self.cluster,
            sessions=self.session_count,
            data_nodes=self.data_count,
            has_ring_changes=has_ring_changes,
            has_isolation=has_isolation,
        )
        self.stores = StoreChecker()
        self.views: dict[tuple[str, DataInfoId], ViewLog] = {}
        # publisher id -> (client, name, value)
        self.published: dict[bytes, tuple[str, DataInfoId, str]] = {}
        self._value_count = 0
        rng = Random(f"{seed} pages")  # noqa: S311 -- a simulation wants a seed
        self.pages = PageReader(self.cluster, _NAMES, self._lasting, rng) if has_pages else None

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        cluster = self.cluster
        cluster.start(sessions=self.session_count, data=self.data_count)
        sessions = list(range(1, self.session_count + 1))
        for number in range(_PUBLISHER_COUNT):
            cluster.client(f"publisher-{number}", sessions)
        for number in range(_SUBSCRIBER_COUNT):
            client = f"subscriber-{number}"
            cluster.client(client, sessions)
            for feed_id, name in enumerate(_NAMES, start=1):
                self.views[client, name] = cluster.subscribe(client, name, feed_id=feed_id)
        for index, name in enumerate(_NAMES * 2):
            self._publish(f"publisher-{index % _PUBLISHER_COUNT}", name)
        assert cluster.sim.run_until(self._is_exact, 10.0), self._report("never began")
        for _ in range(self.steps):
            self.faults.step()
            self._republish()
            self._run(self.rng.choice((0.3, 1.0, 4.0, 8.0)), is_read=True)
        self.faults.end_all()
        if not cluster.sim.run_until(self._is_exact, HEAL_SECONDS_MAX):
            raise AssertionError(self._report("not converged\n" + "\n".join(self._differences())))
        self._check(self.pages.end() if self.pages else ())
        self._run(cluster.config.session_grace_seconds + 5.0)
        assert self._is_exact(), self._report("converged, and then changed")
        self._check(self.pages.leftovers() if self.pages else ())

    def _run(self, seconds: float, *, is_read: bool = False) -> None:
        end = self.cluster.sim.now + seconds
        while self.cluster.sim.now < end:
            if self.pages is not None and is_read:
                self.pages.step()
            self.cluster.run(min(0.5, end - self.cluster.sim.now))
            self.faults.end_due()
            self._check_no_removal()
            self._check(self.stores.check(self.cluster))
            self._check(self.pages.check() if self.pages else ())

    def _publish(self, client: str, name: DataInfoId, publisher_id: bytes | None = None) -> None:
        self._value_count += 1
        value = f"value-{self._value_count}"
        publisher_id = self.cluster.publish(client, name, value, publisher_id)
        self.published[publisher_id] = (client, name, value)

    def _republish(self) -> None:
        publisher_id = self.rng.choice(sorted(self.published))
        client, name, _ = self.published[publisher_id]
        self._publish(client, name, publisher_id)

    @property
    def fault_counts(self) -> Counter[str]:
        """How often each kind of fault began or had an effect on the network; and moves."""
        asked = Counter({"asked to move": self.cluster.sim.record_counts.get("Move", 0)})
        counts = self.faults.counts + self.cluster.sim.faults.fired + asked
        return counts + self.pages.counts if self.pages else counts

    def _lasting(self) -> list[tuple[DataInfoId, bytes]]:
        return [(name, publisher_id) for publisher_id, (_, name, _) in self.published.items()]

    # --- what must hold -----------------------------------------------------------------------

    def _check_no_removal(self) -> None:
        for (client, name), view in self.views.items():
            removed, view.removed = view.removed, []
            lost = [self.published[key] for key in removed if key in self.published]
            assert not lost, self._report(f"{client} lost {lost} of {name}")

    def _check(self, found: Iterable[str]) -> None:
        lines = list(found)
        assert not lines, self._report("\n".join(lines))

    def _is_exact(self) -> bool:
        self.cluster.supervise()
        self.cluster.read_events()
        return not self._differences()

    def _differences(self) -> list[str]:
        found = []
        for (client, name), view in self.views.items():
            wanted = sorted(value for _, of, value in self.published.values() if of == name)
            shown = sorted(map(str, view.values()))
            if not view.is_known or shown != wanted:
                found.append(f"{client} {name}: shows {shown}, must show {wanted}")
        return found

    def _report(self, what: str) -> str:
        trace = "\n".join(line for line in self.cluster.sim.trace[-4000:] if " send " not in line)
        nodes = "\n".join(
            f"{p.name} {p.core.statistics()}" for p in self.cluster.sim.processes.values()
        )
        return f"seed {self.seed}: {what}\n{trace[-6000:]}\n{nodes}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a range of seeds; print failures, and how often each kind of fault fired."""
    parser = campaign_parser(__doc__, "1-50")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--no-pages", action="store_true", help="let no page ask the sessions")
    arguments = parser.parse_args(argv)
    has_pages = not arguments.no_pages
    campaign = Campaign(
        (*FAULT_KINDS, *PAGE_KINDS) if has_pages else FAULT_KINDS,
        failures_max=arguments.failures,
        characters_max=arguments.characters,
        is_buggified=arguments.buggify,
    )
    return campaign.run(
        arguments.seeds,
        lambda seed: ChaosLife(seed, steps=arguments.steps, has_pages=has_pages),
    )


if __name__ == "__main__":
    sys.exit(main())
