"""A tick judges leases, so it comes after the input that waits, and still comes under load."""

from collections import deque

import pytest
from reactor_fakes import LOOPBACK, FakeCore, Harness, packed, socket_of

from zreg.effects import Link, Local
from zreg.reactor import LinkTable, Reactor
from zreg.reactor.sockets.bound.bound_sockets import RouterSocket
from zreg.reactor.sockets.bound.routed_peers import ROUNDS
from zreg.reactor.sockets.link_socket import Received
from zreg.reactor.turn import (
    RAFT_TICK_LATE_SECONDS_MAX,
    RECORDS_MAX,
    TICK_LATE_SECONDS_MAX,
)
from zreg.wire.records.common_messages import Ping

ENDLESS = 200_000


class WaitingInput:
    """Messages that wait in a socket, from peers that libzmq reads in turn."""

    def __init__(self, reactor: Reactor, count: int, peers: int = ENDLESS) -> None:
        header, frame = packed(Ping())
        self.messages: deque[Received] = deque(
            (b"%d" % (number % peers), header, frame) for number in range(count)
        )
        self.reactor = reactor
        self.socket = socket = socket_of(reactor)
        assert isinstance(socket, RouterSocket)
        socket.receive = self._next  # type: ignore[method-assign]
        socket.has_input = lambda: bool(self.messages)  # type: ignore[method-assign]
        socket.has_silent_input = socket.has_input  # type: ignore[method-assign]
        reactor._wakeups.look_at(socket)

    def _next(self) -> Received | None:
        if not self.messages:
            return None
        message = self.messages.popleft()
        self.socket.peers.hear(bytes(message[0]))
        return message


@pytest.mark.parametrize("count", [2, RECORDS_MAX, 3 * RECORDS_MAX + 1])
def test_a_tick_waits_for_the_input_that_turns_have_left(harness: Harness, count: int) -> None:
    async def scenario() -> None:
        core = FakeCore()
        reactor, _ = await harness.serve(core)
        core.calls.clear()
        core.tick_at = 0.0
        WaitingInput(reactor, count)
        reactor.post(Local())

        await harness.wait_until(lambda: "tick" in core.calls)

        received = [call for call in core.calls[: core.calls.index("tick")] if call == "receive"]
        assert len(received) == count + 1, "all messages, and the one that was posted"

    harness.run(scenario())


def test_a_tick_under_load_waits_until_each_peer_was_heard(harness: Harness) -> None:
    """Each message may be the sign of life that renews a lease; there is always another one."""

    async def scenario() -> None:
        core, peers = FakeCore(), 3 * RECORDS_MAX
        reactor, _ = await harness.serve(core)
        reactor._turn._tick_late_seconds_max = 60.0
        core.calls.clear()
        core.tick_at = 0.0
        waiting = WaitingInput(reactor, 10 * peers, peers)
        reactor.post(Local())

        await harness.wait_until(lambda: "tick" in core.calls, timeout_seconds=20.0)

        received = core.calls[: core.calls.index("tick")].count("receive") - 1
        assert (ROUNDS - 1) * peers <= received <= (ROUNDS + 1) * peers
        assert waiting.messages, "the input had ended"
        waiting.messages.clear()

    harness.run(scenario())


def test_a_tick_comes_although_the_input_never_ends(harness: Harness) -> None:
    async def scenario() -> None:
        core = FakeCore()
        reactor, _ = await harness.serve(core)
        reactor._turn._tick_late_seconds_max = 0.05
        core.tick_at = 0.0
        waiting = WaitingInput(reactor, ENDLESS)
        reactor.post(Local())

        await harness.wait_until(lambda: "tick" in core.calls)

        assert waiting.messages, "the input had ended"
        waiting.messages.clear()

    harness.run(scenario())


def test_the_ticks_of_a_meta_node_are_less_late_than_those_of_others(harness: Harness) -> None:
    """The leader's heartbeats leave in ticks."""

    async def scenario() -> None:
        meta = await harness.start(FakeCore(), LinkTable(answers={Link.RAFT_ANSWER: LOOPBACK}))
        data, _ = await harness.serve(FakeCore())

        assert meta._turn._tick_late_seconds_max == RAFT_TICK_LATE_SECONDS_MAX
        assert data._turn._tick_late_seconds_max == TICK_LATE_SECONDS_MAX

    harness.run(scenario())
