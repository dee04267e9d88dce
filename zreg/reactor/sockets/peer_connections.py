"""Sockets that connect: one socket per named peer, a DEALER to a ROUTER or a SUB to a PUB."""

from abc import abstractmethod

import zmq

from zreg.effects import CLOSED, CLOSED_EARLY, HANDSHAKE_FAILED, REFUSED, UNREACHABLE, Link, Peer
from zreg.reactor.link_table import OUTSIDE, is_ipv6
from zreg.reactor.lookups.local_host import find_local_host
from zreg.reactor.sockets import socket_options
from zreg.reactor.sockets.backlog import Backlog, Outcome
from zreg.reactor.sockets.link_socket import (
    HANDSHAKE_FAILED_EVENTS,
    MORE,
    NOBLOCK,
    LinkSocket,
    Received,
    ZmqContext,
)


class PeerConnection(LinkSocket):
    """A connection to one named peer. A socket connects once: a new attempt is a new socket."""

    events = (
        zmq.EVENT_HANDSHAKE_SUCCEEDED
        | zmq.EVENT_DISCONNECTED
        | zmq.EVENT_CLOSED
        | zmq.EVENT_CONNECT_RETRIED
        | HANDSHAKE_FAILED_EVENTS
    )

    def __init__(
        self,
        context: ZmqContext,
        link: Link,
        kind: int,
        options: socket_options.Options,
        peer: str,
    ) -> None:
        super().__init__(context, link, kind, options)
        self.peer = peer
        self.is_up = False
        # Why the connection ended; empty while it has not. The socket stays open until its last
        # input has been read.
        self.lost_reason = ""
        self.address = ""

    def connect(self, address: str) -> None:
        """Start to connect; the monitor reports the outcome."""
        self.address = address
        if is_ipv6(address):
            self.zmq_socket.setsockopt(zmq.SocketOption.IPV6, 1)
        self.zmq_socket.connect(address)

    def drain_events(self) -> None:
        """Take the events of the monitor: they set `is_up` and `lost_reason`."""
        while (event := self.next_event()) is not None:
            if event[0] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.is_up = True
                # Reading EVENTS makes libzmq attach the new pipe. Without it the first send may
                # come a moment too early.
                self.has_input()
            elif not self.lost_reason:
                self.lost_reason = self._reason(event[0])

    def _reason(self, event: int) -> str:
        if event & HANDSHAKE_FAILED_EVENTS:
            return HANDSHAKE_FAILED
        if event == zmq.EVENT_DISCONNECTED:
            return CLOSED if self.is_up else CLOSED_EARLY
        # libzmq does not say why it could not connect. Without a route nothing was refused.
        return REFUSED if find_local_host(self.address) else UNREACHABLE


class SendingConnection(PeerConnection):
    """A connection that also sends to its peer, without waiting."""

    def __init__(
        self,
        context: ZmqContext,
        link: Link,
        kind: int,
        options: socket_options.Options,
        peer: str,
    ) -> None:
        super().__init__(context, link, kind, options, peer)
        # The messages that wait, by peer; there is one peer.
        self.backlogs: dict[Peer, Backlog] = {}

    @abstractmethod
    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Hand one message to the socket; `FULL` if the peer does not read."""


class DealerConnection(SendingConnection):
    """A DEALER to one ROUTER."""

    def __init__(self, context: ZmqContext, link: Link, peer: str) -> None:
        is_outside = link in OUTSIDE
        options = socket_options.DEALER_OF_CLIENT if is_outside else socket_options.DEALER_INSIDE
        super().__init__(context, link, zmq.DEALER, options, peer)

    def receive(self) -> Received | None:
        """Return the next message of the peer."""
        if self.is_closed:
            return None
        try:
            header = self._recv(NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return self.peer, *self._one_frame_after(header)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:  # noqa: ARG002 -- it has one peer
        """Send to the peer."""
        try:
            self._send(header, MORE)
            self._send(frame, NOBLOCK)
        except zmq.Again:
            return Outcome.FULL
        return Outcome.SENT


class SubConnection(PeerConnection):
    """A SUB to one PUB, which only listens.

    Each PUB has its own SUB, so the sender of a hint is known.
    """

    def __init__(self, context: ZmqContext, link: Link, peer: str) -> None:
        super().__init__(context, link, zmq.SUB, socket_options.SUB, peer)

    def subscribe(self, topic: bytes) -> None:
        """Receive what is broadcast on a topic, from now on."""
        self.zmq_socket.setsockopt(zmq.SocketOption.SUBSCRIBE, topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Receive nothing more of a topic."""
        self.zmq_socket.setsockopt(zmq.SocketOption.UNSUBSCRIBE, topic)

    def receive(self) -> Received | None:
        """Return the next message of the peer, without its topic."""
        if self.is_closed:
            return None
        try:
            topic = self._recv(NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return self.peer, *self._two_frames_after(topic)
