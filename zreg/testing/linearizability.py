"""Check that the history of a register is linearizable.

Each value is written at most once, so the test of Gibbons and Korach ("Testing Shared Memories",
1997) decides it in O(n log n). The operations on one value form a zone, from the earliest end to
the latest start. Where that runs forward, the register must have held the value all that time,
so forward zones may not overlap; where it runs backward, all of it fits in a moment, which must
not lie wholly inside the forward zone of another value.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

NEVER = float("inf")


class Operation(NamedTuple):
    """A write or a read of `value`, from `start` to `end`; `NEVER` ended: outcome unknown."""

    is_write: bool
    value: int
    start: float
    end: float


class _Zone(NamedTuple):
    low: float
    high: float
    value: int


def find_anomaly(history: Iterable[Operation], *, initial: int) -> str | None:
    """Return why `history` is not linearizable, None if it is.

    The register holds `initial` before any operation. Reads that did not end are left out.
    """
    by_value: dict[int, list[Operation]] = {}
    for_initial = Operation(is_write=True, value=initial, start=-1.0, end=-1.0)
    by_value[initial] = [for_initial]
    for operation in history:
        if operation.is_write or operation.end != NEVER:
            by_value.setdefault(operation.value, []).append(operation)
    forward: list[_Zone] = []
    backward: list[_Zone] = []
    for value, operations in by_value.items():
        trouble = _trouble_of(value, operations)
        if trouble is not None:
            return trouble
        low = min(operation.end for operation in operations)
        high = max(operation.start for operation in operations)
        if low < high:
            forward.append(_Zone(low, high, value))
        else:
            backward.append(_Zone(high, low, value))
    return _collision(sorted(forward), backward)


def _trouble_of(value: int, operations: list[Operation]) -> str | None:
    writes = [operation for operation in operations if operation.is_write]
    if len(writes) != 1:
        return f"{value} was read, and written {len(writes)} times"
    if any(operation.end < writes[0].start for operation in operations):
        return f"{value} was read before it was written"
    return None


def _collision(forward: list[_Zone], backward: list[_Zone]) -> str | None:
    for earlier, later in pairwise(forward):
        if later.low < earlier.high:
            return f"{earlier.value} and {later.value} were both the value at {later.low}"
    for inner in backward:
        for outer in forward:
            if outer.low < inner.low and inner.high < outer.high:
                return f"{inner.value} was the value while {outer.value} was"
    return None
