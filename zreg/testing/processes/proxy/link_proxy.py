"""A TCP proxy in a thread, through which the links of a cluster pass, so that a test can cut them.

A cut link stays connected: its bytes wait in the kernel, as they do while a network drops packets.
When the link is mended they arrive late, unless an end has given the connection up meanwhile.
"""

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeVar

from zreg.testing.processes.proxy.proxied_connection import Address, Pair, ProxiedConnection
from zreg.testing.processes.proxy.socket_owners import Ports

T = TypeVar("T")

_CALL_SECONDS_MAX: Final = 30.0
_LISTEN_BACKLOG: Final = 1024
_STALL_SECONDS: Final = 0.1
# So many waiting connections fill the shortest backlog; the kernel drops the SYN of any further.
_FILLER_COUNT: Final = 4


class _Door:
    """An address of the proxy, the node behind it, and the socket that listens there now."""

    def __init__(
        self, owner: str, address: Address, target: Address, dialled_by: str | None
    ) -> None:
        self.owner = owner
        self.dialled_by = dialled_by
        self.address = address
        self.target = target
        self.listener: socket.socket | None = None
        # The connections that keep the backlog of a black hole full.
        self.fillers: list[socket.socket] = []

    def listen(self, backlog: int, receive_buffer_bytes: int = 0) -> socket.socket:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer_bytes:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.listener.settimeout(0.0)
        self.listener.bind(self.address)
        self.listener.listen(backlog)
        return self.listener

    def fill(self) -> None:
        for _ in range(_FILLER_COUNT):
            filler = socket.socket()
            filler.settimeout(0.0)
            filler.connect_ex(self.address)
            self.fillers.append(filler)

    def close(self) -> None:
        for each in (*self.fillers, self.listener):
            if each is not None:
                each.close()
        self.listener, self.fillers = None, []


class LinkProxy:
    """Passes connections on to nodes; cuts, mends, resets and refuses them.

    `diallers_of` names the nodes or clients that made connections. It is called only when a fault
    depends on it. With `receive_buffer_bytes` a held flow stops its sender sooner.
    """

    def __init__(
        self,
        diallers_of: Callable[[Sequence[Ports]], Sequence[str]],
        *,
        receive_buffer_bytes: int = 0,
    ) -> None:
        self._diallers_of = diallers_of
        self._receive_buffer_bytes = receive_buffer_bytes
        self._doors: list[_Door] = []
        self._connections: dict[ProxiedConnection, None] = {}
        # Pairs of a sender and a receiver whose bytes are held.
        self._held: set[Pair] = set()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._is_closed = False
        # When the proxy passed nothing on for long (`time.monotonic`), and for how many seconds.
        self.stalls: list[tuple[float, float]] = []
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._on_wake)
        self._thread = threading.Thread(target=self._run, name="link-proxy", daemon=True)
        self._thread.start()

    def add(
        self, owner: str, address: Address, target: Address, *, dialled_by: str | None = None
    ) -> None:
        """Listen at an address, and pass connections on to the node that listens at `target`.

        `dialled_by` names who dials there, if that is known.
        """
        self._call(partial(self._add, _Door(owner, address, target, dialled_by)))

    # --- faults -------------------------------------------------------------------------------

    def cut_one_way(self, pairs: Iterable[Pair]) -> int:
        """Hold the bytes of each pair's sender to its receiver; return how many links carry them.

        New connections between the two are held completely.
        """
        return self._call(partial(self._cut, frozenset(pairs)))

    def cut(self, left: str, right: str) -> int:
        """Cut two nodes off from each other; return how many links there are between them."""
        return self.cut_one_way([(left, right), (right, left)])

    def mend(self, pairs: Iterable[Pair]) -> None:
        """End the cuts of these pairs, in these directions; held connections go on."""
        self._call(partial(self._mend, frozenset(pairs)))

    def reset(self, owner: str, dialler: str) -> int:
        """Reset the connections that a dialler made to a node; return how many there were."""
        return self._call(partial(self._reset, owner, dialler))

    def refuse(self, owner: str) -> None:
        """Refuse new connections to a node, as the machine of a node that has ended does."""
        self._call(partial(self._close_doors, owner))

    def swallow(self, owner: str) -> None:
        """Answer no new connection to a node, not even its first packet: a black hole."""
        self._call(partial(self._swallow, owner))

    def accept(self, owner: str) -> None:
        """Pass new connections on to a node again."""
        self._call(partial(self._open_doors, owner))

    def close(self) -> None:
        """Close all connections, and end."""
        self._call(self._close)
        self._thread.join()

    # --- in the proxy's thread ----------------------------------------------------------------

    def _call(self, action: Callable[[], T]) -> T:
        """Run an action in the proxy's thread; return what it returns."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(action())
            except BaseException as error:  # noqa: BLE001 -- raised in the thread that waits
                future.set_exception(error)

        self._calls.put(run)
        self._wake_writer.send(b"!")
        return future.result(_CALL_SECONDS_MAX)

    def _run(self) -> None:
        while not self._is_closed:
            ready_now = self._selector.select()
            began_at = time.monotonic()
            for key, events in ready_now:
                ready = key.fileobj
                # What was done for an earlier event may have closed the socket.
                if isinstance(ready, socket.socket) and ready.fileno() >= 0:
                    key.data(ready, events)
            seconds = time.monotonic() - began_at
            if seconds > _STALL_SECONDS:
                self.stalls.append((began_at, seconds))
        self._selector.close()

    def _on_wake(self, reader: socket.socket, _events: int) -> None:
        reader.recv(1)
        self._calls.get()()

    def _close(self) -> None:
        for connection in list(self._connections):
            connection.close()
        for door in self._doors:
            self._close_door(door)
        self._selector.unregister(self._wake_reader)
        self._wake_reader.close()
        self._wake_writer.close()
        self._is_closed = True

    def _add(self, door: _Door) -> None:
        self._doors.append(door)
        self._open_door(door)

    def _open_door(self, door: _Door) -> None:
        listener = door.listen(_LISTEN_BACKLOG, self._receive_buffer_bytes)
        self._selector.register(listener, selectors.EVENT_READ, partial(self._on_dial, door))

    def _close_door(self, door: _Door) -> None:
        if door.listener is not None and not door.fillers:
            self._selector.unregister(door.listener)
        door.close()

    def _open_doors(self, owner: str) -> None:
        self._close_doors(owner)
        for door in self._of(owner):
            self._open_door(door)

    def _close_doors(self, owner: str) -> None:
        for door in self._of(owner):
            self._close_door(door)

    def _swallow(self, owner: str) -> None:
        self._close_doors(owner)
        for door in self._of(owner):
            door.listen(0)
            door.fill()

    def _of(self, owner: str) -> list[_Door]:
        return [door for door in self._doors if door.owner == owner]

    def _on_dial(self, door: _Door, listener: socket.socket, _events: int) -> None:
        try:
            dialler, (_host, port) = listener.accept()
        except OSError:
            # The dial has ended before it was accepted.
            return
        dialler.settimeout(0.0)
        dialler.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = ProxiedConnection(
            door.owner,
            (port, door.address[1]),
            dialler,
            door.target,
            self._selector,
            on_closed=self._forget,
        )
        connection.dialled_by = door.dialled_by
        self._connections[connection] = None
        if any(door.owner in pair for pair in self._held):
            self._identify([connection])
        if not self._is_cut(connection):
            connection.begin(self._receive_buffer_bytes)

    def _forget(self, connection: ProxiedConnection) -> None:
        self._connections.pop(connection, None)

    def _identify(self, connections: Sequence[ProxiedConnection]) -> None:
        """Learn who made these connections, as far as it is not known."""
        unknown = [each for each in connections if each.dialled_by is None]
        diallers = self._diallers_of([each.ports for each in unknown]) if unknown else ()
        for connection, dialler in zip(unknown, diallers, strict=True):
            connection.dialled_by = dialler

    def _is_cut(self, connection: ProxiedConnection) -> bool:
        return not self._held.isdisjoint(connection.pairs())

    def _cut(self, pairs: frozenset[Pair]) -> int:
        self._held |= pairs
        names = {name for pair in pairs for name in pair}
        self._identify([c for c in self._connections if c.owner in names])
        affected = [c for c in self._connections if not pairs.isdisjoint(c.pairs())]
        for connection in affected:
            connection.hold(self._held)
        return len(affected)

    def _mend(self, pairs: frozenset[Pair]) -> None:
        self._held -= pairs
        for connection in list(self._connections):
            connection.hold(self._held)
            if not self._is_cut(connection):
                connection.begin(self._receive_buffer_bytes)

    def _reset(self, owner: str, dialler: str) -> int:
        mine = [c for c in self._connections if c.owner == owner]
        self._identify(mine)
        found = [c for c in mine if c.dialled_by == dialler]
        for connection in found:
            connection.close(is_reset=True)
        return len(found)
