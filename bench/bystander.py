"""How long a bystander waits while other programs pour in registrations.

One session, one data node and one meta node, each a process. Many load processes register their ids
at once. Two bystanders do one thing at a time and measure each until its answer: one publishes, one
asks the session for the membership. Everything uses the public client.

    python bench/bystander.py                        one round, as a JSON line
    python bench/bystander.py --rounds 3 --programs 14 --ids 7500
    python bench/bystander.py --root ../before       the nodes and clients of another source tree
"""

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

VALUE: Final = "10.120.37.114:12200?weight=100&zone=z1&app=pay"
WAIT_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.002
QUIET_SECONDS: Final = 0.5


# --- the processes --------------------------------------------------------------------------------


def run_load(url: str, number: int, count: int) -> None:
    """Register ids at once when told to; print when the first was given and the last accepted."""
    import zreg  # noqa: PLC0415 -- of the tree that `--root` names

    with zreg.Client(url) as client:
        client.wait_connected(timeout_seconds=WAIT_SECONDS)
        print("ready", flush=True)
        sys.stdin.readline()
        began_at = time.monotonic()
        publications = [
            client.publish(f"com.acme.pay.PayService-{number}-{i}", VALUE) for i in range(count)
        ]
        for publication in publications:
            publication.wait_registered(timeout_seconds=WAIT_SECONDS)
        print(began_at, time.monotonic(), flush=True)
        sys.stdin.readline()


def run_bystander(url: str, kind: str) -> None:
    """Do one thing at a time until told to stop; print when each began and how long it took."""
    import zreg  # noqa: PLC0415 -- of the tree that `--root` names

    turns: list[tuple[float, float]] = []
    with zreg.Client(url) as client:
        client.wait_connected(timeout_seconds=WAIT_SECONDS)
        publication = client.publish("bystander", VALUE).wait_registered()
        act = {"publish": lambda: _republish(publication), "ask": lambda: _ask(client)}[kind]
        act()
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            began_at = time.monotonic()
            act()
            turns.append((began_at, time.monotonic() - began_at))
    for turn in turns:
        print(*turn)


def _republish(publication: "zreg.Publication") -> None:  # type: ignore[name-defined]  # noqa: F821
    publication.republish(VALUE)
    publication.wait_registered(timeout_seconds=WAIT_SECONDS)


def _ask(client: "zreg.Client") -> None:  # type: ignore[name-defined]  # noqa: F821
    from zreg.wire.records.membership_messages import FetchMembership  # noqa: PLC0415

    client.request(FetchMembership(0), timeout_seconds=WAIT_SECONDS)


# --- a round --------------------------------------------------------------------------------------


class Child:
    """One process of this file: a load, or the bystander of a kind."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> list[str]:
        """Return the words of its next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> list[list[str]]:
        """Let it go on, and return what it prints until it ends."""
        out, _ = self._process.communicate("\n", timeout=WAIT_SECONDS)
        return [line.split() for line in out.splitlines()]


def measure(programs: int, ids: int) -> dict[str, float]:
    """Return the waits of both bystanders under load, in seconds, and the load's rate."""
    from zreg.testing.processes import RunningCluster  # noqa: PLC0415 -- of the tree of `--root`

    with (
        tempfile.TemporaryDirectory() as directory,
        RunningCluster(Path(directory), options=["--replica-count=1"]) as cluster,
    ):
        loads = [Child("load", cluster.url, str(n), str(ids)) for n in range(programs)]
        bystanders = {kind: Child(kind, cluster.url) for kind in ("publish", "ask")}
        for child in (*loads, *bystanders.values()):
            assert child.read() == ["ready"]
        time.sleep(QUIET_SECONDS)
        for load in loads:
            load.tell()
        spans = [tuple(map(float, load.read())) for load in loads]
        began_at, ended_at = min(s[0] for s in spans), max(s[1] for s in spans)
        figures = {"load_per_second": round(programs * ids / (ended_at - began_at))}
        for kind, child in bystanders.items():
            turns = [(float(at), float(took)) for at, took in child.end()]
            figures |= figures_of(kind, turns, began_at, ended_at)
        for load in loads:
            load.end()
    return figures


def figures_of(
    kind: str, turns: list[tuple[float, float]], began_at: float, ended_at: float
) -> dict[str, float]:
    """Return the figures of one bystander: of what it did while the load was registered."""
    during = [(at, took) for at, took in turns if at + took >= began_at and at <= ended_at]
    waits = sorted(took for _, took in during)
    longest_at = max(during, key=lambda turn: turn[1])[0]
    cuts = statistics.quantiles(waits, n=100) if len(waits) > 1 else waits * 99
    return {
        f"{kind}_count": len(waits),
        f"{kind}_p50": round(cuts[49], 4),
        f"{kind}_p99": round(cuts[98], 4),
        f"{kind}_longest": round(waits[-1], 3),
        f"{kind}_longest_at": round(longest_at - began_at, 2),
    }


def main() -> None:
    """Print one JSON line a round, and one of the medians."""
    kinds = {"load", "publish", "ask"}
    if len(sys.argv) > 1 and sys.argv[1] in kinds:
        kind, url, *rest = sys.argv[1:]
        run_load(url, *map(int, rest)) if kind == "load" else run_bystander(url, kind)
        return
    parser = argparse.ArgumentParser(description="Measure a bystander's waits under load.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--programs", type=int, default=14)
    parser.add_argument("--ids", type=int, default=7500)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    options = parser.parse_args()
    sys.path.insert(0, str(options.root))
    os.environ["PYTHONPATH"] = str(options.root)
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        rounds.append(measure(options.programs, options.ids))
        print(json.dumps(rounds[-1]), flush=True)
    if len(rounds) > 1:
        medians = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        print(json.dumps({"median": medians}))


if __name__ == "__main__":
    main()
