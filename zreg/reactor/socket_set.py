"""The doors of a reactor: links that bind, with one socket for all, and links that connect.

Binding happens here, before the core is built, so that a node knows the address it tells others.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import zmq

from zreg.effects import Link, Peer
from zreg.errors import UnavailableError, UsageError
from zreg.reactor import socket_options
from zreg.reactor.link_table import OUTSIDE, LinkTable, check_address, is_ipv6
from zreg.reactor.links import (
    TERMINATE_SECONDS_MAX,
    Channel,
    DealerChannel,
    DialChannel,
    PubChannel,
    RouterChannel,
    SocketContext,
    SubChannel,
)
from zreg.reactor.raft_links import AnswerChannel, AskChannel


class BoundDoor:
    """A link that binds: a ROUTER, a REP or a PUB, one channel for all."""

    def __init__(self, bound: Channel, address: str) -> None:
        self.link = bound.link
        self._bound = bound
        self.address = _bind(bound, address)

    def channel(self, peer: Peer) -> Channel | None:  # noqa: ARG002 -- one channel for all
        """Return the one channel."""
        return self._bound

    def channels(self) -> list[Channel]:
        """Return the one channel."""
        return [self._bound]


class DialDoor:
    """A link that connects: a channel per peer name, DEALERs, REQs or SUBs."""

    def __init__(
        self,
        link: Link,
        context: SocketContext,
        new_channel: Callable[[SocketContext, Link, str], DialChannel],
    ) -> None:
        self.link = link
        self._context = context
        self._new_channel = new_channel
        self._by_name: dict[Peer, DialChannel] = {}
        # In order of first use, for SUBs of the future.
        self._topics: dict[bytes, None] = {}

    def channel(self, peer: Peer) -> DialChannel | None:
        """Return the channel of a peer whose connection stands."""
        channel = self._by_name.get(peer)
        return channel if channel is not None and channel.is_up else None

    def find(self, peer: Peer) -> DialChannel | None:
        """Return the channel of a peer, also while it is connecting."""
        return self._by_name.get(peer)

    def channels(self) -> list[Channel]:
        """Return all channels."""
        return list(self._by_name.values())

    def open(self, peer: str, address: str) -> DialChannel:
        """Start a connection; `UsageError` if the address can never work."""
        check_address(address, port_min=1)
        channel = self._new_channel(self._context, self.link, peer)
        try:
            for topic in self._topics:
                channel.socket.setsockopt(zmq.SocketOption.SUBSCRIBE, topic)
            channel.connect(address)
        except zmq.ZMQError as error:
            channel.close(0)
            raise UnavailableError(f"{address} cannot be connected to: {error.strerror}") from error
        self._by_name[peer] = channel
        return channel

    def remove(self, peer: Peer) -> None:
        """Forget a channel; the caller closes it."""
        self._by_name.pop(peer, None)

    def listen(self, topic: bytes) -> None:
        """Subscribe all channels, present and future."""
        if topic not in self._topics:
            self._topics[topic] = None
            for channel in self._by_name.values():
                channel.socket.setsockopt(zmq.SocketOption.SUBSCRIBE, topic)

    def unlisten(self, topic: bytes) -> None:
        """Unsubscribe all channels."""
        if self._topics.pop(topic, self) is None:
            for channel in self._by_name.values():
                channel.socket.setsockopt(zmq.SocketOption.UNSUBSCRIBE, topic)


class SocketSet:
    """The open links of one reactor. Binding happens here, so that addresses are known early."""

    def __init__(self, table: LinkTable) -> None:
        self._contexts: dict[bool, SocketContext] = {}
        self.routers: dict[int, RouterChannel] = {}
        self.bound: dict[int, BoundDoor] = {}
        self.dealers: dict[int, DialDoor] = {}
        self.subs: dict[int, DialDoor] = {}
        self.pubs: dict[int, BoundDoor] = {}
        self.pub_channels: dict[int, PubChannel] = {}
        self.answers: list[AnswerChannel] = []
        self.addresses: dict[Link, str] = {}
        self.checks = table.checks
        try:
            self._open(table)
        except BaseException:
            self.close()
            self.terminate(lambda: None)
            raise

    def _open(self, table: LinkTable) -> None:
        for link in table.dealers:
            self.dealers[id(link)] = DialDoor(link, self._context(link), DealerChannel)
        for link in table.asks:
            self.dealers[id(link)] = DialDoor(link, self._context(link), AskChannel)
        for link in table.subs:
            self.subs[id(link)] = DialDoor(link, self._context(link), SubChannel)
        for link, address in table.routers.items():
            router = RouterChannel(self._context(link), link)
            self.routers[id(link)] = router
            self.bound[id(link)] = self._bound(router, address)
        for link, address in table.answers.items():
            answer = AnswerChannel(self._context(link), link)
            self.answers.append(answer)
            self.bound[id(link)] = self._bound(answer, address)
        for link, address in table.pubs.items():
            pub = PubChannel(self._context(link), link)
            self.pub_channels[id(link)] = pub
            self.pubs[id(link)] = self._bound(pub, address)

    def _bound(self, channel: Channel, address: str) -> BoundDoor:
        try:
            door = BoundDoor(channel, address)
        except BaseException:
            channel.close(0)
            raise
        self.addresses[channel.link] = door.address
        return door

    def sending(self) -> dict[int, BoundDoor | DialDoor]:
        """Return the doors of links that send to one peer at a time."""
        return {**self.bound, **self.dealers}

    def all(self) -> list[BoundDoor | DialDoor]:
        """Return all doors."""
        return [
            *self.bound.values(),
            *self.pubs.values(),
            *self.dealers.values(),
            *self.subs.values(),
        ]

    def channels(self) -> list[Channel]:
        """Return all channels."""
        return [channel for door in self.all() for channel in door.channels()]

    def close(self) -> None:
        """Close all sockets; what was handed to them leaves within the linger time."""
        for channel in self.channels():
            channel.close()

    async def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close all sockets, and wait until what was handed to them has left, or a second."""
        self.close()
        ended = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        self.terminate(tell)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), TERMINATE_SECONDS_MAX)

    def terminate(self, done: Callable[[], None]) -> None:
        """End the contexts on a thread, as that waits for lingering sockets; then call `done`."""

        def end() -> None:
            for context in self._contexts.values():
                context.term()
            done()

        threading.Thread(target=end, name="zreg-terminate", daemon=True).start()

    def _context(self, link: Link) -> SocketContext:
        is_outside = link in OUTSIDE
        if is_outside not in self._contexts:
            self._contexts[is_outside] = socket_options.new_context()
        return self._contexts[is_outside]


def _bind(channel: Channel, address: str) -> str:
    """Bind and return the real address, with errors for people."""
    check_address(address, port_min=0)
    if is_ipv6(address):
        channel.socket.setsockopt(zmq.SocketOption.IPV6, 1)
    try:
        channel.socket.bind(address)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise UnavailableError(
                f"{address} is already in use: stop the other process or choose another port"
            ) from error
        raise UsageError(
            f"{address} is no address of this machine ({error.strerror}): choose one of its own, "
            "or tcp://127.0.0.1:PORT"
        ) from error
    return channel.socket.getsockopt_string(zmq.SocketOption.LAST_ENDPOINT)
