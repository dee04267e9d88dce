"""One ZeroMQ socket with its monitor: what all kinds of sockets share.

The reactor reads every socket, so a `LinkSocket` receives. Not every socket sends: what sends is a
`BoundSocket` or a `SendingConnection`. Nothing here waits: receiving returns None when there is no
message. Only the loop's thread may use a socket.
"""

import itertools
import struct
from abc import ABC, abstractmethod
from typing import ClassVar, Final

import zmq

from zreg.effects import Link, Peer
from zreg.reactor.sockets import socket_options

# The sender, the header, the records. The records are None if the number of frames was wrong.
Received = tuple[Peer, bytes, bytes | None]

NOBLOCK: Final = zmq.NOBLOCK
MORE: Final = zmq.NOBLOCK | zmq.SNDMORE
_EVENTS: Final = zmq.SocketOption.EVENTS
_POLLIN: Final = int(zmq.POLLIN)
_EVENT: Final = struct.Struct("=HI")
HANDSHAKE_FAILED_EVENTS: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_monitor_numbers: Final = itertools.count()

ZmqSocket = zmq.Socket[bytes]
ZmqContext = zmq.Context[ZmqSocket]


class LinkSocket(ABC):
    """One socket of a link, with its monitor if it has one."""

    # The events that the monitor reports; 0 for a socket without a monitor.
    events: ClassVar[int] = 0
    # Whether the socket alternates between receiving and sending, as REQ and REP do: after one
    # message there is no other before something is sent.
    is_alternating: ClassVar[bool] = False

    def __init__(
        self, context: ZmqContext, link: Link, kind: int, options: socket_options.Options
    ) -> None:
        self.link = link
        self.is_up = True
        self.is_closed = False
        # Whether several messages came at once lately: only then is it worth to look for the next.
        self.is_busy = False
        # When the turn that reads it began, in seconds of the loop's clock.
        self.read_at = 0.0
        # The peers that were heard for the first time, with the hosts at the other ends; only a
        # ROUTER for clients fills it.
        self.newcomers: list[tuple[Peer, str]] = []
        self.zmq_socket: ZmqSocket = context.socket(kind)
        # The methods are looked up once, as a lookup on a pyzmq socket takes as long as the call.
        # `send` is the one below pyzmq's Python layer, which only serves features not used here.
        self._get_option = self.zmq_socket.getsockopt
        self._recv = self.zmq_socket.recv
        self._send = super(zmq.Socket, self.zmq_socket).send
        self.monitor: ZmqSocket | None = None
        try:
            socket_options.apply(self.zmq_socket, options)
            self.monitor = self._new_monitor(context) if self.events else None
        except zmq.ZMQError:
            self.zmq_socket.close(0)
            raise

    @property
    def is_probing(self) -> bool:
        """Whether some of its peers may be gone."""
        return False

    @property
    def holds_back(self) -> bool:
        """Whether it has read messages that the next turn takes."""
        return False

    @property
    def round_count(self) -> int | None:
        """How often all peers that have input were read in turn; None if there is one peer."""
        return None

    def descriptors(self) -> tuple[int, int | None]:
        """Return the descriptors of the socket and of its monitor, for the loop to watch."""
        monitor = None if self.monitor is None else self.monitor.FD
        return self.zmq_socket.FD, monitor

    def has_input(self) -> bool:
        """Whether a message can be received. Reading EVENTS also lets libzmq do its own work."""
        if self.is_closed:
            return False
        return self._get_option(_EVENTS) & _POLLIN != 0  # type: ignore[operator]  # a number

    def has_silent_input(self) -> bool:
        """Whether there is input whose wake-up was lost because the socket has sent since."""
        return self.has_input()

    @abstractmethod
    def receive(self) -> Received | None:
        """Return the next message, or None if there is none."""

    def next_event(self) -> tuple[int, int] | None:
        """Return the monitor's next event and its value (a descriptor), None if there is none."""
        if self.monitor is None:
            return None
        try:
            event = self.monitor.recv(NOBLOCK)
            self.monitor.recv(NOBLOCK)
        except zmq.Again:
            return None
        number, value = _EVENT.unpack(event[:6])
        return number, value

    def close(self, linger_milliseconds: int = socket_options.LINGER_MILLISECONDS) -> None:
        """Close the socket and its monitor; a second call does nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.monitor is not None:
            # Disabled before closed: libzmq's I/O thread hangs if it writes to a closed PAIR.
            self.zmq_socket.disable_monitor()
            self.monitor.close()
        self.zmq_socket.close(linger_milliseconds)

    def close_before_monitor(self) -> None:
        """Close the socket, and leave the monitor open until `is_destroyed`; not to be repeated."""
        self.is_closed = True
        self.zmq_socket.close(socket_options.LINGER_MILLISECONDS)

    def is_destroyed(self) -> bool:
        """Whether libzmq has nothing left to do for a closed socket that has a monitor."""
        while (event := self.next_event()) is not None:
            if event[0] == zmq.EVENT_MONITOR_STOPPED:
                return True
        return False

    def _new_monitor(self, context: ZmqContext) -> ZmqSocket:
        # pyzmq's `get_monitor_socket` would leave the high-water mark at 1,000.
        address = f"inproc://zreg-monitor-{next(_monitor_numbers)}"
        # The last event says that the socket is destroyed: it has handed over what it has taken.
        self.zmq_socket.monitor(address, self.events | zmq.EVENT_MONITOR_STOPPED)
        monitor: ZmqSocket = context.socket(zmq.PAIR)
        socket_options.apply(monitor, socket_options.MONITOR)
        monitor.connect(address)
        return monitor

    def _discard(self) -> None:
        """Read the rest of a message with too many frames, and drop it."""
        try:
            while self._recv(NOBLOCK, copy=False).more:
                pass
        except zmq.Again:
            return

    def _two_frames_after(self, first: zmq.Frame) -> tuple[bytes, bytes | None]:
        """Read header and records, the last two frames of every message."""
        if not first.more:
            return b"", None
        return self._one_frame_after(self._recv(NOBLOCK, copy=False))

    def _one_frame_after(self, header: zmq.Frame) -> tuple[bytes, bytes | None]:
        if not header.more:
            return b"", None
        frame = self._recv(NOBLOCK, copy=False)
        if frame.more:
            self._discard()
            return b"", None
        return header.bytes, frame.bytes

    def __repr__(self) -> str:
        """Show the state."""
        state = "closed" if self.is_closed else "up" if self.is_up else "connecting"
        return f"<{type(self).__name__} {self.link.name} {state}>"
