"""What a publisher costs in memory, on the data node and on the session that hold it.

A core is fed with frames as they come from sockets: each value in them is an object of its own. In
a process of its own for each core, this prints a JSON line with the resident bytes per publisher,
and the longest turn in milliseconds of processor time, with the garbage collector of a node.

    python bench/memory.py --publishers 1000000 --ids 100000
"""

import argparse
import gc
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zreg.cli.process.serve import tune_garbage_collector
from zreg.effects import Core, Effect, Link, Peer
from zreg.model import DataInfoId, Publisher, data_info_id
from zreg.testing.held_cores import S1, SESSION_PEER, HeldCores, accepted_by_data_nodes
from zreg.wire.codec import decode_frame, encode_frames
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import Hello, Publish, ReplayDone
from zreg.wire.records.data_messages import PublishDatum

BODY_BYTES: Final = 100
PER_TURN: Final = 200
PER_CLIENT: Final = 100


def resident_bytes() -> int:
    """Return how much memory this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Fed:
    """A core that is fed with frames, and its longest turn."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.count: int = arguments.publishers
        self.id_count: int = arguments.ids
        self.cores = HeldCores(0)
        self.longest_ms = 0.0

    def turn(self, core: Core, link: Link, peer: Peer, messages: list[Message]) -> list[Effect]:
        """Let the core have a turn with what a peer sends it; return its effects."""
        frames = encode_frames(messages)
        del messages
        began = time.process_time()
        inputs = [(link, peer, record) for frame in frames for record in decode_frame(frame)]
        effects = self.cores.turn(core, *inputs)  # type: ignore[arg-type]
        self.longest_ms = max(self.longest_ms, (time.process_time() - began) * 1000)
        return effects

    def name(self, number: int) -> DataInfoId:
        """Return the id of a publisher."""
        return data_info_id(f"service-{number % self.id_count}")

    def feed_data(self) -> None:
        """Have a session register all publishers at the data node."""
        for numbers in self._parts():
            writes: list[Message] = [
                PublishDatum(
                    number + 1,
                    self.name(number),
                    Publisher(
                        os.urandom(16),
                        1,
                        (number // PER_CLIENT).to_bytes(16),
                        S1,
                        "zone-1",
                        "center-1",
                        "app-1",
                        os.urandom(BODY_BYTES),
                    ),
                )
                for number in numbers
            ]
            self.turn(self.cores.data, Link.REQUESTS, SESSION_PEER, writes)

    def feed_session(self) -> None:
        """Have clients publish everything at the session; the data node accepts it."""
        session = self.cores.session
        for numbers in self._parts():
            for first in range(numbers.start, numbers.stop, PER_CLIENT):
                peer = first.to_bytes(5)
                hello = Hello(PROTOCOL_VERSION, first.to_bytes(16), "app-1", "zone-1", "center-1")
                publishes = (
                    Publish(
                        number + 1, os.urandom(16), 1, self.name(number), os.urandom(BODY_BYTES)
                    )
                    for number in range(first, min(first + PER_CLIENT, numbers.stop))
                )
                effects = self.turn(session, Link.CLIENTS, peer, [hello, *publishes, ReplayDone()])
                for link, node, accepted in accepted_by_data_nodes(effects):
                    self.turn(session, link, node, [accepted])  # type: ignore[list-item]

    def _parts(self) -> Iterator[range]:
        for first in range(0, self.count, PER_TURN):
            yield range(first, min(first + PER_TURN, self.count))


def run(role: str, arguments: argparse.Namespace) -> None:
    """Feed one core, and print what it takes."""
    tune_garbage_collector()
    fed = Fed(arguments)
    before = resident_bytes()
    (fed.feed_data if role == "data" else fed.feed_session)()
    gc.collect()
    taken = (resident_bytes() - before) / fed.count
    result = {
        "role": role,
        "publishers": fed.count,
        "ids": fed.id_count,
        "bytes_per_publisher": round(taken),
        "longest_turn_ms": round(fed.longest_ms, 1),
    }
    print(json.dumps(result), flush=True)


def main() -> None:
    """Feed each core in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publishers", type=int, default=1_000_000)
    parser.add_argument("--ids", type=int, default=100_000)
    arguments = parser.parse_args()
    for role in ("data", "session"):
        process = multiprocessing.Process(target=run, args=(role, arguments))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
