"""What `import zreg; zreg.Client` costs beyond the libraries that the client needs anyway.

In turns, processes load pyzmq, msgspec and msgpack, and then the same and the client. This prints
a JSON line: the median processor time of both in milliseconds, their difference, and how many
modules each loaded. Python's compiled files are written first, as an installation has them.

    python bench/imports.py --rounds 20
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Final

PROGRAMS: Final = {
    "libraries": "import zmq, msgspec, msgpack",
    "client": "import zmq, msgspec, msgpack, zreg; zreg.Client",
}
REPORT: Final = "; import sys, time; print(time.process_time() * 1000, len(sys.modules))"


def measure(program: str, environment: dict[str, str]) -> tuple[float, int]:
    """Return the processor time of a process in milliseconds, and how many modules it loaded."""
    command = [sys.executable, "-c", program + REPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    milliseconds, modules = done.stdout.split()
    return float(milliseconds), int(modules)


def main() -> None:
    """Measure in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        modules = {name: measure(text, environment)[1] for name, text in PROGRAMS.items()}
        times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
        for _ in range(rounds):
            for name, text in PROGRAMS.items():
                times[name].append(measure(text, environment)[0])
    medians = {f"{name}_ms": round(statistics.median(times[name]), 1) for name in PROGRAMS}
    beyond = round(medians["client_ms"] - medians["libraries_ms"], 1)
    print(json.dumps({**medians, "beyond_ms": beyond, "modules": modules}))


if __name__ == "__main__":
    main()
