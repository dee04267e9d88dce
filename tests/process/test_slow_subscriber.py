"""A subscriber that does not read costs bounded memory, and no other client notices it."""

from pathlib import Path

import pytest
import zmq
from conftest import StartCluster
from watching import Watcher

import zreg
from zreg.model import Scope, data_info_id
from zreg.wire.client_messages import Hello, Subscribe
from zreg.wire.codec import encode_frames
from zreg.wire.common_messages import Ping
from zreg.wire.envelope import Envelope
from zreg.wire.messages import PROTOCOL_VERSION, Message

LARGE = "x" * 30_000


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


class SilentReader:
    """A client that subscribes, pings to keep its lease, and never reads."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.rcvhwm = 1
        self._socket.connect(f"tcp://{address}")
        self._header = Envelope("zreg").header(0)
        self.send(Hello(PROTOCOL_VERSION, b"d" * 16))
        self.send(Subscribe(1, data_info_id("large"), Scope.GLOBAL))

    def send(self, message: Message) -> None:
        self._socket.send_multipart([self._header, encode_frames([message])[0]])

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def test_a_subscriber_that_never_reads_costs_bounded_memory_and_is_then_dropped(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=1, data=1)
    node = cluster.of("session")[0]
    reader = SilentReader(node.address)
    try:
        with Watcher(cluster.url, "large") as watcher, zreg.Client(cluster.url) as client:
            publications = [client.publish("large", f"{n} {LARGE}") for n in range(10)]
            cluster.wait_until(lambda: len(watcher.values) == 10)
            before = _resident_bytes(node.pid)

            # 3 MB of changes a round: a queue for the reader would hold hundreds of megabytes.
            for round_ in range(100):
                for n, publication in enumerate(publications):
                    publication.republish(f"{n} {round_} {LARGE}")
                for publication in publications:
                    publication.wait_registered(timeout_seconds=30)
                reader.send(Ping())

            wanted = {f"{n} 99 {LARGE}" for n in range(10)}
            cluster.wait_until(lambda: watcher.values == wanted)
            assert _resident_bytes(node.pid) - before < 100 << 20

            def is_dropped() -> bool:
                reader.send(Ping())
                return cluster.statistics(node.node_id)["subscribers"] == 1

            cluster.wait_until(is_dropped, timeout_seconds=30.0)
    finally:
        reader.close()


@pytest.mark.parametrize("callback_seconds", [0.05])
def test_a_slow_callback_gets_the_newest_state_and_not_every_change(
    start_cluster: StartCluster, callback_seconds: float
) -> None:
    cluster = start_cluster(sessions=1, data=1)
    seen: list[str] = []
    with zreg.Client(cluster.url) as subscriber, zreg.Client(cluster.url) as client:
        waiting = zreg.Client(cluster.url)
        blocked = waiting.subscribe("never")

        def slow(change: zreg.ViewChange) -> None:
            seen.extend(str(p.values[0]) for p in (*change.added, *change.updated))
            # The callback is busy: it waits for a publisher that never comes.
            with pytest.raises(zreg.TimeoutError):
                blocked.wait_for(min_count=1, timeout_seconds=callback_seconds)

        subscriber.subscribe("pay", slow)
        publication = client.publish("pay", "0").wait_registered()
        for n in range(1, 201):
            publication.republish(str(n))
            publication.wait_registered()

        cluster.wait_until(lambda: seen and seen[-1] == "200")
        assert len(seen) < 150
        assert seen == sorted(seen, key=int)
        waiting.close()
