"""A subscriber that does not read costs bounded memory, stays, and no other client notices it."""

from pathlib import Path

import pytest
from conftest import StartCluster
from silent_reader import SilentReader
from watching import Watcher

import zreg
from zreg.wire.records.common_messages import Ping

LARGE = "x" * 30_000


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def test_a_subscriber_that_never_reads_costs_bounded_memory_and_gets_the_newest_state_later(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=1, data=1)
    node = cluster.of("session")[0]
    reader = SilentReader(node.address, "large")
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

            def reads_the_newest() -> bool:
                reader.read()
                return set(reader.view.values()) == wanted

            cluster.wait_until(reads_the_newest, timeout_seconds=30.0)
            assert reader.greeting_count == 1, "it was never disconnected"
    finally:
        reader.close()


def test_a_publisher_that_does_not_read_stays_in_all_views_and_replays_when_it_reads_again(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=1, data=1)
    node = cluster.of("session")[0]
    # More than the kernel's buffers hold: what comes after that waits in queues of few messages.
    data_ids = [f"large-{n}" for n in range(600)]
    with Watcher(cluster.url, "pay") as watcher, zreg.Client(cluster.url) as client:
        for data_id in data_ids:
            client.publish(data_id, f"{data_id} {LARGE}")
        client.publish("last", "1").wait_registered(timeout_seconds=30)
        reader = SilentReader(node.address, *data_ids)
        try:
            cluster.wait_until(lambda: watcher.values == {"mine"})

            def is_slow() -> bool:
                reader.send(Ping())
                return bool(cluster.statistics(node.node_id)["slow_peers"])

            cluster.wait_until(is_slow, timeout_seconds=30.0)
            client.publish("large-0", "newest").wait_registered(timeout_seconds=30)

            def has_all() -> bool:
                reader.read()
                return len(reader.view) == len(data_ids) + 1

            cluster.wait_until(has_all, timeout_seconds=60.0)
            assert reader.greeting_count > 1, "it was asked who it is"
            assert "newest" in reader.view.values()
            assert cluster.statistics(node.node_id)["clients"] == 3
            assert watcher.removed == []
            assert watcher.values == {"mine"}
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
