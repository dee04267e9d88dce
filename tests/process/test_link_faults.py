"""Links are cut, addresses swallow dials, sessions stop: no view loses a publisher that lives.

Each link passes through a proxy (`ProxiedCluster`). The watchers remember every removal that a
subscriber sees.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from silent_reader import SilentReader
from watching import Publishers, Watcher

import zreg
from zreg.testing.processes import LinkProxy, ProxiedCluster
from zreg.wire.records.common_messages import Ping

DISCONNECT_GRACE_SECONDS = 0.5
LEASE_SECONDS = 2.0
SESSION_GRACE_SECONDS = 3.0
# Longer than any of the times after which a node gives something up.
AWAY_SECONDS = LEASE_SECONDS + SESSION_GRACE_SECONDS + 1.0
OPTIONS = (
    f"--disconnect-grace-seconds={DISCONNECT_GRACE_SECONDS:g}",
    f"--lease-seconds={LEASE_SECONDS:g}",
    "--ping-seconds=0.5",
    f"--session-grace-seconds={SESSION_GRACE_SECONDS:g}",
    "--provisional-empty-seconds=3",
    "--reconnect-seconds-max=0.5",
)
PATIENCE_SECONDS = 30.0
# Each client tries its sessions in random order. With so many of them, some meet each order.
CLIENT_COUNT = 12

StartProxied = Callable[..., ProxiedCluster]


@pytest.fixture
def start_proxied(tmp_path: Path) -> Iterator[StartProxied]:
    """Return a function that starts a cluster with this number of sessions, and a data node."""
    with ExitStack() as stack:

        def start(sessions: int, *options: str) -> ProxiedCluster:
            cluster = ProxiedCluster(tmp_path / "cluster", sessions=sessions, options=options)
            return stack.enter_context(cluster)

        yield start


def publisher_count(cluster: ProxiedCluster, node_id: str) -> int:
    return int(cluster.statistics(node_id)["publishers"])


def wait_forgotten(cluster: ProxiedCluster) -> None:
    """Wait until meta has forgotten all departed nodes, and the data nodes know that."""
    cluster.wait_until(
        lambda: cluster.statistics("meta-1")["departed"] == 0, timeout_seconds=PATIENCE_SECONDS
    )
    epoch = cluster.statistics("meta-1")["epoch"]
    cluster.wait_until(lambda: cluster.statistics("data-1")["epoch"] == epoch)


# --- a session without meta --------------------------------------------------------------------


def test_a_session_that_loses_only_its_link_to_meta_moves_its_clients_and_no_view_changes(
    start_proxied: StartProxied,
) -> None:
    cluster = start_proxied(2, *OPTIONS)
    with (
        Publishers(cluster.url_of("session-1"), "pay", CLIENT_COUNT) as publishers,
        Watcher(cluster.url_of("session-2"), "pay") as watcher,
    ):
        cluster.wait_until(lambda: watcher.values == publishers.values)
        assert publisher_count(cluster, "session-1") == CLIENT_COUNT

        assert cluster.cut("session-1", "meta-1") > 0
        cluster.wait_until(
            lambda: "member.departed incarnation=session-1" in cluster.log("meta-1"),
            timeout_seconds=PATIENCE_SECONDS,
        )
        wait_forgotten(cluster)
        assert watcher.removed == []
        assert publisher_count(cluster, "session-2") == CLIENT_COUNT

        cluster.mend("session-1", "meta-1")
        cluster.wait_until(
            lambda: cluster.statistics("meta-1")["sessions"] == 2,
            timeout_seconds=PATIENCE_SECONDS,
        )
        cluster.wait_until(lambda: publishers.are_registered)
        assert watcher.values == publishers.values
        assert watcher.removed == []


# --- a client that does not read ---------------------------------------------------------------

LARGE = "x" * 30_000
# More than the buffers of the kernel and of the socket hold.
LARGE_IDS = [f"large-{number}" for number in range(400)]


@contextmanager
def reader_behind_proxy(cluster: ProxiedCluster) -> Iterator[tuple[SilentReader, LinkProxy]]:
    """Connect a client that subscribes to the large ids through a proxy of its own.

    It has acknowledged a push of each id: until then a session sends nothing more of it.
    """
    proxy = LinkProxy(lambda ports: ["reader"] * len(ports), receive_buffer_bytes=64 << 10)
    host, port = "127.0.0.3", int(cluster.nodes["session-1"].address.rpartition(":")[2])
    proxy.add("session-1", (host, port), ("127.0.0.1", port))
    reader = SilentReader(f"{host}:{port}", *LARGE_IDS)

    def has_acknowledged_all() -> bool:
        reader.read()
        return len(reader.acknowledged) == len(LARGE_IDS)

    try:
        cluster.wait_until(has_acknowledged_all, timeout_seconds=PATIENCE_SECONDS)
        yield reader, proxy
    finally:
        reader.close()
        proxy.close()


def test_a_publisher_that_gets_nothing_for_longer_than_every_grace_stays_in_all_views(
    start_proxied: StartProxied,
) -> None:
    """All that it sends passes, and so do its pings; what the session sends waits in between."""
    cluster = start_proxied(2, *OPTIONS)
    with (
        zreg.Client(cluster.url_of("session-2")) as client,
        Watcher(cluster.url_of("session-2"), "pay") as watcher,
        reader_behind_proxy(cluster) as (reader, proxy),
    ):
        cluster.wait_until(lambda: watcher.values == {"mine"})
        assert proxy.cut_one_way([("session-1", "reader")]) > 0
        cut_at = time.monotonic()
        # One after the other, so that each is a message of its own.
        for name in LARGE_IDS:
            client.publish(name, f"{name} {LARGE}").wait_registered()
            reader.send(Ping())

        def is_slow_for_long() -> bool:
            reader.send(Ping())
            is_slow = bool(cluster.statistics("session-1")["slow_peers"])
            return is_slow and time.monotonic() - cut_at > AWAY_SECONDS

        cluster.wait_until(is_slow_for_long, timeout_seconds=PATIENCE_SECONDS)
        assert watcher.values == {"mine"}
        client.publish(LARGE_IDS[0], "newest").wait_registered()

        proxy.mend([("session-1", "reader")])

        def has_newest() -> bool:
            reader.read()
            return len(reader.view) == len(LARGE_IDS) + 1 and "newest" in reader.view.values()

        cluster.wait_until(has_newest, timeout_seconds=PATIENCE_SECONDS)
        assert watcher.values == {"mine"}
        assert watcher.removed == []


# --- all sessions away -------------------------------------------------------------------------


def test_all_sessions_stop_for_longer_than_every_grace_and_no_view_changes(
    start_proxied: StartProxied,
) -> None:
    cluster = start_proxied(2, *OPTIONS)
    with (
        Publishers(cluster.url, "pay", CLIENT_COUNT) as publishers,
        Watcher(cluster.url, "pay") as watcher,
        Watcher(cluster.url, "pay") as other,
    ):
        cluster.wait_until(lambda: watcher.values == other.values == publishers.values)

        wait_away(cluster, cluster.stop)
        for node in cluster.of("session"):
            cluster.cont(node.node_id)

        check_all_are_back(cluster, publishers, watcher, other)


def test_all_sessions_are_killed_and_return_one_by_one_after_every_grace_and_no_view_changes(
    start_proxied: StartProxied,
) -> None:
    cluster = start_proxied(2, *OPTIONS)
    with (
        Publishers(cluster.url, "pay", CLIENT_COUNT) as publishers,
        Watcher(cluster.url, "pay") as watcher,
        Watcher(cluster.url, "pay") as other,
    ):
        cluster.wait_until(lambda: watcher.values == other.values == publishers.values)

        wait_away(cluster, cluster.kill)
        cluster.restart("session-1")
        cluster.wait_until(lambda: publishers.are_registered, timeout_seconds=PATIENCE_SECONDS)
        cluster.restart("session-2")

        check_all_are_back(cluster, publishers, watcher, other)


def wait_away(cluster: ProxiedCluster, end: Callable[[str], None]) -> None:
    """End all sessions, and wait for longer than every grace."""
    for node in cluster.of("session"):
        end(node.node_id)
    ended_at = time.monotonic()
    cluster.wait_until(
        lambda: time.monotonic() - ended_at > AWAY_SECONDS, timeout_seconds=PATIENCE_SECONDS
    )


def check_all_are_back(cluster: ProxiedCluster, publishers: Publishers, *watchers: Watcher) -> None:
    """Wait until all are registered and nothing of former sessions is left; check the views."""
    count = len(cluster.of("session"))
    cluster.wait_until(
        lambda: cluster.statistics("meta-1")["sessions"] == count, timeout_seconds=PATIENCE_SECONDS
    )
    wait_forgotten(cluster)
    cluster.wait_until(lambda: publishers.are_registered, timeout_seconds=PATIENCE_SECONDS)
    for watcher in watchers:
        cluster.wait_until(lambda: not watcher.subscription.view.is_stale)  # noqa: B023 -- waited for here
        assert watcher.values == publishers.values
        assert watcher.removed == []


# --- addresses that answer nothing, sessions that wake -------------------------------------------


def test_clients_whose_session_and_another_one_cannot_be_reached_get_to_the_third_in_time(
    start_proxied: StartProxied,
) -> None:
    """One session refuses its clients after it has closed their connections; one is a black hole.

    The session has lost all its clients at once, so that it keeps what they published for the
    longer grace, which is shorter here than by default.
    """
    cluster = start_proxied(3, "--disconnect-grace-seconds=1.5", "--session-grace-seconds=5")
    with (
        Publishers(cluster.url_of("session-1"), "pay", CLIENT_COUNT) as publishers,
        Watcher(cluster.url_of("session-3"), "pay") as watcher,
    ):
        cluster.wait_until(lambda: watcher.values == publishers.values)

        cluster.swallow("session-2")
        cluster.refuse("session-1")
        assert cluster.reset_clients("session-1") == CLIENT_COUNT

        cluster.wait_until(lambda: publisher_count(cluster, "session-3") == CLIENT_COUNT)
        # Now session-1 has given its clients up, and would have withdrawn what they published.
        cluster.wait_until(lambda: cluster.statistics("session-1")["clients"] == 0)
        cluster.wait_until(lambda: publishers.are_registered)
        assert watcher.values == publishers.values
        assert watcher.removed == []
        # Its first session, the same again, the black hole, the third.
        assert max(publishers.dial_counts()) >= 4


@pytest.mark.parametrize("is_meta_stopped", [False, True])
def test_a_session_that_wakes_while_its_clients_find_no_other_one_withdraws_nothing(
    start_proxied: StartProxied, *, is_meta_stopped: bool
) -> None:
    """It wakes as a session that has departed, or, if meta is stopped as well, as a member.

    A second session is stopped, so clients wait there. The third one refuses them at first.
    """
    # Long enough for clients whose attempts to connect have become rare.
    grace = "--session-grace-seconds=15"
    cluster = start_proxied(3, *OPTIONS, grace)
    with (
        Publishers(cluster.url_of("session-1"), "pay", CLIENT_COUNT) as publishers,
        Watcher(cluster.url_of("session-3"), "pay") as watcher,
    ):
        cluster.wait_until(lambda: watcher.values == publishers.values)

        for node_id in ("session-1", "session-3"):
            cluster.refuse(node_id)
        for node_id in ["meta-1"] * is_meta_stopped + ["session-2", "session-1"]:
            cluster.stop(node_id)
        cluster.wait_until(lambda: publishers.have_lost_their_session)
        if not is_meta_stopped:
            cluster.wait_until(
                lambda: "member.departed incarnation=session-1" in cluster.log("meta-1")
            )
        cluster.cont("session-1")
        cluster.wait_until(lambda: cluster.statistics("session-1")["routed_peers"] == 0)
        woken_at = time.monotonic()
        # Now it has seen that all its clients have closed their connections.
        cluster.wait_until(lambda: time.monotonic() - woken_at > 3 * DISCONNECT_GRACE_SECONDS)
        assert watcher.removed == []

        cluster.accept("session-3")
        cluster.wait_until(
            lambda: publisher_count(cluster, "session-3") == CLIENT_COUNT,
            timeout_seconds=PATIENCE_SECONDS,
        )
        for node_id in ("session-2", "meta-1"):
            cluster.cont(node_id)
        cluster.wait_until(
            lambda: cluster.statistics("meta-1")["sessions"] == 3,
            timeout_seconds=PATIENCE_SECONDS,
        )
        cluster.wait_until(lambda: publishers.are_registered)
        assert watcher.values == publishers.values
        assert watcher.removed == []
