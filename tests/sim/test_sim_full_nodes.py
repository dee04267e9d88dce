"""Data nodes that are full, slow, few or gone: each has a bounded behaviour, and says so."""

from divergence import NAMES
from promises import META, PAY, make_cluster, membership_of, promise
from test_sim_copies import problems_of, statistics_of, store_of

from zreg.client.core.commands import PublicationRefused, Registered
from zreg.config import Config
from zreg.errors import LimitError, NotReadyError
from zreg.model import DataInfoId
from zreg.primitives.ring import ring_of
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog


def refusals(cluster: SimCluster, client: str) -> list[PublicationRefused]:
    events = cluster.sim.processes[client].events
    return [event for event in events if isinstance(event, PublicationRefused)]


def registered(cluster: SimCluster, client: str) -> list[tuple[bytes, int]]:
    """Return the publishers that a client was told are registered, each with its copies."""
    events = cluster.sim.processes[client].events
    return [
        (key, event.copies)
        for event in events
        if isinstance(event, Registered)
        for key in event.publisher_ids
    ]


def logged(cluster: SimCluster, event: str) -> list[str]:
    return [line for line in cluster.sim.trace if f" {event} " in line]


# --- a node that is full --------------------------------------------------------------------------


def make_full() -> tuple[SimCluster, list[bytes], dict[bytes, PublicationRefused]]:
    """Return a cluster whose nodes take 20 publishers; what was published; and what was refused."""
    config = Config(meta_addresses=META, publishers_max=20)
    cluster = make_cluster(data=3, config=config)
    cluster.client("publisher", [1])
    ids = []
    for at in range(30):
        # One after the other: a node counts a copy when it has arrived.
        ids.append(cluster.publish("publisher", NAMES[at % 12], "x"))
        cluster.run(0.1)
    cluster.run(2.0)
    return cluster, ids, {each.publisher_id: each for each in refusals(cluster, "publisher")}


def test_a_full_data_node_refuses_new_publishers_and_no_node_believes_in_them() -> None:
    cluster, ids, refused = make_full()

    accepted = {key for key, _ in registered(cluster, "publisher")}
    promise(len(accepted) == 20, "a full node accepted, or one with room refused")
    promise(accepted.isdisjoint(refused), "a publisher was accepted and refused")
    promise(accepted | refused.keys() == set(ids), "a publisher has no answer")
    for event in refused.values():
        assert (event.code, event.is_final) == (LimitError.code, True)
        assert "raise publishers_max" in event.detail
    for node in ("data-1", "data-2", "data-3"):
        held = {key for publishers in store_of(cluster, node).values() for key in publishers}
        promise(held == accepted, "a copy differs from what was accepted")
        assert "publishers-full" in problems_of(cluster, node)
    assert statistics_of(cluster, "session-1")["publishers"] == 20
    assert statistics_of(cluster, "session-1")["publishes_refused"] == 10
    assert sum(statistics_of(cluster, f"data-{n}")["publishers_refused"] for n in (1, 2, 3)) == 10
    assert 1 <= len(logged(cluster, "data.publishers.full")) <= 3
    sent = cluster.sim.record_counts["PublishDatum"]
    cluster.run(10.0)
    promise(cluster.sim.record_counts["PublishDatum"] == sent, "a refused publisher is sent again")


def test_what_a_full_data_node_holds_may_change_and_go_and_make_room() -> None:
    cluster, ids, refused = make_full()
    cluster.client("watcher", [2])
    view = cluster.subscribe("watcher", NAMES[0])
    first = ids[0]
    cluster.publish("publisher", NAMES[0], "newer", first)
    assert cluster.sim.run_until(lambda: "newer" in map(str, _seen(cluster, view)), 2.0)
    cluster.unpublish("publisher", first)
    cluster.run(1.0)
    retried = next(iter(refused))
    cluster.publish("publisher", NAMES[ids.index(retried) % 12], "x", retried)
    cluster.run(1.0)
    promise(retried in {key for key, _ in registered(cluster, "publisher")}, "there is room again")


def _seen(cluster: SimCluster, view: ViewLog) -> list[object]:
    cluster.read_events()
    return view.values()


def test_a_client_learns_that_a_node_that_lost_its_publisher_has_no_room_for_it() -> None:
    """It was accepted long ago, so no request of the client waits for the refusal."""
    config = Config(meta_addresses=META, publishers_max=1, replica_count=1)
    cluster = make_cluster(data=1, config=config)
    cluster.client("publisher", [1])
    publisher_id = cluster.publish("publisher", PAY, "x")
    cluster.run(1.0)
    assert [key for key, _ in registered(cluster, "publisher")] == [publisher_id]

    buckets = cluster.sim.processes["data-1"].core._store.buckets
    datum = buckets.find(PAY)
    buckets.take_out(datum, datum.publishers[publisher_id])
    cluster.client("other", [2])
    other = cluster.publish("other", NAMES[0], "y")
    cluster.run(8.0)

    assert other in {key for key, _ in registered(cluster, "other")}
    found = refusals(cluster, "publisher")
    promise(
        {(event.publisher_id, event.is_final) for event in found} == {(publisher_id, False)},
        "a client goes on believing that it is registered, or gives up what it was told before",
    )
    assert len(found) <= 4, "the pauses between repeated requests double"
    asked = cluster.sim.record_counts["WhoAreYou"]
    cluster.run(10.0)
    promise(cluster.sim.record_counts["WhoAreYou"] == asked, "the client is asked again and again")


def test_an_id_that_outgrows_its_limit_takes_no_more_publishers() -> None:
    config = Config(meta_addresses=META, publishers_per_datum_max=5)
    cluster = make_cluster(data=3, config=config)
    cluster.client("publisher", [1])
    cluster.client("watcher", [2])
    view = cluster.subscribe("watcher", PAY)
    for _ in range(8):
        cluster.publish("publisher", PAY, "x")
    other = cluster.publish("publisher", NAMES[0], "x")
    cluster.run(2.0)

    assert [event.code for event in refusals(cluster, "publisher")] == [LimitError.code] * 3
    assert all("publishers_per_datum_max" in e.detail for e in refusals(cluster, "publisher"))
    promise(cluster.settles(view, ["x"] * 5), "a view shows a publisher that was refused")
    assert other in {key for key, _ in registered(cluster, "publisher")}
    (line,) = logged(cluster, "data.datum.full")
    assert f"id={PAY}" in line
    assert sum("datum-full" in problems_of(cluster, f"data-{n}") for n in (1, 2, 3)) == 1


# --- no node, few nodes, slow nodes ---------------------------------------------------------------


def test_without_a_data_node_a_publish_is_not_accepted_and_the_client_learns_why() -> None:
    cluster = make_cluster(data=0, sessions=1)
    cluster.client("publisher", [1])
    publisher_id = cluster.publish("publisher", PAY, "x")
    cluster.run(5.0)

    assert registered(cluster, "publisher") == []
    answers = refusals(cluster, "publisher")
    assert answers
    assert len(answers) <= 3, "the pauses between repeated requests double"
    for event in answers:
        assert (event.code, event.is_final) == (NotReadyError.code, False)
        assert event.detail == "not accepted yet, but stored: no data node is WORKING"
    assert "no-data-node" in problems_of(cluster, "session-1")
    assert statistics_of(cluster, "session-1")["publishes_delayed"] == len(answers)
    assert len(logged(cluster, "session.publish.delayed")) == 1

    cluster.data(1)
    cluster.run(3.0)
    assert registered(cluster, "publisher") == [(publisher_id, 1)]
    assert "no-data-node" not in problems_of(cluster, "session-1")


def test_what_was_accepted_is_registered_again_when_there_is_room_again() -> None:
    """While data-2 is away, data-1 has no room for all; the clients' programs were told before."""
    config = Config(meta_addresses=META, publishers_max=20, replica_count=1)
    cluster = make_cluster(data=2, config=config)
    cluster.client("publisher", [1])
    for number in range(30):
        cluster.publish("publisher", NAMES[number % len(NAMES)], "x")
    cluster.run(2.0)
    before = {key for key, _ in registered(cluster, "publisher")}
    assert len(before) + len({event.publisher_id for event in refusals(cluster, "publisher")}) == 30

    cluster.sim.kill("data-2")
    cluster.run(8.0)
    refused = {event for event in refusals(cluster, "publisher") if event.publisher_id in before}
    assert refused, "there is room for all of them"
    assert not any(event.is_final for event in refused)
    cluster.data(2)
    assert cluster.sim.run_until(
        lambda: {key for node in ("data-1", "data-2") for key in _held(cluster, node)} >= before,
        60.0,
    )


def _held(cluster: SimCluster, node_id: str) -> list[bytes]:
    store = cluster.sim.processes[node_id].core._store
    return [key for datum in store.buckets.all() for key in datum.publishers]


def test_with_fewer_nodes_than_before_a_publish_is_accepted_and_health_says_so() -> None:
    cluster = make_cluster(data=3)
    cluster.sim.kill("data-3")
    cluster.run(2.0)
    cluster.client("publisher", [1])
    publisher_id = cluster.publish("publisher", PAY, "x")
    cluster.run(2.0)

    assert registered(cluster, "publisher") == [(publisher_id, 2)]
    for node in ("data-1", "data-2"):
        assert "at most 2 of 3 copies" in problems_of(cluster, node)["copies-missing"]
    cluster.data(3)
    cluster.run(3.0)
    assert problems_of(cluster, "data-1") == {}


def test_two_data_nodes_that_never_had_a_third_one_are_healthy() -> None:
    cluster = make_cluster(data=2)
    cluster.run(15.0)

    assert problems_of(cluster, "data-1") == problems_of(cluster, "data-2") == {}


def test_a_replica_that_cannot_keep_up_delays_each_publish_for_a_moment_at_most() -> None:
    cluster = make_cluster(data=3)
    cluster.client("publisher", [1])
    ids = {name: cluster.publish("publisher", name, "0") for name in NAMES}
    cluster.run(2.0)
    # Each frame takes it half a second.
    cluster.sim.faults.slow["data-2"] = 0.5
    for number in range(1, 16):
        for name in _owned_by_others(cluster, "data-2"):
            cluster.publish("publisher", name, str(number), ids[name])
        cluster.run(1.0)

    copies = dict(registered(cluster, "publisher"))
    owned = _owned_by_others(cluster, "data-2")
    promise(all(copies[ids[name]] == 2 for name in owned), "a publish waits for a slow replica")
    late = logged(cluster, "data.replica.late")
    counts = [statistics_of(cluster, node)["replicas_late"] for node in ("data-1", "data-3")]
    assert len(late) == sum(counts) > 0
    assert len(late) <= 2 * 15 / 2, "a late replica is out of sync for two seconds at least"
    assert "copies-missing" in problems_of(cluster, "data-1")
    cluster.sim.faults.slow.clear()
    # It has to work off what it was sent meanwhile.
    assert cluster.sim.run_until(lambda: _are_equal(cluster), 120.0)
    assert cluster.sim.run_until(lambda: problems_of(cluster, "data-1") == {}, 10.0)


def _are_equal(cluster: SimCluster) -> bool:
    stores = [store_of(cluster, f"data-{number}") for number in (1, 2, 3)]
    return stores[0] == stores[1] == stores[2]


def _owned_by_others(cluster: SimCluster, node: str) -> list[DataInfoId]:
    ring = ring_of(membership_of(cluster))
    return [name for name in NAMES if ring.primary(name) != node]
