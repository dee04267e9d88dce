"""A campaign of seeds: which of them failed, and how often each kind of fault fired.

A kind of fault that never fires proves nothing, so a campaign of enough seeds fails without it.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Final, Protocol

from zreg.testing.sim.buggify import POINTS, Buggify

# With fewer seeds a rare kind may be missing by chance.
SEEDS_MIN: Final = 50


class Life(Protocol):
    """What one seed runs."""

    def run(self) -> None:
        """Run the life; raises AssertionError with the seed when a promise is broken."""
        ...

    @property
    def fault_counts(self) -> Counter[str]:
        """How often each kind of fault fired so far."""
        ...


class Campaign:
    """Runs the lives of seeds, prints failures as they come, and reports at the end."""

    def __init__(
        self,
        kinds: Iterable[str] = (),
        *,
        failures_max: int = 5,
        characters_max: int = 3000,
        is_buggified: bool = False,
    ) -> None:
        self._is_buggified = is_buggified
        points = map(str, POINTS) if is_buggified else ()
        self._kinds = (*kinds, *points)
        self._failures_max = failures_max
        self._characters_max = characters_max
        self.run_count = 0
        self.failed: list[int] = []
        self.counts: Counter[str] = Counter()

    def run(
        self,
        seeds: Iterable[int],
        new_life: Callable[[int], Life],
        on_passed: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Run the life of each seed; return 0 if all passed and every kind of fault fired."""
        for seed in seeds:
            self.run_count += 1
            with nullcontext() if not self._is_buggified else Buggify(seed) as points:
                life = new_life(seed)
                try:
                    life.run()
                except Exception as error:  # noqa: BLE001 -- any error belongs to its seed
                    self.failed.append(seed)
                    text = f"seed {seed}: {type(error).__name__}: {error}"
                    sys.stdout.write(f"{text[: self._characters_max]}\n---\n")
                    sys.stdout.flush()
                else:
                    on_passed(seed)
            self.counts += life.fault_counts
            if points is not None:
                self.counts += points.counts
            if len(self.failed) >= self._failures_max:
                break
        return self._report()

    def _report(self) -> int:
        for name in sorted({*self._kinds, *self.counts}):
            sys.stdout.write(f"{self.counts[name]:>10} {name}\n")
        missing = [name for name in self._kinds if not self.counts[name]]
        is_large = self.run_count >= SEEDS_MIN
        if missing and is_large:
            sys.stdout.write(f"never fired: {', '.join(missing)}\n")
        sys.stdout.write(f"{self.run_count} seeds, {len(self.failed)} failed {self.failed}\n")
        return 1 if self.failed or (missing and is_large) else 0


def parse_seeds(text: str) -> range:
    """Return the seeds of FIRST-LAST, or of one number."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def campaign_parser(description: str | None, seeds: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every campaign has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=parse_seeds, default=seeds, help="FIRST-LAST")
    parser.add_argument("--failures", type=int, default=5, help="stop after so many")
    parser.add_argument(
        "--buggify", action="store_true", help="choose unkind bounds and times by the seed"
    )
    parser.add_argument("--characters", type=int, default=3000, help="of each failure's report")
    return parser
