"""Data nodes are killed and restarted one after the other; subscribers must see none of it.

python -m zreg.testing.processes.rolling --seconds 120

The cluster has one meta node, two sessions and four data nodes with default settings, so three
copies. Publishers publish new values all the time, and some are withdrawn and published again. The
next data node is killed once the former one works again and all copies are in sync.

Exits with 1 if a subscriber saw the removal of a publisher that was not withdrawn, if a view at the
end is not exactly what is published, or if the ids of a killed node took no writes for too long.
All traffic stays on loopback.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from zreg.testing.processes.rolling.crowd import Size
from zreg.testing.processes.rolling.rolling_campaign import Kill, run_campaign


def main() -> int:
    """Run the campaign; print a line for each kill, and at last the figures as JSON."""
    arguments = _arguments()
    sizes = (getattr(arguments, name) for name in Size.__struct_fields__)
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="zreg-rolling-"))
    ends_at: list[float] = []

    def goes_on(kills: list[Kill]) -> bool:
        if not kills:
            # The seconds count from the first kill: the start takes a while.
            ends_at.append(time.monotonic() + arguments.seconds)
        return time.monotonic() < ends_at[0]

    outcome = run_campaign(directory, Size(*sizes), goes_on=goes_on, report=_print_kill)
    is_late = outcome.gap_seconds_max > arguments.gap_seconds_max
    if wrong := outcome.describe():
        sys.stdout.write(f"{wrong}\nlogs in {directory}\n")
    sys.stdout.write(f"{json.dumps(outcome.figures())}\n")
    return 1 if is_late or not outcome.is_kept else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m zreg.testing.processes.rolling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of kills")
    parser.add_argument(
        "--gap-seconds-max", type=float, default=0.5, help="how long an id may take no writes"
    )
    parser.add_argument("--directory", type=Path, help="for the logs; default: a temporary one")
    for name, default in zip(Size.__struct_fields__, Size.__struct_defaults__, strict=True):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(default), default=default)
    return parser.parse_args()


def _print_kill(kill: Kill) -> None:
    sys.stdout.write(
        f"{kill.node_id} killed: writes again after {kill.gap_seconds * 1000:.1f} ms, "
        f"in sync again after {kill.return_seconds:.1f} s\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
