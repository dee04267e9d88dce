"""Programs without a client under faults of every kind, by seed.

What a program renews leaves no view, whichever session it asks. What it renews no more, or has
withdrawn, leaves all views in time and does not come back.

    python -m zreg.testing.workloads.http_workload --seeds 1-100
"""

import sys
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from zreg.model import DataInfoId, data_info_id
from zreg.testing.checkers.store_checker import StoreChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.workloads.campaign import Campaign, campaign_parser
from zreg.testing.workloads.clients.http_programs import HttpProgram, HttpPrograms
from zreg.testing.workloads.faults.chaos_faults import FAULT_KINDS, ChaosFaults

if TYPE_CHECKING:
    from zreg.testing.sim.observations.view_log import ViewLog

HEAL_SECONDS_MAX: Final = 60.0
_LEASE_SECONDS: Final = 12.0
_PROGRAM_COUNT: Final = 6
_NAMES: Final = tuple(data_info_id(f"service-{number}") for number in range(3))
_STEP_SECONDS: Final = 0.1
# Nodes are stopped for up to 25 s, with tombstones on the way to them.
_TRANSIT_SECONDS_MAX: Final = 60.0
# After a gap between two renewals a removal may have been right, and a late view may show it late.
_SURE_SECONDS: Final = 10.0


class HttpLife:
    """One life: programs that register over HTTP, subscribers of everything, and faults."""

    def __init__(self, seed: int, *, steps: int = 30) -> None:
        self.seed = seed
        self.steps = steps
        self.cluster = SimCluster(seed, metas=1 if seed % 2 else 3)
        self.rng = self.cluster.sim.rng
        self.session_count = self.rng.randint(2, 4)
        data_count = self.rng.randint(1, 4)
        # A few programs and subscriptions fill no backlog of the usual length.
        self.cluster.sim.faults.backlog_frames_max = self.rng.choice((1, 3, 8))
        self.faults = ChaosFaults(
            self.cluster,
            sessions=self.session_count,
            data_nodes=data_count,
            has_ring_changes=True,
        )
        self.data_count = data_count
        sessions = self.faults.nodes["session"]
        rng = Random(f"{seed} programs")  # noqa: S311 -- a simulation wants a seed
        self.programs = HttpPrograms(self.cluster.sim, sessions, rng=rng)
        self.stores = StoreChecker(transit_seconds_max=_TRANSIT_SECONDS_MAX)
        self.views: dict[tuple[str, DataInfoId], ViewLog] = {}
        self._count = 0
        self._protected: set[bytes] = set()
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        cluster = self.cluster
        cluster.start(sessions=self.session_count, data=self.data_count)
        for number in range(2):
            client = f"subscriber-{number}"
            cluster.client(client, range(1, self.session_count + 1))
            for feed_id, name in enumerate(_NAMES, start=1):
                self.views[client, name] = cluster.subscribe(client, name, feed_id=feed_id)
        for _ in range(_PROGRAM_COUNT):
            self._start_program()
        if not self._run_until_exact(10.0):
            raise AssertionError(self._report("never began\n" + "\n".join(self._differences())))
        for _ in range(self.steps):
            self.faults.step()
            self.rng.choice((self._change, self._change, self._stop, self._withdraw))()
            self._run(self.rng.choice((0.3, 1.0, 4.0, 8.0)))
        self.faults.end_all()
        if not self._run_until_exact(HEAL_SECONDS_MAX):
            raise AssertionError(self._report("not converged\n" + "\n".join(self._differences())))
        self._run(cluster.config.session_grace_seconds + 5.0)
        differences = self._differences()
        assert not differences, self._report("converged, and then " + "\n".join(differences))

    # --- what programs do ---------------------------------------------------------------------

    def _start_program(self) -> None:
        self._count += 1
        program = HttpProgram(
            self.rng.choice(_NAMES),
            f"instance-{self._count}",
            f"value-{self._count}",
            lease_seconds=_LEASE_SECONDS,
            is_alternating=self.rng.random() < 0.7,  # noqa: PLR2004 -- most of them
        )
        self.programs.start(program)

    def _living(self) -> list[HttpProgram]:
        return [each for each in self.programs.programs if self._is_living(each)]

    @staticmethod
    def _is_living(program: HttpProgram) -> bool:
        return not program.is_dead and not program.is_withdrawing

    def _change(self) -> None:
        program = self.rng.choice(self._living())
        self._count += 1
        program.value = f"value-{self._count}"

    def _stop(self) -> None:
        """Let a program die without a word, and another one begin."""
        program = self.rng.choice(self._living())
        program.is_dead = True
        self._protected.discard(program.publisher_id)
        self.counts["program died"] += 1
        self._start_program()

    def _withdraw(self) -> None:
        program = self.rng.choice(self._living())
        self.programs.withdraw(program)
        self._protected.discard(program.publisher_id)
        self.counts["program withdrawn"] += 1
        self._start_program()

    # --- what must hold -----------------------------------------------------------------------

    def _run(self, seconds: float) -> None:
        end = self.cluster.sim.now + seconds
        while self.cluster.sim.now < end:
            self.cluster.run(min(_STEP_SECONDS, end - self.cluster.sim.now))
            self.faults.end_due()
            self.programs.step()
            self._check_removals()
            found = self.stores.check(self.cluster)
            assert not found, self._report("\n".join(found))

    def _run_until_exact(self, seconds_max: float) -> bool:
        end = self.cluster.sim.now + seconds_max
        while self.cluster.sim.now < end:
            self._run(_STEP_SECONDS)
            if not self._differences():
                return True
        return False

    def _check_removals(self) -> None:
        """Check that no view has lost what was renewed all the time."""
        programs = {each.publisher_id: each for each in self.programs.programs}
        for key in list(self._protected):
            if not self.programs.is_renewed(programs[key], for_seconds=0.0):
                self._protected.discard(key)
        for (client, name), view in self.views.items():
            removed, view.removed = view.removed, []
            lost = [programs[key].instance for key in removed if key in self._protected]
            assert not lost, self._report(f"{client} lost {lost} of {name}")
        for program in self._living():
            if self.programs.is_renewed(program, for_seconds=_SURE_SECONDS):
                views = [view for (_, of), view in self.views.items() if of == program.name]
                if all(program.publisher_id in view.content for view in views):
                    self._protected.add(program.publisher_id)

    def _differences(self) -> list[str]:
        found = []
        for (client, name), view in self.views.items():
            wanted = sorted(each.value for each in self._living() if each.name == name)
            shown = sorted(map(str, view.values()))
            if not view.is_known or shown != wanted:
                found.append(f"{client} {name}: shows {shown}, must show {wanted}")
        return found

    @property
    def fault_counts(self) -> Counter[str]:
        """How often each kind of fault began, had an effect, or was met by programs."""
        answers = Counter({f"answer {what}": n for what, n in self.programs.answer_counts.items()})
        asked = Counter({"asked to move": self.cluster.sim.record_counts.get("Move", 0)})
        counts = self.faults.counts + self.cluster.sim.faults.fired + asked
        taken = self.cluster.sim.record_counts.get("InstanceTaken", 0)
        return counts + answers + self.counts + Counter({"taken over": taken})

    def _report(self, what: str) -> str:
        trace = "\n".join(line for line in self.cluster.sim.trace[-4000:] if " send " not in line)
        nodes = "\n".join(
            f"{p.name} {p.core.statistics()}" for p in self.cluster.sim.processes.values()
        )
        return f"seed {self.seed}: {what}\n{trace[-6000:]}\n{nodes}"


# What a campaign has to fire besides the faults.
KINDS: Final = (
    *(kind for kind in FAULT_KINDS if kind != "asked to move"),
    "program died",
    "program withdrawn",
    "answer registered",
    "answer updated",
    "answer renewed",
    "answer withdrawn",
    "answer no answer",
    "answer no session",
    "answer Refused",
    "taken over",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a range of seeds; print failures, and how often each kind of fault fired."""
    parser = campaign_parser(__doc__, "1-50")
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args(argv)
    campaign = Campaign(
        KINDS,
        failures_max=arguments.failures,
        characters_max=arguments.characters,
        is_buggified=arguments.buggify,
    )
    return campaign.run(arguments.seeds, lambda seed: HttpLife(seed, steps=arguments.steps))


if __name__ == "__main__":
    sys.exit(main())
