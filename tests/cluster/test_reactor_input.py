"""A reactor survives garbage from peers and bugs of its core."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
import zmq
from reactor_fakes import (
    CLUSTER,
    ID,
    LOOPBACK,
    FakeCore,
    Harness,
    accept,
    packed,
    publish,
    socket_of,
)

from zreg.effects import (
    Broadcast,
    Connect,
    Disconnect,
    Effect,
    Emit,
    EpochSeen,
    Link,
    Listen,
    Local,
    Peer,
    PeerIncompatible,
    PeerUp,
    Probe,
    Send,
    Stop,
)
from zreg.errors import (
    ForeignClusterError,
    MalformedError,
    UnknownMessageError,
)
from zreg.reactor import LinkTable, Reactor
from zreg.reactor.sockets.link_socket import Received
from zreg.reactor.turn import RETRY_SECONDS
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Bye, Unpublish
from zreg.wire.records.common_messages import Accepted, Ping, Refused

BAD_RECORD = msgspec.msgpack.encode([[3, 41, "short"], [99, 42], [12]])


@pytest.mark.parametrize(
    ("frames", "counter", "count", "answers"),
    [
        ([b"", b"\x90"], "bad_6", 1, [Refused(0, MalformedError.code)]),
        ([b"\xff" * 300, b"\x90"], "bad_6", 1, [Refused(0, MalformedError.code)]),
        (
            packed(Ping(), cluster="other"),
            "bad_10",
            1,
            [Refused(0, ForeignClusterError.code)],
        ),
        ([packed()[0], b"garbage"], "bad_6", 1, [Refused(0, MalformedError.code)]),
        (
            [packed()[0], BAD_RECORD],
            "bad_7",
            1,
            [Refused(41, MalformedError.code), Refused(42, UnknownMessageError.code)],
        ),
        ([packed()[0]], "bad_frame_count", 1, []),
        ([*packed(Ping()), b""], "bad_frame_count", 1, []),
        ([*packed(Ping()), b"", b"", b""], "bad_frame_count", 1, []),
    ],
    ids=["empty", "long", "foreign", "frame", "records", "one", "three", "five"],
)
def test_garbage_is_counted_exactly_and_answered_with_a_code(
    harness: Harness, frames: list[bytes], counter: str, count: int, answers: list[Refused]
) -> None:
    """The counter rises by what was sent, and the next request is served."""

    async def scenario() -> None:
        server = FakeCore(accept)
        reactor, address = await harness.serve(server, Link.CLIENTS)
        socket = harness.raw(zmq.DEALER, address)
        for _ in range(5):
            socket.send_multipart(frames)
        socket.send_multipart(packed(publish(7)))
        await harness.wait_until(lambda: publish(7) in server.records())
        statistics = reactor.statistics()
        assert statistics[counter] == 5 * count
        assert statistics["messages_in"] == 6
        assert statistics.get("core_errors", 0) == statistics.get("reactor_errors", 0) == 0
        records: list[Refused | Accepted] = []
        decoder = msgspec.msgpack.Decoder(list[Refused | Accepted])
        while not any(isinstance(record, Accepted) for record in records):
            # Each turn sends its answers; the last one accepts the request.
            await harness.wait_until(lambda: socket.poll(0))
            records += decoder.decode(socket.recv_multipart()[1])
        got = [(r.request_id, r.code) for r in records if isinstance(r, Refused)]
        assert got == 5 * [(answer.request_id, answer.code) for answer in answers]

    harness.run(scenario())


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.SUB])
def test_garbage_from_a_server_is_counted_and_not_answered(harness: Harness, kind: int) -> None:
    """Only requests are refused, not the answers and hints of a server."""

    async def scenario() -> None:
        is_dealer = kind == zmq.DEALER
        socket = harness.socket(zmq.ROUTER if is_dealer else zmq.XPUB)
        socket.bind("tcp://127.0.0.1:*")
        address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        link = Link.DATA if is_dealer else Link.CHANGES
        core = FakeCore(start=[Connect(link, "server", address)])
        table = LinkTable(dealers=(link,)) if is_dealer else LinkTable(subs=(link,))
        if is_dealer:
            core.answer = lambda _link, _peer, message: (
                [Send(link, "server", Ping())] if isinstance(message, PeerUp) else []
            )
        else:
            core.starting = [Listen(link, b"t"), *core.starting]
        reactor = await harness.start(core, table)
        await harness.wait_until(lambda: socket.poll(0))
        first = socket.recv_multipart()[0]
        start = [first] if is_dealer else [b"t"]
        for _ in range(5):
            socket.send_multipart([*start, b"nonsense", b"\x90"])
            socket.send_multipart([*start, packed()[0], b"nonsense"])
            socket.send_multipart([*start, packed()[0], BAD_RECORD])
            socket.send_multipart([*start, b"x", b"y", b"z"])
            socket.send_multipart([*start, b"alone"] if is_dealer else start)
        socket.send_multipart([*start, *packed(Bye())])
        await harness.wait_until(lambda: Bye() in core.records())
        statistics = reactor.statistics()
        assert (statistics["bad_6"], statistics["bad_7"]) == (15, 5)
        assert statistics["bad_frame_count"] == 10
        assert statistics["messages_out"] if is_dealer else not socket.poll(0)
        assert statistics.get("records_out", 0) == (1 if is_dealer else 0)

    harness.run(scenario())


def test_the_core_learns_a_higher_epoch_once_before_its_records(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore(epoch=5)
        _, address = await harness.serve(server)
        socket = harness.raw(zmq.DEALER, address)
        for epoch in (4, 5, 7, 7, 6, 7):
            socket.send_multipart(packed(Ping(), epoch=epoch))
        await harness.wait_until(lambda: len(server.records()) == 6)
        ping, seen = Ping(), EpochSeen
        told = [message for _, _, message in server.received]
        assert told == [ping, ping, seen(7), ping, ping, seen(6), ping, ping]

    harness.run(scenario())


def test_the_epoch_of_a_client_is_ignored(harness: Harness) -> None:
    async def scenario() -> None:
        server = FakeCore(epoch=5)
        _, address = await harness.serve(server, Link.CLIENTS)
        harness.raw(zmq.DEALER, address).send_multipart(packed(Ping(), epoch=9))
        await harness.wait_until(lambda: server.records() == [Ping()])
        assert server.of(EpochSeen) == []

    harness.run(scenario())


def test_an_exception_out_of_a_core_costs_one_record(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(link: Link, peer: Peer, message: Message | Local) -> Sequence[Effect]:
        if isinstance(message, Unpublish):
            raise ZeroDivisionError("a bug")
        return accept(link, peer, message)

    async def scenario() -> None:
        server, client = FakeCore(fail), FakeCore()
        reactor, address = await harness.serve(server)
        dialing = await harness.dial(client, address)
        records = [Unpublish(1, b"p" * 16, 1, ID), publish(2), Unpublish(3, b"p" * 16, 1, ID)]
        await harness.act(dialing, client, *(Send(Link.DATA, "server", r) for r in records))
        await harness.wait_until(lambda: client.records() == [Accepted((2,))])
        assert reactor.statistics()["core_errors"] == 2
        assert "a bug" in caplog.text
        assert "Traceback" in caplog.text

    harness.run(scenario())


def test_a_core_that_fails_in_every_call_is_counted_and_does_not_spin(harness: Harness) -> None:
    class BrokenCore(FakeCore):
        def start(self, now: float) -> Sequence[Effect]:
            raise RuntimeError("start")

        def tick(self, now: float) -> Sequence[Effect]:
            raise RuntimeError("tick")

        def next_tick_at(self) -> float | None:
            if self.received:
                raise RuntimeError("next_tick_at")
            return 0.0

    async def scenario() -> None:
        core = BrokenCore()
        reactor, address = await harness.serve(core)
        await harness.wait_until(lambda: reactor.statistics()["core_errors"] > 3)
        harness.raw(zmq.DEALER, address).send_multipart(packed(Ping()))
        await harness.wait_until(lambda: core.records() == [Ping()])
        assert reactor.statistics().get("reactor_errors", 0) == 0

    harness.run(scenario())


def test_a_misplaced_effect_is_counted_and_costs_only_itself(harness: Harness) -> None:
    """The table does not have the effect's link, or has it as another kind of socket."""

    async def scenario() -> None:
        core = FakeCore()
        table = LinkTable(routers={Link.REQUESTS: LOOPBACK}, pubs={Link.CHANGES: LOOPBACK})
        reactor = await harness.start(core, table)
        bad: list[Effect] = [
            Send(Link.CHANGES, "x", Ping()),
            Broadcast(Link.REQUESTS, b"x", Ping()),
            Connect(Link.REQUESTS, "x", "tcp://127.0.0.1:1"),
            Disconnect(Link.META, "x"),
            Listen(Link.CHANGES, b"x"),
            Probe(Link.META, b"x"),
            Effect(),
        ]
        await harness.act(reactor, core, *bad, Emit(Local()))
        assert harness.events == [Local()]
        assert reactor.statistics()["core_errors"] == len(bad)
        assert reactor.statistics().get("reactor_errors", 0) == 0

    harness.run(scenario())


def test_a_lasting_bug_of_the_reactor_does_not_spin(harness: Harness) -> None:
    """A message that cannot be read keeps its descriptor readable."""

    def broken() -> Received | None:
        raise RuntimeError("the reactor's bug")

    async def scenario() -> None:
        core = FakeCore(accept)
        reactor, address = await harness.serve(core)
        link_socket = socket_of(reactor)
        link_socket.receive = broken  # type: ignore[method-assign]
        harness.raw(zmq.DEALER, address).send_multipart(packed(publish(1)))
        await harness.wait_until(lambda: reactor.statistics().get("reactor_errors"))
        seconds = await harness.wait_until(lambda: reactor.statistics()["reactor_errors"] > 10)
        del link_socket.receive  # type: ignore[method-assign]
        assert seconds > 5 * RETRY_SECONDS
        await harness.wait_until(lambda: core.records() == [publish(1)])

    harness.run(scenario())


def test_a_failing_turn_is_the_last_one_after_the_core_has_received_stop(
    harness: Harness,
) -> None:
    """A node stops even if every turn fails."""

    def broken() -> Received | None:
        raise RuntimeError("the reactor's bug")

    async def scenario() -> None:
        core = FakeCore(accept)
        reactor = Reactor(core, CLUSTER, LinkTable(routers={Link.REQUESTS: LOOPBACK}))
        socket_of(reactor).receive = broken  # type: ignore[method-assign]
        running = asyncio.create_task(reactor.run())
        await harness.wait_until(lambda: reactor.statistics().get("reactor_errors"))
        reactor.stop()
        await asyncio.wait_for(running, 10)
        assert Stop() in [each[2] for each in core.received]

    harness.run(scenario())


def test_a_failing_event_callback_costs_one_event(harness: Harness) -> None:
    async def scenario() -> None:
        def fail(event: msgspec.Struct) -> None:
            raise RuntimeError("the application's bug")

        core = FakeCore()
        reactor = await harness.adopt(Reactor(core, CLUSTER, LinkTable(), on_event=fail))
        await harness.act(reactor, core, Emit(Local()), Emit(Local()))
        assert reactor.statistics()["event_errors"] == 2

    harness.run(scenario())


def test_a_node_logs_once_that_peers_speak_another_protocol_version(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        reactor, address = await harness.serve(FakeCore(), Link.CLIENTS)
        socket = harness.raw(zmq.DEALER, address)
        for version in (0, 0, 9, 0, *range(20, 40)):
            socket.send_multipart([msgspec.msgpack.encode(("zreg", version, CLUSTER, 0)), b"\x90"])
        await harness.wait_until(lambda: reactor.statistics().get("bad_11", 0) == 24)

    with caplog.at_level("WARNING", "zreg.peer"):
        harness.run(scenario())

    older, newer = (record.getMessage() for record in caplog.records[:2])
    assert older == (
        "peer.incompatible link=CLIENTS detail='it speaks protocol version 0, and this side "
        "speaks 1: upgrade zreg on the peer'"
    )
    assert newer.endswith("speaks 1: upgrade zreg on this side'")
    assert len(caplog.records) == 8, "the first few versions only"


@pytest.mark.parametrize(
    ("incompatible", "detail"),
    [
        (packed(Ping(), cluster="theirs"), "it is of cluster 'theirs': give the name"),
        (
            [msgspec.msgpack.encode(("zreg", 9, CLUSTER, 0)), b"\x90"],
            "it speaks protocol version 9, and this side speaks 1: upgrade zreg on this side",
        ),
    ],
    ids=["cluster", "version"],
)
def test_the_core_is_told_that_a_server_is_incompatible(
    harness: Harness, incompatible: list[bytes], detail: str
) -> None:
    """The person who gave the address must learn what is wrong; garbage is only counted."""

    async def scenario() -> None:
        socket = harness.socket(zmq.ROUTER)
        socket.bind("tcp://127.0.0.1:*")
        address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        core = FakeCore(start=[Connect(Link.META, "server", address)])
        core.answer = lambda _link, _peer, message: (
            [Send(Link.META, "server", Ping())] if isinstance(message, PeerUp) else []
        )
        await harness.start(core, LinkTable(dealers=(Link.META,)))
        await harness.wait_until(lambda: socket.poll(0))
        first = socket.recv_multipart()[0]
        socket.send_multipart([first, b"nonsense", b"\x90"])
        socket.send_multipart([first, *incompatible])
        await harness.wait_until(lambda: core.of(PeerIncompatible))
        (told,) = core.of(PeerIncompatible)
        assert (told.link, told.peer) == (Link.META, "server")
        assert told.detail.startswith(detail)

    harness.run(scenario())
