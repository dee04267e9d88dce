"""The speed of zreg: acknowledged publishes per second, and the latency of a push.

Each figure is measured between real processes on loopback, in turns with the floors
(`floor.py`, `floor_push.py`), so that both meet the same machine. Read the ratios, not the rates.

    python bench/registry.py                 all figures, as JSON lines
    python bench/registry.py --rounds 3 --seconds 5
    python bench/registry.py --only push     the latency of a push, with and without inline=True
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Final

from floor import run_floor
from floor_push import PAUSE_SECONDS, run_floor_push

import zreg
from zreg.testing.processes import RunningCluster

IN_FLIGHT: Final = 64
WARM_UP_SECONDS: Final = 1.0
VALUE: Final = "10.120.37.114:12200?weight=100&zone=z1&app=pay"
LATENCY_ROUNDS: Final = 500
SUBSCRIBERS: Final = 10


# --- acknowledged publishes per second ------------------------------------------------------------


def run_publisher(url: str, number: int, seconds: float) -> None:
    """Keep a window of publishes in flight; print how many were acknowledged in which time."""
    with zreg.Client(url) as client:
        client.wait_connected(timeout_seconds=10)
        window = deque(
            client.publish(f"com.acme.pay.PayService-{number}-{i}", VALUE) for i in range(IN_FLIGHT)
        )
        started_at, acknowledged = time.monotonic(), 0
        ends_at = started_at + WARM_UP_SECONDS + seconds
        is_warm = False
        while (now := time.monotonic()) < ends_at:
            if not is_warm and now - started_at >= WARM_UP_SECONDS:
                is_warm, started_at, acknowledged = True, now, 0
            publication = window.popleft()
            publication.wait_registered(timeout_seconds=10)
            acknowledged += 1
            publication.republish(VALUE)
            window.append(publication)
        print(acknowledged, time.monotonic() - started_at)


def measure_publish(clients: int, seconds: float, *, data: int = 1, copies: int = 1) -> float:
    """Return the acknowledged publishes per second of all client processes together."""
    options = [f"--replica-count={copies}"]
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningCluster(Path(directory), sessions=1, data=data, options=options) as cluster,
    ):
        processes = [
            _child("publisher", cluster.url, str(number), str(seconds)) for number in range(clients)
        ]
        total = 0.0
        for process in processes:
            out, _ = process.communicate(timeout=seconds + 60)
            count, elapsed = map(float, out.split())
            total += count / elapsed
    return total


# --- push latency ---------------------------------------------------------------------------------


def measure_latency(*, inline: bool = False) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds, from before `publish` to the callback of each subscriber.

    There are ten subscribers, each a process with its own client, over two sessions. All processes
    use the machine's monotonic clock. The callbacks run on threads of their own, or `inline`.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningCluster(Path(directory), sessions=2, data=1) as cluster,
    ):
        sessions = [node.node_id for node in cluster.of("session")]
        processes = [
            _child("subscriber", cluster.url_of(sessions[number % 2]), "inline" if inline else "")
            for number in range(SUBSCRIBERS)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
        with zreg.Client(cluster.url_of(sessions[0])) as client:
            publication = client.publish("latency", "-1").wait_registered()
            for number in range(LATENCY_ROUNDS):
                publication.republish(f"{number} {time.monotonic()}")
                publication.wait_registered()
                # Pause, so that the latency is that of one change and not of a queue.
                time.sleep(PAUSE_SECONDS)
            publication.republish("end")
            publication.wait_registered()
            latencies = [
                float(line) for process in processes for line in process.communicate()[0].split()
            ]
    cuts = statistics.quantiles(latencies, n=100)
    return cuts[49], cuts[98]


def run_subscriber(url: str, *, inline: bool) -> None:
    """Print the latency of each change in milliseconds after the last one."""
    latencies: list[float] = []
    is_over = threading.Event()

    def on_change(change: zreg.ViewChange) -> None:
        now = time.monotonic()
        for publisher in (*change.added, *change.updated):
            words = str(publisher.values[0]).split()
            if words == ["end"]:
                is_over.set()
            elif len(words) > 1:
                latencies.append((now - float(words[1])) * 1000)

    with zreg.Client(url) as client:
        client.subscribe("latency", on_change, inline=inline).wait_for(min_count=0)
        print("ready", flush=True)
        is_over.wait()
    print(*latencies, sep="\n")


# --- running --------------------------------------------------------------------------------------


def _child(*arguments: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'bench'}"}
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _publish_figures(seconds: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    for clients in (1, 8):
        floor = run_floor(clients, IN_FLIGHT, seconds).records_per_second
        rate = measure_publish(clients, seconds)
        figures[f"floor_{clients}"] = round(floor)
        figures[f"publish_{clients}"] = round(rate)
        figures[f"ratio_{clients}"] = round(rate / floor, 3)
    return figures


def _push_figures() -> dict[str, float]:
    floor_push = run_floor_push(SUBSCRIBERS, LATENCY_ROUNDS)
    p50, p99 = measure_latency()
    inline_p50, inline_p99 = measure_latency(inline=True)
    return {
        "floor_push_p50_ms": round(floor_push.p50_ms, 2),
        "floor_push_p99_ms": round(floor_push.p99_ms, 2),
        "push_p50_ms": round(p50, 2),
        "push_p99_ms": round(p99, 2),
        "push_inline_p50_ms": round(inline_p50, 2),
        "push_inline_p99_ms": round(inline_p99, 2),
    }


def main() -> None:
    """Measure everything in turns; print one JSON line per round and one of the medians."""
    if len(sys.argv) > 1 and sys.argv[1] == "publisher":
        run_publisher(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        return
    if len(sys.argv) > 1 and sys.argv[1] == "subscriber":
        run_subscriber(sys.argv[2], inline=bool(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description="Measure zreg beside its floor.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", choices=["publish", "push"], help="measure one of the two")
    options = parser.parse_args()
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        figures = {} if options.only == "push" else _publish_figures(options.seconds)
        figures |= {} if options.only == "publish" else _push_figures()
        rounds.append(figures)
        print(json.dumps(figures), flush=True)
    medians = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    print(json.dumps({"median": medians}))


if __name__ == "__main__":
    main()
