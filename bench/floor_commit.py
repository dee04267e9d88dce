"""The floor under a commit: the same hops and syncs over bare sockets.

The client sends a record to the leader. The leader sends it to two followers and meanwhile writes
it to its own disk. Each process writes the record and syncs. At the first answer of a follower the
leader answers the client. There is one commit at a time, and no process counts terms, checks a log,
applies or announces anything. `--disk` selects what a write is: `none`, `file` (append to a file,
one fdatasync) or `journal` (zreg's journal on SQLite, one row and a sync).

    python bench/floor_commit.py --disk file --seconds 4
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import zmq
from floor import Socket, bind, dial, line_of, process_of

from zreg.effects import Save
from zreg.storage.journal import Journal
from zreg.wire.records.raft_messages import Entry, EntryKind

RECORD: Final = b"x" * 120
DISKS: Final = ("none", "file", "journal")
WARM_UP_SECONDS: Final = 0.5

Write = Callable[[bytes], None]


class CommitFloor(NamedTuple):
    """The rate and latencies of one proposer; times in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def run_floor_commit(disk: str = "file", seconds: float = 4.0) -> CommitFloor:
    """Run all processes and return the client's rate and latencies."""
    life = seconds + WARM_UP_SECONDS + 10.0
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        followers = [
            stack.enter_context(process_of(__file__, "follower", life, disk, f"{directory}/{name}"))
            for name in ("one", "two")
        ]
        addresses = [line_of(follower) for follower in followers]
        leader = stack.enter_context(
            process_of(__file__, "leader", life, disk, f"{directory}/leader", *addresses)
        )
        latencies = _propose(line_of(leader), seconds)
    cuts = statistics.quantiles(latencies, n=100)
    return CommitFloor(
        round(len(latencies) / sum(latencies) * 1000, 1), round(cuts[49], 2), round(cuts[98], 2)
    )


def _propose(address: str, seconds: float) -> list[float]:
    """Return the latencies after the warm-up, in milliseconds."""
    context: zmq.Context[Socket] = zmq.Context()
    socket = dial(context, address)
    latencies: list[float] = []
    begins_at = time.monotonic() + WARM_UP_SECONDS
    while (now := time.monotonic()) < begins_at + seconds:
        socket.send(RECORD)
        socket.recv()
        if now >= begins_at:
            latencies.append((time.monotonic() - now) * 1000)
    context.destroy(linger=0)
    return latencies


def _open_disk(disk: str, place: Path) -> Write:
    """Return the function that writes a record durably to the chosen kind of disk."""
    if disk == "none":
        return lambda _record: None
    if disk == "file":
        file = os.open(place, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

        def write(record: bytes) -> None:
            os.write(file, record)
            os.fdatasync(file)

        return write
    journal, numbers = Journal(place, identity={}), itertools.count(1)

    def save(record: bytes) -> None:
        entry = Entry(next(numbers), 1, EntryKind.COMMAND, record)
        journal.save(
            Save(
                snapshot=None, truncate_from=None, compact_to=None, entries=(entry,), term=1,
                vote="leader",
            )
        )  # fmt: skip

    return save


def run_follower(context: zmq.Context[Socket], until: float, write: Write) -> None:
    """Write each record, then answer it."""
    socket = context.socket(zmq.REP)
    print(bind(socket), flush=True)
    while time.monotonic() < until:
        if socket.poll(1000):
            number, record = socket.recv_multipart()
            write(record)
            socket.send(number)


def run_leader(
    context: zmq.Context[Socket], until: float, write: Write, addresses: list[str]
) -> None:
    """Have all three write each record, and answer when two of them have."""
    front = context.socket(zmq.ROUTER)
    followers = [dial(context, address) for address in addresses]
    print(bind(front), flush=True)
    poller = zmq.Poller()
    for socket in (front, *followers):
        poller.register(socket, zmq.POLLIN)
    client, number, is_answered = b"", 0, True
    while time.monotonic() < until:
        for socket, _ in poller.poll(1000):
            if socket is front:
                client, record = front.recv_multipart()
                number, is_answered = number + 1, False
                for follower in followers:
                    follower.send_multipart([b"", number.to_bytes(8), record])
                write(record)
            elif int.from_bytes(socket.recv_multipart()[-1]) == number and not is_answered:
                is_answered = True
                front.send_multipart([client, b"ok"])


def main() -> None:
    """Run the floor and print its result as JSON; with `--role`, run one process of it."""
    parser = argparse.ArgumentParser(description="Measure the floor under a commit.")
    parser.add_argument("--disk", choices=DISKS, default="file")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--life", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.role:
        print(json.dumps(run_floor_commit(options.disk, options.seconds)._asdict()))
        return
    disk, place, *addresses = options.rest
    until = time.monotonic() + options.life
    context: zmq.Context[Socket] = zmq.Context()
    try:
        if options.role == "follower":
            run_follower(context, until, _open_disk(disk, Path(place)))
        else:
            run_leader(context, until, _open_disk(disk, Path(place)), addresses)
    finally:
        context.destroy(linger=0)


if __name__ == "__main__":
    main()
