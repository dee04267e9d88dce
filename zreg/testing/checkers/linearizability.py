"""Check that the history of a register is linearizable.

`find_anomaly` is for plain registers. Each value is written at most once, so the test of Gibbons
and Korach ("Testing Shared Memories", 1997) decides in O(n log n). The operations on one value form
a zone, between the earliest end and the latest start. If the earliest end comes first, the register
must have held the value for the whole zone, so such forward zones may not overlap. If the latest
start comes first, all operations fit into one moment, and such a backward zone must not lie wholly
inside the forward zone of another value.

`find_versioned_anomaly` is for registers with versions, conditional writes and removals, where no
such shortcut is known. It searches for an order of all operations, one after the other, as Wing and
Gong do ("Testing and Verifying Concurrent Objects", 1993), and skips states that it has seen, as
Lowe does ("Testing for Linearizability", 2017). Versions rise, which leaves few orders to try.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple

NEVER = float("inf")


class Operation(NamedTuple):
    """A write or a read of `value` from `start` to `end`; the end `NEVER`: no known outcome."""

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

    The register holds `initial` before any operation. Reads without an end are left out.
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
        anomaly = _anomaly_of(value, operations)
        if anomaly is not None:
            return anomaly
        low = min(operation.end for operation in operations)
        high = max(operation.start for operation in operations)
        if low < high:
            forward.append(_Zone(low, high, value))
        else:
            backward.append(_Zone(high, low, value))
    return _collision(sorted(forward), backward)


def _anomaly_of(value: int, operations: list[Operation]) -> str | None:
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


# --- registers with versions ------------------------------------------------------------------

# More than any history of a simulation needs; a history that needs more is an error, not a pass.
_STEPS_MAX: Final = 500_000
_ABSENT: Final = 0
# The version of a value that no answer has shown.
_UNSEEN: Final = -1


class Kind(Enum):
    """What the client asked for."""

    READ = "read"
    SET = "set"
    REMOVE = "remove"


class Outcome(Enum):
    """What the client knows: done, refused for its version, or unknown."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class VersionedOperation(NamedTuple):
    """One operation on a register; each value but `0`, which is "absent", is set at most once.

    `version` is the version in the answer, of the value set or read (0: absent). With `if_version`
    the operation sets or removes only at this version. Only the order of `start` and `end` counts.
    """

    kind: Kind
    outcome: Outcome
    value: int
    version: int
    if_version: int | None
    start: int
    end: float

    def __str__(self) -> str:
        """Show the operation on one line."""
        condition = "" if self.if_version is None else f" if at {self.if_version}"
        at = f" at {self.version}" if self.version else ""
        what = f"{self.kind.value} {self.value or 'nothing'}{at}{condition}"
        return f"[{self.start}, {self.end:g}] {what}: {self.outcome.value}"


class _Register(NamedTuple):
    """The register at one moment; `floor` is its highest version so far."""

    value: int = _ABSENT
    version: int = 0
    floor: int = 0


def find_versioned_anomaly(history: Iterable[VersionedOperation]) -> str | None:
    """Return why `history` is not linearizable, None if it is; the register starts absent.

    Reads without an answer are left out. Raises `OverflowError` if there are too many orders.
    """
    operations = sorted(
        (o for o in history if not (o.kind is Kind.READ and o.outcome is Outcome.UNKNOWN)),
        key=lambda operation: operation.start,
    )
    versions: dict[int, int] = {_ABSENT: 0}
    for operation in operations:
        if operation.kind is not Kind.REMOVE and operation.outcome is Outcome.DONE:
            version = versions.setdefault(operation.value, operation.version)
            if version != operation.version:
                return f"{operation.value} was seen at versions {version} and {operation.version}"
    return _Search(operations, versions).run()


class _Search:
    """Searches depth first for an order that explains every answer."""

    def __init__(self, operations: Sequence[VersionedOperation], versions: dict[int, int]) -> None:
        self._operations = operations
        self._versions = versions
        self._required = sum(
            1 << number
            for number, operation in enumerate(operations)
            if operation.outcome is not Outcome.UNKNOWN
        )
        self._deepest: tuple[int, int, _Register] = (0, 0, _Register())

    def run(self) -> str | None:
        """Return None if there is an order, else the furthest point that the search reached."""
        stack = [(0, _Register())]
        seen = set(stack)
        while stack:
            done, register = stack.pop()
            if done & self._required == self._required:
                return None
            depth = (done & self._required).bit_count()
            if depth >= self._deepest[0]:
                self._deepest = (depth, done, register)
            # Operations with an outcome are tried first, in the order of their starts.
            for number in sorted(self._candidates(done), key=self._preference, reverse=True):
                after = self._apply(register, self._operations[number])
                if after is None or (step := (done | 1 << number, after)) in seen:
                    continue
                seen.add(step)
                stack.append(step)
            if len(seen) > _STEPS_MAX:
                raise OverflowError(f"{len(self._operations)} operations: too many orders to try")
        return self._describe_deepest()

    def _preference(self, number: int) -> tuple[bool, int]:
        return not self._required >> number & 1, number

    def _candidates(self, done: int) -> list[int]:
        """Return which operations may come next: none that is left has ended before they began."""
        left = [n for n in range(len(self._operations)) if not done >> n & 1]
        end = min(self._operations[number].end for number in left)
        return [number for number in left if self._operations[number].start < end]

    def _apply(self, register: _Register, operation: VersionedOperation) -> _Register | None:
        """Return the register after the operation; None if the answer contradicts the register."""
        is_met = operation.if_version in (None, register.version)
        if operation.outcome is Outcome.REFUSED:
            return None if is_met else register
        if operation.kind is Kind.READ:
            is_equal = (operation.value, operation.version) == (register.value, register.version)
            return register if is_equal else None
        if not is_met:
            return None
        if operation.kind is Kind.REMOVE:
            return _Register(floor=register.floor)
        version = self._versions.get(operation.value, _UNSEEN)
        if version == _UNSEEN:
            return _Register(operation.value, version, register.floor)
        return _Register(operation.value, version, version) if version > register.floor else None

    def _describe_deepest(self) -> str:
        depth, done, register = self._deepest
        waiting = "; ".join(str(self._operations[n]) for n in self._candidates(done)[:8])
        content = f"{register.value} at {register.version}" if register.value else "nothing"
        return (
            f"no order of {len(self._operations)} operations: after {depth} of them the register "
            f"holds {content}, and none fits of: {waiting}"
        )
