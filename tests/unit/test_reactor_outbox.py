"""The outbox and the book of routed peers, without a socket."""

from collections import Counter

import msgspec
import pytest

from zreg.effects import Link, Peer
from zreg.model import ZERO, Scope, data_info_id
from zreg.reactor.link_table import check_address, is_ipv6
from zreg.reactor.outbox import (
    BACKLOG_BYTES_MAX,
    BACKLOG_MESSAGES_MAX,
    Backlog,
    Outbox,
    Outcome,
    Record,
    SendResults,
    record_count,
)
from zreg.reactor.routed_peers import PROBE_AGAIN_SECONDS, RoutedPeers
from zreg.wire.client_messages import Push
from zreg.wire.codec import encode_frames, encode_record
from zreg.wire.common_messages import Accepted, Ping, Pong, Refused

ID = data_info_id("com.acme.Pay")
HEADER = b"header"


class FakeChannel:
    def __init__(self) -> None:
        self.backlogs: dict[Peer, Backlog] = {}
        self.outcome = Outcome.SENT
        self.sent: list[tuple[Peer, bytes]] = []

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        assert header == HEADER
        if self.outcome is Outcome.SENT:
            self.sent.append((peer, frame))
        return self.outcome


class FakeDoor:
    link = Link.CLIENTS

    def __init__(self, channel: FakeChannel) -> None:
        self.only = channel

    def channel(self, peer: Peer) -> FakeChannel | None:
        return None if peer == b"absent" else self.only


class Bench:
    """One outbox with one link and one channel."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.channel = FakeChannel()
        self.door = FakeDoor(self.channel)
        self.news: SendResults[FakeChannel] = SendResults()
        doors = {id(Link.CLIENTS): self.door}
        self.outbox = Outbox(doors, self.counts, lambda _link: HEADER, self.news)

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


def test_what_a_turn_collects_for_a_peer_is_one_message(bench: Bench) -> None:
    bench.collect(b"a", Ping())
    bench.collect(b"b", Pong())
    bench.send(b"a", Accepted((1,)))
    assert bench.channel.sent == [
        (b"a", *frames(Ping(), Accepted((1,)))),
        (b"b", *frames(Pong())),
    ]
    assert bench.counts == {"messages_out": 2, "records_out": 3, "bytes_out": 22}
    bench.outbox.flush()
    assert len(bench.channel.sent) == 2


def test_the_channels_that_sent_are_known(bench: Bench) -> None:
    """The reactor looks at them again, as sending can swallow a wake-up."""
    bench.send(b"a", Ping())
    assert list(bench.news.touched) == [bench.channel]


def test_records_beyond_a_frame_are_counted_one_by_one(bench: Bench) -> None:
    records = [Accepted((number,)) for number in range(1500)]
    bench.send(b"a", *records)
    sent = [frame for _, frame in bench.channel.sent]
    assert sent == frames(*records)
    assert [record_count(frame) for frame in sent] == [750, 750]
    assert bench.counts["records_out"] == 1500


@pytest.mark.parametrize("count", [0, 1, 15, 16, 1024])
def test_a_frame_tells_how_many_records_it_holds(count: int) -> None:
    assert record_count(frames(*[Ping()] * count)[0]) == count


def test_a_push_to_many_is_encoded_once_in_a_turn(bench: Bench) -> None:
    push = Push(ID, Scope.ZONE, None, ZERO, ())
    first = bench.outbox.once(push)
    assert bench.outbox.once(push) is first
    bench.send(b"a", first)
    assert bench.channel.sent == [(b"a", *frames(push))]
    assert bench.outbox.once(push) is not first


def test_what_nobody_is_connected_for_is_dropped_and_counted(bench: Bench) -> None:
    bench.send(b"absent", Ping(), Ping())
    assert bench.counts == {"dropped_absent": 2}


def test_a_peer_that_is_gone_is_noted_for_the_core(bench: Bench) -> None:
    bench.channel.outcome = Outcome.GONE
    bench.send(b"a", Ping(), Ping())
    assert bench.news.lost == {(Link.CLIENTS, b"a"): "unreachable"}
    assert bench.counts == {"dropped_gone": 2}


def test_a_full_peer_gets_a_backlog_that_leaves_in_order(bench: Bench) -> None:
    bench.channel.outcome = Outcome.FULL
    bench.send(b"a", Accepted((1,)))
    bench.send(b"a", Accepted((2,)))
    assert bench.outbox.is_waiting
    assert bench.outbox.statistics()["backlog_messages"] == 2
    bench.channel.outcome = Outcome.SENT
    bench.send(b"a", Accepted((3,)))
    assert bench.channel.sent == [(b"a", *frames(Accepted((number,)))) for number in (1, 2, 3)]
    assert not bench.outbox.is_waiting
    assert bench.news.slow == {}
    assert bench.counts == {"messages_out": 3, "records_out": 3, "bytes_out": 33}


def test_a_backlog_is_bounded_in_messages_and_told_once(bench: Bench) -> None:
    bench.channel.outcome = Outcome.FULL
    for number in range(BACKLOG_MESSAGES_MAX + 5):
        bench.send(b"a", Accepted((number,)), Ping())
    assert bench.news.slow == {(Link.CLIENTS, b"a"): None}
    assert bench.counts == {"dropped_slow": 10}
    assert bench.outbox.statistics() == {
        "backlog_messages": BACKLOG_MESSAGES_MAX,
        "backlog_bytes": sum(backlog.bytes for backlog in bench.channel.backlogs.values()),
        "slow_peers": 1,
    }
    bench.news.slow.clear()
    bench.send(b"a", Ping())
    assert bench.news.slow == {}


def test_a_backlog_is_bounded_in_bytes_and_leaves_no_hidden_gap() -> None:
    backlog = Backlog()
    half = b"x" * (BACKLOG_BYTES_MAX // 2)
    assert backlog.add(HEADER, half)
    assert backlog.add(HEADER, half)
    assert not backlog.add(HEADER, b"x")
    backlog.drop_first()
    assert backlog.bytes == len(half)
    assert not backlog.add(HEADER, b"x"), "what follows a dropped message is dropped too"


def test_a_peer_that_has_read_its_backlog_is_slow_no_more(bench: Bench) -> None:
    bench.channel.outcome = Outcome.FULL
    for _ in range(BACKLOG_MESSAGES_MAX + 1):
        bench.send(b"a", Ping())
    bench.channel.outcome = Outcome.SENT
    bench.outbox.flush()
    bench.news.slow.clear()
    bench.channel.outcome = Outcome.FULL
    for _ in range(BACKLOG_MESSAGES_MAX + 1):
        bench.send(b"a", Ping())
    assert bench.news.slow == {(Link.CLIENTS, b"a"): None}


def test_a_peer_that_dies_with_a_backlog_is_lost_and_counted(bench: Bench) -> None:
    bench.channel.outcome = Outcome.FULL
    bench.send(b"a", Ping(), Ping())
    bench.channel.outcome = Outcome.GONE
    bench.outbox.flush()
    assert bench.news.lost == {(Link.CLIENTS, b"a"): "unreachable"}
    assert bench.counts == {"dropped_gone": 2}
    assert not bench.outbox.is_waiting


def test_forgetting_a_peer_drops_its_backlog_and_its_news(bench: Bench) -> None:
    bench.channel.outcome = Outcome.FULL
    for _ in range(BACKLOG_MESSAGES_MAX + 1):
        bench.send(b"a", Ping())
    bench.news.lost[Link.CLIENTS, b"a"] = "unreachable"
    bench.outbox.forget(bench.door, b"a")
    bench.outbox.forget(bench.door, b"absent")
    assert (bench.news.lost, bench.news.slow, bench.channel.backlogs) == ({}, {}, {})
    assert not bench.outbox.is_waiting


def test_closing_a_channel_drops_what_waits_for_it(bench: Bench) -> None:
    bench.channel.outcome = Outcome.FULL
    bench.send(b"a", Ping())
    bench.outbox.close(bench.channel)
    assert (bench.outbox.is_waiting, bench.news.touched) == (False, {})


def test_a_peer_about_to_be_dropped_gets_what_was_collected(bench: Bench) -> None:
    bench.collect(b"a", Ping())
    bench.collect(b"b", Pong())
    bench.outbox.flush_peer(bench.door, b"a")
    bench.outbox.flush_peer(bench.door, b"nobody")
    assert bench.channel.sent == [(b"a", *frames(Ping()))]
    assert list(bench.outbox.pending[id(Link.CLIENTS)]) == [b"b"]


def test_a_record_that_cannot_be_encoded_costs_itself(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Too large a number, and too large a record: bugs of a core, not of its neighbours."""
    huge = msgspec.Raw(encode_record(Refused(1, 1, "x" * (1 << 20))))
    bench.send(b"a", Ping(), Accepted((1 << 70,)), huge, Pong())
    assert bench.channel.sent == [(b"a", *frames(Ping())), (b"a", *frames(Pong()))]
    assert bench.counts["dropped_broken"] == 2
    assert "record=Accepted" in caplog.text


def test_what_a_failing_link_held_up_leaves_with_the_next_flush(bench: Bench) -> None:
    other = Bench()
    doors = {id(Link.CLIENTS): bench.door, id(Link.DATA): other.door}
    failing = iter([True])

    def header(_link: Link) -> bytes:
        assert next(failing, None) is None
        return HEADER

    outbox = Outbox(doors, bench.counts, header, bench.news)
    outbox.add(Link.CLIENTS, b"a", Ping())
    outbox.add(Link.DATA, b"b", Pong())
    with pytest.raises(AssertionError):
        outbox.flush()
    outbox.flush()
    assert other.channel.sent == [(b"b", *frames(Pong()))]


def test_a_peer_whose_descriptor_closed_is_probed_until_it_is_left_to_the_lease() -> None:
    peers = RoutedPeers()
    peers.add(b"a", 7)
    peers.add(b"b", 8)
    assert peers.next_due_at() is None
    peers.closed(7)
    probed_at = []
    now = 0.0
    while (due_at := peers.next_due_at()) is not None:
        now = max(now, due_at)
        assert peers.take_due(now) == [b"a"]
        assert peers.take_due(now) == []
        probed_at.append(now)
    expected = [sum(PROBE_AGAIN_SECONDS[:count]) for count in range(len(PROBE_AGAIN_SECONDS) + 1)]
    assert probed_at == pytest.approx(expected)
    assert b"a" in peers.descriptors


def test_a_descriptor_under_a_new_name_has_its_former_holder_probed() -> None:
    peers = RoutedPeers()
    peers.add(b"a", 7)
    peers.add(b"b", 7)
    assert peers.take_due(0.0) == [b"a"]
    peers.forget(b"a")
    peers.closed(7)
    assert peers.take_due(0.0) == [b"b"]


def test_a_peer_heard_after_its_descriptor_closed_is_probed() -> None:
    peers = RoutedPeers()
    peers.closed(7)
    peers.add(b"a", 7)
    assert peers.take_due(0.0) == [b"a"]
    peers.accepted(7)
    peers.forget(b"a")
    peers.add(b"b", 7)
    assert peers.take_due(0.0) == []


def test_a_forgotten_peer_is_not_probed() -> None:
    peers = RoutedPeers()
    peers.add(b"a", 7)
    peers.probe(b"a")
    peers.forget(b"a")
    peers.forget(b"a")
    assert (len(peers), peers.next_due_at()) == (0, None)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "tcp://host-1.example:9600", "tcp://[::1]:65535", "tcp://*:80"]
)
def test_addresses_that_can_work_pass(address: str) -> None:
    check_address(address, port_min=1)
    assert is_ipv6(address) == ("[" in address)


@pytest.mark.parametrize(
    "address", ["", "tcp://", "tcp://h", "tcp://h:", "tcp://h:x", "tcp://h:0", "tcp://h:65536",
                "ipc:///x", "tcp://a b:1", "tcp://h:1;tcp://x:2", "tcp://h:1\n"]
)  # fmt: skip
def test_addresses_that_can_never_work_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="write tcp://HOST:PORT"):
        check_address(address, port_min=1)
