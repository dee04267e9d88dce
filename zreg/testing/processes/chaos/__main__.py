"""Random faults of real nodes and of the links between them; a subscriber must see none of them.

python -m zreg.testing.processes.chaos --seeds 7-7 --seconds 180

Publishers live for the whole campaign. A removal of one of them that a subscriber sees is a false
removal. At the end every view must be exact within 15 s. All traffic stays on loopback.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from zreg.testing.processes.chaos.chaos_campaign import Size, run_campaign


def main() -> int:
    """Run a range of seeds; print what each has shown, and how often each kind of fault fired."""
    parser = argparse.ArgumentParser(
        prog="python -m zreg.testing.processes.chaos", description=__doc__
    )
    parser.add_argument("--seeds", default="1-1", help="FIRST-LAST")
    parser.add_argument("--seconds", type=float, default=180.0, help="of faults, for each seed")
    parser.add_argument("--directory", type=Path, help="for the logs; default: a temporary one")
    for name, default in zip(Size.__struct_fields__, Size.__struct_defaults__, strict=True):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    size = Size(*(getattr(arguments, name) for name in Size.__struct_fields__))
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="zreg-chaos-"))
    first, last = map(int, arguments.seeds.split("-"))
    counts: Counter[str] = Counter()
    failed: list[int] = []
    for seed in range(first, last + 1):
        outcome = run_campaign(seed, arguments.seconds, directory / f"seed-{seed}", size)
        counts.update(outcome.counts)
        if outcome.is_failed:
            failed.append(seed)
        sys.stdout.write(f"{outcome.summary}\n")
        sys.stdout.flush()
    missing = sorted(kind for kind, count in counts.items() if not count)
    fired = " ".join(f"{name.replace(' ', '-')}={count}" for name, count in sorted(counts.items()))
    sys.stdout.write(f"{last - first + 1} seeds, failed {failed}; {fired}; logs in {directory}\n")
    if missing:
        sys.stdout.write(f"these kinds of faults never fired: {', '.join(missing)}\n")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
