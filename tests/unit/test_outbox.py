"""The records of one turn leave as one message per peer, and wait if the peer does not read."""

from collections import Counter

import msgspec
import pytest

from zreg.effects import Link, Peer
from zreg.model import ZERO, Scope, data_info_id
from zreg.reactor.link_table import SHARE_RECORDS_MAX
from zreg.reactor.outgoing.outbox import Outbox, Record
from zreg.reactor.outgoing.retry_queue import record_count
from zreg.reactor.outgoing.send_results import SendResults
from zreg.reactor.sockets.backlog import BACKLOG_MESSAGES_MAX, Backlog, Outcome
from zreg.wire.codec import decode_frame, encode_frames, encode_record
from zreg.wire.records.client_messages import Push
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused

ID = data_info_id("com.acme.Pay")
HEADER = b"header"


class FakeSocket:
    def __init__(self) -> None:
        self.backlogs: dict[Peer, Backlog] = {}
        self.outcome = Outcome.SENT
        self.sent: list[tuple[Peer, bytes]] = []

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        assert header == HEADER
        if self.outcome is Outcome.SENT:
            self.sent.append((peer, frame))
        return self.outcome


class FakeLink:
    def __init__(self, socket: FakeSocket) -> None:
        self.link = Link.CLIENTS
        self.only = socket

    def socket_to(self, peer: Peer) -> FakeSocket | None:
        return None if peer == b"absent" else self.only


class Bench:
    """One outbox with one link and one socket."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.socket = FakeSocket()
        self.link = FakeLink(self.socket)
        self.results = SendResults()
        self.used: dict[FakeSocket, None] = {}
        links = {id(Link.CLIENTS): self.link}
        self.outbox = Outbox(links, self.counts, lambda _link: HEADER, self.results, self.used)

    def collect(self, peer: Peer, *records: Record) -> None:
        for record in records:
            self.outbox.add(Link.CLIENTS, peer, record)

    def send(self, peer: Peer, *records: Record) -> None:
        self.collect(peer, *records)
        self.outbox.flush()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def frames(*records: Record) -> list[bytes]:
    return encode_frames(records)


def test_the_records_of_a_turn_for_one_peer_are_one_message(bench: Bench) -> None:
    bench.collect(b"a", Ping())
    bench.collect(b"b", Pong())
    bench.send(b"a", Accepted((1,)))
    assert bench.socket.sent == [
        (b"a", *frames(Ping(), Accepted((1,)))),
        (b"b", *frames(Pong())),
    ]
    assert bench.counts == {"messages_out": 2, "records_out": 3, "bytes_out": 23}
    bench.outbox.flush()
    assert len(bench.socket.sent) == 2


def test_the_sockets_that_have_sent_are_noted(bench: Bench) -> None:
    """The turn looks at them again, because sending can swallow a wake-up."""
    bench.send(b"a", Ping())
    assert list(bench.used) == [bench.socket]


def test_records_beyond_a_frame_are_counted_one_by_one(bench: Bench) -> None:
    records = [Accepted((number,)) for number in range(1500)]
    bench.send(b"a", *records)
    sent = [frame for _, frame in bench.socket.sent]
    assert sent == frames(*records)
    assert [record_count(frame) for frame in sent] == [1024, 476]
    assert bench.counts["records_out"] == 1500


@pytest.mark.parametrize("link", [Link.SESSION, Link.DATA, Link.META])
def test_requests_leave_in_messages_of_one_share_each(bench: Bench, link: Link) -> None:
    """The node at the other end reads one message of each peer in turn."""
    bench.link.link = link
    records = [Accepted((number,)) for number in range(2 * SHARE_RECORDS_MAX + 1)]
    bench.send(b"a", *records)

    sent = [frame for _, frame in bench.socket.sent]
    assert [record_count(frame) for frame in sent] == [SHARE_RECORDS_MAX, SHARE_RECORDS_MAX, 1]
    assert [each for frame in sent for each in decode_frame(frame)] == records


@pytest.mark.parametrize("count", [0, 1, 15, 16, 1024])
def test_a_frame_tells_how_many_records_it_holds(count: int) -> None:
    assert record_count(frames(*[Ping()] * count)[0]) == count


def test_a_push_to_many_is_encoded_once_in_a_turn(bench: Bench) -> None:
    push = Push(ID, Scope.ZONE, None, ZERO, ())
    first = bench.outbox.encoded(push)
    assert bench.outbox.encoded(push) is first
    bench.send(b"a", first)
    assert bench.socket.sent == [(b"a", *frames(push))]
    assert bench.outbox.encoded(push) is not first


def test_records_for_a_peer_that_is_not_connected_are_dropped_and_counted(bench: Bench) -> None:
    bench.send(b"absent", Ping(), Ping())
    assert bench.counts == {"dropped_absent": 2}


def test_a_peer_that_is_gone_is_noted_for_the_core(bench: Bench) -> None:
    bench.socket.outcome = Outcome.GONE
    bench.send(b"a", Ping(), Ping())
    assert bench.results.lost == {(Link.CLIENTS, b"a"): "unreachable"}
    assert bench.counts == {"dropped_gone": 2}


def test_a_full_peer_gets_a_backlog_that_leaves_in_order(bench: Bench) -> None:
    bench.socket.outcome = Outcome.FULL
    bench.send(b"a", Accepted((1,)))
    bench.send(b"a", Accepted((2,)))
    assert bench.outbox.retry_queue.waiting
    assert bench.outbox.retry_queue.statistics()["backlog_messages"] == 2
    bench.socket.outcome = Outcome.SENT
    bench.send(b"a", Accepted((3,)))
    assert bench.socket.sent == [(b"a", *frames(Accepted((number,)))) for number in (1, 2, 3)]
    assert not bench.outbox.retry_queue.waiting
    assert bench.results.slow == {}
    assert bench.counts == {"messages_out": 3, "records_out": 3, "bytes_out": 36}


def test_a_backlog_is_bounded_and_the_peer_reported_slow_once(bench: Bench) -> None:
    bench.socket.outcome = Outcome.FULL
    for number in range(BACKLOG_MESSAGES_MAX + 5):
        bench.send(b"a", Accepted((number,)), Ping())
    assert bench.results.slow == {(Link.CLIENTS, b"a"): None}
    assert bench.counts == {"dropped_slow": 10}
    assert bench.outbox.retry_queue.statistics() == {
        "backlog_messages": BACKLOG_MESSAGES_MAX,
        "backlog_bytes": sum(backlog.bytes for backlog in bench.socket.backlogs.values()),
        "slow_peers": 1,
    }
    bench.results.slow.clear()
    bench.send(b"a", Ping())
    assert bench.results.slow == {}


def test_a_peer_that_has_read_its_backlog_is_no_longer_slow(bench: Bench) -> None:
    bench.socket.outcome = Outcome.FULL
    for _ in range(BACKLOG_MESSAGES_MAX + 1):
        bench.send(b"a", Ping())
    bench.socket.outcome = Outcome.SENT
    bench.outbox.flush()
    bench.results.slow.clear()
    bench.socket.outcome = Outcome.FULL
    for _ in range(BACKLOG_MESSAGES_MAX + 1):
        bench.send(b"a", Ping())
    assert bench.results.slow == {(Link.CLIENTS, b"a"): None}


def test_a_peer_that_dies_with_a_backlog_is_lost_and_counted(bench: Bench) -> None:
    bench.socket.outcome = Outcome.FULL
    bench.send(b"a", Ping(), Ping())
    bench.socket.outcome = Outcome.GONE
    bench.outbox.flush()
    assert bench.results.lost == {(Link.CLIENTS, b"a"): "unreachable"}
    assert bench.counts == {"dropped_gone": 2}
    assert not bench.outbox.retry_queue.waiting


def test_forgetting_a_peer_drops_its_backlog_and_its_results(bench: Bench) -> None:
    bench.socket.outcome = Outcome.FULL
    for _ in range(BACKLOG_MESSAGES_MAX + 1):
        bench.send(b"a", Ping())
    bench.results.lost[Link.CLIENTS, b"a"] = "unreachable"
    bench.outbox.forget(bench.link, b"a")
    bench.outbox.forget(bench.link, b"absent")
    assert (bench.results.lost, bench.results.slow, bench.socket.backlogs) == ({}, {}, {})
    assert not bench.outbox.retry_queue.waiting


def test_closing_a_socket_drops_its_backlogs(bench: Bench) -> None:
    bench.socket.outcome = Outcome.FULL
    bench.send(b"a", Ping())
    bench.outbox.close(bench.socket)
    assert (bench.outbox.retry_queue.waiting, bench.socket.backlogs) == ({}, {})


def test_flushing_one_peer_sends_its_records_only(bench: Bench) -> None:
    bench.collect(b"a", Ping())
    bench.collect(b"b", Pong())
    bench.outbox.flush_peer(bench.link, b"a")
    bench.outbox.flush_peer(bench.link, b"unknown")
    assert bench.socket.sent == [(b"a", *frames(Ping()))]
    assert list(bench.outbox.pending[id(Link.CLIENTS)]) == [b"b"]


def test_a_record_that_cannot_be_encoded_is_dropped_alone(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The number or the record is too large: a bug of the core. The other records leave."""
    huge = msgspec.Raw(encode_record(Refused(1, 1, "x" * (1 << 20))))
    bench.send(b"a", Ping(), Accepted((1 << 70,)), huge, Pong())
    assert bench.socket.sent == [(b"a", *frames(Ping())), (b"a", *frames(Pong()))]
    assert bench.counts["dropped_broken"] == 2
    assert "record=Accepted" in caplog.text


def test_records_behind_a_failing_link_leave_with_the_next_flush(bench: Bench) -> None:
    other = Bench()
    links = {id(Link.CLIENTS): bench.link, id(Link.DATA): other.link}
    failing = iter([True])

    def header(_link: Link) -> bytes:
        assert next(failing, None) is None
        return HEADER

    outbox = Outbox(links, bench.counts, header, bench.results, bench.used)
    outbox.add(Link.CLIENTS, b"a", Ping())
    outbox.add(Link.DATA, b"b", Pong())
    with pytest.raises(AssertionError):
        outbox.flush()
    outbox.flush()
    assert other.socket.sent == [(b"b", *frames(Pong()))]
