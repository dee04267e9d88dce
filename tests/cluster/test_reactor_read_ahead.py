"""A session takes what its clients send before what a crowd of newcomers sends."""

import math
from collections import deque
from collections.abc import Iterable

import pytest
import zmq
from reactor_fakes import FakeCore, Harness, packed, publish, socket_of

from zreg.effects import Disconnect, Effect, Link, Local, Peer, PeerHeard, PeerLost
from zreg.reactor import Reactor
from zreg.reactor.sockets.bound.bound_sockets import ClientsSocket
from zreg.reactor.sockets.bound.read_ahead import NEWCOMERS_PER_TURN
from zreg.reactor.sockets.link_socket import Received
from zreg.wire.records.client_messages import Publish
from zreg.wire.records.common_messages import Ping

COUNT = 10 * NEWCOMERS_PER_TURN
BYSTANDER = b"bystander"


def crowd_and_bystander() -> list[Received]:
    """Return a message of each newcomer, and then one of a known peer."""
    peers = [*(b"newcomer-%d" % number for number in range(COUNT)), BYSTANDER]
    return [(peer, *packed(Ping())) for peer in peers]


class ReadInput:
    """What libzmq would return, in the order in which it would."""

    def __init__(self, reactor: Reactor, messages: Iterable[Received]) -> None:
        self.messages = deque(messages)
        socket = socket_of(reactor)
        assert isinstance(socket, ClientsSocket)
        self.socket = socket
        socket.peers.add(BYSTANDER, 7)
        socket._read = self._next
        socket.has_input = self._has_input  # type: ignore[method-assign]
        socket.has_silent_input = self._has_input  # type: ignore[method-assign]
        reactor._wakeups.look_at(socket)

    def _has_input(self) -> bool:
        return bool(self.messages) or self.socket.holds_back

    def _next(self) -> Received | None:
        if not self.messages:
            return None
        message = self.messages.popleft()
        peer = message[0]
        assert isinstance(peer, bytes)
        if peer not in self.socket.peers.descriptors:
            self.socket.peers.add(peer, 100 + len(self.messages))
            self.socket.newcomers.append((peer, "10.0.0.7"))
            self.socket._ahead.add_newcomer(peer, self.socket.read_at)
        self.socket.peers.hear(peer)
        return message


def test_what_a_known_client_sends_does_not_wait_for_a_crowd(harness: Harness) -> None:
    async def scenario() -> None:
        core = FakeCore()
        reactor, _ = await harness.serve(core, Link.CLIENTS)
        ReadInput(reactor, crowd_and_bystander())
        reactor.post(Local())

        await harness.wait_until(lambda: len(core.of(Ping)) == COUNT + 1)

        pings = [peer for _, peer, message in core.received if isinstance(message, Ping)]
        # Before each message of a newcomer is taken, up to 256 are read.
        assert pings.index(BYSTANDER) <= 1 + math.ceil(COUNT / 256)
        assert reactor.statistics()["turns"] > COUNT / NEWCOMERS_PER_TURN
        heard = [message.peer for message in core.of(PeerHeard)]
        assert heard == [peer for peer in pings if peer != BYSTANDER]
        at = {peer: number for number, (_, peer, _) in enumerate(core.received)}
        for number, (_, _, message) in enumerate(core.received):
            if isinstance(message, PeerHeard):
                assert number < at[message.peer], "a core knows where a peer is before it speaks"

    harness.run(scenario())


def test_a_tick_waits_for_what_was_read_ahead(harness: Harness) -> None:
    """Each message may be the sign of life that renews a lease."""

    async def scenario() -> None:
        core = FakeCore()
        reactor, _ = await harness.serve(core, Link.CLIENTS)
        reactor._turn._tick_late_seconds_max = 60.0
        core.calls.clear()
        core.tick_at = 0.0
        ReadInput(reactor, crowd_and_bystander())
        reactor.post(Local())

        await harness.wait_until(lambda: "tick" in core.calls)

        before = core.received[: core.calls[: core.calls.index("tick")].count("receive")]
        assert sum(isinstance(message, Ping) for _, _, message in before) == COUNT + 1

    harness.run(scenario())


def test_all_that_a_crowd_sends_arrives_in_order(harness: Harness) -> None:
    """Over real sockets: each client sends several messages at once."""

    async def scenario() -> None:
        core = FakeCore()
        reactor, address = await harness.serve(core, Link.CLIENTS)
        clients = [harness.raw(zmq.DEALER, address) for _ in range(40)]
        for request_id in range(1, 11):
            for client in clients:
                client.send_multipart(packed(publish(request_id)))

        await harness.wait_until(lambda: len(core.of(Publish)) == 10 * len(clients))

        by_peer: dict[Peer, list[int]] = {}
        for _, peer, message in core.received:
            if isinstance(message, Publish):
                by_peer.setdefault(peer, []).append(message.request_id)
        assert list(by_peer.values()) == [list(range(1, 11))] * len(clients)
        socket = socket_of(reactor)
        assert isinstance(socket, ClientsSocket)
        assert not socket.holds_back
        socket._ahead.grow_old(math.inf)
        assert socket._ahead.is_calm

    harness.run(scenario())


@pytest.mark.parametrize("fast_count", [1, 4])
def test_a_tick_waits_for_a_peer_that_spoke_before_it_was_due(
    fast_count: int, harness: Harness
) -> None:
    """What waits was read in many rounds; the peer spoke when the last of them had been read."""
    fast = [b"newcomer-%d" % number for number in range(fast_count)]
    messages: list[Received] = [(peer, *packed(publish(1))) for peer in 400 // fast_count * fast]
    # The first message, up to 256 further ones, and of the next round a part.
    messages.insert(1 + 256 + fast_count, (b"quiet", *packed(Ping())))

    async def scenario() -> None:
        def answer(_link: Link, _peer: Peer, message: object) -> list[Effect]:
            if isinstance(message, Publish) and len(core.of(Publish)) == 2:
                core.tick_at = 0.0
            return []

        core = FakeCore(answer)
        reactor, _ = await harness.serve(core, Link.CLIENTS)
        reactor._turn._tick_late_seconds_max = 60.0
        core.calls.clear()
        ReadInput(reactor, messages)
        reactor.post(Local())

        await harness.wait_until(lambda: "tick" in core.calls)

        before = core.received[: core.calls[: core.calls.index("tick")].count("receive")]
        assert any(isinstance(message, Ping) for _, _, message in before), len(before)

    harness.run(scenario())


def test_a_peer_that_is_disconnected_while_its_messages_wait_is_heard_again(
    harness: Harness,
) -> None:
    """A ROUTER only forgets a peer, and the core hears of the end of its connection."""

    async def scenario() -> None:
        is_disconnected = False

        def answer(_link: Link, peer: Peer, message: object) -> list[Effect]:
            nonlocal is_disconnected
            if is_disconnected or not isinstance(message, Publish) or message.request_id != 5:
                return []
            is_disconnected = True
            return [Disconnect(Link.CLIENTS, peer)]

        core = FakeCore(answer)
        reactor, address = await harness.serve(core, Link.CLIENTS)
        client = harness.raw(zmq.DEALER, address)
        for number in range(30):
            client.send_multipart(packed(publish(number + 1)))
        await harness.wait_until(lambda: len(core.of(Publish)) == 30)

        assert [each.request_id for each in core.of(Publish)] == list(range(1, 31))
        assert len(core.of(PeerHeard)) == 2
        socket = socket_of(reactor)
        assert isinstance(socket, ClientsSocket)
        assert len(socket.peers.descriptors) == 1
        client.close(0)
        await harness.wait_until(lambda: core.of(PeerLost))

    harness.run(scenario())
