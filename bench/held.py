"""What an operation costs on cores that hold 1,000 to 1,000,000 publishers.

A session core and a data core are joined without sockets (`zreg/testing/held_cores.py`). For each
number of publishers, in a process of its own, this prints a JSON line: for each operation
(`zreg/testing/held_operations.py`) the messages, effects and calls of Python or C functions, and
the median processor time in microseconds; and in milliseconds the longest turn of what has to touch
everything. Cyclic garbage collection is off, as it nearly is in a node.

    python bench/held.py --counts 1000 10000 100000 1000000
"""

import argparse
import gc
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from zreg.effects import Core, Effect, Link, PeerUp
from zreg.model import DataInfoId, Incarnation, data_info_id
from zreg.testing.held_cores import D1, META, S1, HeldCores, Turn, data_member, session_member
from zreg.testing.held_operations import OPERATIONS
from zreg.wire.records.data_messages import DigestCompared
from zreg.wire.records.membership_messages import MembershipReply

D2: Final = Incarnation(2, "d2")
# How many publishers the large session has that is evicted.
EVICTED_MAX: Final = 100_000
COUNTED_ROUNDS: Final = 5
NAMES: Final = ("messages", "effects", "calls")


class TimedCores(HeldCores):
    """Cores whose longest turn is measured."""

    longest_ms = 0.0
    turn_count = 0

    def turn(self, core: Core, *inputs: Turn, is_due: bool = False) -> list[Effect]:
        """Let one core have a turn, and measure it."""
        began = time.process_time()
        effects = super().turn(core, *inputs, is_due=is_due)
        self.longest_ms = max(self.longest_ms, (time.process_time() - began) * 1000)
        self.turn_count += 1
        return effects

    def measured(self, action: Callable[[], None]) -> dict[str, float]:
        """Return the longest turn of an action, and how many turns it took."""
        self.longest_ms, self.turn_count = 0.0, 0
        action()
        return {"longest_ms": round(self.longest_ms, 1), "turns": self.turn_count}


def calls_of(action: Callable[[], None]) -> int:
    """Return how many functions an action calls."""
    count = 0

    def profile(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def measure(cores: TimedCores, name: str, rounds: int) -> dict[str, float]:
    """Return the counts of an operation, and its median processor time."""
    taken: list[float] = []
    for _ in range(rounds):
        run = OPERATIONS[name](cores)
        began = time.process_time_ns()
        run()
        taken.append((time.process_time_ns() - began) / 1000)
    counted: list[tuple[int, int, int]] = []
    for _ in range(COUNTED_ROUNDS):
        run = OPERATIONS[name](cores)
        messages, effects = cores.message_count, cores.effect_count
        calls = calls_of(run)
        counted.append((cores.message_count - messages, cores.effect_count - effects, calls))
    # In one of the rounds something else may be due, which comes once a minute.
    counts = dict(zip(NAMES, sorted(counted)[len(counted) // 2], strict=True))
    return {**counts, "us": round(statistics.median(taken), 1)}


def other_name(number: int) -> DataInfoId:
    """Return an id that the session does not follow."""
    return data_info_id(f"other-{number}")


def evict_large(cores: TimedCores) -> None:
    """Have the data node evict a session with a tenth of the publishers."""
    living = (session_member(S1), data_member(D1))
    cores.follow(*living)
    cores.now += 1.0
    cores.finish()


def differ(cores: TimedCores) -> None:
    """Have the session and the data node compare every publisher."""
    compared = DigestCompared(6, is_equal=False)
    cores.exchange(cores.session, *[(Link.DATA, str(D1), compared)] * 2)
    cores.finish()


def change_ring(cores: TimedCores, core: Core) -> None:
    """Let another data node join, which gets half of the ids."""
    membership = cores.next_membership(session_member(S1), data_member(D1), data_member(D2))
    effects = cores.turn(core, (Link.META, META, MembershipReply(1, membership)))
    for link in (Link.CHANGES, Link.DATA):
        effects += cores.turn(core, (Link.LOCAL, "", PeerUp(link, str(D2))))
    cores.finish_alone(core, effects)


def run_one(count: int, rounds: int) -> None:
    """Measure everything with so many publishers, and print it."""
    gc.disable()
    cores = TimedCores(count)
    result: dict[str, object] = {"publishers": count}
    for name in OPERATIONS:
        result[name] = measure(cores, name, rounds)
    gone = Incarnation(cores.epoch + 1, "s2")
    cores.follow(session_member(S1), session_member(gone), data_member(D1))
    cores.register(gone, map(other_name, range(min(count // 10, EVICTED_MAX))))
    result["evict_tenth"] = cores.measured(lambda: evict_large(cores))
    result["compare_all"] = cores.measured(lambda: differ(cores))
    result["ring_session"] = cores.measured(lambda: change_ring(cores, cores.session))
    result["ring_data"] = cores.measured(lambda: change_ring(cores, cores.data))
    print(json.dumps(result), flush=True)


def main() -> None:
    """Measure each number of publishers in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    for count in arguments.counts:
        process = multiprocessing.Process(target=run_one, args=(count, arguments.rounds))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
