"""The sockets: with `socket_options.py` the only import of zmq in the project.

A `Channel` is one socket with its monitor, a door one link: a `RouterDoor` serves all its peers
through one channel, a `DialDoor` has a channel per peer name, a `PubDoor` broadcasts. Nothing here
waits: receiving returns None, sending `Outcome.FULL`. Only the loop's thread may touch any of it.
"""

import contextlib
import itertools
import struct
from typing import ClassVar, Final

import zmq

from zreg.effects import CLOSED, CLOSED_EARLY, HANDSHAKE_FAILED, REFUSED, Link, Peer
from zreg.reactor import socket_options
from zreg.reactor.link_table import OUTSIDE, is_ipv6
from zreg.reactor.outbox import Backlog, Outcome
from zreg.reactor.routed_peers import RoutedPeers
from zreg.reactor.topics import Topics

TERMINATE_SECONDS_MAX: Final = 1.0

# Who sent it, the header, the records; without records it had a wrong number of frames.
Received = tuple[Peer, bytes, bytes | None]

_NOBLOCK: Final = zmq.NOBLOCK
_MORE: Final = zmq.NOBLOCK | zmq.SNDMORE
_EVENTS: Final = zmq.SocketOption.EVENTS
_POLLIN: Final = int(zmq.POLLIN)
_EVENT: Final = struct.Struct("=HI")
_HANDSHAKE_FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_ROUTER_EVENTS: Final = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | _HANDSHAKE_FAILED
_DIAL_EVENTS: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_CONNECT_RETRIED
    | _HANDSHAKE_FAILED
)
# Subscriptions taken in at a time; more are looked for after the next broadcast.
_SUBSCRIPTIONS_MAX: Final = 4096
_monitor_numbers: Final = itertools.count()

Socket = zmq.Socket[bytes]
SocketContext = zmq.Context[Socket]


class Channel:
    """One socket, with its monitor if it has one."""

    events: ClassVar[int] = 0
    # Whether nothing can come before something is sent: each message is the only one.
    takes_turns: ClassVar[bool] = False

    def __init__(
        self, context: SocketContext, link: Link, kind: int, table: socket_options.Options
    ) -> None:
        self.link = link
        self.is_up = True
        self.is_closed = False
        # Whether several messages came at once lately: only then is it worth to look for the next.
        self.is_busy = False
        self.backlogs: dict[Peer, Backlog] = {}
        self.socket: Socket = context.socket(kind)
        # Found once, and `send` below pyzmq's own layer, which only serves what is not used here:
        # looking a method up on such a socket takes as long as what it does.
        self._look = self.socket.getsockopt
        self._recv = self.socket.recv
        self._send = super(zmq.Socket, self.socket).send
        socket_options.apply(self.socket, table)
        self.monitor = self._watch(context) if self.events else None

    @property
    def is_probing(self) -> bool:
        """Whether peers of it may be gone."""
        return False

    def descriptors(self) -> tuple[int, int | None]:
        """Return the descriptors of the socket and of its monitor, for the loop to read."""
        monitor = None if self.monitor is None else self.monitor.FD
        return self.socket.FD, monitor

    def has_input(self) -> bool:
        """Whether something can be received; asking also lets libzmq do its housekeeping."""
        if self.is_closed:
            return False
        return self._look(_EVENTS) & _POLLIN != 0  # type: ignore[operator]  # a number

    def may_wait(self, *, is_ending: bool) -> bool:
        """Whether one message was enough for a turn; `is_ending`: all there is must be read."""
        if not self.takes_turns and (self.is_busy or self.is_probing or is_ending):
            self.is_busy = self.has_input()
            return not self.is_busy
        return True

    def has_silent_input(self) -> bool:
        """Whether there is input that makes no wake-up any more, since something was sent."""
        return self.has_input()

    def receive(self) -> Received | None:
        """Return the next message, None if there is none."""
        raise NotImplementedError

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Hand one message to the socket."""
        raise NotImplementedError

    def next_event(self) -> tuple[int, int] | None:
        """Return the monitor's next event and its value (a descriptor), None if there is none."""
        if self.monitor is None:
            return None
        try:
            event = self.monitor.recv(_NOBLOCK)
            self.monitor.recv(_NOBLOCK)
        except zmq.Again:
            return None
        number, value = _EVENT.unpack(event[:6])
        return number, value

    def close(self, linger_milliseconds: int = socket_options.LINGER_MILLISECONDS) -> None:
        """Close both sockets; twice is fine."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.monitor is not None:
            # In this order: an I/O thread that still writes to a closed PAIR hangs.
            self.socket.disable_monitor()
            self.monitor.close()
        self.socket.close(linger_milliseconds)

    def _watch(self, context: SocketContext) -> Socket:
        # By hand, as `get_monitor_socket` leaves the high-water mark at 1,000.
        address = f"inproc://zreg-monitor-{next(_monitor_numbers)}"
        self.socket.monitor(address, self.events)
        monitor: Socket = context.socket(zmq.PAIR)
        socket_options.apply(monitor, socket_options.MONITOR)
        monitor.connect(address)
        return monitor

    def _discard(self) -> None:
        """Read on to the end of the message, keeping nothing of it."""
        try:
            while self._recv(_NOBLOCK, copy=False).more:
                pass
        except zmq.Again:
            return

    def _two_frames_after(self, first: zmq.Frame) -> tuple[bytes, bytes | None]:
        """Read header and records, the last two frames of every message."""
        if not first.more:
            return b"", None
        return self._one_frame_after(self._recv(_NOBLOCK, copy=False))

    def _one_frame_after(self, header: zmq.Frame) -> tuple[bytes, bytes | None]:
        if not header.more:
            return b"", None
        frame = self._recv(_NOBLOCK, copy=False)
        if frame.more:
            self._discard()
            return b"", None
        return header.bytes, frame.bytes

    def __repr__(self) -> str:
        """Show the state."""
        state = "closed" if self.is_closed else "up" if self.is_up else "connecting"
        return f"<{type(self).__name__} {self.link.name} {state} backlogs={len(self.backlogs)}>"


class RouterChannel(Channel):
    """A bound ROUTER: many peers, known by their routing ids."""

    events = _ROUTER_EVENTS

    def __init__(self, context: SocketContext, link: Link) -> None:
        outside = link in OUTSIDE
        table = socket_options.ROUTER_CLIENTS if outside else socket_options.ROUTER_INSIDE
        super().__init__(context, link, zmq.ROUTER, table)
        self.peers = RoutedPeers()

    @property
    def is_probing(self) -> bool:
        """Whether peers of it may be gone."""
        return bool(self.peers.probes)

    def receive(self) -> Received | None:
        """Return the next message; a peer heard for the first time is remembered."""
        try:
            identity = self._recv(_NOBLOCK, copy=False)
        except zmq.Again:
            return None
        routing_id = identity.bytes
        if routing_id not in self.peers.descriptors:
            self.peers.add(routing_id, _descriptor_of(identity))
        return routing_id, *self._two_frames_after(identity)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Send to a routing id; libzmq says at once if it is gone."""
        send = self._send
        try:
            send(peer, _MORE)  # type: ignore[arg-type]  # peers of a ROUTER are bytes
            send(header, _MORE)
            send(frame, _NOBLOCK)
        except zmq.Again:
            return Outcome.FULL
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return Outcome.GONE
            raise
        return Outcome.SENT

    def drain_events(self) -> int:
        """Take in what the monitor says; return how many handshakes failed."""
        failed = 0
        while (event := self.next_event()) is not None:
            number, value = event
            if number == zmq.EVENT_ACCEPTED:
                self.peers.accepted(value)
            elif number == zmq.EVENT_DISCONNECTED:
                self.peers.closed(value)
            else:
                failed += 1
        return failed


class DialChannel(Channel):
    """A connection to one named peer; it is made once, and never again."""

    events = _DIAL_EVENTS

    def __init__(
        self,
        context: SocketContext,
        link: Link,
        kind: int,
        table: socket_options.Options,
        peer: str,
    ) -> None:
        super().__init__(context, link, kind, table)
        self.peer = peer
        self.is_up = False
        # Why the connection is gone; it is closed when what it still brought has been read.
        self.lost_reason = ""

    def connect(self, address: str) -> None:
        """Start to connect; the monitor tells how it went."""
        if is_ipv6(address):
            self.socket.setsockopt(zmq.SocketOption.IPV6, 1)
        self.socket.connect(address)

    def drain_events(self) -> bool:
        """Take in what the monitor says; return whether the connection has come up."""
        came_up = False
        while (event := self.next_event()) is not None:
            if event[0] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                came_up = self.is_up = True
                # Lets the socket attach the new pipe now: sending alone may look a moment too late.
                self.has_input()
            elif not self.lost_reason:
                self.lost_reason = _reason(event[0], was_up=self.is_up)
        return came_up


class DealerChannel(DialChannel):
    """A DEALER to one ROUTER."""

    def __init__(self, context: SocketContext, link: Link, peer: str) -> None:
        super().__init__(context, link, zmq.DEALER, socket_options.DEALER, peer)

    def receive(self) -> Received | None:
        """Return the next message of the peer."""
        if self.is_closed:
            return None
        try:
            header = self._recv(_NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return self.peer, *self._one_frame_after(header)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:  # noqa: ARG002 -- it has one peer
        """Send to the peer."""
        try:
            self._send(header, _MORE)
            self._send(frame, _NOBLOCK)
        except zmq.Again:
            return Outcome.FULL
        return Outcome.SENT


class SubChannel(DialChannel):
    """A SUB to one PUB, so that it is known who sent a hint."""

    def __init__(self, context: SocketContext, link: Link, peer: str) -> None:
        super().__init__(context, link, zmq.SUB, socket_options.SUB, peer)

    def receive(self) -> Received | None:
        """Return the next message of the peer, without its topic."""
        if self.is_closed:
            return None
        try:
            topic = self._recv(_NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return self.peer, *self._two_frames_after(topic)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Refuse: a SUB socket only listens."""
        raise NotImplementedError


class PubChannel(Channel):
    """A bound PUB; its peers are topics.

    The socket is an XPUB, which is the same on the wire and also says which topics somebody
    listens to: nine hints in ten of a large registry are heard by nobody, and need no encoding.
    """

    def __init__(self, context: SocketContext, link: Link) -> None:
        super().__init__(context, link, zmq.XPUB, socket_options.PUB)
        self.topics = Topics()

    def receive(self) -> Received | None:
        """Take in subscriptions, and return None: listeners say nothing else."""
        recv, hear = self._recv, self.topics.hear
        with contextlib.suppress(zmq.Again):
            for _ in range(_SUBSCRIPTIONS_MAX):
                hear(recv(_NOBLOCK))
        return None

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Broadcast on a topic; whoever does not keep up loses it, and nobody waits."""
        send = self._send
        send(peer, _MORE)  # type: ignore[arg-type]  # topics are bytes
        send(header, _MORE)
        send(frame, _NOBLOCK)
        return Outcome.SENT


def _descriptor_of(identity: zmq.Frame) -> int:
    try:
        return identity.get(zmq.SRCFD)
    except zmq.ZMQError:
        return -1


def _reason(event: int, *, was_up: bool) -> str:
    if event & _HANDSHAKE_FAILED:
        return HANDSHAKE_FAILED
    if event == zmq.EVENT_DISCONNECTED:
        return CLOSED if was_up else CLOSED_EARLY
    return REFUSED
