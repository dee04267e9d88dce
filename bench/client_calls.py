"""What a program pays for one call of a client, and for one callback, in its own processor time.

A registry of three processes runs on loopback. A call is measured on the thread that makes it, and
with all threads of the program: what the client does for it on its own loop included. A change is
published by another process; a callback is measured as the processor time of the program that
receives it. Each figure is the median of the rounds, with their range.

    python bench/client_calls.py                     both clients, five rounds
    python bench/client_calls.py --rounds 3 --json
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import zreg
from zreg.testing.processes import RunningCluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CALLS: Final = 2_000
CHANGES: Final = 1_000
WAIT_SECONDS_MAX: Final = 60.0
ENDPOINT: Final = "10.0.0.7:12200?weight=100"

# Publishes CHANGES values, each once the one before was accepted, for each line on its stdin.
PUBLISHER: Final = """
import sys, zreg
with zreg.Client(sys.argv[1]) as client:
    publication = client.publish("calls", "0").wait_registered(60)
    number = 0
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            number += 1
            publication.republish(str(number))
            publication.wait_registered(60)
        print(number, flush=True)
"""

Figures = dict[str, float]


class Publisher:
    """A process that publishes changes when it is told to."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def begin(self, count: int) -> None:
        """Have so many changes published."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def wait(self) -> str:
        """Return the last value, once all are accepted."""
        return self._read()

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def microseconds(seconds: float, count: int) -> float:
    """Return what each of `count` took."""
    return seconds / count * 1e6


def calls_on_threads(url: str) -> Figures:
    """Measure publish and republish of a `zreg.Client`."""
    with zreg.Client(url).wait_connected(30) as client:
        began, all_began = time.thread_time(), time.process_time()
        publications = [client.publish("calls-own", ENDPOINT) for _ in range(CALLS)]
        publish = time.thread_time() - began
        for each in publications:
            each.wait_registered(WAIT_SECONDS_MAX)
        publish_all = time.process_time() - all_began
        began = time.thread_time()
        for each in publications:
            each.republish(ENDPOINT)
        republish = time.thread_time() - began
        for each in publications:
            each.wait_registered(WAIT_SECONDS_MAX)
    return {
        "threads_publish_us": microseconds(publish, CALLS),
        "threads_publish_with_loop_us": microseconds(publish_all, CALLS),
        "threads_republish_us": microseconds(republish, CALLS),
    }


async def calls_on_a_loop(url: str) -> Figures:
    """Measure publish and republish of a `zreg.AsyncClient`."""
    async with zreg.AsyncClient(url) as client:
        await client.wait_connected(30)
        began, all_began = time.thread_time(), time.process_time()
        publications = [client.publish("calls-own", ENDPOINT) for _ in range(CALLS)]
        publish = time.thread_time() - began
        await asyncio.gather(*(each.wait_registered(WAIT_SECONDS_MAX) for each in publications))
        publish_all = time.process_time() - all_began
        began = time.thread_time()
        for each in publications:
            each.republish(ENDPOINT)
        republish = time.thread_time() - began
        await asyncio.gather(*(each.wait_registered(WAIT_SECONDS_MAX) for each in publications))
    return {
        "asyncio_publish_us": microseconds(publish, CALLS),
        "asyncio_publish_with_loop_us": microseconds(publish_all, CALLS),
        "asyncio_republish_us": microseconds(republish, CALLS),
    }


def callbacks_on_threads(url: str, publisher: Publisher, *, inline: bool) -> Figures:
    """Measure what one change costs a program with a `zreg.Client`."""
    count, last, has_last = 0, "", threading.Event()

    def on_change(change: zreg.ViewChange) -> None:
        nonlocal count
        count += 1
        if change.view.values == (last,):
            has_last.set()

    with zreg.Client(url) as client:
        client.subscribe("calls", on_change, inline=inline).wait_for(1, WAIT_SECONDS_MAX)
        count, began = 0, time.process_time()
        publisher.begin(CHANGES)
        last = publisher.wait()
        client.subscribe("calls").wait_until(
            lambda: count > 0, timeout_seconds=WAIT_SECONDS_MAX, wanted=str
        )
        spent = time.process_time() - began
        name = "threads_inline_callback_us" if inline else "threads_callback_us"
        return {name: microseconds(spent, count)}


async def callbacks_on_a_loop(url: str, publisher: Publisher, *, is_coroutine: bool) -> Figures:
    """Measure what one change costs a program with a `zreg.AsyncClient`."""
    count = 0

    def on_change(_change: zreg.ViewChange) -> None:
        nonlocal count
        count += 1

    async def on_change_awaited(_change: zreg.ViewChange) -> None:
        nonlocal count
        count += 1

    callback: Callable[[zreg.ViewChange], Awaitable[None] | None]
    callback = on_change_awaited if is_coroutine else on_change
    async with zreg.AsyncClient(url) as client:
        await client.subscribe("calls", callback).wait_for(1, WAIT_SECONDS_MAX)
        # The thread that waits for the publisher sleeps in a read.
        count, began = 0, time.process_time()
        publisher.begin(CHANGES)
        await asyncio.to_thread(publisher.wait)
        spent = time.process_time() - began
        name = "asyncio_coroutine_callback_us" if is_coroutine else "asyncio_callback_us"
        return {name: microseconds(spent, count)}


def one_round(url: str, publisher: Publisher) -> Figures:
    """Measure all figures once."""
    return {
        **calls_on_threads(url),
        **asyncio.run(calls_on_a_loop(url)),
        **callbacks_on_threads(url, publisher, inline=False),
        **callbacks_on_threads(url, publisher, inline=True),
        **asyncio.run(callbacks_on_a_loop(url, publisher, is_coroutine=False)),
        **asyncio.run(callbacks_on_a_loop(url, publisher, is_coroutine=True)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON line")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningCluster(Path(directory), sessions=1, data=1) as cluster,
    ):
        publisher = Publisher(cluster.url)
        rounds = [one_round(cluster.url, publisher) for _ in range(options.rounds)]
        publisher.end()
    figures = {name: sorted(each[name] for each in rounds) for name in rounds[0]}
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, values in figures.items():
        middle = statistics.median(values)
        sys.stdout.write(f"{name:32} {middle:7.1f} ({values[0]:.1f} to {values[-1]:.1f})\n")


if __name__ == "__main__":
    main()
