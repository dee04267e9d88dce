"""REQ and REP between meta nodes: every message is answered, no stale answer is accepted."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import zmq
from reactor_fakes import CLUSTER, LOOPBACK, FakeCore, Harness, packed, socket_set_of

from zreg.effects import (
    Connect,
    Effect,
    EpochSeen,
    Link,
    Local,
    Peer,
    PeerLost,
    PeerUp,
    Save,
    Send,
)
from zreg.errors import ForeignClusterError, MalformedError, NotReadyError, UnknownMessageError
from zreg.reactor import LinkTable, Reactor
from zreg.reactor.sockets import socket_options
from zreg.storage.failures import CoreFailedError, JournalError
from zreg.storage.journal import Journal
from zreg.wire.codec import decode_frame
from zreg.wire.records.common_messages import Ping, Refused
from zreg.wire.records.raft_messages import Entry, EntryKind, TransferLeader, TransferLeaderReply

if TYPE_CHECKING:
    from zreg.wire.messages import Message


def ask(number: int) -> TransferLeader:
    return TransferLeader("n1", "n2", 1, number)


def reply(request: TransferLeader) -> TransferLeaderReply:
    return TransferLeaderReply("n2", "n1", 1, request.sequence, is_accepted=True)


def answer(link: Link, peer: Peer, message: "Message | Local") -> Sequence[Effect]:
    return [Send(link, peer, reply(message))] if isinstance(message, TransferLeader) else []


def save(*entries: Entry) -> Save:
    return Save(
        snapshot=None, truncate_from=None, compact_to=None, entries=entries, term=1, vote="n1"
    )


ENTRY = Entry(1, 1, EntryKind.COMMAND, b"x")


class FakeDisk:
    """Records what was saved, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.saved: list[Save] = []
        self.error = error

    def save(self, step: Save) -> None:
        if self.error is not None:
            raise self.error
        self.saved.append(step)


async def serve(harness: Harness, core: FakeCore) -> tuple[Reactor, str]:
    reactor = await harness.start(core, LinkTable(answers={Link.RAFT_ANSWER: LOOPBACK}))
    return reactor, reactor.addresses[Link.RAFT_ANSWER]


async def dial(harness: Harness, core: FakeCore, address: str) -> Reactor:
    core.starting = [Connect(Link.RAFT_ASK, "n2", address)]
    reactor = await harness.start(core, LinkTable(asks=(Link.RAFT_ASK,)))
    await harness.wait_until(lambda: core.of(PeerUp))
    return reactor


async def exchange(
    harness: Harness, peer: zmq.Socket[bytes], frames: list[bytes]
) -> Sequence[object]:
    """Send a message that no core would, and return the answer."""
    peer.send_multipart(frames)
    await harness.wait_until(lambda: peer.poll(0))
    return decode_frame(peer.recv_multipart()[1])


def test_each_request_is_answered(harness: Harness) -> None:
    async def scenario() -> None:
        server, client = FakeCore(answer), FakeCore()
        _, address = await serve(harness, server)
        dialing = await dial(harness, client, address)
        for number in range(1, 4):
            await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(number)))
            await harness.wait_until(lambda: len(client.records()) == number)  # noqa: B023
        assert client.records() == [reply(ask(number)) for number in (1, 2, 3)]
        assert len(set(server.peers())) == 3

    harness.run(scenario())


def test_simultaneous_requests_are_all_answered(harness: Harness) -> None:
    """A turn reads one request; the next one is found without a wake-up."""

    async def scenario() -> None:
        _, address = await serve(harness, FakeCore(answer))
        peers = [harness.raw(zmq.REQ, address) for _ in range(5)]
        for number, peer in enumerate(peers):
            peer.send_multipart(packed(ask(number)))
        await harness.wait_until(lambda: all(peer.poll(0) for peer in peers))
        answers = [decode_frame(peer.recv_multipart()[1]) for peer in peers]
        assert answers == [[reply(ask(number))] for number in range(5)]

    harness.run(scenario())


def test_the_epoch_of_another_meta_node_is_ignored(harness: Harness) -> None:
    """The leader's epoch is ahead after each commit; followers learn it from the log."""

    async def scenario() -> None:
        server = FakeCore(answer, epoch=1)
        _, address = await serve(harness, server)
        peer = harness.raw(zmq.REQ, address)
        assert await exchange(harness, peer, packed(ask(1), epoch=2)) == [reply(ask(1))]
        assert server.of(EpochSeen) == []

    harness.run(scenario())


def test_the_header_does_not_change_while_the_epoch_rises(harness: Harness) -> None:
    """The receiver has decoded it before, and need not do it for each change of a setting."""

    async def scenario() -> None:
        server, client = FakeCore(answer, epoch=7), FakeCore(epoch=7)
        serving, address = await serve(harness, server)
        asking = await dial(harness, client, address)
        for number in (1, 2):
            await harness.act(asking, client, Send(Link.RAFT_ASK, "n2", ask(number)))
            await harness.wait_until(lambda: len(client.of(TransferLeaderReply)) == number)  # noqa: B023
            server.epoch = client.epoch = 8
        for reactor in (serving, asking):
            assert len(reactor._turn._intake._envelope._known) == 1

    harness.run(scenario())


def test_the_reactor_refuses_a_request_that_the_core_leaves_unanswered(harness: Harness) -> None:
    """Otherwise the REP would be stuck, for all peers."""

    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        serving, address = await serve(harness, server)
        dialing = await dial(harness, client, address)
        await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(1)))
        await harness.wait_until(lambda: client.of(Refused))
        assert client.of(Refused)[0].code == NotReadyError.code
        assert serving.statistics()["answered_for_core"] == 1
        server.answer = answer
        await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(2)))
        await harness.wait_until(lambda: client.records()[-1] == reply(ask(2)))

    harness.run(scenario())


def test_an_answer_that_comes_a_turn_late_is_dropped(harness: Harness) -> None:
    async def scenario() -> None:
        server, client = FakeCore(), FakeCore()
        serving, address = await serve(harness, server)
        dialing = await dial(harness, client, address)
        await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(1)))
        await harness.wait_until(lambda: client.of(Refused))
        late = Send(Link.RAFT_ANSWER, server.peers()[0], reply(ask(1)))
        await harness.act(serving, server, late)
        server.answer = answer
        await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(2)))
        await harness.wait_until(lambda: len(client.records()) == 2)
        assert client.records()[1] == reply(ask(2))

    harness.run(scenario())


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"rubbish"], NotReadyError.code),
        ([b"rubbish", b"more", b"and more"], NotReadyError.code),
        ([b"rubbish", b"more"], MalformedError.code),
        (packed(ask(1), cluster="other"), ForeignClusterError.code),
        ([packed(ask(1))[0], b"\x91\x92\xcc\xfa\x01"], UnknownMessageError.code),
        ([packed(ask(1))[0], packed(ask(1))[1][:-3]], MalformedError.code),
        ([packed(ask(1))[0], b"\x90"], NotReadyError.code),
    ],
)
def test_every_malformed_message_is_answered(
    harness: Harness, frames: list[bytes], code: int
) -> None:
    async def scenario() -> None:
        serving, address = await serve(harness, FakeCore(answer))
        peer = harness.raw(zmq.REQ, address)
        (refused,) = await exchange(harness, peer, frames)
        assert isinstance(refused, Refused)
        assert refused.code == code
        assert await exchange(harness, peer, packed(ask(7))) == [reply(ask(7))]
        assert serving.statistics().get("core_errors", 0) == 0

    harness.run(scenario())


def test_a_core_that_raises_without_a_disk_does_not_leave_the_socket_stuck(
    harness: Harness,
) -> None:
    async def scenario() -> None:
        core = FakeCore(lambda link, peer, message: 1 // 0)  # type: ignore[arg-type, return-value]
        serving, address = await serve(harness, core)
        peer = harness.raw(zmq.REQ, address)
        (refused,) = await exchange(harness, peer, packed(ask(1)))
        assert isinstance(refused, Refused)
        assert serving.statistics()["core_errors"] == 1

    harness.run(scenario())


def test_a_lost_answer_does_not_leave_the_asking_socket_stuck(harness: Harness) -> None:
    """REQ_RELAXED sends the next request; REQ_CORRELATE drops the late answer to the first."""

    async def scenario() -> None:
        client = FakeCore()
        late = harness.socket(zmq.ROUTER)
        port = late.bind_to_random_port("tcp://127.0.0.1")
        dialing = await dial(harness, client, f"tcp://127.0.0.1:{port}")
        await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(1)))
        await harness.wait_until(lambda: late.poll(0))
        first = late.recv_multipart()
        await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(2)))
        await harness.wait_until(lambda: late.poll(0))
        second = late.recv_multipart()
        late.send_multipart([*first[:-2], *packed(reply(ask(1)))])
        late.send_multipart([*second[:-2], *packed(reply(ask(2)))])
        await harness.wait_until(client.records)
        assert client.records() == [reply(ask(2))]

    harness.run(scenario())


def test_requests_to_a_stopped_peer_are_bounded_and_the_core_is_told(
    harness: Harness,
) -> None:
    """When the peer continues, it reads a few stale requests and what the kernel holds."""

    async def scenario() -> None:
        client = FakeCore()
        still = harness.socket(zmq.ROUTER)
        still.rcvhwm = 1
        still.rcvbuf = 4096
        port = still.bind_to_random_port("tcp://127.0.0.1")
        dialing = await dial(harness, client, f"tcp://127.0.0.1:{port}")
        big = [Ping()] * 1000
        for _ in range(3000):
            await harness.act(dialing, client, *(Send(Link.RAFT_ASK, "n2", ping) for ping in big))
            if client.of(PeerLost):
                break
        # The socket is full, or its heartbeats have noticed first.
        assert client.of(PeerLost)[0].reason in ("unreachable", "closed")
        assert dialing.statistics()["backlog_messages"] == 0

    harness.run(scenario())


def test_a_lost_peer_is_reported_and_can_be_connected_again(harness: Harness) -> None:
    async def scenario() -> None:
        server, client = FakeCore(answer), FakeCore()
        serving, address = await serve(harness, server)
        dialing = await dial(harness, client, address)
        await harness.stop(serving)
        await harness.lost(client)
        again = await harness.start(
            FakeCore(answer), LinkTable(answers={Link.RAFT_ANSWER: address})
        )
        await harness.act(dialing, client, Connect(Link.RAFT_ASK, "n2", address))
        await harness.wait_until(lambda: len(client.of(PeerUp)) == 2)
        await harness.act(dialing, client, Send(Link.RAFT_ASK, "n2", ask(9)))
        await harness.wait_until(client.records)
        assert client.records() == [reply(ask(9))]
        assert again.statistics()["records_in"] == 1

    harness.run(scenario())


def test_the_sockets_are_set_as_the_tables_say(harness: Harness) -> None:
    async def scenario() -> None:
        serving, address = await serve(harness, FakeCore(answer))
        dialing = await dial(harness, FakeCore(), address)
        for reactor, table in (
            (serving, socket_options.RAFT_ANSWER),
            (dialing, socket_options.RAFT_ASK),
        ):
            (link_socket,) = socket_set_of(reactor).sockets()
            for option, value in table.items():
                if option not in (zmq.SocketOption.REQ_RELAXED, zmq.SocketOption.REQ_CORRELATE):
                    assert link_socket.zmq_socket.getsockopt(option) == value, option
        assert socket_options.RAFT_ASK[zmq.SocketOption.CONNECT_TIMEOUT] == 1000

    harness.run(scenario())


# --- Save ------------------------------------------------------------------------------------


def test_a_save_is_a_barrier_in_the_order_of_the_list(harness: Harness) -> None:
    """When the disk is written, earlier sends have left and later ones have not."""

    async def scenario() -> None:
        out: list[str] = []

        class WatchingDisk(FakeDisk):
            def save(self, step: Save) -> None:
                super().save(step)
                out.append(f"saved after {reactor.statistics().get('records_out', 0)}")

        core, disk, client = FakeCore(), WatchingDisk(), FakeCore()
        table = LinkTable(asks=(Link.RAFT_ASK,))
        core.starting = [Connect(Link.RAFT_ASK, "n2", (await serve(harness, client))[1])]
        reactor = await harness.adopt(Reactor(core, CLUSTER, table, disk=disk))
        await harness.wait_until(lambda: core.of(PeerUp))
        before, after = (Send(Link.RAFT_ASK, "n2", ask(number)) for number in (1, 2))
        await harness.act(reactor, core, before, save(ENTRY), after)
        await harness.wait_until(lambda: reactor.statistics().get("records_out") == 2)
        assert out == ["saved after 1"]
        assert disk.saved == [save(ENTRY)]

    harness.run(scenario())


def test_a_disk_that_fails_ends_the_node_and_nothing_after_it_leaves(harness: Harness) -> None:
    async def scenario() -> None:
        core, client = FakeCore(), FakeCore()
        _, address = await serve(harness, client)
        core.starting = [Connect(Link.RAFT_ASK, "n2", address)]
        disk = FakeDisk(JournalError("the disk is full: free space"))
        reactor = Reactor(core, CLUSTER, LinkTable(asks=(Link.RAFT_ASK,)), disk=disk)
        core.ticked = lambda _now: None

        def go_up(link: Link, peer: Peer, message: "Message | Local") -> Sequence[Effect]:
            is_up = isinstance(message, PeerUp)
            return [save(ENTRY), Send(Link.RAFT_ASK, "n2", ask(1))] if is_up else []

        core.answer = go_up
        with pytest.raises(JournalError, match="free space"):
            await reactor.run()
        assert client.records() == []

    harness.run(scenario())


def broken(*_: object) -> NoReturn:
    raise ZeroDivisionError


@pytest.mark.parametrize("where", ["start", "receive", "tick", "settle", "next_tick_at"])
def test_an_exception_of_a_core_with_a_disk_ends_the_node(harness: Harness, where: str) -> None:
    """Other nodes rely on its state, which cannot be trusted any more."""

    async def scenario() -> None:
        core = FakeCore()
        core.tick_at, core.ticked = 0.0, lambda _now: None
        setattr(core, where, broken)
        table = LinkTable(answers={Link.RAFT_ANSWER: LOOPBACK})
        reactor = Reactor(core, CLUSTER, table, disk=FakeDisk())
        reactor.post(Local())
        with pytest.raises(CoreFailedError, match="start it again"):
            await reactor.run()

    harness.run(scenario())


def test_a_save_without_a_disk_is_counted_as_an_error_of_the_core(harness: Harness) -> None:
    async def scenario() -> None:
        core = FakeCore()
        reactor, _ = await serve(harness, core)
        await harness.act(reactor, core, save(ENTRY))
        assert reactor.statistics()["core_errors"] == 1

    harness.run(scenario())


def test_a_step_saved_through_a_journal_is_read_back(harness: Harness, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "raft.db"
        journal = Journal(path, identity={"node_id": "n1"})
        core = FakeCore()
        table = LinkTable(answers={Link.RAFT_ANSWER: LOOPBACK})
        reactor = await harness.adopt(Reactor(core, CLUSTER, table, disk=journal))
        await harness.act(reactor, core, save(ENTRY))
        journal.close()
        again = Journal(path, identity={"node_id": "n1"})
        assert [row.data for row in again.contents.entries] == [b"x"]
        assert again.contents.vote == "n1"
        again.close()

    harness.run(scenario())


def test_random_bytes_are_answered_one_by_one(harness: Harness) -> None:
    async def scenario() -> None:
        serving, address = await serve(harness, FakeCore(answer))
        peer = harness.raw(zmq.REQ, address)
        for size in range(50):
            await exchange(harness, peer, [os.urandom(size + 1), os.urandom(size)])
        assert serving.statistics().get("reactor_errors", 0) == 0
        assert await exchange(harness, peer, packed(ask(1))) == [reply(ask(1))]

    harness.run(scenario())
