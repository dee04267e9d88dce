"""A simulated Raft node: the production core, a small state machine, a driver that may crash."""

from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Protocol

from zreg.raft.config import RaftConfig
from zreg.raft.consensus import RaftCore
from zreg.raft.ready import Ready
from zreg.testing.sim.disk import SimDisk
from zreg.wire.records.raft_messages import Entry, EntryKind, RaftMessage


class CrashError(Exception):
    """The node crashes here and loses what it has not synced."""


class Registers:
    """The state machine: registers by name, and a digest of all applied entries."""

    def __init__(self) -> None:
        self.index = 0
        self.values: dict[str, int] = {}
        self.digest = ""

    def apply(self, entry: Entry) -> None:
        """Apply the next entry."""
        assert entry.index == self.index + 1, f"{entry.index} applied after {self.index}"
        self.index = entry.index
        if entry.kind is EntryKind.COMMAND:
            name, _, value = entry.data.partition(b"=")
            self.values[name.decode()] = int(value)
        text = f"{self.digest} {entry.index} {entry.term} {entry.kind}".encode()
        self.digest = blake2b(text + entry.data, digest_size=8).hexdigest()

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        values = [f"{name}={value}" for name, value in sorted(self.values.items())]
        return " ".join((str(self.index), self.digest, *values)).encode()

    def restore(self, data: bytes) -> None:
        """Replace the state."""
        index, self.digest, *values = data.decode().split(" ")
        self.index = int(index)
        pairs = (value.split("=") for value in values)
        self.values = {name: int(value) for name, value in pairs}


class Observer(Protocol):
    """Sees each stage while a node carries out what its core asks for."""

    def on_ready(self, node: "SimNode", ready: Ready) -> None:
        """See `ready` before anything of it is carried out."""

    def on_saved(self, node: "SimNode") -> None:
        """See the disk of `node` after it has changed."""

    def on_message(self, node: "SimNode", message: RaftMessage) -> None:
        """See a message before `node` sends it, after its save."""

    def on_applied(self, node: "SimNode", ready: Ready) -> None:
        """See the state machine after it has applied `ready`."""


class SimNode:
    """A node with its disk; `core` is None while it is down."""

    def __init__(self, config: RaftConfig, disk: SimDisk) -> None:
        self.node_id = config.node_id
        self.config = config
        self.disk = disk
        self.core: RaftCore | None = None
        self.machine = Registers()
        self.paused_until = 0

    def start(self, rng: Random) -> None:
        """Start, or start again, from the disk; `rng` becomes the core's own."""
        self.core = RaftCore(self.config, self.disk.load(), rng)
        self.machine = Registers()

    def crash(self) -> None:
        """Crash: lose the memory, and what was not synced."""
        self.core = None
        self.disk.crash()

    def settle(
        self,
        send: Callable[[RaftMessage], None],
        observer: Observer,
        may_crash: Callable[[str], None],
    ) -> None:
        """Carry out what the core asks for, in order; `may_crash` may raise `CrashError`."""
        assert self.core is not None
        while (ready := self.core.ready()) is not None:
            observer.on_ready(self, ready)
            may_crash("before")
            for request in ready.appends:
                send(request)
            may_crash("unsaved")
            self._save(ready, observer, may_crash)
            may_crash("unsent")
            for message in ready.messages:
                observer.on_message(self, message)
                send(message)
            may_crash("sent")
            self.core.advance()
            self._apply(ready)
            observer.on_applied(self, ready)
            if self.core.is_compaction_due:
                self.core.compact(self.machine.snapshot())

    def _save(self, ready: Ready, observer: Observer, may_crash: Callable[[str], None]) -> None:
        if ready.save is not None:
            self.disk.write(ready.save)
            may_crash("unsynced")
            self.disk.sync()
            observer.on_saved(self)

    def _apply(self, ready: Ready) -> None:
        if ready.restore is not None:
            self.machine.restore(ready.restore.data)
        for entry in ready.committed:
            self.machine.apply(entry)
