"""The clients of a simulated Raft cluster: they write and read registers, and keep the history."""

from random import Random
from typing import Final

from zreg.raft.errors import RaftError
from zreg.raft.ready import Ready
from zreg.testing.checkers.linearizability import NEVER, Operation, find_anomaly
from zreg.testing.raft.checker import SafetyError
from zreg.testing.raft.raft_node import SimNode

_REGISTERS: Final = ("a", "b")


class Clients:
    """Writes unique values; a write is acknowledged once the node that took it has applied it."""

    def __init__(self, rng: Random) -> None:
        self.acknowledged: dict[int, str] = {}
        self.read_count = 0
        self._rng = rng
        self._clock = 0
        self._value = 0
        self._history: dict[str, list[Operation]] = {name: [] for name in _REGISTERS}
        self._writes: dict[str, dict[int, tuple[int, str, Operation]]] = {}
        self._reads: dict[int, tuple[str, int]] = {}

    def act(self, node: SimNode) -> str | None:
        """Write or read at `node`; return a line for the trace, None if the node refuses."""
        self._clock += 1
        name = self._rng.choice(_REGISTERS)
        try:
            return self._read(node, name) if self._rng.random() < 0.4 else self._write(node, name)  # noqa: PLR2004 - a share
        except RaftError:
            return None

    def _write(self, node: SimNode, name: str) -> str:
        assert node.core is not None
        value = self._value + 1
        entry = node.core.propose(f"{name}={value}".encode())
        self._value = value
        operation = Operation(is_write=True, value=value, start=self._clock, end=NEVER)
        waiting = self._writes.setdefault(node.node_id, {})
        self._give_up(waiting.pop(entry.index, None))
        waiting[entry.index] = (entry.term, name, operation)
        return f"write {name}={value} at {node.node_id}"

    def _read(self, node: SimNode, name: str) -> str:
        assert node.core is not None
        node.core.read_index(self._clock)
        self._reads[self._clock] = (name, self._clock)
        return f"read {name} at {node.node_id}"

    def on_crash(self, node: SimNode) -> None:
        """Give up the writes that waited at `node`: their outcome is unknown."""
        for waiting in self._writes.pop(node.node_id, {}).values():
            self._give_up(waiting)

    def on_applied(self, node: SimNode, ready: Ready) -> None:
        """Take the answers that `node` gives once it has applied `ready`."""
        self._clock += 1
        waiting = self._writes.get(node.node_id, {})
        for entry in ready.committed:
            term, name, operation = waiting.pop(entry.index, (0, "", None))
            if operation is not None and term == entry.term:
                self.acknowledged[entry.index] = f"{name}={operation.value}"
                self._history[name].append(operation._replace(end=self._clock))
        if ready.restore is not None:
            for index in [index for index in waiting if index <= ready.restore.index]:
                self._give_up(waiting.pop(index))
        for read in ready.reads:
            name, start = self._reads.pop(read.token)
            value = node.machine.values.get(name, 0)
            operation = Operation(is_write=False, value=value, start=start, end=self._clock)
            self._history[name].append(operation)
            self.read_count += 1

    def _give_up(self, waiting: tuple[int, str, Operation] | None) -> None:
        if waiting is not None:
            _, name, operation = waiting
            self._history[name].append(operation)

    def check(self) -> None:
        """Raise `SafetyError` if the history of a register is not linearizable."""
        for waiting in self._writes.values():
            for _, name, operation in waiting.values():
                self._history[name].append(operation)
            waiting.clear()
        for name, history in self._history.items():
            anomaly = find_anomaly(history, initial=0)
            if anomaly is not None:
                raise SafetyError(f"register {name}: {anomaly}")
