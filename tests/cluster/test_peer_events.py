"""Connections that fail or end: which core is told, and how soon."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import zmq
from reactor_fakes import (
    LOOPBACK,
    FakeCore,
    Harness,
    address_of,
    packed,
    socket_of,
    wait_for_descriptors,
)

from zreg.effects import (
    UNREACHABLE,
    Connect,
    Link,
    Local,
    PeerHeard,
    PeerLost,
    Send,
)
from zreg.reactor import LinkTable, Reactor
from zreg.wire.records.common_messages import Ping, Pong

if TYPE_CHECKING:
    from zreg.wire.messages import Message

PEER_PROGRAM = """
import sys, zmq
context = zmq.Context()
peer = context.socket(zmq.DEALER)
peer.connect(sys.argv[1])
peer.send_multipart([bytes.fromhex(part) for part in sys.argv[2:]])
print("sent", flush=True)
sys.stdin.read()
"""


def is_readable(listener: socket.socket, seconds: float) -> bool:
    return bool(select.select([listener], [], [], seconds)[0])


def start_peer(address: str) -> subprocess.Popen[str]:
    """Start a process that sends one Ping and then stays."""
    frames = [part.hex() for part in packed(Ping())]
    process = subprocess.Popen(
        [sys.executable, "-c", PEER_PROGRAM, address, *frames],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    return process


@asynccontextmanager
async def running_peer(harness: Harness, server: FakeCore) -> AsyncIterator[subprocess.Popen[str]]:
    """Run a peer process whose Ping the server has received; it is killed in the end."""
    _, address = await harness.serve(server)
    process = await asyncio.to_thread(start_peer, address)
    try:
        await harness.wait_until(server.records)
        yield process
    finally:
        process.kill()
        process.communicate()


def has_received(core: FakeCore, count: int) -> Callable[[], bool]:
    return lambda: len(core.records()) == count


def test_a_connect_without_a_route_is_unreachable_and_not_refused(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zreg.reactor.sockets.peer_connections.find_local_host", lambda _: "")

    async def scenario() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            core = FakeCore(start=[Connect(Link.META, "gone", address_of(listener))])
            await harness.start(core, LinkTable(dealers=(Link.META,)))
            await harness.wait_until(lambda: core.of(PeerLost))
            assert core.of(PeerLost) == [PeerLost(Link.META, "gone", UNREACHABLE)]

    harness.run(scenario())


@pytest.mark.parametrize("kind", ["dealer", "sub"])
def test_a_refused_connect_is_lost_at_once_and_never_tried_again(
    harness: Harness, kind: str
) -> None:
    """RECONNECT_IVL: the core decides when to try again, not libzmq."""

    async def scenario() -> None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", 0))
            core = FakeCore(start=[Connect(Link.META, "gone", address_of(listener))])
            links = (Link.META,)
            is_dealer = kind == "dealer"
            table = LinkTable(dealers=links) if is_dealer else LinkTable(subs=links)
            reactor = await harness.start(core, table)
            assert await harness.wait_until(lambda: core.of(PeerLost)) < 1.0
            assert core.of(PeerLost) == [PeerLost(Link.META, "gone", "refused")]
            assert reactor.statistics()["connections"] == 0
            listener.listen(1)
            assert not await asyncio.to_thread(is_readable, listener, 0.5)

    harness.run(scenario())


def test_a_connection_that_was_cut_is_not_made_again(
    harness: Harness, listener: socket.socket
) -> None:
    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.META, "server", address_of(listener))])
        await harness.start(core, LinkTable(dealers=(Link.META,)))
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.close()
        lost = await harness.lost(core)
        assert lost.peer == "server"
        assert not await asyncio.to_thread(is_readable, listener, 0.5)

    harness.run(scenario())


def test_a_server_that_sends_no_handshake_is_given_up(
    harness: Harness, listener: socket.socket
) -> None:
    """HANDSHAKE_IVL=3000."""

    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.META, "mute", address_of(listener))])
        await harness.start(core, LinkTable(dealers=(Link.META,)))
        assert (await harness.lost(core)).reason == "handshake failed"

    harness.run(scenario())


def test_a_server_that_does_not_answer_the_connect_is_given_up(harness: Harness) -> None:
    """CONNECT_TIMEOUT=2000: a full accept queue drops the SYN, as a cut cable does."""

    async def scenario() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
                filler.connect_ex(listener.getsockname())
            core = FakeCore(start=[Connect(Link.META, "hole", address_of(listener))])
            await harness.start(core, LinkTable(dealers=(Link.META,)))
            await harness.lost(core)
            for filler in fillers:
                filler.close()

    harness.run(scenario())


def test_a_connection_without_any_event_is_given_up(
    harness: Harness, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host name that does not resolve makes no event in libzmq 4.3.5."""
    monkeypatch.setattr("zreg.reactor.peer_events.CONNECT_SECONDS_MAX", 0.1)

    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.META, "quiet", address_of(listener))])
        reactor = await harness.start(core, LinkTable(dealers=(Link.META,)))
        assert (await harness.lost(core)).reason == "timed out"
        assert reactor.statistics()["connections"] == 0

    harness.run(scenario())


def test_a_peer_that_closes_is_lost_within_a_second(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server)
        peer = await harness.greet(server, address)
        peer.close(0)
        took = await harness.wait_until(lambda: server.of(PeerLost))
        assert took < 1.0
        assert server.of(PeerLost) == [PeerLost(Link.REQUESTS, server.peers()[0], "closed")]
        assert reactor.statistics()["routed_peers"] == 0

    harness.run(scenario())


def test_a_peer_that_was_never_read_before_it_closed_is_lost_too(harness: Harness) -> None:
    """Its descriptor was closed while its first message still waited to be read."""

    async def scenario() -> None:
        server = FakeCore()
        reactor = Reactor(server, "test", LinkTable(routers={Link.REQUESTS: LOOPBACK}))
        peer = harness.raw(zmq.DEALER, reactor.addresses[Link.REQUESTS])
        peer.send_multipart(packed(Ping()))
        link_socket = socket_of(reactor)
        await harness.wait_until(link_socket.has_input)
        peer.close(0)
        assert link_socket.monitor is not None
        await harness.adopt(reactor)
        lost = await harness.lost(server)
        assert server.records() == [Ping()]
        assert lost.peer == server.peers()[0]

    harness.run(scenario())


def test_a_killed_peer_is_lost_within_a_second(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore()
        async with running_peer(harness, server) as process:
            process.kill()
            assert await harness.wait_until(lambda: server.of(PeerLost)) < 1.0

    harness.run(scenario())


def test_a_frozen_peer_is_lost_by_heartbeats(harness: Harness) -> None:
    """Nothing closes the connection of a stopped process: only HEARTBEAT_IVL notices."""

    async def scenario() -> None:
        server = FakeCore()
        async with running_peer(harness, server) as process:
            os.kill(process.pid, signal.SIGSTOP)
            took = await harness.wait_until(lambda: server.of(PeerLost), timeout_seconds=8)
            assert took > 1.0

    harness.run(scenario())


@pytest.mark.parametrize("_", range(5))
def test_a_client_learns_within_a_second_that_the_server_closed(harness: Harness, _: int) -> None:
    """The server's last message is read before the core is told; repeated, as this is a race."""

    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        serving, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        await harness.act(dialing, client, Send(Link.DATA, "server", Ping()))
        await harness.wait_until(server.records)
        server.settling.append(Send(Link.REQUESTS, server.peers()[0], Pong()))
        await harness.stop(serving)
        assert await harness.wait_until(lambda: client.of(PeerLost)) < 1.0
        expected: list[Message | Local] = [Pong(), PeerLost(Link.DATA, "server", "closed")]
        assert [message for _, _, message in client.received[-2:]] == expected
        assert dialing.statistics()["connections"] == 0

    harness.run(scenario())


def test_all_messages_of_a_client_are_read_before_it_is_lost(harness: Harness) -> None:
    """A turn that reads one message and leaves the rest must not report PeerLost."""

    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server)
        peer = await harness.greet(server, address)
        for _ in range(20):
            peer.send_multipart(packed(Ping()))
        peer.close(1000)
        wait_for_descriptors(reactor)
        await harness.lost(server)
        told = [type(message) for _, _, message in server.received]
        assert told == [Ping] * 21 + [PeerLost]

    harness.run(scenario())


def test_all_messages_of_a_server_are_read_before_it_is_lost(harness: Harness) -> None:
    async def scenario() -> None:
        server, client = harness.socket(zmq.ROUTER), FakeCore()
        server.bind("tcp://127.0.0.1:*")
        dialing = await harness.dial(client, server.getsockopt_string(zmq.LAST_ENDPOINT))
        await harness.act(dialing, client, Send(Link.DATA, "server", Ping()))
        await harness.wait_until(lambda: server.poll(0))
        routing_id, *_ = server.recv_multipart()
        for _ in range(20):
            server.send_multipart([routing_id, *packed(Pong())])
        server.close(1000)
        wait_for_descriptors(dialing)
        await harness.lost(client)
        told = [type(message) for _, _, message in client.received]
        assert told[-21:] == [Pong] * 20 + [PeerLost]

    harness.run(scenario())


def test_many_clients_closed_at_once_are_all_lost_within_a_second(harness: Harness) -> None:
    """New connections reuse descriptors: no former peer of a descriptor may be missed."""

    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server, Link.CLIENTS)
        for round_number in (1, 2):
            peers = [harness.raw(zmq.DEALER, address) for _ in range(200)]
            for peer in peers:
                peer.send_multipart(packed(Ping()))
            await harness.wait_until(has_received(server, 200 * round_number))
            for peer in peers:
                peer.close(0)
        took = await harness.wait_until(lambda: len(server.of(PeerLost)) == 400)
        assert took < 1.0
        assert reactor.statistics()["routed_peers"] == 0

    harness.run(scenario())


def test_a_client_is_heard_with_its_host_once_and_before_its_first_message(
    harness: Harness,
) -> None:
    async def scenario() -> None:
        session, data_node = FakeCore(), FakeCore()
        _, address = await harness.serve(session, Link.CLIENTS)
        peer = await harness.greet(session, address)
        peer.send_multipart(packed(Ping()))
        await harness.wait_until(has_received(session, 2))
        _, address = await harness.serve(data_node)
        await harness.greet(data_node, address)

        first, second, third = session.received
        assert first[2] == PeerHeard(Link.CLIENTS, second[1], "127.0.0.1")
        assert (second[2], third[2]) == (Ping(), Ping())
        assert data_node.of(PeerHeard) == []

    harness.run(scenario())
