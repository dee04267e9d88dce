"""The simulator keeps the rules of REQ and REP, and its disks forget what was not synced."""

from collections.abc import Callable, Sequence

import pytest

from zreg.effects import Connect, Effect, Link, Local, Peer, PeerUp, Save, Send
from zreg.reactor.turn import TICK_LATE_SECONDS_MAX
from zreg.testing.sim.disk import SimDisk
from zreg.testing.sim.simulation import Simulation
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.raft_messages import Entry, EntryKind, TransferLeader, TransferLeaderReply

ADDRESS = "tcp://n2:9611"
Answer = Callable[[Link, Peer, "Message | Local"], Sequence[Effect]]


class SmallCore:
    """Answers as the test says, and records the messages that it receives."""

    epoch = 0

    def __init__(self, answer: Answer, *starting: Effect) -> None:
        self.answer = answer
        self.starting = starting
        self.received: list[Message | Local] = []

    def start(self, now: float) -> Sequence[Effect]:
        return self.starting

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        self.received.append(message)
        return self.answer(link, peer, message)

    def tick(self, now: float) -> Sequence[Effect]:
        return []

    def settle(self, now: float) -> Sequence[Effect]:
        return []

    def next_tick_at(self) -> float | None:
        return None

    def statistics(self) -> dict[str, int | float | str]:
        return {}


class TickedCore(SmallCore):
    """Has one tick at a time, which the test chooses."""

    def __init__(self, due_at: float) -> None:
        super().__init__(accept)
        self.due_at: float | None = due_at
        self.ticked_at: list[float] = []

    def tick(self, now: float) -> Sequence[Effect]:
        self.due_at = None
        self.ticked_at.append(now)
        return []

    def next_tick_at(self) -> float | None:
        return self.due_at


def ask(number: int) -> TransferLeader:
    return TransferLeader("n1", "n2", 1, number)


def asking(*requests: TransferLeader) -> SmallCore:
    def on_up(link: Link, peer: Peer, message: "Message | Local") -> Sequence[Effect]:
        if isinstance(message, PeerUp):
            return [Send(Link.RAFT_ASK, "n2", request) for request in requests[:1]]
        return []

    return SmallCore(on_up, Connect(Link.RAFT_ASK, "n2", ADDRESS))


def accept(link: Link, peer: Peer, message: "Message | Local") -> Sequence[Effect]:
    if not isinstance(message, TransferLeader):
        return []
    return [
        Send(link, peer, TransferLeaderReply("n2", "n1", 1, message.sequence, is_accepted=True))
    ]


def save(data: bytes) -> Save:
    entry = Entry(1, 1, EntryKind.COMMAND, data)
    return Save(
        snapshot=None, truncate_from=None, compact_to=None, entries=(entry,), term=1, vote=None
    )


def test_a_process_that_wakes_takes_first_what_came_first() -> None:
    sim, core = Simulation(1), SmallCore(accept)
    sim.add("n2", core, {Link.RAFT_ANSWER: ADDRESS})
    sim.freeze("n2", 5.0)
    sim.post("n2", PeerUp(Link.RAFT_ASK, "first"))
    sim.resume("n2")
    # The stop is over, and the process has not run yet.
    sim.post("n2", PeerUp(Link.RAFT_ASK, "second"))
    assert core.received == []
    sim.run(1.0)
    assert [each.peer for each in core.received if isinstance(each, PeerUp)] == ["first", "second"]


def test_a_tick_waits_for_a_backlog_of_input_for_a_second_at_most() -> None:
    """As in the reactor; without input in between, too."""
    sim = Simulation(1)
    begin = sim.now
    core = TickedCore(begin + 1.0)
    sim.add("ticked", core, {})
    sim.processes["ticked"].busy_until = begin + 1.4
    sim.run(3.0)
    assert core.ticked_at == [pytest.approx(begin + 1.4)]

    core.due_at = begin + 4.0
    sim.processes["ticked"].busy_until = begin + 30.0
    sim.post("ticked", PeerUp(Link.RAFT_ASK, "any"))
    sim.run(10.0)
    assert core.ticked_at[1:] == [pytest.approx(begin + 4.0 + TICK_LATE_SECONDS_MAX)]


def test_a_request_is_answered_in_its_turn() -> None:
    sim, client = Simulation(1), asking(ask(1))
    sim.add("n2", SmallCore(accept), {Link.RAFT_ANSWER: ADDRESS})
    sim.add("n1", client, {})
    sim.run(1.0)

    assert client.received[-1] == TransferLeaderReply("n2", "n1", 1, 1, is_accepted=True)


def test_a_request_that_the_core_does_not_answer_is_refused() -> None:
    sim, client = Simulation(1), asking(ask(1))
    sim.add("n2", SmallCore(lambda link, peer, message: []), {Link.RAFT_ANSWER: ADDRESS})
    sim.add("n1", client, {})
    sim.run(1.0)

    assert isinstance(client.received[-1], Refused)


def test_only_the_answer_to_the_last_request_is_taken() -> None:
    """There are two requests in a row, as after a time-out: the first answer is dropped."""
    sim, client = Simulation(1), asking(ask(1))
    sim.add("n2", SmallCore(accept), {Link.RAFT_ANSWER: ADDRESS})
    sim.add("n1", client, {})
    sim.run_until(lambda: any(isinstance(m, PeerUp) for m in client.received), 1.0)
    client.answer = lambda link, peer, message: [Send(Link.RAFT_ASK, "n2", ask(2))]
    sim.post("n1", Local())
    client.answer = lambda link, peer, message: []
    sim.run(1.0)

    replies = [m.sequence for m in client.received if isinstance(m, TransferLeaderReply)]
    assert replies == [2]


def test_messages_to_a_frozen_process_keep_their_order_over_several_freezes() -> None:
    sim, core = Simulation(1), SmallCore(lambda link, peer, message: [])
    sim.add("n1", core, {})
    events: list[Local] = [PeerUp(Link.CLIENTS, str(number)) for number in range(4)]
    sim.freeze("n1", 1.0)
    sim.post("n1", events[0])
    sim.run(0.5)
    sim.freeze("n1", 2.0)
    sim.post("n1", events[1])
    sim.run(1.0)
    assert core.received == []
    sim.freeze("n1", 0.1)
    sim.post("n1", events[2])
    sim.run(0.2)
    assert core.received == events[:3]
    sim.post("n1", events[3])
    sim.run(3.0)

    assert core.received == events


def saving(data: bytes) -> SmallCore:
    return SmallCore(lambda link, peer, message: [save(data)] if type(message) is Local else [])


def test_a_save_outlives_its_process() -> None:
    sim, disk = Simulation(1), SimDisk()
    sim.add("n1", saving(b"kept"), {}, disk)
    sim.post("n1", Local())
    sim.kill("n1")

    assert [entry.data for entry in disk.load().entries] == [b"kept"]


def test_a_save_that_was_not_synced_is_lost_with_its_process() -> None:
    sim, disk = Simulation(1), SimDisk()
    process = sim.add("n1", saving(b"lost"), {}, disk)
    process.dies_at_save = True
    sim.post("n1", Local())

    assert "n1" not in sim.processes
    assert disk.load().entries == ()


def test_a_full_disk_ends_the_process() -> None:
    sim, disk = Simulation(1), SimDisk()
    sim.add("n1", saving(b"x"), {}, disk)
    disk.fail_next()
    sim.post("n1", Local())

    assert "n1" not in sim.processes
