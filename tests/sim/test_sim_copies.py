"""Directed scenarios of copies: take-over, joining, leaving, slow replicas, repair."""

import pytest
from promises import (
    HostilePeer,
    Post,
    make_cluster,
    membership_of,
    never_loses,
    owned_by,
    promise,
    runs_consistently,
    session_of,
    watched,
)

from zreg.config import Config, Limits
from zreg.effects import HandedOver, HandOver, Link, PeerSlow
from zreg.model import Cause, DataInfoId, Publisher, Removal, Role, Status, data_info_id
from zreg.primitives.ring import ring_of
from zreg.testing.checkers.store_checker import StoreChecker
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.membership_messages import Drain, SetReplicaCount
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply

NAMES = [data_info_id(f"service-{number}") for number in range(30)]
SEEDS = range(1, 5)


def store_of(cluster: SimCluster, node_id: str) -> dict[DataInfoId, dict[bytes, Publisher]]:
    """Return what a data node holds, copies too."""
    buckets = cluster.sim.processes[node_id].core._store.buckets
    return {datum.name: dict(datum.publishers) for datum in buckets.all() if datum.publishers}


def statistics_of(cluster: SimCluster, node_id: str) -> dict[str, int]:
    return cluster.sim.processes[node_id].core.statistics()  # type: ignore[return-value]


def status_of(cluster: SimCluster, node_id: str) -> Status | None:
    member = membership_of(cluster).living(node_id)
    return None if member is None else member.status


def make_published(
    seed: int, *, data: int, sessions: int = 2, config: Config | None = None
) -> tuple[SimCluster, list[ViewLog]]:
    """Return a cluster with thirty publications, of which one subscriber sees each."""
    cluster = make_cluster(seed=seed, sessions=sessions, data=data, config=config)
    cluster.client("publisher", [1])
    cluster.client("watcher", [sessions])
    views = [cluster.subscribe("watcher", name, feed_id=at) for at, name in enumerate(NAMES, 1)]
    for name in NAMES:
        cluster.publish("publisher", name, "alive")
    assert all(cluster.settles(view, ["alive"]) for view in views)
    cluster.run(2.0)
    return cluster, views


def none_is_lost(cluster: SimCluster, views: list[ViewLog], seconds: float) -> None:
    end = cluster.sim.now + seconds
    while cluster.sim.now < end:
        cluster.run(0.1)
        promise(not any(view.removed for view in views), "a view lost a publisher that lives")
    promise(all(view.values() == ["alive"] for view in views), "a view lacks a publisher")


def are_placed(cluster: SimCluster) -> bool:
    """Return whether each id is on the nodes of its placement, and on no other WORKING one."""
    ring = ring_of(membership_of(cluster))
    held = {node_id: store_of(cluster, node_id).keys() for node_id in ring.node_ids}
    return all(
        {node_id for node_id in ring.node_ids if name in held[node_id]} == set(ring.placement(name))
        for name in NAMES
    )


# --- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [1, 2, 3, 5])
def test_a_datum_is_on_three_nodes_or_as_many_as_there_are(data: int) -> None:
    cluster, _ = make_published(1, data=data)

    assert are_placed(cluster)
    registrations = cluster.sim.processes["session-1"].core._data.registrations
    assert {each.copies for each in registrations} == {min(data, 3)}


def test_a_replica_that_does_not_answer_delays_an_acceptance_for_a_moment_only() -> None:
    cluster, views = make_published(2, data=3)
    cluster.sim.freeze("data-2", 2.5)
    name = owned_by(cluster, "data-1")
    cluster.publish("publisher", name, "new")
    registrations = cluster.sim.processes["session-1"].core._data.registrations
    started_at = cluster.sim.now

    def copies() -> list[int]:
        return [each.copies for each in registrations if each.name == name]

    assert cluster.sim.run_until(lambda: copies() == [3, 2], 1.0)
    assert cluster.sim.now - started_at < cluster.config.replica_ack_seconds + 0.1
    late = [line for line in cluster.sim.trace if " data.replica.late " in line]
    assert len(late) == 1
    assert "replica=data-2@" in late[0]
    # It is in sync again once it is quick.
    cluster.run(6.0)
    statistics = statistics_of(cluster, "data-1")
    assert statistics["copies_in_sync"] == statistics["copies_wanted"]
    assert store_of(cluster, "data-2")[name] == store_of(cluster, "data-1")[name]
    assert not any(view.removed for view in views)


def problems_of(cluster: SimCluster, node_id: str) -> dict[str, str]:
    health = cluster.sim.processes[node_id].core.health(cluster.sim.now)
    return {problem.code: problem.detail for problem in health.problems}


def test_health_says_when_there_are_fewer_copies_than_before() -> None:
    cluster, _ = make_published(1, data=3)
    assert problems_of(cluster, "data-1") == {}
    cluster.sim.kill("data-3")
    cluster.run(3.0)
    assert "at most 2 of 3 copies" in problems_of(cluster, "data-1")["copies-missing"]
    cluster.data(3)
    cluster.run(3.0)
    assert problems_of(cluster, "data-1") == {}


def test_health_says_when_a_replica_is_out_of_sync_for_long() -> None:
    cluster, _ = make_published(1, data=3)
    cluster.sim.cut("data-1", "data-2")
    cluster.run(8.0)
    assert problems_of(cluster, "data-1") == {}
    cluster.run(8.0)
    assert "not in sync for 1" in problems_of(cluster, "data-1")["copies-missing"]
    cluster.sim.heal()
    cluster.run(8.0)
    assert problems_of(cluster, "data-1") == {}


def test_one_data_node_alone_has_the_copies_that_it_can_have() -> None:
    cluster, _ = make_published(1, data=1)
    cluster.run(15.0)
    assert problems_of(cluster, "data-1") == {}


# --- take-over ------------------------------------------------------------------------------------


def test_a_copy_that_missed_a_change_takes_over_with_a_version_of_its_own() -> None:
    """Its content is that of no version: a follower at that version would miss something."""
    cluster, _ = make_published(1, data=3)
    name = NAMES[0]
    checker = StoreChecker()
    runs_consistently(cluster, checker, 0.1)
    placement = ring_of(membership_of(cluster)).placement(name)
    datum = cluster.sim.processes[placement[1]].core._store.find(name)
    # As after a change that came without the one before it.
    (publisher,) = datum.publishers.values()
    cluster.sim.processes[placement[1]].core._store.buckets.take_out(datum, publisher)
    datum.is_unsure = True
    cluster.sim.kill(placement[0])
    assert cluster.sim.run_until(lambda: primaries_of(cluster, name) == placement[1], 5.0)
    for _ in range(50):
        cluster.run(0.0001)
        promise(not checker.check(cluster), "two contents have one version")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_primary_goes_on_from_its_copy_and_asks_no_session(seed: int) -> None:
    """No registration is sent again, and no change is hinted: there is none."""
    cluster, views = make_published(seed, data=4)
    before = cluster.sim.record_counts.copy()
    cluster.sim.kill("data-1")
    none_is_lost(cluster, views, 5.0)

    after = cluster.sim.record_counts
    resent = after["PublishDatum"] - before["PublishDatum"]
    promise(not resent, "sessions registered again what the new primary has")
    assert after.get("Changed") == before.get("Changed")
    assert are_placed(cluster)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_two_nodes_held_outlives_its_primary_without_any_session(seed: int) -> None:
    cluster, _ = make_published(seed, data=4)
    wanted = {name: store_of(cluster, node)[name] for name, node in primaries(cluster).items()}
    for session in ("session-1", "session-2"):
        for node_id in ("data-1", "data-2", "data-3", "data-4"):
            cluster.sim.cut(session, node_id)
    for node_id in ("data-1", "data-2"):
        cluster.sim.kill(node_id)
        assert cluster.sim.run_until(lambda gone=node_id: status_of(cluster, gone) is None, 10.0)
        cluster.run(3.0)

    found = {name: store_of(cluster, node).get(name) for name, node in primaries(cluster).items()}
    promise(found == wanted, "a registration that two nodes held was lost")


def primaries(cluster: SimCluster) -> dict[DataInfoId, str]:
    ring = ring_of(membership_of(cluster))
    return {name: ring.placement(name)[0] for name in NAMES}


@pytest.mark.parametrize("seed", SEEDS)
def test_all_sessions_and_a_data_node_die_at_once_and_no_view_changes(seed: int) -> None:
    cluster, views = make_published(seed, data=4)
    for name in ("session-1", "session-2", "data-1"):
        cluster.sim.kill(name)
    cluster.run(1.0)
    for number in (1, 2):
        cluster.session(number)
    none_is_lost(cluster, views, 15.0)


def test_a_client_that_moves_while_its_primary_hangs_is_not_removed_by_the_next_one() -> None:
    """Its former session concludes from silence, and its new one is the last to learn of the ring.

    Seed 112 of the chaos workload found it.
    """
    cluster = make_cluster(sessions=3, data=3)
    name = owned_by(cluster, "data-1")
    cluster.client("publisher", [1, 2])
    cluster.client("watcher", [3])
    view = cluster.subscribe("watcher", name)
    cluster.publish("publisher", name, "alive")
    assert cluster.settles(view, ["alive"])
    heir = ring_of(membership_of(cluster)).placement(name)[1]
    cluster.sim.freeze("data-1", 12.0)
    cluster.sim.cut("publisher", "session-1")
    cluster.run(2.0)
    cluster.sim.cut("session-2", "meta")
    assert cluster.sim.run_until(lambda: primaries_of(cluster, name) == heir, 5.0)
    never_loses(cluster, view, 0.5)
    cluster.sim.heal()
    never_loses(cluster, view, 10.0)
    assert view.values() == ["alive"]


def primaries_of(cluster: SimCluster, name: DataInfoId) -> str:
    return ring_of(membership_of(cluster)).placement(name)[0]


# --- joining, leaving -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_joins_works_only_when_it_holds_all_that_it_will_own(seed: int) -> None:
    cluster, views = make_published(seed, data=3)
    cluster.data(4)
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-4") is Status.INITIAL, 1.0)
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-4") is Status.WORKING, 3.0)
    held = store_of(cluster, "data-4")
    ring = ring_of(membership_of(cluster))
    promise(
        all(name in held for name in NAMES if "data-4" in ring.placement(name)),
        "a node works that lacks what it owns",
    )
    before = cluster.sim.record_counts["PublishDatum"]
    none_is_lost(cluster, views, 3.0)
    assert cluster.sim.record_counts["PublishDatum"] == before
    assert are_placed(cluster)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_begins_to_work_with_every_write_that_was_accepted(seed: int) -> None:
    """A write waits for a joining node that is in sync: it may be the primary a moment later."""
    cluster, views = make_published(seed, data=3)
    ids = {name: next(iter(publishers)) for name, publishers in published(cluster).items()}
    cluster.data(4)
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-4") is Status.INITIAL, 1.0)
    core = cluster.sim.processes["data-4"].core
    registrations = cluster.sim.processes["session-1"].core._data.registrations
    accepted: dict[DataInfoId, int] = {}
    while core._placement.status is not Status.WORKING:
        name = cluster.sim.rng.choice(NAMES)
        cluster.publish("publisher", name, "alive", ids[name])
        cluster.run(0.002)
        if core._placement.status is not Status.WORKING:
            accepted |= {r.name: r.publisher.version for r in registrations if r.copies}
        promise(cluster.sim.now < 1100.0, "the node never works")

    held = {name: publishers[ids[name]] for name, publishers in store_of(cluster, "data-4").items()}
    behind = [
        name
        for name, version in accepted.items()
        if core._placement.is_primary(name) and held[name].version < version
    ]
    promise(not behind, "a node works that lacks a write which was accepted")
    none_is_lost(cluster, views, 2.0)


def published(cluster: SimCluster) -> dict[DataInfoId, dict[bytes, Publisher]]:
    """Return what the primaries hold."""
    return {name: store_of(cluster, node)[name] for name, node in primaries(cluster).items()}


def test_a_node_that_joins_counts_as_no_copy() -> None:
    cluster, _ = make_published(1, data=2)
    cluster.data(3)
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-3") is Status.INITIAL, 1.0)
    cluster.sim.cut("data-3", "meta")
    cluster.run(0.5)
    assert status_of(cluster, "data-3") is Status.INITIAL
    name = owned_by(cluster, "data-1")
    cluster.publish("publisher", name, "new")
    cluster.run(0.5)
    registrations = cluster.sim.processes["session-1"].core._data.registrations
    promise({each.copies for each in registrations} == {2}, "a node that joins was counted")


@pytest.mark.parametrize("seed", SEEDS)
def test_several_nodes_join_while_one_of_them_and_a_source_die(seed: int) -> None:
    cluster, views = make_published(seed, data=3)
    for number in (4, 5, 6):
        cluster.data(number)
    cluster.run(0.005 * seed)
    cluster.sim.kill("data-5")
    cluster.sim.kill("data-2")
    none_is_lost(cluster, views, 15.0)
    assert {m.node_id for m in membership_of(cluster).of(Role.DATA)} == {
        "data-1",
        "data-3",
        "data-4",
        "data-6",
    }
    assert are_placed(cluster)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_leaves_hands_over_first(seed: int, copies: int) -> None:
    config = Config(meta_addresses=("tcp://meta:9610",), replica_count=copies)
    cluster = make_cluster(seed=seed, data=3, config=config)
    view, publisher_id = watched(cluster, owned_by(cluster, "data-2"))
    name = owned_by(cluster, "data-2")
    cluster.sim.post("data-2", HandOver())
    process = cluster.sim.processes["data-2"]
    assert cluster.sim.run_until(lambda: HandedOver() in process.events, 5.0)
    promise(status_of(cluster, "data-2") is Status.LEAVING, "a node left that is a primary")
    heir = ring_of(membership_of(cluster)).placement(name)[0]
    promise(publisher_id in store_of(cluster, heir)[name], "a node left before it handed over")
    cluster.sim.kill("data-2")
    never_loses(cluster, view, 3.0)
    assert process.events.count(HandedOver()) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_last_node_that_works_waits_for_one_that_still_copies(seed: int) -> None:
    cluster, views = make_published(seed, data=1)
    # The new node cannot copy for a while.
    cluster.sim.cut("data-1", "data-2")
    cluster.data(2)
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-2") is Status.INITIAL, 1.0)
    cluster.run(0.1)
    process = cluster.sim.processes["data-1"]
    cluster.sim.post("data-1", HandOver())
    cluster.run(1.0)
    promise(HandedOver() not in process.events, "a node left although another one copies from it")
    cluster.sim.heal()
    assert cluster.sim.run_until(lambda: HandedOver() in process.events, 10.0)
    promise(store_of(cluster, "data-2").keys() == set(NAMES), "the new node lacks something")
    cluster.sim.kill("data-1")
    none_is_lost(cluster, views, 5.0)


def test_the_only_data_node_leaves_at_once() -> None:
    cluster, _ = make_published(1, data=1)
    cluster.sim.post("data-1", HandOver())
    cluster.run(0.01)

    assert HandedOver() in cluster.sim.processes["data-1"].events


def test_a_node_leaves_without_meta_at_once() -> None:
    """Nothing could move: without meta no other node becomes primary."""
    cluster, _ = make_published(1, data=3)
    cluster.sim.kill("meta")
    cluster.run(5.0)
    cluster.sim.post("data-1", HandOver())
    cluster.run(0.01)

    assert HandedOver() in cluster.sim.processes["data-1"].events


def forgets_its_primary(cluster: SimCluster, node_id: str, primary: str) -> None:
    """Let the connection on which a primary sends be too slow for the answers of a node."""
    primaries = cluster.sim.processes[node_id].core._replicas.copies._primaries
    (peer,) = [peer for peer, each in primaries.items() if each.node_id == primary]
    cluster.sim.post(node_id, PeerSlow(Link.REQUESTS, peer))
    cluster.run(0.1)
    assert peer not in primaries


def test_a_node_that_joins_is_told_again_what_it_forgot_of_a_primary_at_rest() -> None:
    cluster, _ = make_published(1, data=3)
    cluster.data(4)
    cluster.sim.cut("data-4", "data-1")
    cluster.run(2.0)
    forgets_its_primary(cluster, "data-4", "data-2")
    cluster.sim.heal()
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-4") is Status.WORKING, 5.0)


def test_a_node_that_leaves_is_told_again_what_it_forgot_of_a_primary_at_rest() -> None:
    cluster, _ = make_published(1, data=4)
    cluster.sim.cut("data-4", "data-1")
    cluster.sim.post("data-4", HandOver())
    cluster.run(2.0)
    forgets_its_primary(cluster, "data-4", "data-2")
    cluster.sim.heal()
    events = cluster.sim.processes["data-4"].events
    assert cluster.sim.run_until(lambda: HandedOver() in events, 5.0)
    assert cluster.sim.processes["data-4"].core._replicas.copies.repairs.is_complete


def test_a_node_that_joins_has_nothing_to_hand_over() -> None:
    cluster, _ = make_published(1, data=3)
    cluster.data(4)
    cluster.sim.cut("data-4", "data-1")
    cluster.run(2.0)
    assert status_of(cluster, "data-4") is Status.INITIAL
    cluster.sim.post("data-4", HandOver())
    cluster.run(0.01)

    assert HandedOver() in cluster.sim.processes["data-4"].events


def make_handing_over() -> SimCluster:
    """Return a cluster in which data-2 is LEAVING, and is cut off from a node that takes over."""
    config = Config(meta_addresses=("tcp://meta:9610",), replica_count=1)
    cluster = make_cluster(data=3, config=config)
    watched(cluster, owned_by(cluster, "data-2"))
    cluster.sim.cut("data-1", "data-2")
    cluster.sim.post("data-2", HandOver())
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-2") is Status.LEAVING, 2.0)
    cluster.run(0.5)
    return cluster


def test_a_node_goes_on_to_hand_over_while_meta_has_no_leader() -> None:
    cluster = make_handing_over()
    events = cluster.sim.processes["data-2"].events
    cluster.sim.kill("meta")
    cluster.run(2.0)
    assert HandedOver() not in events
    cluster.sim.heal()
    assert cluster.sim.run_until(lambda: HandedOver() in events, 2.5)
    core = cluster.sim.processes["data-2"].core
    assert core._replicas.copies.repairs.is_complete


def test_a_node_hands_over_for_a_moment_only_while_all_of_meta_is_gone() -> None:
    cluster = make_handing_over()
    events = cluster.sim.processes["data-2"].events
    cluster.sim.kill("meta")
    assert cluster.sim.run_until(lambda: HandedOver() in events, 10.0)
    assert not cluster.sim.processes["data-2"].core._replicas.copies.repairs.is_complete


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_node_that_cannot_hand_over_waits_for_the_end_of_its_drain(*, is_asked: bool) -> None:
    cluster, views = make_published(1, data=4)
    process = cluster.sim.processes["data-1"]
    cluster.sim.cut("data-1", "data-2")
    if is_asked:
        request = Drain(1, "data-1", membership_of(cluster).cluster_id, 0)
        operator = HostilePeer(Link.NODES, "tcp://meta:9610")
        cluster.sim.add("operator", operator, {})
        cluster.run(0.1)
        cluster.sim.post("operator", Post((request,)))
    else:
        cluster.sim.post("data-1", HandOver())
    cluster.run(2.0)
    assert status_of(cluster, "data-1") is Status.LEAVING
    ticks = cluster.sim.work.calls["tick"]
    cluster.run(10.0)
    assert HandedOver() not in process.events
    # About twenty a second of all nodes and clients together.
    assert cluster.sim.work.calls["tick"] - ticks < 1000
    assert cluster.sim.run_until(lambda: HandedOver() in process.events, 60.0)
    none_is_lost(cluster, views, 3.0)


def test_a_rolling_restart_of_all_data_nodes_changes_no_view() -> None:
    cluster, views = make_published(3, data=3)
    for number in (1, 2, 3):
        node_id = f"data-{number}"
        cluster.sim.post(node_id, HandOver())
        process = cluster.sim.processes[node_id]
        assert cluster.sim.run_until(lambda p=process: HandedOver() in p.events, 5.0)
        cluster.sim.kill(node_id)
        none_is_lost(cluster, views, 1.0)
        cluster.data(number)
        assert cluster.sim.run_until(
            lambda gone=node_id: status_of(cluster, gone) is Status.WORKING, 5.0
        )
        none_is_lost(cluster, views, 1.0)
    assert are_placed(cluster)


# --- the number of copies -------------------------------------------------------------------------


def change_replica_count(cluster: SimCluster, count: int) -> None:
    """Let an operator change it, through a session."""
    operator = HostilePeer(Link.CLIENTS, "tcp://session-1:9600")
    cluster.sim.add(f"operator-{count}", operator, {})
    assert cluster.sim.run_until(lambda: operator.is_up, 1.0)
    cluster.sim.post(f"operator-{count}", Post((SetReplicaCount(1, count),)))
    assert cluster.sim.run_until(lambda: Accepted((1,)) in operator.received, 1.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3), (3, 2)])
def test_the_number_of_copies_changes_and_no_view_does(seed: int, before: int, after: int) -> None:
    config = Config(meta_addresses=("tcp://meta:9610",), replica_count=before)
    cluster, views = make_published(seed, data=4, config=config)
    primaries_before = primaries(cluster)
    resent = cluster.sim.record_counts["PublishDatum"]
    change_replica_count(cluster, after)
    none_is_lost(cluster, views, 3.0)

    assert {len(ring_of(membership_of(cluster)).placement(name)) for name in NAMES} == {after}
    assert are_placed(cluster)
    promise(primaries(cluster) == primaries_before, "an id has another primary for no reason")
    promise(cluster.sim.record_counts["PublishDatum"] == resent, "sessions registered again")
    for node_id in ("data-1", "data-2", "data-3", "data-4"):
        statistics = statistics_of(cluster, node_id)
        assert statistics["copies_in_sync"] == statistics["copies_wanted"]
        assert problems_of(cluster, node_id) == {}


def test_meta_hears_how_far_data_nodes_are_with_new_copies() -> None:
    config = Config(meta_addresses=("tcp://meta:9610",), replica_count=1)
    cluster, _ = make_published(1, data=2, config=config)
    asker = HostilePeer(Link.NODES, "tcp://meta:9610")
    cluster.sim.add("asker", asker, {})
    cluster.run(0.5)

    def copying() -> dict[str, tuple[int, int | None]]:
        asker.received.clear()
        cluster.sim.post("asker", Post((FetchMetaNodes(2),)))
        assert cluster.sim.run_until(lambda: bool(asker.received), 1.0)
        (reply,) = [each for each in asker.received if isinstance(each, MetaNodesReply)]
        return {p.incarnation.node_id: (p.equal_count, p.kept_count) for p in reply.copying}

    assert copying() == {}
    cluster.sim.cut("data-1", "data-2")
    change_replica_count(cluster, 2)
    assert copying() == {"data-1": (0, None), "data-2": (0, None)}, "they have told nothing yet"
    cluster.run(1.0)
    waiting = copying()
    assert {equal for equal, _ in waiting.values()} == {0}
    assert sum(kept or 0 for _, kept in waiting.values()) == Limits.bucket_count
    cluster.sim.heal()
    assert cluster.sim.run_until(lambda: copying() == {}, 10.0)
    assert are_placed(cluster)


# --- repair ---------------------------------------------------------------------------------------


def replica_of(cluster: SimCluster, name: DataInfoId) -> tuple[str, str]:
    """Return the primary of an id and one of its replicas."""
    placement = ring_of(membership_of(cluster)).placement(name)
    return placement[0], placement[1]


def test_a_copy_that_lacks_something_is_repaired() -> None:
    cluster, _ = make_published(1, data=3)
    primary, replica = replica_of(cluster, NAMES[0])
    buckets = cluster.sim.processes[replica].core._store.buckets
    datum = buckets.find(NAMES[0])
    for publisher in list(datum.publishers.values()):
        buckets.take_out(datum, publisher)
    # The next change of the bucket has it compared.
    cluster.publish("publisher", NAMES[0], "new")
    cluster.run(5.0)

    assert store_of(cluster, replica)[NAMES[0]] == store_of(cluster, primary)[NAMES[0]]


def test_a_copy_without_changes_is_repaired_by_the_sweep() -> None:
    cluster, _ = make_published(1, data=3)
    primary, replica = replica_of(cluster, NAMES[0])
    buckets = cluster.sim.processes[replica].core._store.buckets
    datum = buckets.find(NAMES[0])
    for publisher in list(datum.publishers.values()):
        buckets.take_out(datum, publisher)
    cluster.run(cluster.config.sweep_seconds + 5.0)

    assert store_of(cluster, replica)[NAMES[0]] == store_of(cluster, primary)[NAMES[0]]


def test_a_primary_that_lost_something_gets_it_from_its_copy() -> None:
    cluster, views = make_published(1, data=3)
    name = NAMES[0]
    primary, _ = replica_of(cluster, name)
    cluster.sim.cut("session-1", primary)
    buckets = cluster.sim.processes[primary].core._store.buckets
    datum = buckets.find(name)
    (lost,) = datum.publishers.values()
    buckets.take_out(datum, lost)
    cluster.run(cluster.config.sweep_seconds + 5.0)

    found = store_of(cluster, primary).get(name)
    promise(found == {lost.publisher_id: lost}, "the primary does not get back what it lost")
    assert not any(view.removed for view in views)


def test_a_removal_that_a_copy_knows_and_the_primary_does_not_is_not_undone() -> None:
    cluster, _ = make_published(1, data=3)
    name = NAMES[0]
    primary, replica = replica_of(cluster, name)
    cluster.sim.cut("session-1", primary)
    store = cluster.sim.processes[replica].core._store
    datum = store.find(name)
    (publisher,) = datum.publishers.values()
    removal = Removal(publisher.publisher_id, publisher.version, Cause.UNPUBLISHED)
    store.merge_copy(datum, (), [(removal, 100.0)], cluster.sim.now)
    cluster.run(cluster.config.sweep_seconds + 5.0)

    assert name not in store_of(cluster, primary)
    assert name not in store_of(cluster, replica)


# --- clients that move ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_primary_judges_no_suspicion_before_each_session_has_compared(seed: int) -> None:
    """A client moves while the primary hangs; the session that it left hears of the heir first."""
    # The client first dials two sessions that it cannot reach.
    config = Config(meta_addresses=("tcp://meta:9610",), disconnect_grace_seconds=1.0)
    cluster = make_cluster(seed=seed, sessions=3, data=3, config=config)
    view, _ = watched(cluster, owned_by(cluster, "data-2"), at=3)
    cluster.sim.freeze("data-2", 25.0)
    cluster.run(0.1)
    cluster.sim.cut("publisher", "session-1")
    cluster.sim.cut("publisher", "session-3")
    cluster.sim.drop("publisher", "session-1")
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-2") is None, 10.0)
    assert "session-2" in session_of(cluster, "publisher")
    cluster.sim.freeze("session-2", 0.3)
    never_loses(cluster, view, 10.0)
    assert statistics_of(cluster, "data-1")["suspicions"] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_primary_with_an_old_copy_removes_no_stray_that_has_moved(seed: int) -> None:
    """In its copy the client is at the session that it left, which does not know it any more."""
    # The client first dials two sessions that it cannot reach.
    config = Config(meta_addresses=("tcp://meta:9610",), disconnect_grace_seconds=1.0)
    cluster = make_cluster(seed=seed, sessions=3, data=2, config=config)
    name = owned_by(cluster, "data-2")
    view, _ = watched(cluster, name, at=3)
    # Something that session-1 does not send again: so it compares everything at once.
    cluster.client("neighbour", [1])
    cluster.publish("neighbour", name, "stays")
    assert cluster.settles(view, ["alive", "stays"])
    cluster.sim.cut("data-1", "data-2")
    cluster.run(0.1)
    cluster.sim.cut("publisher", "session-1")
    cluster.sim.cut("publisher", "session-3")
    cluster.sim.drop("publisher", "session-1")
    cluster.run(3.0)
    assert "session-2" in session_of(cluster, "publisher")
    assert len(cluster.sim.processes["session-1"].core._data.registrations) == 1
    cluster.sim.kill("data-2")
    assert cluster.sim.run_until(lambda: status_of(cluster, "data-2") is None, 10.0)
    cluster.sim.freeze("session-2", 0.3)
    never_loses(cluster, view, 10.0)
    statistics = statistics_of(cluster, "data-1")
    assert statistics["suspicions"] == statistics["unreconciled"] == 0
