"""REQ and REP: one request at a time to each peer, and an answer to each, whatever it was.

The sockets of `links` carry streams of messages; these two carry turns. A REP that does not answer
is stuck, so the reactor answers what the core did not; a REQ that gets no answer is not, since it
may ask again (`socket_options.RAFT_ASK`).
"""

import zmq

from zreg.effects import Link, Peer
from zreg.reactor import socket_options
from zreg.reactor.links import Channel, DialChannel, Received, SocketContext
from zreg.reactor.outbox import Outcome

_NOBLOCK = zmq.NOBLOCK
_MORE = zmq.NOBLOCK | zmq.SNDMORE


class AskChannel(DialChannel):
    """A REQ to one REP."""

    takes_turns = True

    def __init__(self, context: SocketContext, link: Link, peer: str) -> None:
        super().__init__(context, link, zmq.REQ, socket_options.RAFT_ASK, peer)
        # Whether an answer is due, and whether it is to a request that took another one's place.
        self._is_asked = self._is_asked_again = False

    def has_silent_input(self) -> bool:
        """Whether an answer came unseen: one to a single request comes, and wakes, after it."""
        return self._is_asked_again and self.has_input()

    def receive(self) -> Received | None:
        """Return the answer to the last request."""
        if self.is_closed:
            return None
        if not self._is_asked:
            # No answer woke us but libzmq's own affairs: a look sees to them, receiving does not.
            self.has_input()
            return None
        try:
            header = self._recv(_NOBLOCK, copy=False)
        except zmq.Again:
            return None
        self._is_asked = self._is_asked_again = False
        return self.peer, *self._one_frame_after(header)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:  # noqa: ARG002 -- it has one peer
        """Send a request; it takes the place of one that was not answered."""
        self._is_asked_again = self._is_asked_again or self._is_asked
        try:
            self._send(header, _MORE)
            self._send(frame, _NOBLOCK)
        except zmq.Again:
            # It would be stale when there is room again. Also the request before is given up.
            self._is_asked = False
            return Outcome.GONE
        self._is_asked = True
        return Outcome.SENT


class AnswerChannel(Channel):
    """A bound REP; its peer is one request, until that is answered."""

    takes_turns = True

    def __init__(self, context: SocketContext, link: Link) -> None:
        super().__init__(context, link, zmq.REP, socket_options.RAFT_ANSWER)
        self._request_count = 0
        # Which request waits for its answer; None: the next may be read.
        self.owed: Peer | None = None

    def has_input(self) -> bool:
        """Whether a request can be received: not before the last one is answered."""
        return self.owed is None and super().has_input()

    def receive(self) -> Received | None:
        """Return the next request, once the one before is answered."""
        if self.owed is not None:
            return None
        try:
            header = self._recv(_NOBLOCK, copy=False)
        except zmq.Again:
            return None
        self._request_count += 1
        self.owed = self._request_count.to_bytes(8)
        return self.owed, *self._one_frame_after(header)

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Answer the request; `GONE` if it was answered before."""
        if peer != self.owed:
            return Outcome.GONE
        self.owed = None
        self._send(header, _MORE)
        self._send(frame, _NOBLOCK)
        return Outcome.SENT
