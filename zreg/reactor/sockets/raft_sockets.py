"""REQ and REP between meta nodes: one request at a time to each peer, and an answer to each.

A REP socket that does not answer is stuck: it takes no further request from any peer. The reactor
therefore answers each request that its core left unanswered. A REQ socket without an answer is not
stuck, since it may ask again (`socket_options.RAFT_ASK`).
"""

import zmq

from zreg.effects import Link, Peer
from zreg.reactor.sockets import socket_options
from zreg.reactor.sockets.backlog import Outcome
from zreg.reactor.sockets.bound.bound_sockets import BoundSocket
from zreg.reactor.sockets.link_socket import MORE, NOBLOCK, Received, ZmqContext
from zreg.reactor.sockets.peer_connections import SendingConnection


class ReqConnection(SendingConnection):
    """A REQ to one REP."""

    is_alternating = True

    def __init__(self, context: ZmqContext, link: Link, peer: str) -> None:
        super().__init__(context, link, zmq.REQ, socket_options.RAFT_ASK, peer)
        self._awaits_answer = False
        # Whether the request under way replaced one that was not answered.
        self._has_asked_again = False

    def has_silent_input(self) -> bool:
        """Whether an answer came unnoticed.

        The answer to a single request comes after it was sent, and makes its own wake-up. Only the
        answer to a replaced request can come before the send that swallows its wake-up.
        """
        return self._has_asked_again and self.has_input()

    def receive(self) -> Received | None:
        """Return the answer to the last request."""
        if self.is_closed:
            return None
        if not self._awaits_answer:
            # The wake-up was about libzmq's own work: reading EVENTS does that, receiving does not.
            self.has_input()
            return None
        try:
            header = self._recv(NOBLOCK, copy=False)
        except zmq.Again:
            return None
        self._awaits_answer = self._has_asked_again = False
        return self.peer, *self._one_frame_after(header)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:  # noqa: ARG002 -- it has one peer
        """Send a request; it replaces one that was not answered."""
        self._has_asked_again = self._has_asked_again or self._awaits_answer
        try:
            self._send(header, MORE)
            self._send(frame, NOBLOCK)
        except zmq.Again:
            # The request would be stale by the time there is room, so it is dropped. libzmq has
            # given up the request before it as well.
            self._awaits_answer = False
            return Outcome.GONE
        self._awaits_answer = True
        return Outcome.SENT


class RepSocket(BoundSocket):
    """A bound REP; its peer is one request, until that request is answered."""

    is_alternating = True

    def __init__(self, context: ZmqContext, link: Link) -> None:
        super().__init__(context, link, zmq.REP, socket_options.RAFT_ANSWER)
        self._request_count = 0
        # The request that waits for its answer; None: the next request may be read.
        self.unanswered: Peer | None = None

    def has_input(self) -> bool:
        """Whether a request can be received: only after the last one was answered."""
        return self.unanswered is None and super().has_input()

    def receive(self) -> Received | None:
        """Return the next request; None until the one before it is answered."""
        if self.unanswered is not None:
            return None
        try:
            header = self._recv(NOBLOCK, copy=False)
        except zmq.Again:
            return None
        self._request_count += 1
        self.unanswered = self._request_count.to_bytes(8)
        return self.unanswered, *self._one_frame_after(header)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Answer the request; `GONE` if it was answered before."""
        if peer != self.unanswered:
            return Outcome.GONE
        self.unanswered = None
        self._send(header, MORE)
        self._send(frame, NOBLOCK)
        return Outcome.SENT
