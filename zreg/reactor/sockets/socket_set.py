"""The open sockets of a reactor, by link: one socket per link that binds, one per connected peer.

Binding happens here, before the core is built, so that a node knows the address that it announces.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import zmq

from zreg.effects import Link, Peer
from zreg.errors import UnavailableError, UsageError
from zreg.reactor.link_table import OUTSIDE, LinkTable, check_address, is_ipv6
from zreg.reactor.sockets import socket_options
from zreg.reactor.sockets.bound.bound_sockets import (
    BoundSocket,
    ClientsSocket,
    PubSocket,
    RouterSocket,
)
from zreg.reactor.sockets.descriptors import OF_A_CONNECTION, check_descriptors
from zreg.reactor.sockets.link_socket import LinkSocket, ZmqContext
from zreg.reactor.sockets.peer_connections import (
    DealerConnection,
    PeerConnection,
    SendingConnection,
    SubConnection,
)
from zreg.reactor.sockets.raft_sockets import RepSocket, ReqConnection
from zreg.tcp_address import why_not_bound

# Every kind of socket but SUB.
SendingLinkSocket = BoundSocket | SendingConnection
ConnectionT = TypeVar("ConnectionT", bound=PeerConnection)

TERMINATE_SECONDS_MAX: Final = 1.0


class BindingLink:
    """A link that binds: one ROUTER, REP or PUB socket for all its peers."""

    def __init__(self, socket: BoundSocket, address: str) -> None:
        self.link = socket.link
        self._socket = socket
        self.address = _bind(socket, address)

    def socket_to(self, peer: Peer) -> BoundSocket | None:  # noqa: ARG002 -- one socket for all
        """Return the one socket."""
        return self._socket

    def sockets(self) -> list[BoundSocket]:
        """Return the one socket."""
        return [self._socket]


class ConnectingLink(Generic[ConnectionT]):
    """A link that connects: one socket per peer name, all of one kind."""

    def __init__(
        self,
        link: Link,
        context: ZmqContext,
        new_connection: Callable[[ZmqContext, Link, str], ConnectionT],
    ) -> None:
        self.link = link
        self._context = context
        self._new_connection = new_connection
        self._by_name: dict[Peer, ConnectionT] = {}

    def socket_to(self, peer: Peer) -> ConnectionT | None:
        """Return the connection to a peer if it is up."""
        connection = self._by_name.get(peer)
        return connection if connection is not None and connection.is_up else None

    def find(self, peer: Peer) -> ConnectionT | None:
        """Return the connection to a peer, also if it is not up yet."""
        return self._by_name.get(peer)

    def sockets(self) -> list[ConnectionT]:
        """Return all sockets."""
        return list(self._by_name.values())

    def open(self, peer: str, address: str) -> ConnectionT:
        """Start a connection; `UsageError` if the address can never work."""
        check_address(address, port_min=1)
        check_descriptors(OF_A_CONNECTION, "a connection")
        connection: ConnectionT | None = None
        try:
            connection = self._new_connection(self._context, self.link, peer)
            connection.connect(address)
        except zmq.ZMQError as error:
            if connection is not None:
                connection.close(0)
            raise UnavailableError(f"{address} cannot be connected to: {error.strerror}") from error
        self._by_name[peer] = connection
        return connection

    def remove(self, peer: Peer) -> None:
        """Forget a connection; the caller closes it."""
        self._by_name.pop(peer, None)


class ListeningLink(ConnectingLink[SubConnection]):
    """A link that listens: every SUB socket has the same subscriptions, whenever it was opened."""

    def __init__(self, link: Link, context: ZmqContext) -> None:
        super().__init__(link, context, self._new_listener)
        # In order of first use.
        self._topics: dict[bytes, None] = {}

    def listen(self, topic: bytes) -> None:
        """Subscribe on all connections, present and future."""
        if topic not in self._topics:
            self._topics[topic] = None
            for connection in self.sockets():
                connection.subscribe(topic)

    def unlisten(self, topic: bytes) -> None:
        """End the subscription on all connections."""
        if topic in self._topics:
            del self._topics[topic]
            for connection in self.sockets():
                connection.unsubscribe(topic)

    def _new_listener(self, context: ZmqContext, link: Link, peer: str) -> SubConnection:
        connection = SubConnection(context, link, peer)
        for topic in self._topics:
            connection.subscribe(topic)
        return connection


class SocketSet:
    """The sockets of all links of one reactor. The dictionaries are keyed by `id` of the link.

    A context that is given is shared with others, so it outlives this reactor.
    """

    def __init__(self, link_table: LinkTable, context: ZmqContext | None = None) -> None:
        self._shared_context = context
        # One context for links to clients, one for links inside the cluster, without a shared one.
        self._contexts: dict[bool, ZmqContext] = {}
        self.routers: dict[int, RouterSocket] = {}
        self.reps: list[RepSocket] = []
        # The links of the ROUTERs and REPs.
        self.bound: dict[int, BindingLink] = {}
        # The links of DEALERs and REQs.
        self.dealers: dict[int, ConnectingLink[SendingConnection]] = {}
        self.subs: dict[int, ListeningLink] = {}
        self.pubs: dict[int, BindingLink] = {}
        self.pub_sockets: dict[int, PubSocket] = {}
        self.addresses: dict[Link, str] = {}
        self.checks = link_table.checks
        # Whether more than a few sockets are to be expected: only a client connects to one peer.
        self.has_many = link_table != LinkTable(dealers=(Link.SESSION,))
        try:
            self._open(link_table)
        except BaseException:
            self.close()
            self.terminate(lambda: None)
            raise

    def _open(self, link_table: LinkTable) -> None:
        for link in link_table.dealers:
            self.dealers[id(link)] = ConnectingLink(link, self._context(link), DealerConnection)
        for link in link_table.asks:
            self.dealers[id(link)] = ConnectingLink(link, self._context(link), ReqConnection)
        for link in link_table.subs:
            self.subs[id(link)] = ListeningLink(link, self._context(link))
        for link, address in link_table.routers.items():
            new_router = ClientsSocket if link is Link.CLIENTS else RouterSocket
            router = new_router(self._context(link), link)
            self.routers[id(link)] = router
            self.bound[id(link)] = self._bind(router, address)
        for link, address in link_table.answers.items():
            rep = RepSocket(self._context(link), link)
            self.reps.append(rep)
            self.bound[id(link)] = self._bind(rep, address)
        for link, address in link_table.pubs.items():
            pub = PubSocket(self._context(link), link)
            self.pub_sockets[id(link)] = pub
            self.pubs[id(link)] = self._bind(pub, address)

    def _bind(self, socket: BoundSocket, address: str) -> BindingLink:
        try:
            binding_link = BindingLink(socket, address)
        except BaseException:
            socket.close(0)
            raise
        self.addresses[socket.link] = binding_link.address
        return binding_link

    def sending(self) -> dict[int, BindingLink | ConnectingLink[SendingConnection]]:
        """Return the links that send to one peer at a time."""
        return {**self.bound, **self.dealers}

    def sockets(self) -> list[LinkSocket]:
        """Return all sockets."""
        links = (self.bound, self.pubs, self.dealers, self.subs)
        return [socket for by_id in links for each in by_id.values() for socket in each.sockets()]

    def close(self) -> None:
        """Close all sockets; what they have taken leaves within the linger time."""
        for socket in self.sockets():
            socket.close()

    async def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close all sockets, and wait until what they have taken has left, at most a second."""
        if self._shared_context is not None:
            await asyncio.gather(*(close_and_wait(each, loop) for each in self.sockets()))
            return
        self.close()
        ended = loop.create_future()

        def set_ended() -> None:
            if not ended.done():
                ended.set_result(None)

        def on_terminated() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: `end` was cancelled
                loop.call_soon_threadsafe(set_ended)

        timer = loop.call_later(TERMINATE_SECONDS_MAX, set_ended)
        try:
            self.terminate(on_terminated)
        except RuntimeError:  # no thread can be started now
            set_ended()
        await ended
        timer.cancel()

    def terminate(self, on_done: Callable[[], None]) -> None:
        """End the contexts, then call `on_done`.

        Both happen on a thread, because ending a context waits for its lingering sockets.
        """

        def terminate_all() -> None:
            for context in self._contexts.values():
                context.term()
            on_done()

        threading.Thread(target=terminate_all, name="zreg-terminate", daemon=True).start()

    def _context(self, link: Link) -> ZmqContext:
        if self._shared_context is not None:
            return self._shared_context
        is_outside = link in OUTSIDE
        if is_outside not in self._contexts:
            # A node that serves clients has thousands of connections to them, a client has one.
            has_many = link is Link.CLIENTS
            count = socket_options.CLIENTS_IO_THREADS if has_many else 1
            self._contexts[is_outside] = socket_options.new_context(count)
        return self._contexts[is_outside]


async def close_and_wait(socket: LinkSocket, loop: asyncio.AbstractEventLoop) -> None:
    """Close a socket, and wait until it has handed over what it has taken: its linger time at most.

    Ending a context of its own would say so too. The monitor of the socket is closed last: libzmq
    would wait for ever if it wrote to a closed one.
    """
    _, descriptor = socket.descriptors()
    if socket.monitor is None or descriptor is None:
        socket.close()
        return
    destroyed = loop.create_future()

    def look() -> None:
        if not destroyed.done() and socket.is_destroyed():
            destroyed.set_result(None)

    loop.add_reader(descriptor, look)
    socket.close_before_monitor()
    # The descriptor only reports what comes from now on.
    look()
    try:
        await destroyed
    finally:
        loop.remove_reader(descriptor)
        socket.monitor.close()


def _bind(socket: BoundSocket, address: str) -> str:
    """Bind and return the real address; an error says what to do."""
    check_address(address, port_min=0)
    if is_ipv6(address):
        socket.zmq_socket.setsockopt(zmq.SocketOption.IPV6, 1)
    try:
        socket.zmq_socket.bind(address)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise UnavailableError(
                f"{address} is already in use: stop the other process or choose another port"
            ) from error
        raise UsageError(why_not_bound(address, OSError(error.errno, error.strerror))) from error
    return socket.zmq_socket.getsockopt_string(zmq.SocketOption.LAST_ENDPOINT)
