"""Carry records between the clients of a process and a registry in its memory, under one lock."""

import threading
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from zreg.effects import CLOSED, REFUSED, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.testing.fake.registry_core import RegistryCore
from zreg.wire.messages import Message

_LOCAL_HOST: Final = "127.0.0.1"

T = TypeVar("T")


class ClientEnd(Protocol):
    """A client's end: a `MemoryNode`. Any thread may call it."""

    @property
    def client_id(self) -> bytes:
        """The identity of the client."""
        ...

    def deliver(self, peer: str, message: Message | Local) -> None:
        """Hand a record, or a fact about a connection, to the client's core in its next turn."""
        ...

    def hurry(self) -> None:
        """Have the client's core do now what it would repeat or try again later."""
        ...


class Exchange:
    """The connections of clients to a registry core.

    Invariants:
    - `lock` guards the core and the connections. No code of a client runs under it.
    - `activity` grows with each record that a client or the registry sends: while it stands still,
      nothing happens.
    """

    def __init__(self, cluster_id: bytes) -> None:
        self.lock = threading.RLock()
        self.core = RegistryCore(cluster_id)
        self.is_open = True
        self.activity = 0
        self._ends: dict[ClientEnd, None] = {}
        # By the name of a connection in the core: the client's end, and its own name for it.
        self._connections: dict[Peer, tuple[ClientEnd, str]] = {}

    # --- clients ------------------------------------------------------------------------------

    def add(self, end: ClientEnd) -> None:
        """Note that a client runs."""
        with self.lock:
            self._ends[end] = None

    def remove(self, end: ClientEnd) -> None:
        """Note that a client has ended. What it has published stays, unless it said goodbye."""
        with self.lock:
            self._ends.pop(end, None)
            for peer in [peer for peer, (each, _) in self._connections.items() if each is end]:
                self._lose(peer)

    def connect(self, end: ClientEnd, name: str) -> None:
        """Connect a client, or tell it that no session is there."""
        with self.lock:
            if not self.is_open:
                end.deliver(name, PeerLost(Link.SESSION, name, REFUSED))
                return
            self.activity += 1
            self._connections[_peer(end, name)] = (end, name)
            end.deliver(name, PeerUp(Link.SESSION, name, _LOCAL_HOST))

    def disconnect(self, end: ClientEnd, name: str) -> None:
        """End a connection that its client gives up."""
        with self.lock:
            self._lose(_peer(end, name))

    def receive(self, end: ClientEnd, name: str, message: Message) -> None:
        """Take a record of a client."""
        peer = _peer(end, name)
        with self.lock:
            self.activity += 1
            if peer in self._connections:
                self._carry_out(self.core.receive(peer, message))

    def note_activity(self) -> None:
        """Note that a client has a command to work on."""
        with self.lock:
            self.activity += 1

    # --- tests --------------------------------------------------------------------------------

    def act(self, decide: Callable[[RegistryCore], Iterable[Effect]]) -> None:
        """Have the core decide, and carry out what it returns."""
        with self.lock:
            self._carry_out(decide(self.core))

    def look(self, read: Callable[[RegistryCore], T]) -> T:
        """Return what a function reads of the core."""
        with self.lock:
            return read(self.core)

    def close_all(self) -> None:
        """Lose all connections, and refuse new ones."""
        with self.lock:
            self.is_open = False
            for peer, (end, name) in list(self._connections.items()):
                self._lose(peer)
                self.activity += 1
                end.deliver(name, PeerLost(Link.SESSION, name, CLOSED))

    def open(self) -> None:
        """Take connections again."""
        with self.lock:
            self.is_open = True

    def hurry_all(self) -> None:
        """Have each client do now what it would repeat or try again later."""
        with self.lock:
            for end in self._ends:
                self.activity += 1
                end.hurry()

    def _lose(self, peer: Peer) -> None:
        self._connections.pop(peer, None)
        self.core.lose(peer)

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Send)
            connection = self._connections.get(effect.peer)
            if connection is not None:
                self.activity += 1
                end, name = connection
                end.deliver(name, effect.message)

    def __repr__(self) -> str:
        """Show how many clients there are."""
        return f"<Exchange open={self.is_open} clients={len(self._ends)}>"


def _peer(end: ClientEnd, name: str) -> Peer:
    return f"{end.client_id.hex()}/{name}"
