"""Run random lives of the meta nodes: of voters, of founders, and of nodes that find each other.

The lives `moving` are those of voters on a LAN whose machines get other addresses.

python -m zreg.testing.workloads.voters_workload --seeds 1-100
python -m zreg.testing.workloads.voters_workload --seeds 1-100 --lives gathering
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from zreg.testing.workloads.bootstrap_life import BootstrapLife
from zreg.testing.workloads.gathering_life import GatheringLife
from zreg.testing.workloads.voters_life import VotersLife

_LIVES: Final[dict[str, Callable[[int], VotersLife | BootstrapLife | GatheringLife]]] = {
    "voters": VotersLife,
    "moving": partial(VotersLife, has_lan=True),
    "founders": BootstrapLife,
    "gathering": GatheringLife,
}


def main() -> int:
    """Run a range of seeds; print the first failures and return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-100", help="FIRST-LAST")
    parser.add_argument("--lives", nargs="+", choices=_LIVES, default=list(_LIVES))
    parser.add_argument("--digests", action="store_true", help="print a digest of each life")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    failed = 0
    counts: dict[str, int] = {}
    for seed in range(first, last + 1):
        for life in [_LIVES[name](seed) for name in arguments.lives]:
            try:
                life.run()
            except Exception as error:  # noqa: BLE001 -- any error belongs to its seed
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
