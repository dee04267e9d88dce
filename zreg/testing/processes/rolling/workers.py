"""The processes of a campaign: publishers that change all the time, and subscribers.

Each process holds one end of a pipe, answers each command with one report, and ends when its parent
closes the pipe.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

import zreg
from zreg.testing.processes.rolling.reports import Published, Removal, Seen

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BEGIN: Final = b"begin to change"
REST: Final = b"end changing, and report once all is accepted"
REPORT: Final = b"report"

_ACCEPT_SECONDS_MAX: Final = 60.0


class PublisherTask(msgspec.Struct, frozen=True):
    """What one process publishes, with the URL of each of its clients."""

    name: str
    urls: list[str]
    # The data id of each publisher.
    data_ids: list[str]
    changes_per_second: float


class SubscriberTask(msgspec.Struct, frozen=True):
    """What one process subscribes to, with the URL of each of its clients."""

    urls: list[str]
    # The data id of each subscriber.
    data_ids: list[str]


# --- publishers -----------------------------------------------------------------------------------


class Publishers:
    """Publishers of which every second one is withdrawn and published again and again."""

    def __init__(self, task: PublisherTask) -> None:
        self._task = task
        self._rng = random.Random(task.name)  # noqa: S311 -- the same changes in each campaign
        self._clients = [zreg.Client(url) for url in task.urls]
        self._present = {
            number: self._clients[number % len(self._clients)].publish(data_id, f"{task.name}-0")
            for number, data_id in enumerate(task.data_ids)
        }
        self._absent: dict[int, zreg.Publication] = {}
        self._withdrawn_at: dict[str, float] = {}
        self._change_count = 0

    def change(self) -> None:
        """Publish a new value for one publisher, or withdraw it, or publish it again."""
        self._change_count += 1
        value = f"{self._task.name}-{self._change_count}"
        number = self._rng.randrange(len(self._task.data_ids))
        if number in self._absent:
            publication = self._present[number] = self._absent.pop(number)
            publication.republish(value)
        elif number // len(self._clients) % 2:
            publication = self._absent[number] = self._present.pop(number)
            # Before it begins: a subscriber may see the removal before the call returns.
            self._withdrawn_at[publication.publisher_id.hex()] = time.monotonic()
            publication.unpublish()
        else:
            self._present[number].republish(value)

    def wait_accepted(self) -> None:
        """Wait until a data node holds everything that is published."""
        for publication in self._present.values():
            publication.wait_registered(_ACCEPT_SECONDS_MAX)

    def report(self) -> Published:
        """Return what is published now, and what was withdrawn."""
        values: dict[str, dict[str, str]] = defaultdict(dict)
        for number, publication in self._present.items():
            publisher_id = publication.publisher_id.hex()
            values[self._task.data_ids[number]][publisher_id] = str(publication.values[0])
        return Published(dict(values), self._withdrawn_at, self._change_count)

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.close()


def run_publishers(pipe: "Connection", task: PublisherTask) -> None:
    """Publish, report, and change from BEGIN to REST, until the pipe is closed."""
    publishers = Publishers(task)
    publishers.wait_accepted()
    pause = 1 / task.changes_per_second
    is_changing = False

    def answer(command: bytes) -> bytes:
        nonlocal is_changing
        is_changing = command == BEGIN
        if command == REST:
            publishers.wait_accepted()
        return msgspec.json.encode(publishers.report())

    def next_command() -> bytes:
        while is_changing and not pipe.poll(pause):
            publishers.change()
        return pipe.recv_bytes()

    _serve(pipe, next_command, answer)
    publishers.close()


# --- subscribers ----------------------------------------------------------------------------------


class Subscribers:
    """Subscribers that remember every removal."""

    def __init__(self, task: SubscriberTask) -> None:
        self._clients = [zreg.Client(url) for url in task.urls]
        self._removals: list[Removal] = []
        self._change_counts = [0] * len(self._clients)
        self._subscriptions = [
            (data_id, self._subscribe(number % len(self._clients), data_id))
            for number, data_id in enumerate(task.data_ids)
        ]

    def _subscribe(self, client: int, data_id: str) -> zreg.Subscription:
        return self._clients[client].subscribe(data_id, partial(self._on_change, client, data_id))

    def _on_change(self, client: int, data_id: str, change: zreg.ViewChange) -> None:
        # Each client calls back on one thread of its own, so it also has a count of its own.
        self._change_counts[client] += len(change.added) + len(change.updated) + len(change.removed)
        for publisher in change.removed:
            removal = Removal(time.monotonic(), data_id, publisher.publisher_id.hex())
            self._removals.append(removal)

    def report(self) -> Seen:
        """Return the present views, and all removals so far."""
        views = [
            (data_id, {each.publisher_id.hex(): str(each.values[0]) for each in subscription.view})
            for data_id, subscription in self._subscriptions
        ]
        return Seen(views, list(self._removals), sum(self._change_counts))

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.close()


def run_subscribers(pipe: "Connection", task: SubscriberTask) -> None:
    """Subscribe, and report until the pipe is closed."""
    subscribers = Subscribers(task)
    _serve(pipe, pipe.recv_bytes, lambda _: msgspec.json.encode(subscribers.report()))
    subscribers.close()


def _serve(
    pipe: "Connection", next_command: Callable[[], bytes], answer: Callable[[bytes], bytes]
) -> None:
    try:
        pipe.send_bytes(answer(REPORT))
        while True:
            pipe.send_bytes(answer(next_command()))
    except (EOFError, BrokenPipeError):
        # The parent has closed its end of the pipe.
        return


def shared_out(items: Sequence[str], count: int) -> list[list[str]]:
    """Return the items in so many lists of nearly equal length."""
    return [list(items[number::count]) for number in range(count)]
