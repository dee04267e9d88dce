"""One TCP connection that passes through a proxy, and the bytes on their way in it."""

import select
import selectors
import socket
import struct
from typing import TYPE_CHECKING, Final

from zreg.testing.processes.proxy.socket_owners import Ports

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_BYTES_MAX: Final = 64 << 10
# With this option, closing a socket resets the connection at once.
_RESET: Final = struct.pack("ii", 1, 0)

Address = tuple[str, int]
Pair = tuple[str, str]


class _Flow:
    """The bytes from one socket to the other; a held flow reads and writes nothing.

    What is not read waits in the buffers of the kernel: to the sender the network is slow or cut.
    """

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.is_held = False
        self._waiting = b""
        self._has_ended = False

    @property
    def wants_read(self) -> bool:
        return not (self.is_held or self._waiting or self._has_ended)

    @property
    def wants_write(self) -> bool:
        return bool(self._waiting) and not self.is_held

    @property
    def is_over(self) -> bool:
        """Whether the source has closed, and all that it sent was passed on."""
        return self._has_ended and not self._waiting

    def read(self) -> None:
        self._waiting = self.source.recv(_READ_BYTES_MAX)
        self._has_ended = not self._waiting
        if self._waiting:
            self.write()

    def write(self) -> None:
        try:
            sent = self.sink.send(self._waiting)
        except BlockingIOError:
            return
        self._waiting = self._waiting[sent:]


class ProxiedConnection:
    """A connection from a node or client that dials to the node that listens.

    The connection to the node that listens begins with `begin`, so that a dial can be kept waiting.
    """

    def __init__(
        self,
        owner: str,
        ports: Ports,
        dialler: socket.socket,
        target: Address,
        selector: selectors.BaseSelector,
        *,
        on_closed: "Callable[[ProxiedConnection], None]",
    ) -> None:
        # The node that listens, and the node or client that dials; None: nothing depends on it yet.
        self.owner = owner
        self.dialled_by: str | None = None
        self.ports = ports
        self._dialler = dialler
        self._target = target
        self._selector = selector
        self._on_closed = on_closed
        self._listener: socket.socket | None = None
        self._is_connecting = False
        self._flows: list[_Flow] = []

    def pairs(self) -> tuple[Pair, Pair]:
        """Return the sender and the receiver of each direction, as far as they are known."""
        dialled_by = self.dialled_by or ""
        return (dialled_by, self.owner), (self.owner, dialled_by)

    def begin(self, receive_buffer_bytes: int) -> None:
        """Connect to the node that listens; do nothing if that was done, or if the dial ended."""
        if self._listener is not None:
            return
        if _has_hung_up(self._dialler):
            self.close()
            return
        self._listener = listener = socket.socket()
        if receive_buffer_bytes:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        listener.settimeout(0.0)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._flows = [_Flow(self._dialler, listener), _Flow(listener, self._dialler)]
        self._is_connecting = True
        listener.connect_ex(self._target)
        self._selector.register(listener, selectors.EVENT_WRITE, self._on_ready)

    def hold(self, held: set[Pair]) -> None:
        """Hold the flows of these pairs, sender first, and let the other flows go on."""
        for flow, pair in zip(self._flows, self.pairs(), strict=False):
            flow.is_held = pair in held
        if not self._is_connecting:
            self._watch()

    def close(self, *, is_reset: bool = False) -> None:
        """Close both sides; with a reset both ends learn at once that the connection is gone."""
        for each in (self._dialler, self._listener):
            if each is None:
                continue
            self._set_events(each, 0)
            if is_reset:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.close()
        self._on_closed(self)

    def _on_ready(self, ready: socket.socket, events: int) -> None:
        if self._is_connecting:
            self._on_connected(ready)
            return
        try:
            for flow in self._flows:
                # What was done for an earlier event may have held the flow.
                if flow.source is ready and events & selectors.EVENT_READ and flow.wants_read:
                    flow.read()
                elif flow.sink is ready and events & selectors.EVENT_WRITE and flow.wants_write:
                    flow.write()
        except OSError:
            self.close(is_reset=True)
            return
        if any(flow.is_over for flow in self._flows):
            self.close()
        else:
            self._watch()

    def _on_connected(self, listener: socket.socket) -> None:
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.close(is_reset=True)
            return
        self._is_connecting = False
        self._watch()

    def _watch(self) -> None:
        """Watch both sockets for what their flows can do now."""
        for each in (self._dialler, self._listener):
            if each is None:
                continue
            events = 0
            for flow in self._flows:
                if flow.source is each and flow.wants_read:
                    events |= selectors.EVENT_READ
                if flow.sink is each and flow.wants_write:
                    events |= selectors.EVENT_WRITE
            self._set_events(each, events)

    def _set_events(self, each: socket.socket, events: int) -> None:
        key = self._selector.get_map().get(each)
        if key is None:
            if events:
                self._selector.register(each, events, self._on_ready)
        elif not events:
            self._selector.unregister(each)
        elif key.events != events:
            self._selector.modify(each, events, self._on_ready)


def _has_hung_up(dialler: socket.socket) -> bool:
    """Return whether the peer has closed its side, also behind bytes that were not read."""
    poller = select.poll()
    poller.register(dialler, select.POLLRDHUP)
    return bool(poller.poll(0))
