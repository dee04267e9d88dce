"""One core on real sockets: a turn's records arrive in order and as one message."""

import itertools
import logging
import select
import socket
from collections.abc import Sequence

import pytest
import zmq
from reactor_fakes import (
    CLUSTER,
    LOOPBACK,
    FakeCore,
    Harness,
    accept,
    packed,
    publish,
    socket_of,
    socket_set_of,
)

from zreg.effects import (
    BEAT_TOPIC,
    Broadcast,
    Connect,
    Disconnect,
    Effect,
    Emit,
    Flush,
    Link,
    Listen,
    Local,
    Log,
    Peer,
    PeerLost,
    PeerUp,
    Probe,
    Send,
    Stop,
    Unlisten,
)
from zreg.errors import (
    UnavailableError,
    UsageError,
)
from zreg.reactor import LinkTable, Reactor, SocketSet, turn
from zreg.reactor.turn import RECORDS_MAX
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Bye, WhoAreYou
from zreg.wire.records.common_messages import Accepted, Ping, Pong


def test_a_request_is_answered(harness: Harness) -> None:
    """The address is real before the core starts; PeerUp comes before anything else."""

    async def scenario() -> None:
        server, client = FakeCore(accept), FakeCore()
        reactor, address = await harness.serve(server)
        assert not address.endswith(":0")
        dialing = await harness.dial(client, address)
        await harness.act(dialing, client, Send(Link.DATA, "server", publish(1)))
        await harness.wait_until(lambda: client.records() == [Accepted((1,))])
        assert client.received[0][2] == PeerUp(Link.DATA, "server")
        assert server.records() == [publish(1)]
        assert server.peers()[0] in socket_of(reactor).peers.descriptors  # type: ignore[attr-defined]

    harness.run(scenario())


def test_a_flush_sends_what_came_before_it_at_once(harness: Harness) -> None:
    """Peers need not wait for the core's work after it; later sends leave with the turn."""

    async def scenario() -> None:
        server, client = FakeCore(accept), FakeCore()
        _, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        counts: list[int] = []
        client.after_effect = lambda: counts.append(dialing.statistics().get("messages_out", 0))
        one, two, three = (Send(Link.DATA, "server", publish(number)) for number in (1, 2, 3))
        await harness.act(dialing, client, one, two, Flush(), three)
        await harness.wait_until(lambda: len(client.records()) == 3)
        assert counts == [0, 0, 1, 1]
        assert server.records() == [publish(1), publish(2), publish(3)]
        assert dialing.statistics()["messages_out"] == 2

    harness.run(scenario())


def test_the_records_of_one_turn_for_a_peer_leave_as_one_message(harness: Harness) -> None:
    async def scenario() -> None:
        server, client = FakeCore(accept), FakeCore()
        serving, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        records = [publish(number) for number in range(100)]
        await harness.act(dialing, client, *(Send(Link.DATA, "server", r) for r in records))
        await harness.wait_until(lambda: len(client.records()) == 100)
        assert server.records() == records
        assert serving.statistics()["messages_in"] == 1
        assert dialing.statistics()["messages_in"] == 1
        assert dialing.statistics()["records_in"] == 100

    harness.run(scenario())


@pytest.mark.parametrize(
    ("count", "body_bytes", "messages_min"),
    [(2500, 10, 3), (40, 60_000, 3)],
    ids=["count", "bytes"],
)
def test_a_large_turn_is_split_at_the_limits(
    harness: Harness, count: int, body_bytes: int, messages_min: int
) -> None:
    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        serving, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        records = [publish(number, b"b" * body_bytes) for number in range(count)]
        await harness.act(dialing, client, *(Send(Link.DATA, "server", r) for r in records))
        await harness.wait_until(lambda: len(server.records()) == count)
        assert server.records() == records
        assert serving.statistics()["messages_in"] >= messages_min
        assert dialing.statistics()["records_out"] == count

    harness.run(scenario())


def test_ten_thousand_messages_ping_pong_without_a_lost_wake_up(harness: Harness) -> None:
    """The descriptors are edge-triggered: one lost wake-up would stop the exchange for good."""

    def pong(link: Link, peer: Peer, message: Message | Local) -> Sequence[Effect]:
        return [Send(link, peer, Pong())] if isinstance(message, Ping) else []

    def ping(link: Link, peer: Peer, message: Message | Local) -> Sequence[Effect]:
        return [Send(link, peer, Ping())] if isinstance(message, Pong) else []

    async def scenario() -> None:
        server, client = FakeCore(pong), FakeCore(ping)
        serving, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        await harness.act(dialing, client, Send(Link.DATA, "server", Ping()))
        await harness.wait_until(
            lambda: serving.statistics().get("messages_in", 0) >= 10_000, timeout_seconds=30
        )

    harness.run(scenario())


def test_a_burst_of_single_messages_is_read_to_its_end(harness: Harness) -> None:
    """There is more than the reactor reads in one turn, and the rest makes no wake-up."""

    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server)
        socket = harness.raw(zmq.DEALER, address)
        for number in range(2000):
            socket.send_multipart(packed(publish(number)))
        await harness.wait_until(lambda: len(server.records()) == 2000)
        assert server.records() == [publish(number) for number in range(2000)]
        assert reactor.statistics()["messages_in"] == 2000

    harness.run(scenario())


def test_the_input_of_several_sockets_at_once_is_read_in_one_turn(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore(accept)
        links = (Link.REQUESTS, Link.NODES)
        reactor = await harness.start(server, LinkTable(routers=dict.fromkeys(links, LOOPBACK)))
        peers = [harness.raw(zmq.DEALER, reactor.addresses[link]) for link in links]
        for number, peer in enumerate(peers):
            peer.send_multipart(packed(publish(number)))
        await harness.wait_until(lambda: all(peer.poll(0) for peer in peers))
        turns = reactor.statistics()["turns"]
        for number, peer in enumerate(peers):
            peer.send_multipart(packed(publish(10 + number)))
        # The loop is blocked until both descriptors are readable. Reading EVENTS would reset them.
        for link_socket in socket_set_of(reactor).sockets():
            assert select.select([link_socket.zmq_socket.FD], [], [], 5.0)[0]
        await harness.wait_until(lambda: len(server.records()) == 4)
        assert server.records()[2:] == [publish(10), publish(11)]
        assert reactor.statistics()["turns"] == turns + 1

    harness.run(scenario())


@pytest.mark.parametrize("count", [1, 2, RECORDS_MAX, RECORDS_MAX + 1, 2 * RECORDS_MAX])
def test_all_waiting_messages_are_read(harness: Harness, count: int) -> None:
    """They make one wake-up: the turn looks again by itself, after one message and at its bound."""

    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server)
        peer = harness.raw(zmq.DEALER, address)
        peer.send_multipart(packed(publish(0)))
        await harness.wait_until(server.records)
        for number in range(1, count + 1):
            peer.send_multipart(packed(publish(number)))
        # The loop has not run since the sends, so no turn came in between.
        assert select.select([socket_of(reactor).zmq_socket.FD], [], [], 5.0)[0]
        await harness.wait_until(lambda: len(server.records()) == count + 1)
        assert server.records() == [publish(number) for number in range(count + 1)]

    harness.run(scenario())


def calls_of_turns(core: FakeCore) -> list[int]:
    """Return how many records each turn took that took any."""
    counts = [0]
    for call in core.calls:
        if call == "receive":
            counts[-1] += 1
        elif call == "settle" and counts[-1]:
            counts.append(0)
    return counts[:-1]


async def burst(
    harness: Harness, server: FakeCore, message_count: int, record_count: int
) -> list[int]:
    """Send many messages at once; return how many records each turn took."""
    reactor, address = await harness.serve(server)
    peer = await harness.greet(server, address)
    # The turn looks for more messages of a socket that had several at once before.
    socket_of(reactor).is_busy = True
    server.calls.clear()
    for number in range(message_count):
        peer.send_multipart(packed(*[publish(number)] * record_count))
    assert select.select([socket_of(reactor).zmq_socket.FD], [], [], 5.0)[0]
    all_count = 1 + message_count * record_count
    await harness.wait_until(lambda: len(server.records()) == all_count)
    return calls_of_turns(server)


@pytest.mark.parametrize("record_count", [1, 100, 600])
def test_a_turn_is_bounded_in_records_and_not_in_messages(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, record_count: int
) -> None:
    """A message of 600 records is not cut: the codec bounds it."""
    monkeypatch.setattr(turn, "READ_SECONDS_MAX", 60.0)

    async def scenario() -> None:
        turns = await burst(harness, FakeCore(), 3 * RECORDS_MAX // record_count, record_count)

        assert max(turns) < RECORDS_MAX + record_count
        assert len(turns) > 1

    harness.run(scenario())


def test_a_turn_is_bounded_in_time(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some records cost a core more than others."""
    monkeypatch.setattr(turn, "READ_SECONDS_MAX", 0.0)

    async def scenario() -> None:
        assert max(await burst(harness, FakeCore(), 50, 1)) == 2

    harness.run(scenario())


def test_a_peer_has_its_turn_although_another_pours_in_more_than_a_turn_takes(
    harness: Harness,
) -> None:
    async def scenario() -> None:
        server = FakeCore(accept)
        reactor, address = await harness.serve(server)
        crowd, bystander = (harness.raw(zmq.DEALER, address) for _ in range(2))
        for peer in (crowd, bystander):
            peer.send_multipart(packed(publish(0)))
        await harness.wait_until(lambda: len(server.records()) == 2)
        for number in range(20):
            crowd.send_multipart(packed(*[publish(number)] * 500))
        assert select.select([socket_of(reactor).zmq_socket.FD], [], [], 5.0)[0]
        bystander.send_multipart(packed(publish(99)))
        await harness.wait_until(lambda: len(server.records()) == 3 + 20 * 500)

        before = server.records().index(publish(99)) // 500
        assert before < 19, "it was read before the last messages of the other"

    harness.run(scenario())


def test_one_message_costs_one_look_and_many_are_read_in_one_turn(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look costs as much as a message, so the turn looks for a second one only in a burst."""

    async def scenario() -> None:
        server = FakeCore(accept)
        reactor, address = await harness.serve(server)
        peer, link_socket = harness.raw(zmq.DEALER, address), socket_of(reactor)

        async def looks_for(first: int, count: int) -> list[bool]:
            looks: list[bool] = []
            has_input = type(link_socket).has_input
            monkeypatch.setattr(
                link_socket, "has_input", lambda: looks.append(has_input(link_socket)) or looks[-1]
            )
            for number in range(first, first + count):
                peer.send_multipart(packed(publish(number)))
            assert select.select([link_socket.zmq_socket.FD], [], [], 5.0)[0]
            await harness.wait_until(lambda: len(server.records()) == first + count)
            return looks

        assert await looks_for(0, 1) == [False]
        assert await looks_for(1, 1) == [False]
        assert True in await looks_for(2, 500)
        # After the burst it looks for a second message once more, and finds none.
        assert not any(await looks_for(502, 1))
        assert await looks_for(503, 1) == [False]

    harness.run(scenario())


def test_hints_reach_the_subscribers_of_their_topic_and_name_their_sender(harness: Harness) -> None:
    """A topic applies to present and future connections, until Unlisten."""

    async def scenario() -> None:
        pubs = [FakeCore(), FakeCore()]
        table = LinkTable(pubs={Link.CHANGES: LOOPBACK})
        reactors = [await harness.start(core, table) for core in pubs]
        addresses = [reactor.addresses[Link.CHANGES] for reactor in reactors]
        sub = FakeCore(start=[Connect(Link.CHANGES, "one", addresses[0])])
        listening = await harness.start(sub, LinkTable(subs=(Link.CHANGES,)))
        await harness.act(
            listening,
            sub,
            Listen(Link.CHANGES, BEAT_TOPIC),
            Listen(Link.CHANGES, b"\x00\x01"),
            Connect(Link.CHANGES, "two", addresses[1]),
        )
        await harness.wait_until(lambda: len(sub.of(PeerUp)) == 2)

        async def heard_from(name: str, topic: bytes, message: Message) -> None:
            """Repeat the hint until the subscription has arrived."""
            index = ("one", "two").index(name)

            async def hint() -> None:
                await harness.act(
                    reactors[index],
                    pubs[index],
                    Broadcast(Link.CHANGES, b"\x00\x02", WhoAreYou()),
                    Broadcast(Link.CHANGES, topic, message),
                )

            for _ in range(100):
                await hint()
                if (Link.CHANGES, name, message) in sub.received:
                    return
            await harness.wait_until(lambda: (Link.CHANGES, name, message) in sub.received)

        await heard_from("one", BEAT_TOPIC, Ping())
        await heard_from("two", b"\x00\x01", Pong())
        assert WhoAreYou() not in sub.records()
        await harness.act(listening, sub, Unlisten(Link.CHANGES, BEAT_TOPIC))
        await heard_from("one", b"\x00\x01", Bye())

    harness.run(scenario())


def test_disconnect_sends_what_came_before_it_and_reports_nothing(harness: Harness) -> None:
    """The server receives the goodbye and then PeerLost; the client's core is told nothing."""

    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        _, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        bye = [Send(Link.DATA, "server", Bye()), Disconnect(Link.DATA, "server")]
        await harness.act(dialing, client, *bye, Send(Link.DATA, "server", Ping()))
        lost = await harness.lost(server)
        assert server.received[-2:] == [
            (Link.REQUESTS, lost.peer, Bye()),
            (Link.LOCAL, "", PeerLost(Link.REQUESTS, lost.peer, "closed")),
        ]
        assert client.of(PeerLost) == []
        assert dialing.statistics()["dropped_absent"] == 1
        assert dialing.statistics()["connections"] == 0

    harness.run(scenario())


def test_connecting_again_under_a_name_replaces_the_connection(harness: Harness) -> None:
    async def scenario() -> None:
        servers = [FakeCore(), FakeCore()]
        addresses = [(await harness.serve(core))[1] for core in servers]
        client = FakeCore()
        dialing = await harness.dial(client, addresses[0])
        await harness.act(dialing, client, Connect(Link.DATA, "server", addresses[1]))
        await harness.wait_until(lambda: len(client.of(PeerUp)) == 2)
        await harness.act(dialing, client, Send(Link.DATA, "server", Ping()))
        await harness.wait_until(lambda: servers[1].records() == [Ping()])
        assert (servers[0].records(), client.of(PeerLost)) == ([], [])

    harness.run(scenario())


def test_records_sent_before_the_connection_is_up_are_dropped_and_counted(
    harness: Harness,
) -> None:
    async def scenario() -> None:
        client = FakeCore()
        # It never greets, so the connection does not come up, however slow this process is.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client.starting = [
                Send(Link.DATA, "unknown", Ping()),
                Connect(Link.DATA, "server", f"tcp://127.0.0.1:{silent.getsockname()[1]}"),
                Send(Link.DATA, "server", Ping()),
            ]
            reactor = await harness.start(client, LinkTable(dealers=(Link.DATA,)))
            await harness.wait_until(lambda: reactor.statistics().get("dropped_absent") == 2)
            assert not client.of(PeerUp)

    harness.run(scenario())


def test_a_due_tick_comes_after_the_input_and_settle_ends_the_turn(harness: Harness) -> None:
    async def scenario() -> None:
        core = FakeCore()
        reactor, address = await harness.serve(core)
        socket = harness.raw(zmq.DEALER, address)
        socket.send_multipart(packed(Ping()))
        await harness.wait_until(core.records)
        core.calls.clear()
        core.tick_at = 0.0
        reactor.post(Local())
        await harness.wait_until(lambda: "tick" in core.calls)
        # What becomes due in a turn gets a turn of its own, and each turn ends with a settle.
        assert core.calls == ["receive", "settle", "tick", "settle"]

    harness.run(scenario())


def test_ticks_come_without_any_traffic(harness: Harness) -> None:
    async def scenario() -> None:
        core = FakeCore()
        times: list[float] = []

        def ticked(now: float) -> None:
            times.append(now)
            core.tick_at = now + 0.02 if len(times) < 5 else None

        core.ticked = ticked
        core.tick_at = 0.0
        await harness.serve(core)
        await harness.wait_until(lambda: len(times) == 5)
        assert all(after - before >= 0.02 for before, after in itertools.pairwise(times))

    harness.run(scenario())


def test_the_answer_of_the_core_to_stop_is_sent(harness: Harness) -> None:
    def leave(link: Link, peer: Peer, message: Message | Local) -> Sequence[Effect]:
        return [Send(Link.DATA, "server", Bye())] if isinstance(message, Stop) else []

    async def scenario() -> None:
        server, client = FakeCore(), FakeCore(leave)
        _, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        assert await harness.stop(dialing) < 0.5
        await harness.wait_until(lambda: server.records() == [Bye()])
        await harness.lost(server)

    harness.run(scenario())


def test_log_lines_go_to_their_logger_and_events_to_the_callback(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        core = FakeCore()
        reactor, _ = await harness.serve(core)
        fields: dict[str, str | int | float] = {"id": "a b", "count": 3}
        with caplog.at_level(logging.INFO):
            line = Log(logging.INFO, "session.publish.started", fields)
            await harness.act(reactor, core, line, Emit(Local()))
        assert harness.events == [Local()]
        record = next(r for r in caplog.records if r.name == "zreg.session")
        assert record.getMessage() == "session.publish.started id='a b' count=3"

    harness.run(scenario())


def test_a_probe_reports_a_dead_peer_and_pings_a_living_one(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server)
        living = harness.raw(zmq.DEALER, address)
        living.send_multipart(packed(Ping()))
        await harness.wait_until(server.records)
        (peer,) = server.peers()
        probes = [Probe(Link.REQUESTS, peer), Probe(Link.REQUESTS, b"\x00gone")]
        await harness.act(reactor, server, *probes)
        assert (await harness.lost(server)).peer == b"\x00gone"
        await harness.wait_until(lambda: living.poll(0))
        assert living.recv_multipart() == packed(Ping())
        assert [lost.peer for lost in server.of(PeerLost)] == [b"\x00gone"]

    harness.run(scenario())


def test_forgetting_a_routed_peer_reports_nothing(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore()
        reactor, address = await harness.serve(server)
        socket = harness.raw(zmq.DEALER, address)
        socket.send_multipart(packed(Ping()))
        await harness.wait_until(server.records)
        (peer,) = server.peers()
        bye = [Send(Link.REQUESTS, peer, Bye()), Disconnect(Link.REQUESTS, peer)]
        await harness.act(reactor, server, *bye)
        await harness.wait_until(lambda: socket.poll(0))
        socket.close(0)
        other = harness.raw(zmq.DEALER, address)
        other.send_multipart(packed(Pong()))
        await harness.wait_until(lambda: Pong() in server.records())
        assert server.of(PeerLost) == []

    harness.run(scenario())


def test_an_address_that_cannot_be_bound_is_refused_with_what_to_do() -> None:
    taken = SocketSet(LinkTable(routers={Link.NODES: LOOPBACK}))
    try:
        address = taken.addresses[Link.NODES]
        with pytest.raises(UnavailableError, match="already in use: stop the other process"):
            SocketSet(LinkTable(routers={Link.NODES: address}))
    finally:
        taken.close()
        taken.terminate(lambda: None)
    for bad in ("nonsense", "tcp://127.0.0.1", "tcp://127.0.0.1:70000", "udp://127.0.0.1:1"):
        with pytest.raises(UsageError, match="write tcp://HOST:PORT"):
            SocketSet(LinkTable(pubs={Link.CHANGES: bad}))
    with pytest.raises(UsageError, match="no address of this machine"):
        SocketSet(LinkTable(routers={Link.NODES: "tcp://192.0.2.1:0"}))


def test_connecting_to_an_invalid_address_is_a_lost_peer(harness: Harness) -> None:
    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.DATA, "a", "nonsense"), Connect(Link.DATA, "b", "")])
        await harness.start(core, LinkTable(dealers=(Link.DATA,)))
        await harness.wait_until(lambda: len(core.of(PeerLost)) == 2)
        assert "write tcp://HOST:PORT" in core.of(PeerLost)[0].reason

    harness.run(scenario())


def test_an_ipv6_address_works(harness: Harness) -> None:
    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        try:
            table = LinkTable(routers={Link.REQUESTS: "tcp://[::1]:0"})
            reactor = await harness.start(server, table)
        except UsageError:
            pytest.skip("this machine has no IPv6")
        dialing = await harness.dial(client, reactor.addresses[Link.REQUESTS])
        await harness.act(dialing, client, Send(Link.DATA, "server", Ping()))
        await harness.wait_until(server.records)

    harness.run(scenario())


def test_a_reactor_that_never_ran_can_be_closed() -> None:
    Reactor(FakeCore(), CLUSTER, LinkTable(routers={Link.NODES: LOOPBACK})).close()
