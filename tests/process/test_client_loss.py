"""The registrations of a client are removed when the client is gone, and only then."""

from conftest import StartCluster
from watching import Watcher, Worker


def test_the_registrations_of_a_killed_client_leave_all_views_within_a_second(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=2)
    first, second = (node.node_id for node in cluster.of("session"))
    with (
        Worker("publish", cluster.url_of(first), "pay", "20", "mortal") as mortal,
        Worker("publish", cluster.url_of(first), "pay", "20", "other"),
        Watcher(cluster.url_of(first), "pay") as here,
        Watcher(cluster.url_of(second), "pay") as there,
    ):
        cluster.wait_until(lambda: len(here.values) == len(there.values) == 40)

        mortal.kill()

        seconds = cluster.wait_until(lambda: len(here.values) == len(there.values) == 20)
        # The promise is one second; the machine that runs the test may be slow.
        assert seconds < 3.0
        assert all(value.startswith("other") for value in here.values | there.values)
        assert all(value.startswith("mortal") for value in here.removed + there.removed)


def test_the_registrations_of_a_frozen_client_expire_and_come_back_when_it_continues(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=1, data=1)
    with (
        Worker("publish", cluster.url, "pay", "5", "frozen") as frozen,
        Watcher(cluster.url, "pay") as watcher,
    ):
        cluster.wait_until(lambda: len(watcher.values) == 5)

        frozen.stop()
        seconds = cluster.wait_until(lambda: not watcher.values)
        assert 1.0 < seconds < 7.0

        frozen.cont()
        cluster.wait_until(lambda: len(watcher.values) == 5)


def test_a_program_whose_main_thread_hangs_leaves_the_view_and_comes_back(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=1, data=1)
    with (
        Worker("beat", cluster.url, "pay", "1.5") as worker,
        Watcher(cluster.url, "pay") as watcher,
    ):
        cluster.wait_until(lambda: watcher.values == {"beats"})
        for times in (1, 2):
            worker.write_line()
            seconds = cluster.wait_until(lambda: not watcher.values)
            assert 1.0 < seconds < 5.0

            worker.write_line()
            cluster.wait_until(lambda: watcher.values == {"beats"})
            # Its client lived on: nothing but the silence of the main thread removed it.
            assert watcher.removed == ["beats"] * times
            assert worker.process.poll() is None


def test_when_ten_clients_are_killed_at_once_only_their_registrations_are_removed(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=2, data=2)
    # Each has ten publishers, so a hundred are removed at once.
    workers = [Worker("publish", cluster.url, "pay", "10", f"mortal-{n}") for n in range(10)]
    try:
        with (
            Worker("publish", cluster.url, "pay", "10", "other"),
            Watcher(cluster.url, "pay") as watcher,
        ):
            cluster.wait_until(lambda: len(watcher.values) == 110)
            for worker in workers:
                worker.process.kill()
            seconds = cluster.wait_until(lambda: len(watcher.values) == 10)
            assert seconds < 3.0
            assert all(value.startswith("other") for value in watcher.values)
    finally:
        for worker in workers:
            worker.__exit__(None, None, None)


def test_a_client_that_says_goodbye_is_removed_at_once(start_cluster: StartCluster) -> None:
    cluster = start_cluster(sessions=2, data=1)
    with Watcher(cluster.url, "pay") as watcher:
        with Worker("publish", cluster.url, "pay", "3", "polite") as polite:
            cluster.wait_until(lambda: len(watcher.values) == 3)
            assert polite.process.stdin is not None
            polite.process.stdin.close()
            seconds = cluster.wait_until(lambda: not watcher.values)
        assert seconds < 2.0
