"""Small cores, and a harness that runs reactors on one loop for the duration of a test."""

import asyncio
import select
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import zmq

from zreg.effects import Connect, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.model import data_info_id
from zreg.reactor import LinkTable, Reactor, SocketSet
from zreg.reactor.sockets.link_socket import LinkSocket
from zreg.wire.codec import encode_frames
from zreg.wire.envelope import Envelope
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Publish
from zreg.wire.records.common_messages import Accepted, Ping

if TYPE_CHECKING:
    from msgspec import Struct

T = TypeVar("T")
Answer = Callable[[Link, Peer, "Message | Local"], Sequence[Effect]]

LOOPBACK = "tcp://127.0.0.1:0"
CLUSTER = "test"
ID = data_info_id("com.acme.Pay")


async def wait_until(
    condition: Callable[[], object],
    *,
    timeout_seconds: float = 5.0,
    reactors: Sequence[Reactor] = (),
) -> float:
    """Wait for the condition and return the seconds it took; fail with all statistics."""
    started_at = time.monotonic()
    while not condition():
        if time.monotonic() - started_at > timeout_seconds:
            shown = "\n".join(f"{reactor!r}: {reactor.statistics()}" for reactor in reactors)
            raise AssertionError(f"not within {timeout_seconds} s\n{shown}")
        await asyncio.sleep(0.002)
    return time.monotonic() - started_at


class FakeCore:
    """Records what it receives, in order, and answers as the test says."""

    def __init__(
        self, answer: Answer | None = None, *, start: Sequence[Effect] = (), epoch: int = 0
    ) -> None:
        self.answer = answer
        self.epoch = epoch
        self.starting = start
        self.received: list[tuple[Link, Peer, Message | Local]] = []
        self.calls: list[str] = []
        self.settling: list[Effect] = []
        # Called after each effect of a `settle`.
        self.after_effect: Callable[[], None] = lambda: None
        self.tick_at: float | None = None
        self.ticked: Callable[[float], None] = self._forget_tick

    def start(self, now: float) -> Sequence[Effect]:
        return self.starting

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        self.calls.append("receive")
        self.received.append((link, peer, message))
        return [] if self.answer is None else self.answer(link, peer, message)

    def tick(self, now: float) -> Sequence[Effect]:
        self.calls.append("tick")
        self.ticked(now)
        return []

    def settle(self, now: float) -> Iterator[Effect]:
        self.calls.append("settle")
        settling, self.settling = self.settling, []
        for effect in settling:
            yield effect
            self.after_effect()

    def next_tick_at(self) -> float | None:
        return self.tick_at

    def statistics(self) -> dict[str, int | float | str]:
        return {}

    def of(self, kind: type[T]) -> list[T]:
        """Return the messages of one type."""
        return [message for _, _, message in self.received if isinstance(message, kind)]

    def records(self) -> list[Message]:
        """Return the records that came from peers."""
        return self.of(Message)

    def peers(self) -> list[Peer]:
        """Return the senders of the records."""
        return [peer for link, peer, _ in self.received if link is not Link.LOCAL]

    def _forget_tick(self, now: float) -> None:
        self.tick_at = None


class Harness:
    """Starts reactors, acts through their cores, and stops them all."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._tasks: dict[Reactor, asyncio.Task[None]] = {}
        self.events: list[Struct] = []
        self._sockets: list[zmq.Socket[bytes]] = []
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def run(self, scenario: Coroutine[None, None, None]) -> None:
        self._runner.run(scenario)

    async def start(self, core: FakeCore, table: LinkTable) -> Reactor:
        reactor = Reactor(core, CLUSTER, table, on_event=self.events.append)
        return await self.adopt(reactor)

    async def adopt(self, reactor: Reactor) -> Reactor:
        self._tasks[reactor] = asyncio.create_task(reactor.run())
        await self.wait_until(lambda: reactor.statistics().get("turns", 0))
        return reactor

    async def serve(self, core: FakeCore, link: Link = Link.REQUESTS) -> tuple[Reactor, str]:
        """Start a reactor with one ROUTER; return it and its address."""
        reactor = await self.start(core, LinkTable(routers={link: LOOPBACK}))
        return reactor, reactor.addresses[link]

    async def dial(self, core: FakeCore, address: str, link: Link = Link.DATA) -> Reactor:
        """Start a reactor with one DEALER, connected under the name `server`."""
        core.starting = [*core.starting, Connect(link, "server", address)]
        reactor = await self.start(core, LinkTable(dealers=(link,)))
        await self.wait_until(lambda: PeerUp(link, "server") in core.of(PeerUp))
        return reactor

    async def act(self, reactor: Reactor, core: FakeCore, *effects: Effect) -> None:
        """Have a core ask for these effects in one turn."""
        core.settling.extend(effects)
        reactor.post(Local())
        await self.wait_until(lambda: not core.settling)

    async def lost(self, core: FakeCore, timeout_seconds: float = 5.0) -> PeerLost:
        """Wait for the first PeerLost and return it."""
        await self.wait_until(lambda: core.of(PeerLost), timeout_seconds=timeout_seconds)
        return core.of(PeerLost)[0]

    async def wait_until(
        self, condition: Callable[[], object], *, timeout_seconds: float = 5.0
    ) -> float:
        return await wait_until(
            condition, timeout_seconds=timeout_seconds, reactors=list(self._tasks)
        )

    async def stop(self, reactor: Reactor) -> float:
        """Stop one and return the seconds it took."""
        started_at = time.monotonic()
        reactor.stop()
        await self._tasks.pop(reactor)
        return time.monotonic() - started_at

    async def close(self) -> None:
        for reactor in list(self._tasks):
            await self.stop(reactor)
        for plain in self._sockets:
            plain.close(0)
        self.context.term()

    def raw(self, kind: int, address: str) -> zmq.Socket[bytes]:
        """Return a plain connected socket, for messages that no core would send."""
        socket = self.socket(kind)
        socket.connect(address)
        return socket

    async def greet(self, core: FakeCore, address: str) -> zmq.Socket[bytes]:
        """Connect a plain peer whose Ping the core has received."""
        peer = self.raw(zmq.DEALER, address)
        peer.send_multipart(packed(Ping()))
        await self.wait_until(core.records)
        return peer

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        """Return a plain socket, closed after the test."""
        socket: zmq.Socket[bytes] = self.context.socket(kind)
        socket.linger = 0
        self._sockets.append(socket)
        return socket


def socket_set_of(reactor: Reactor) -> SocketSet:
    return reactor._socket_set


def socket_of(reactor: Reactor) -> LinkSocket:
    """Return the only socket of a reactor."""
    (socket,) = socket_set_of(reactor).sockets()
    return socket


def wait_for_descriptors(reactor: Reactor) -> None:
    """Block the loop until the socket and its monitor are readable: one turn finds both."""
    link_socket = socket_of(reactor)
    assert link_socket.monitor is not None
    for one in (link_socket.zmq_socket, link_socket.monitor):
        assert select.select([one.FD], [], [], 5.0)[0]


def packed(*records: Message, epoch: int = 0, cluster: str = CLUSTER) -> list[bytes]:
    """Return header and frame as a peer would send them."""
    return [Envelope(cluster).header(epoch), *encode_frames(records)]


def publish(request_id: int, body: bytes = b"10.0.0.7:12200") -> Publish:
    return Publish(request_id, b"p" * 16, 1, ID, body)


def accept(link: Link, peer: Peer, message: Message | Local) -> Sequence[Effect]:
    """Accept every publish, as a server does."""
    return (
        [Send(link, peer, Accepted((message.request_id,)))] if isinstance(message, Publish) else []
    )


def address_of(listener: socket.socket) -> str:
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}"
