"""Every socket option that is set on purpose, one table per kind of socket, each with its reason.

By default libzmq queues for ever, reconnects for ever, lingers for ever and does not notice a dead
peer. An option that is not named here keeps its default on purpose.
`tests/cluster/test_socket_options.py` and `test_peer_events.py` show what the options prevent.
"""

from collections.abc import Mapping
from typing import Final

import zmq

from zreg.config import Limits
from zreg.reactor.sockets.descriptors import (
    OF_A_CONNECTION,
    OF_A_CONTEXT,
    OF_AN_IO_THREAD,
    check_descriptors,
)

Options = Mapping[zmq.SocketOption, int]

# How long a closed socket may go on delivering what it has taken: enough for a goodbye, not for a
# backlog.
LINGER_MILLISECONDS: Final = 300

_CONTEXT: Final[Mapping[zmq.ContextOption, int]] = {
    # The default is 1,023. A connection needs three sockets: its own and both ends of its monitor.
    zmq.ContextOption.MAX_SOCKETS: 16_384,
}

# A connection belongs to one I/O thread, which takes its events in turn. When thousands of clients
# connect at once, a client waits for those on the same thread only (ADR 0044).
CLIENTS_IO_THREADS: Final = 4


def _high_water_marks(*, send: int, receive: int) -> Options:
    """Return how many messages may wait per peer in each direction; 0 is no limit."""
    return {zmq.SocketOption.SNDHWM: send, zmq.SocketOption.RCVHWM: receive}


_ALL: Final[Options] = {
    # With the default of -1, `Context.term` hangs for ever on a peer that cannot be reached.
    zmq.SocketOption.LINGER: LINGER_MILLISECONDS,
}

# Links between nodes. Heartbeats are off by default: neither end would ever notice a pulled cable.
_HEARTBEATS: Final[Options] = {
    zmq.SocketOption.HEARTBEAT_IVL: 1000,
    zmq.SocketOption.HEARTBEAT_TIMEOUT: 3000,
    # With it, a peer that has set no heartbeats of its own notices a dead link as well.
    zmq.SocketOption.HEARTBEAT_TTL: 3000,
}

# The link of clients. The client pings, and both ends judge each other by a lease, so libzmq's
# heartbeats would do the same work twice: their timers are a list, which libzmq walks for each
# client. The kernel ends the connections of machines that are gone, of which a session cannot judge
# those that never said Hello. It keeps that of a stopped process: a ROUTER cannot close it, so the
# session holds its descriptor until the process ends.
_KEEPALIVE: Final[Options] = {
    zmq.SocketOption.TCP_KEEPALIVE: 1,
    # Seconds of silence before the first probe, between two probes, and how many are sent.
    zmq.SocketOption.TCP_KEEPALIVE_IDLE: 10,
    zmq.SocketOption.TCP_KEEPALIVE_INTVL: 5,
    zmq.SocketOption.TCP_KEEPALIVE_CNT: 3,
    # Milliseconds after which data that is not acknowledged ends a connection. The kernel's own
    # bound is a quarter of an hour. A peer that pings and reads nothing for so long loses its
    # connection too, once the buffers of both kernels are full.
    zmq.SocketOption.TCP_MAXRT: 25_000,
}

_TCP: Final[Options] = {
    **_ALL,
    # By default a peer that connects and sends nothing holds a descriptor for 30 s.
    zmq.SocketOption.HANDSHAKE_IVL: 3000,
    # By default there is no limit, and one frame could ask for all memory. A frame above the limit
    # costs its sender the connection. The slack is for the decoder, which answers a frame just
    # above its own limit with a code.
    zmq.SocketOption.MAXMSGSIZE: Limits.frame_bytes_max + (64 << 10),
}

_BINDING: Final[Options] = {
    **_TCP,
    # With the default of 100, a storm of 1,000 connects takes 1.4 s instead of 0.2 s.
    zmq.SocketOption.BACKLOG: 4096,
}

_CONNECTING: Final[Options] = {
    **_TCP,
    # A socket connects once. When the connection ends, the reactor closes the socket, and the core
    # decides when and where to connect again. An hour stands for "never". With -1 libzmq would drop
    # the connection's pipe at once, and with it the peer's last messages that were not read yet (a
    # Bye, an answer).
    zmq.SocketOption.RECONNECT_IVL: 3_600_000,
    # Without it a dropped SYN is waited for as long as the kernel retries: two minutes.
    zmq.SocketOption.CONNECT_TIMEOUT: 2000,
    # With 1 a closed connection loses the messages that were not read yet, as above. With 0 libzmq
    # would queue stale messages for a later connection. There is none: the reactor sends only on
    # connections that are up, and no socket connects twice.
    zmq.SocketOption.IMMEDIATE: 0,
}

_ROUTER: Final[Options] = {
    **_BINDING,
    # Without it a message to a peer that is gone, or does not read, disappears without an error.
    zmq.SocketOption.ROUTER_MANDATORY: 1,
    # If two peers have one routing id, the second stays mute. It must not get the first's answers.
    zmq.SocketOption.ROUTER_HANDOVER: 0,
}

ROUTER_CLIENTS: Final[Options] = {
    **_ROUTER,
    **_KEEPALIVE,
    # The mark counts messages per client, each up to 1 MiB: 3,000 clients that do not read must not
    # hold more. Further messages wait in the reactor's own bounded backlog, and are counted.
    **_high_water_marks(send=100, receive=100),
}

ROUTER_INSIDE: Final[Options] = {
    **_ROUTER,
    **_HEARTBEATS,
    # The peers are the cluster's own nodes. They are few and send in bursts (a whole shard), so
    # they get more room than a client.
    **_high_water_marks(send=1000, receive=1000),
}

# There is one peer per DEALER. Further messages wait in the reactor's own bounded backlog.
_DEALER: Final[Options] = {
    **_CONNECTING,
    **_high_water_marks(send=1000, receive=1000),
}

DEALER_INSIDE: Final[Options] = {**_DEALER, **_HEARTBEATS}

DEALER_OF_CLIENT: Final[Options] = {**_DEALER, **_KEEPALIVE}

# Followers give up a leader after half a second, so a dead link must show sooner than on other
# links.
_RAFT: Final[Options] = {
    zmq.SocketOption.HEARTBEAT_IVL: 500,
    zmq.SocketOption.HEARTBEAT_TIMEOUT: 1500,
    zmq.SocketOption.HEARTBEAT_TTL: 2000,
    zmq.SocketOption.HANDSHAKE_IVL: 1000,
}

RAFT_ASK: Final[Options] = {
    **_CONNECTING,
    **_RAFT,
    # Heartbeats need it: without it the SYN after a silent partition falls into the kernel's
    # back-off, and recovery was measured at 30 s instead of 0.6 s.
    zmq.SocketOption.CONNECT_TIMEOUT: 1000,
    # Without it a socket whose answer was lost is stuck for ever (EFSM).
    zmq.SocketOption.REQ_RELAXED: 1,
    # Without it a late answer to an earlier request is taken for the answer to the current one.
    zmq.SocketOption.REQ_CORRELATE: 1,
    # Requests pile up for a peer that has stopped, one each 300 ms until the heartbeats end the
    # connection, and all of them arrive when it continues. A mark of 64 bounds them. A lower mark
    # would be slower: libzmq wakes the other thread at each half of the mark, so with 2 every
    # message cost two more wake-ups.
    **_high_water_marks(send=64, receive=64),
    # After this node is gone, its requests are of no use to the peer.
    zmq.SocketOption.LINGER: 0,
}

RAFT_ANSWER: Final[Options] = {
    **_BINDING,
    **_RAFT,
    # Each peer has one request under way, and perhaps some that it gave up.
    **_high_water_marks(send=64, receive=64),
}

PUB: Final[Options] = {
    **_BINDING,
    **_HEARTBEATS,
    # What is sent are hints, counted per subscriber. Beyond the mark libzmq drops them without an
    # error, and the versions in later hints show the loss.
    # What is received are subscriptions, which wait to be read. A subscriber has at most 1,024
    # buckets and two topics.
    **_high_water_marks(send=1000, receive=4096),
}

SUB: Final[Options] = {
    **_CONNECTING,
    **_HEARTBEATS,
    # What is sent are the socket's own subscriptions. One turn may subscribe to all buckets, and no
    # subscription may be dropped.
    **_high_water_marks(send=4096, receive=1000),
}

MONITOR: Final[Options] = {
    # No limit: an unread monitor at its high-water mark blocks libzmq's I/O thread, and with it the
    # whole context.
    **_high_water_marks(send=0, receive=0),
    zmq.SocketOption.LINGER: 0,
}


def new_context(io_threads: int = 1) -> zmq.Context[zmq.Socket[bytes]]:
    """Return a new context. Links to clients and links inside the cluster never share one.

    Each context has its own I/O threads, so clients cannot keep the cluster's thread busy.
    """
    needed = OF_A_CONTEXT + OF_AN_IO_THREAD * (io_threads - 1) + OF_A_CONNECTION
    check_descriptors(needed, "a ZeroMQ context with one connection")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
    for option, value in _CONTEXT.items():
        context.set(option, value)
    # The first socket starts the threads, which need the descriptors that were counted.
    context.socket(zmq.PAIR).close(0)
    return context


def apply(socket: zmq.Socket[bytes], options: Options) -> None:
    """Set the options. Call it before bind or connect: afterwards they have no effect."""
    for option, value in options.items():
        socket.setsockopt(option, value)
