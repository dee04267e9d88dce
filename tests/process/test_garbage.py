"""Garbage on any port is refused and counted exactly, and changes nothing."""

import socket
from collections.abc import Iterator

import msgspec
import pytest
import zmq
from conftest import StartCluster
from watching import Watcher

import zreg
from zreg.errors import (
    ForeignClusterError,
    MalformedError,
    ProtocolVersionError,
    UnknownMessageError,
)
from zreg.testing.processes import RunningCluster
from zreg.wire.codec import decode_frame, encode_frames
from zreg.wire.envelope import MAGIC, Envelope
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.common_messages import Ping, Pong
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

HEADER = Envelope("zreg").header(0)
GOOD_FRAME = encode_frames([Ping()])[0]

# The frames that are sent, and the counter of the node that counts them.
GARBAGE: dict[str, tuple[list[bytes], str]] = {
    "no header": ([b"\xff\x00garbage", GOOD_FRAME], f"bad_{MalformedError.code}"),
    "another magic": (
        [msgspec.msgpack.encode(("smtp", PROTOCOL_VERSION, "zreg", 0)), GOOD_FRAME],
        f"bad_{MalformedError.code}",
    ),
    "another version": (
        [msgspec.msgpack.encode((MAGIC, 99, "zreg", 0)), GOOD_FRAME],
        f"bad_{ProtocolVersionError.code}",
    ),
    "another cluster": (
        [Envelope("other").header(0), GOOD_FRAME],
        f"bad_{ForeignClusterError.code}",
    ),
    "no array": ([HEADER, b"\xc1" * 40], f"bad_{MalformedError.code}"),
    "cut off": ([HEADER, GOOD_FRAME[:-1]], f"bad_{MalformedError.code}"),
    "unknown tag": (
        [HEADER, msgspec.msgpack.encode([[9999, 1]])],
        f"bad_{UnknownMessageError.code}",
    ),
    "wrong fields": ([HEADER, msgspec.msgpack.encode([[3, "x"]])], f"bad_{MalformedError.code}"),
    "too large": ([HEADER, b"\x91" + b"\xc4" * ((1 << 20) + 10)], f"bad_{MalformedError.code}"),
    "too many frames": ([HEADER, GOOD_FRAME, GOOD_FRAME], "bad_frame_count"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with RunningCluster(tmp_path_factory.mktemp("garbage"), sessions=1, data=1) as cluster:
        yield cluster


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("node_id", ["meta-1", "session-1", "data-1"])
def test_the_counters_rise_by_exactly_what_was_sent(
    running: RunningCluster, node_id: str, kind: str
) -> None:
    frames, counter = GARBAGE[kind]
    node = running.nodes[node_id]
    before = running.statistics(node_id)
    context = zmq.Context()
    peer = context.socket(zmq.DEALER)
    peer.linger = 5000
    peer.connect(f"tcp://{node.address}")
    for _ in range(7):
        peer.send_multipart(frames)

    def risen() -> int:
        return int(running.statistics(node_id).get(counter, 0)) - int(before.get(counter, 0))

    running.wait_until(lambda: risen() >= 7)
    # A good message behind them is answered, and no other counter has risen meanwhile.
    peer.send_multipart([HEADER, GOOD_FRAME])
    answers: list[object] = []
    while Pong() not in answers and peer.poll(10_000):
        answers += decode_frame(peer.recv_multipart()[-1])
    assert Pong() in answers
    after = running.statistics(node_id)
    wrong = {
        key
        for key in after
        if (key.startswith("bad_") or key == "core_errors")
        and key != counter
        and after[key] != before.get(key, 0)
    }
    assert risen() == 7
    assert wrong == set()
    peer.close()
    context.term()


def test_a_cluster_works_after_garbage_on_every_port(start_cluster: StartCluster) -> None:
    cluster = start_cluster(sessions=1, data=1)
    with Watcher(cluster.url, "pay") as watcher, zreg.Client(cluster.url) as client:
        client.wait_connected()
        reply = client.request(FetchMembership(1))
        assert isinstance(reply, MembershipReply)
        addresses = [
            address.removeprefix("tcp://")
            for member in reply.membership.members
            for address in (member.address, member.changes_address)
            if address
        ]
        assert len(addresses) == 5
        for address in addresses:
            host, _, port = address.rpartition(":")
            for payload in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, b"\x00" * 64, b""):
                with socket.create_connection((host, int(port)), timeout=5) as peer:
                    peer.sendall(payload)

        client.publish("pay", "fine").wait_registered(timeout_seconds=10)
        cluster.wait_until(lambda: watcher.values == {"fine"})
