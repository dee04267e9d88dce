"""Each pitfall of ZeroMQ that a setting guards against, reproduced on real sockets."""

import asyncio
import os
import select
import socket
import time

import pytest
import zmq
from reactor_fakes import ID, LOOPBACK, FakeCore, Harness, address_of, packed, socket_set_of

from zreg.effects import (
    Connect,
    Link,
    Listen,
    Peer,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.reactor import LinkTable, Reactor
from zreg.reactor.sockets import socket_options
from zreg.reactor.sockets.backlog import BACKLOG_BYTES_MAX, BACKLOG_MESSAGES_MAX, Outcome
from zreg.reactor.sockets.bound.bound_sockets import RouterSocket
from zreg.reactor.sockets.socket_set import SocketSet
from zreg.wire.records.client_messages import Publish
from zreg.wire.records.common_messages import Ping, Pong


def read_all(peer: zmq.Socket[bytes]) -> None:
    while peer.poll(0):
        peer.recv_multipart()


def slow_peer(harness: Harness, address: str) -> zmq.Socket[bytes]:
    """Connect a peer that sends one Ping and then reads nothing; its buffers are small."""
    slow = harness.socket(zmq.DEALER)
    slow.rcvhwm = 1
    slow.rcvbuf = 4096
    slow.connect(address)
    slow.send_multipart(packed(Ping()))
    return slow


async def serve_slow_peer(
    harness: Harness, server: FakeCore
) -> tuple[Reactor, str, zmq.Socket[bytes], Peer]:
    """Serve a slow peer; return the reactor, its address, the peer's socket and routing id."""
    reactor, address = await harness.serve(server, Link.CLIENTS)
    slow = slow_peer(harness, address)
    await harness.wait_until(server.records)
    (peer,) = server.peers()
    return reactor, address, slow, peer


def big(number: int, size: int = 60_000) -> Publish:
    return Publish(number, b"p" * 16, 1, ID, b"b" * size)


# --- what the sockets are set to ---------------------------------------------------------------


def test_the_sockets_are_set_as_the_tables_say(harness: Harness) -> None:
    async def scenario() -> None:
        core = FakeCore(start=[Listen(Link.MEMBERSHIP, b"t")])
        routers = {Link.CLIENTS: LOOPBACK, Link.REQUESTS: LOOPBACK}
        table = LinkTable(
            routers=routers,
            pubs={Link.CHANGES: LOOPBACK},
            dealers=(Link.DATA,),
            subs=(Link.MEMBERSHIP,),
        )
        reactor = await harness.start(core, table)
        inside = reactor.addresses[Link.REQUESTS]
        changes = reactor.addresses[Link.CHANGES]
        connects = [Connect(Link.DATA, "x", inside), Connect(Link.MEMBERSHIP, "y", changes)]
        await harness.act(reactor, core, *connects)
        await harness.wait_until(lambda: len(core.of(PeerUp)) == 2)
        expected = {
            Link.CLIENTS: socket_options.ROUTER_CLIENTS,
            Link.REQUESTS: socket_options.ROUTER_INSIDE,
            Link.CHANGES: socket_options.PUB,
            Link.DATA: socket_options.DEALER_INSIDE,
            Link.MEMBERSHIP: socket_options.SUB,
        }
        link_sockets = {
            link_socket.link: link_socket for link_socket in socket_set_of(reactor).sockets()
        }
        assert link_sockets.keys() == expected.keys()
        write_only = (zmq.SocketOption.ROUTER_MANDATORY, zmq.SocketOption.ROUTER_HANDOVER)
        for link, wanted in expected.items():
            for option, value in wanted.items():
                if option not in write_only:
                    assert link_sockets[link].zmq_socket.getsockopt(option) == value, (link, option)
            monitor = link_sockets[link].monitor
            assert (monitor is None) == (link is Link.CHANGES)
            assert monitor is None or monitor.getsockopt(zmq.RCVHWM) == 0
        contexts = {link: each.zmq_socket.context for link, each in link_sockets.items()}
        assert contexts[Link.CLIENTS] is not contexts[Link.REQUESTS] is contexts[Link.DATA]
        assert contexts[Link.CLIENTS].get(zmq.MAX_SOCKETS) == 16_384

    harness.run(scenario())


def test_the_kernel_probes_the_connections_of_clients_and_libzmq_does_not(
    harness: Harness,
) -> None:
    """A machine that vanished before its client said Hello must not hold a descriptor for ever."""

    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        serving, address = await harness.serve(server, Link.CLIENTS)
        client.starting = [Connect(Link.SESSION, "server", address)]
        dialing = await harness.start(client, LinkTable(dealers=(Link.SESSION,)))
        await harness.wait_until(lambda: client.of(PeerUp))
        await harness.act(dialing, client, Send(Link.SESSION, "server", Ping()))
        await harness.wait_until(server.records)
        (router,) = socket_set_of(serving).routers.values()
        (accepted,) = router.peers.descriptors.values()
        (dealer,) = (each for each in socket_set_of(dialing).sockets() if each is not router)
        with socket.socket(fileno=os.dup(accepted)) as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            tcp = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
            assert [connection.getsockopt(socket.IPPROTO_TCP, each) for each in tcp] == [10, 5, 3]
            timeout = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout == 25_000
        for link_socket in (router, dealer):
            assert link_socket.zmq_socket.getsockopt(zmq.HEARTBEAT_IVL) == 0

    harness.run(scenario())


# --- messages to unknown peers and to peers that do not read ----------------------------------


def test_stale_messages_are_not_delivered_late(harness: Harness) -> None:
    """Messages sent to a lost connection do not wait for the next one."""

    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        serving, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        await harness.stop(serving)
        await harness.lost(client)
        stale = [Send(Link.DATA, "server", big(number, 10)) for number in range(5)]
        await harness.act(dialing, client, *stale)
        again = FakeCore()
        await harness.start(again, LinkTable(routers={Link.REQUESTS: address}))
        await harness.act(dialing, client, *stale, Connect(Link.DATA, "server", address), *stale)
        await harness.wait_until(lambda: len(client.of(PeerUp)) == 2)
        await harness.act(dialing, client, Send(Link.DATA, "server", Pong()))
        await harness.wait_until(again.records)
        assert again.records() == [Pong()]
        assert dialing.statistics()["dropped_absent"] == 15

    harness.run(scenario())


def test_a_message_to_an_unknown_peer_is_reported(harness: Harness) -> None:
    """ROUTER_MANDATORY=1."""

    async def scenario() -> None:
        core = FakeCore(start=[Send(Link.REQUESTS, b"\x00none", Ping())])
        reactor, _ = await harness.serve(core)
        lost = await harness.lost(core)
        assert lost == PeerLost(Link.REQUESTS, b"\x00none", "unreachable")
        assert reactor.statistics()["dropped_gone"] == 1

    harness.run(scenario())


def test_the_backlog_of_a_slow_peer_is_bounded_reported_once_and_counted(harness: Harness) -> None:
    """The bound holds while the peer does not read; then it gets what was not dropped."""

    async def scenario() -> None:
        server = FakeCore()
        reactor, address, slow, peer = await serve_slow_peer(harness, server)
        sent = 0
        while not server.of(PeerSlow):
            await harness.act(reactor, server, Send(Link.CLIENTS, peer, big(sent)))
            sent += 1
            assert sent < 3000
        for _ in range(20):
            await harness.act(reactor, server, Send(Link.CLIENTS, peer, big(sent)))
            sent += 1
        statistics = reactor.statistics()
        assert server.of(PeerSlow) == [PeerSlow(Link.CLIENTS, peer)]
        assert 0 < statistics["backlog_bytes"] <= BACKLOG_BYTES_MAX
        assert statistics["backlog_messages"] <= BACKLOG_MESSAGES_MAX
        waiting = statistics["backlog_messages"] + statistics["dropped_slow"]
        assert statistics["records_out"] + waiting == sent
        harness.raw(zmq.DEALER, address).send_multipart(packed(Pong()))
        await harness.wait_until(lambda: Pong() in server.records())

        def is_drained() -> bool:
            read_all(slow)
            return reactor.statistics()["backlog_messages"] == 0

        await harness.wait_until(is_drained)
        assert reactor.statistics()["records_out"] == sent - statistics["dropped_slow"]
        assert reactor.statistics()["slow_peers"] == 0

    harness.run(scenario())


def test_a_slow_peer_that_dies_is_lost_and_its_backlog_freed(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore()
        reactor, _, slow, peer = await serve_slow_peer(harness, server)
        while not server.of(PeerSlow):
            pushes = [Send(Link.CLIENTS, peer, big(number)) for number in range(16)]
            await harness.act(reactor, server, *pushes)
        slow.close(0)
        assert (await harness.lost(server)).peer == peer
        assert reactor.statistics()["backlog_bytes"] == 0
        assert reactor.statistics()["routed_peers"] == 0

    harness.run(scenario())


# --- unidentified peers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "count"),
    [
        (LinkTable(routers={Link.CLIENTS: "tcp://127.0.0.1:0"}), 4),
        (LinkTable(routers={Link.REQUESTS: "tcp://127.0.0.1:0"}), 1),
        (LinkTable(dealers=(Link.SESSION,)), 1),
    ],
    ids=["clients of a session", "sessions of a data node", "the session of a client"],
)
def test_connections_of_clients_are_shared_among_threads(table: LinkTable, count: int) -> None:
    """A storm of them delays only those on the same thread."""
    links = SocketSet(table)
    try:
        (context,) = links._contexts.values()
        assert context.get(zmq.ContextOption.IO_THREADS) == count
    finally:
        links.close()
        links.terminate(lambda: None)


def test_an_unread_monitor_does_not_block_the_context(harness: Harness) -> None:
    """3,000 connections come while the monitor is not read; then a peer is still served."""
    context = socket_options.new_context()
    link_socket = RouterSocket(context, Link.REQUESTS)
    link_socket.zmq_socket.bind("tcp://127.0.0.1:*")
    address = link_socket.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)
    port = int(address.rpartition(":")[2])
    for _ in range(3000):
        socket.create_connection(("127.0.0.1", port)).close()

    async def scenario() -> None:
        peer = harness.raw(zmq.DEALER, address)
        peer.send_multipart(packed(Ping()))
        await harness.wait_until(link_socket.has_input)
        received = link_socket.receive()
        assert received is not None
        assert link_socket.send(received[0], b"header", b"frame") is Outcome.SENT
        await harness.wait_until(lambda: peer.poll(0))
        # The connections that closed before a handshake are noted only now, and leave nothing.
        link_socket.drain_events()
        assert len(link_socket.peers) == 1

    harness.run(scenario())
    link_socket.close()
    context.term()


def test_a_storm_of_connects_needs_no_syn_retry(harness: Harness) -> None:
    """BACKLOG=4096; with the default of 100 some connects wait 1 s for the kernel's retry."""

    async def scenario() -> None:
        server = FakeCore()
        _, address = await harness.serve(server, Link.CLIENTS)
        port = int(address.rpartition(":")[2])
        started_at = time.monotonic()
        connections = [socket.socket() for _ in range(300)]
        for connection in connections:
            connection.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
            connection.connect_ex(("127.0.0.1", port))
        connected = 0
        while connected < len(connections):
            _, writable, _ = select.select([], connections, [], 1.0)
            connected = len(writable)
        assert time.monotonic() - started_at < 1.0
        for connection in connections:
            connection.close()

    harness.run(scenario())


def test_garbage_instead_of_a_handshake_is_counted_and_harms_no_peer(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server, Link.CLIENTS)
        living = harness.raw(zmq.DEALER, address)
        living.send_multipart(packed(Ping()))
        await harness.wait_until(server.records)
        port = int(address.rpartition(":")[2])
        # A greeting of another mechanism: the handshake fails, it does not merely not happen.
        greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NOSUCH".ljust(20, b"\0") + bytes(32)
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(greeting)
                await asyncio.to_thread(connection.recv, 1 << 16)
        await harness.wait_until(lambda: reactor.statistics()["handshakes_failed"] >= 5)
        living.send_multipart(packed(Pong()))
        await harness.wait_until(lambda: Pong() in server.records())
        assert server.of(PeerLost) == []

    harness.run(scenario())


def test_an_oversized_frame_costs_its_sender_the_connection(harness: Harness) -> None:
    """MAXMSGSIZE; a frame just above the protocol's limit is still answered with a code."""

    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server, Link.CLIENTS)
        peer = harness.raw(zmq.DEALER, address)
        peer.send_multipart(packed(Ping()))
        peer.send_multipart([packed()[0], b"x" * ((1 << 20) + 1)])
        await harness.wait_until(lambda: reactor.statistics().get("bad_6") == 1)
        await harness.wait_until(lambda: peer.poll(0))
        peer.send_multipart([packed()[0], b"x" * (2 << 20)])
        lost = await harness.lost(server)
        assert lost.peer == server.peers()[0]
        assert reactor.statistics()["bad_6"] == 1

    harness.run(scenario())


# --- stopping ------------------------------------------------------------------------------------


def test_stop_takes_less_than_a_second_while_connections_hang(
    harness: Harness, listener: socket.socket
) -> None:
    """LINGER: one connection never comes up, and one peer never reads."""

    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        serving, address = await harness.serve(server)
        slow_peer(harness, address)
        await harness.wait_until(server.records)
        pushes = [Send(Link.REQUESTS, server.peers()[0], big(number)) for number in range(200)]
        await harness.act(serving, server, *pushes)
        client.starting = [Connect(Link.META, "mute", address_of(listener))]
        dialing = await harness.start(client, LinkTable(dealers=(Link.META,)))
        assert await harness.stop(serving) < 0.9
        assert await harness.stop(dialing) < 0.9

    harness.run(scenario())
