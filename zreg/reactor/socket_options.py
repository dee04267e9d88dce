"""Every socket option that is set on purpose, one table per kind of socket, the reason beside it.

The defaults of libzmq queue for ever, reconnect for ever, linger for ever and notice nothing. What
is not named here is left at its default knowingly: `docs/architecture.md` names the tests.
"""

from collections.abc import Mapping
from typing import Final

import zmq

from zreg.config import Limits

Options = Mapping[zmq.SocketOption, int]

# How long a closed socket may go on delivering what was handed to it: a goodbye, not a backlog.
LINGER_MILLISECONDS: Final = 300

_CONTEXT: Final[Mapping[zmq.ContextOption, int]] = {
    # A connection needs three sockets (its own, both ends of its monitor); 1,023 is the default.
    zmq.ContextOption.MAX_SOCKETS: 16_384,
    # All encryption and framing of a context runs here; two cores have no use for more.
    zmq.ContextOption.IO_THREADS: 1,
}

_ALL: Final[Options] = {
    # The default -1 makes `Context.term` hang for ever on a peer that cannot be reached.
    zmq.SocketOption.LINGER: LINGER_MILLISECONDS,
}

_TCP: Final[Options] = {
    **_ALL,
    # Off by default: a pulled cable would never be noticed, on either end.
    zmq.SocketOption.HEARTBEAT_IVL: 1000,
    zmq.SocketOption.HEARTBEAT_TIMEOUT: 3000,
    # Makes a peer that set no heartbeats of its own notice a dead link as well.
    zmq.SocketOption.HEARTBEAT_TTL: 3000,
    # Whoever connects and says nothing holds a descriptor for 30 s by default.
    zmq.SocketOption.HANDSHAKE_IVL: 3000,
    # Unlimited by default: one frame could ask for all memory. The slack is for the decoder, which
    # answers a frame just above the limit with a code where libzmq would cut the connection.
    zmq.SocketOption.MAXMSGSIZE: Limits.frame_bytes_max + (64 << 10),
}

_BINDING: Final[Options] = {
    **_TCP,
    # With the default 100 a storm of 1,000 connects takes 1.4 s instead of 0.2 s.
    zmq.SocketOption.BACKLOG: 4096,
}

_CONNECTING: Final[Options] = {
    **_TCP,
    # One attempt, then an event upon which the reactor closes the socket: the core decides when to
    # try again, and where. Not -1: libzmq then ends the connection's pipe at once, and with it what
    # the peer said last and nobody has read yet (a Bye, an answer); an hour is as good as never.
    zmq.SocketOption.RECONNECT_IVL: 3_600_000,
    # Without it a SYN that is dropped is waited for as long as the kernel likes: two minutes.
    zmq.SocketOption.CONNECT_TIMEOUT: 2000,
    # With 1 a closed connection loses what was not read yet, as above. Nothing is queued stale for
    # it: the reactor sends on connections that stand only, and no socket ever connects twice.
    zmq.SocketOption.IMMEDIATE: 0,
}

_ROUTER: Final[Options] = {
    **_BINDING,
    # Without it a message to a peer that is gone or does not read disappears without an error.
    zmq.SocketOption.ROUTER_MANDATORY: 1,
    # Two peers with one routing id: the second stays mute, it must not steal the first's answers.
    zmq.SocketOption.ROUTER_HANDOVER: 0,
}

ROUTER_CLIENTS: Final[Options] = {
    **_ROUTER,
    # Counted per client and in messages, each up to 1 MiB: 3,000 clients that do not read must not
    # hold more. What does not fit waits in the reactor's own bounded backlog, and is counted.
    zmq.SocketOption.SNDHWM: 100,
    zmq.SocketOption.RCVHWM: 100,
}

ROUTER_INSIDE: Final[Options] = {
    **_ROUTER,
    # Few peers that are ours, and bursts (a node's whole shard): more room than for a client.
    zmq.SocketOption.SNDHWM: 1000,
    zmq.SocketOption.RCVHWM: 1000,
}

DEALER: Final[Options] = {
    **_CONNECTING,
    # One peer per socket. What does not fit waits in the reactor's own bounded backlog.
    zmq.SocketOption.SNDHWM: 1000,
    zmq.SocketOption.RCVHWM: 1000,
}

# A leader is given up after half a second, so a dead link must show sooner than on other links.
_RAFT: Final[Options] = {
    zmq.SocketOption.HEARTBEAT_IVL: 500,
    zmq.SocketOption.HEARTBEAT_TIMEOUT: 1500,
    zmq.SocketOption.HEARTBEAT_TTL: 2000,
    zmq.SocketOption.HANDSHAKE_IVL: 1000,
}

RAFT_ASK: Final[Options] = {
    **_CONNECTING,
    **_RAFT,
    # Heartbeats without it are worse than nothing: the new SYN falls into the kernel's back-off,
    # and recovery from a silent partition was measured at 30 s instead of 0.6 s.
    zmq.SocketOption.CONNECT_TIMEOUT: 1000,
    # Without it a request whose answer was lost leaves the socket stuck for ever (EFSM).
    zmq.SocketOption.REQ_RELAXED: 1,
    # Without it a late answer to the request before is taken for the answer to this one.
    zmq.SocketOption.REQ_CORRELATE: 1,
    # To a peer that stands still requests would pile up, and all arrive when it goes on: one each
    # 300 ms until the heartbeats end it. Not as low as that, since libzmq tells the other thread at
    # each half of the mark that there is room: with 2 every message cost two more wake-ups.
    zmq.SocketOption.SNDHWM: 64,
    zmq.SocketOption.RCVHWM: 64,
    # A request is worth nothing to a node that is gone.
    zmq.SocketOption.LINGER: 0,
}

RAFT_ANSWER: Final[Options] = {
    **_BINDING,
    **_RAFT,
    # Each peer has one request under way, and those that it gave up.
    zmq.SocketOption.RCVHWM: 64,
    zmq.SocketOption.SNDHWM: 64,
}

PUB: Final[Options] = {
    **_BINDING,
    # Per listener; beyond it hints are dropped without an error, which versions make up for.
    zmq.SocketOption.SNDHWM: 1000,
    # Subscriptions that wait to be read; a listener has 1,024 buckets and two topics at most.
    zmq.SocketOption.RCVHWM: 4096,
}

SUB: Final[Options] = {
    **_CONNECTING,
    zmq.SocketOption.RCVHWM: 1000,
    # Its own subscriptions: all buckets may leave in one turn, and none may be dropped.
    zmq.SocketOption.SNDHWM: 4096,
}

MONITOR: Final[Options] = {
    # An unread monitor at its high-water mark blocks libzmq's I/O thread, and so the whole context.
    zmq.SocketOption.RCVHWM: 0,
    zmq.SocketOption.SNDHWM: 0,
    zmq.SocketOption.LINGER: 0,
}


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context of its own: clients and the inside of the cluster never share one.

    One I/O thread then cannot be kept busy by one side at the expense of the other.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    for option, value in _CONTEXT.items():
        context.set(option, value)
    return context


def apply(socket: zmq.Socket[bytes], options: Options) -> None:
    """Set the options; must come before bind or connect, later they have no effect."""
    for option, value in options.items():
        socket.setsockopt(option, value)
