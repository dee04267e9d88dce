"""The publishers and subscribers of a campaign, in processes of their own."""

import json
import multiprocessing
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.testing.processes.rolling.reports import Published, Seen, joined
from zreg.testing.processes.rolling.workers import (
    BEGIN,
    REPORT,
    REST,
    PublisherTask,
    SubscriberTask,
    run_publishers,
    run_subscribers,
    shared_out,
)
from zreg.testing.processes.with_block import WithBlock

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_ANSWER_SECONDS_MAX: Final = 90.0
_END_SECONDS_MAX: Final = 10.0
# A forked child would share the threads and sockets of ZeroMQ with its parent.
_SPAWN: Final = multiprocessing.get_context("spawn")


class Size(msgspec.Struct, frozen=True):
    """How much is published and subscribed, and from how many processes and clients."""

    ids: int = 200
    publishers: int = 2000
    subscribers: int = 500
    publisher_processes: int = 4
    subscriber_processes: int = 2
    clients_per_process: int = 4
    # Of all publishers together.
    changes_per_second: float = 200.0


class Crowd(WithBlock):
    """Publishers and subscribers over all sessions; leaving the `with` block ends them."""

    def __init__(self, session_urls: Sequence[str], size: Size) -> None:
        self._publishers: list[Worker] = []
        self._subscribers: list[Worker] = []
        # The first address is the session that a client prefers: here each has its share.
        urls = [session_urls[n % len(session_urls)] for n in range(size.clients_per_process)]
        try:
            self._start(urls, size)
        except BaseException:
            self.close()
            raise

    def _start(self, urls: list[str], size: Size) -> None:
        count = size.publisher_processes
        for number, ids in enumerate(shared_out(_data_ids(size.publishers, size), count)):
            rate = size.changes_per_second / count
            publisher_task = PublisherTask(f"process-{number}", urls, ids, rate)
            self._publishers.append(Worker(run_publishers, publisher_task))
        for ids in shared_out(_data_ids(size.subscribers, size), size.subscriber_processes):
            self._subscribers.append(Worker(run_subscribers, SubscriberTask(urls, ids)))
        for worker in (*self._publishers, *self._subscribers):
            worker.receive()

    def begin(self) -> None:
        """Let the publishers begin to change."""
        _ask(self._publishers, BEGIN)

    def rest(self) -> Published:
        """Let the publishers end changing; return what they publish once all is accepted."""
        reports = _ask(self._publishers, REST)
        return joined(msgspec.convert(json.loads(report), Published) for report in reports)

    def seen(self) -> list[Seen]:
        """Return what each process of subscribers has seen."""
        reports = _ask(self._subscribers, REPORT)
        return [msgspec.convert(json.loads(report), Seen) for report in reports]

    def kill_publishers(self) -> None:
        """Kill the processes of the publishers, so that their clients say no goodbye."""
        for worker in self._publishers:
            worker.kill()

    def close(self) -> None:
        """End the subscribers first: the end of the publishers removes what they published."""
        for workers in (self._subscribers, self._publishers):
            for worker in workers:
                worker.pipe.close()
            for worker in workers:
                worker.end()


class Worker:
    """A process, and the pipe to it."""

    def __init__(self, run: Callable[..., None], task: msgspec.Struct) -> None:
        self.pipe: Connection
        self.pipe, child = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=run, args=(child, task), daemon=True)
        self._process.start()
        child.close()

    def receive(self) -> bytes:
        """Return the next report; raises `AssertionError` if none comes in time."""
        is_there = self.pipe.poll(_ANSWER_SECONDS_MAX)
        assert is_there, f"a worker did not answer within {_ANSWER_SECONDS_MAX:g} s"
        return self.pipe.recv_bytes()

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        """Wait for the end of the process, whose pipe is closed; kill it if it takes too long."""
        self._process.join(_END_SECONDS_MAX)
        self.kill()


def _data_ids(count: int, size: Size) -> list[str]:
    """Return a data id for each, in an order that spreads each id over processes and clients."""
    data_ids = [f"rolling-{number % size.ids}" for number in range(count)]
    random.Random(count).shuffle(data_ids)  # noqa: S311 -- the same order in each campaign
    return data_ids


def _ask(workers: Iterable[Worker], command: bytes) -> list[bytes]:
    """Give all workers a command at once; return the reports."""
    workers = list(workers)
    for worker in workers:
        worker.pipe.send_bytes(command)
    return [worker.receive() for worker in workers]
