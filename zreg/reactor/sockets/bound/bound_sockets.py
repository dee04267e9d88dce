"""Sockets that bind: a ROUTER serves all its peers, a PUB broadcasts to its subscribers."""

import contextlib
from abc import abstractmethod
from typing import Final

import zmq

from zreg.effects import Link, Peer
from zreg.reactor.link_table import OUTSIDE
from zreg.reactor.sockets import socket_options
from zreg.reactor.sockets.backlog import Backlog, Outcome
from zreg.reactor.sockets.bound.read_ahead import ReadAhead
from zreg.reactor.sockets.bound.routed_peers import RoutedPeers
from zreg.reactor.sockets.bound.topics import Topics
from zreg.reactor.sockets.link_socket import (
    HANDSHAKE_FAILED_EVENTS,
    MORE,
    NOBLOCK,
    LinkSocket,
    Received,
    ZmqContext,
)

# At most this many subscriptions are read at a time; the next broadcast makes the reactor read on.
_SUBSCRIPTIONS_MAX: Final = 4096
# How many messages are read ahead at a time.
_AHEAD_MAX: Final = 256
# How many events of the monitor are read at a time: connections end and begin by the thousand.
_EVENTS_MAX: Final = 256


class BoundSocket(LinkSocket):
    """A socket that binds. It serves all peers of its link, and sends without waiting."""

    def __init__(
        self, context: ZmqContext, link: Link, kind: int, options: socket_options.Options
    ) -> None:
        super().__init__(context, link, kind, options)
        # The messages that wait, by peer.
        self.backlogs: dict[Peer, Backlog] = {}

    @abstractmethod
    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Hand one message to the socket; `FULL` if the peer does not read."""


class RouterSocket(BoundSocket):
    """A bound ROUTER: many peers, known by their routing ids."""

    events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | HANDSHAKE_FAILED_EVENTS

    def __init__(self, context: ZmqContext, link: Link) -> None:
        is_outside = link in OUTSIDE
        options = socket_options.ROUTER_CLIENTS if is_outside else socket_options.ROUTER_INSIDE
        super().__init__(context, link, zmq.ROUTER, options)
        self.peers = RoutedPeers()
        self.has_more_events = False

    @property
    def is_probing(self) -> bool:
        """Whether some of its peers may be gone."""
        return bool(self.peers.probes)

    @property
    def round_count(self) -> int:
        """How often all peers that have input were read in turn."""
        return self.peers.round_count

    def receive(self) -> Received | None:
        """Return the next message; its sender is remembered with its descriptor."""
        try:
            identity = self._recv(NOBLOCK, copy=False)
        except zmq.Again:
            return None
        routing_id = identity.bytes
        peers = self.peers
        if routing_id not in peers.descriptors:
            self._on_newcomer(routing_id, identity)
        peers.hear(routing_id)
        return routing_id, *self._two_frames_after(identity)

    def _on_newcomer(self, routing_id: bytes, identity: zmq.Frame) -> None:
        """Note a peer that is heard for the first time."""
        self.peers.add(routing_id, _descriptor_of(identity))

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Send to a routing id; libzmq says at once if that peer is gone."""
        send = self._send
        try:
            send(peer, MORE)  # type: ignore[arg-type]  # peers of a ROUTER are bytes
            send(header, MORE)
            send(frame, NOBLOCK)
        except zmq.Again:
            return Outcome.FULL
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return Outcome.GONE
            raise
        return Outcome.SENT

    def drain_events(self) -> int:
        """Take events of the monitor; return how many handshakes failed.

        Thousands may come at once: `has_more_events` says whether some may be left.
        """
        failed = 0
        self.has_more_events = True
        for _ in range(_EVENTS_MAX):
            event = self.next_event()
            if event is None:
                self.has_more_events = False
                break
            number, value = event
            if number == zmq.EVENT_ACCEPTED:
                self.peers.on_accepted(value)
            elif number == zmq.EVENT_DISCONNECTED:
                self.peers.on_closed(value)
            else:
                failed += 1
        return failed


class ClientsSocket(RouterSocket):
    """The ROUTER of a session: while clients come in crowds, those that are here go first."""

    def __init__(self, context: ZmqContext, link: Link) -> None:
        super().__init__(context, link)
        self._ahead = ReadAhead()
        self._read = super().receive

    @property
    def round_count(self) -> int:
        """How often all peers that have input were read in turn, and all that was read taken."""
        return self._ahead.oldest_round(self.peers.round_count)

    @property
    def holds_back(self) -> bool:
        """Whether messages were read that the next turn takes."""
        return self._ahead.waiting_count > 0

    def has_input(self) -> bool:
        """Whether a message can be received, or one that was read is left."""
        return self._ahead.waiting_count > 0 or super().has_input()

    def receive(self) -> Received | None:
        """Return the next message, not always the oldest; None if there is none for this turn."""
        ahead, read = self._ahead, self._read
        if ahead.is_calm:
            return read()
        ahead.grow_old(self.read_at)
        if not ahead.waiting_count:
            message = read()
            if message is None or message[0] not in ahead.newcomers:
                return message
            self._put(message)
        # Those that are no newcomers may have sent something, which would wait behind them.
        for _ in range(_AHEAD_MAX):
            message = None if ahead.is_full else read()
            if message is None:
                break
            self._put(message)
        return self._take()

    def _put(self, message: Received) -> None:
        peer = message[0]
        assert isinstance(peer, bytes)
        self._ahead.put(message, self.peers.round_count, self.peers.descriptors[peer])

    def _take(self) -> Received | None:
        taken = self._ahead.take()
        if taken is None:
            return None
        peer = taken.message[0]
        assert isinstance(peer, bytes)
        if peer not in self.peers.descriptors:
            # It was forgotten while this waited, and is heard again.
            self.peers.add(peer, taken.descriptor)
            self.newcomers.append((peer, ""))
        return taken.message

    def _on_newcomer(self, routing_id: bytes, identity: zmq.Frame) -> None:
        super()._on_newcomer(routing_id, identity)
        self.newcomers.append((routing_id, _host_of(identity)))
        self._ahead.add_newcomer(routing_id, self.read_at)


class PubSocket(BoundSocket):
    """A bound PUB; its peers are topics.

    The socket is an XPUB, which is the same on the wire and also reports which topics have
    subscribers. In a large registry nine hints in ten have none, and are not even encoded.
    """

    def __init__(self, context: ZmqContext, link: Link) -> None:
        super().__init__(context, link, zmq.XPUB, socket_options.PUB)
        self.topics = Topics()

    def receive(self) -> Received | None:
        """Take the subscriptions that came, and return None: subscribers send nothing else."""
        recv, on_subscription = self._recv, self.topics.on_subscription
        with contextlib.suppress(zmq.Again):
            for _ in range(_SUBSCRIPTIONS_MAX):
                on_subscription(recv(NOBLOCK))
        return None

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Broadcast on a topic; libzmq drops the message for subscribers that do not keep up."""
        send = self._send
        send(peer, MORE)  # type: ignore[arg-type]  # topics are bytes
        send(header, MORE)
        send(frame, NOBLOCK)
        return Outcome.SENT


def _host_of(identity: zmq.Frame) -> str:
    """Return the address at the other end of the connection; empty if libzmq does not know it."""
    try:
        host = str(identity.get("Peer-Address"))
    except zmq.ZMQError:
        return ""
    return host.removeprefix("::ffff:")


def _descriptor_of(identity: zmq.Frame) -> int:
    try:
        return identity.get(zmq.SRCFD)
    except zmq.ZMQError:
        return -1
