"""Directed scenarios of sessions: late answers, slow peers, stalls, and being cut off from meta."""

from collections.abc import Sequence

import pytest
from promises import (
    META,
    PAY,
    BrokenPromiseError,
    HostilePeer,
    Post,
    is_registered,
    make_cluster,
    membership_of,
    never_loses,
    promise,
    received,
    session_of,
    watched,
)

from zreg.config import Config, Limits
from zreg.effects import Effect, Link, PeerSlow
from zreg.model import ZERO, Role, Scope, Status, Version, data_info_id
from zreg.session.upstream.registered import node_queues
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.client_messages import Hello, Push, PushAck, Subscribe

NAMES = [data_info_id(f"name-{number}") for number in range(100)]


# --- late answers ---------------------------------------------------------------------------------


def test_a_data_node_that_answers_late_accepts_everything_and_gets_each_request_once() -> None:
    cluster = make_cluster(sessions=1)
    cluster.client("publisher")
    cluster.client("watcher")
    cluster.sim.faults.late["data-1"] = 1.2
    ids = [cluster.publish("publisher", name, "x") for name in NAMES]
    view = cluster.subscribe("watcher", NAMES[0])
    cluster.run(20.0)

    counts = cluster.sim.record_counts
    promise(
        all(is_registered(cluster, "publisher", each) for each in ids), "a publish is not accepted"
    )
    promise(counts["PublishDatum"] == len(NAMES), "a late answer made the session send again")
    promise(counts["Publish"] <= 4 * len(NAMES), "the client repeated its requests without end")
    promise(counts["FetchChanges"] <= 2, "a late answer made the session fetch again")
    promise(view.values() == ["x"], "the view is empty")


def late_subscriber(cluster: SimCluster) -> tuple[list[Push], bytes, ViewLog]:
    """Let `watcher` acknowledge each push after 2.5 s; return its pushes, and what changes."""
    cluster.client("source")
    messages = received(cluster.client("watcher"))
    for number in range(50):
        cluster.publish("source", PAY, f"other-{number}")
    publisher_id = cluster.publish("source", PAY, "0")
    cluster.run(1.0)
    view = cluster.subscribe("watcher", PAY)
    cluster.run(0.1)
    assert len(view.values()) == 51
    # Its lease has just been renewed, and its next message comes in time.
    messages.clear()
    cluster.sim.faults.late["watcher"] = 2.5
    return messages, publisher_id, view  # type: ignore[return-value]


def test_a_subscriber_that_acknowledges_late_gets_one_window_of_changes_at_a_time() -> None:
    cluster = make_cluster(sessions=1)
    messages, publisher_id, view = late_subscriber(cluster)
    for number in range(1, 151):
        cluster.publish("source", PAY, str(number), publisher_id)
        cluster.run(0.1)
    cluster.run(6.0)
    pushes = [message for message in messages if isinstance(message, Push)]
    promise(all(len(push.publishers) == 1 for push in pushes), "a whole list was pushed again")
    # An acknowledgement takes 2.5 s, and the changes take 15 s.
    count_max = Limits.pushes_in_flight_max * (15 / 2.5 + 1)
    promise(6 <= len(pushes) <= count_max, f"{len(pushes)} pushes for six windows")
    promise("150" in view.values(), "the view is not current")


def test_an_acknowledgement_that_names_another_push_ends_none() -> None:
    cluster = make_cluster(sessions=1)
    cluster.client("source")
    publisher_id = cluster.publish("source", PAY, "0")
    client = HostilePeer(Link.SESSION, "tcp://session-1:9600")
    cluster.sim.add("client", client, {})
    cluster.run(0.5)
    hello = Hello(PROTOCOL_VERSION, b"c" * 16)
    cluster.sim.post("client", Post((hello, Subscribe(1, PAY, Scope.GLOBAL, ZERO, 0))))
    cluster.run(0.5)
    first = client.received[-1]
    assert isinstance(first, Push)
    for value in ("1", "2"):
        earlier = PushAck(PAY, Scope.GLOBAL, Version(first.version.epoch, 0))
        cluster.sim.post("client", Post((earlier,)))
        cluster.publish("source", PAY, value, publisher_id)
        cluster.run(0.2)
    promise(client.received[-1] is first, "a second push was sent before the first one had come")
    cluster.sim.post("client", Post((PushAck(PAY, Scope.GLOBAL, first.version),)))
    cluster.run(0.2)
    promise(
        [type(each) for each in client.received].count(Push) == 2, "the newest state was not pushed"
    )


# --- slow peers -----------------------------------------------------------------------------------


def test_a_publisher_that_does_not_read_for_a_while_stays_in_all_views() -> None:
    cluster = make_cluster(sessions=1)
    sim = cluster.sim
    for client in ("source", "publisher", "watcher"):
        cluster.client(client)
    view = cluster.subscribe("watcher", PAY)
    cluster.publish("publisher", PAY, "alive")
    ids = {name: cluster.publish("source", name, "0") for name in NAMES}
    for feed_id, name in enumerate(NAMES, start=1):
        cluster.subscribe("publisher", name, feed_id=feed_id)
    assert cluster.settles(view, ["alive"])
    cluster.run(1.0)
    sim.faults.deaf.add("publisher")
    for name, publisher_id in ids.items():
        cluster.publish("source", name, "1", publisher_id)
        cluster.run(0.01)
    cluster.run(1.0)
    assert sim.faults.fired["peer slow"]
    sim.read_again("publisher")
    never_loses(cluster, view, 5.0)


def test_a_data_node_that_found_a_session_slow_reconciles_with_it_after_the_next_ring() -> None:
    """Otherwise it says for minutes that publishers may be missing."""
    cluster = make_cluster()
    view, _ = watched(cluster)
    sim = cluster.sim
    sim.faults.slow["data-1"] = 0.02
    for name in NAMES:
        cluster.publish("publisher", name, "x")
        cluster.run(0.001)
    # The data node answers each request in a turn of its own, while the session does not read.
    sim.faults.deaf.add("session-1")
    cluster.run(2.2)
    assert sim.faults.fired["peer slow"]
    sim.faults.slow.clear()
    sim.read_again("session-1")
    cluster.data(2)
    cluster.run(6.0)
    unreconciled = sim.processes["data-1"].core.statistics()["unreconciled"]
    promise(unreconciled == 0, "the data node is not reconciled")
    never_loses(cluster, view, 1.0)


# --- stalls, and being cut off from meta ----------------------------------------------------------


def test_a_session_that_was_stopped_judges_no_client_when_it_wakes() -> None:
    """The client cannot reach the other session, so it waits for this one."""
    cluster = make_cluster()
    view, _ = watched(cluster)
    cluster.sim.cut("publisher", "session-2")
    for seconds in (4.0, 4.3, 4.6, 4.9):
        cluster.sim.freeze("session-1", 2.6)
        never_loses(cluster, view, seconds)
        # The other session's answer to a data node gives the client the time to register again.
        removed = cluster.sim.processes["session-1"].core.statistics()["clients_off"]
        promise(not removed, "the session took a living client for dead")


def test_a_close_that_a_session_finds_after_it_was_stopped_removes_nothing() -> None:
    """Its client has left it, and waits at a second session that is stopped too."""
    cluster = make_cluster(sessions=3)
    view, _ = watched(cluster, at=3)
    sim = cluster.sim
    sim.cut("publisher", "session-3")
    sim.freeze("session-1", 2.5)
    cluster.run(0.1)
    sim.freeze("session-2", 6.0)
    sim.drop("publisher", "session-1")
    sim.cut("publisher", "session-1")
    never_loses(cluster, view, 12.0)
    promise(view.values() == ["alive"], "the view does not show what there is")


def test_a_session_that_is_cut_off_from_meta_alone_changes_no_view() -> None:
    """Its clients move to another session while their publishers have their grace."""
    cluster = make_cluster()
    view, _ = watched(cluster)
    sim = cluster.sim
    sim.cut("session-1", "meta")
    never_loses(cluster, view, 10.0)
    at = sim.processes["publisher"].core.statistics()["session"]
    promise(at == "tcp://session-2:9600", "the client stays at a session that has departed")
    never_loses(cluster, view, cluster.config.session_grace_seconds + 5.0)
    promise(len(membership_of(cluster).of(Role.SESSION, *Status)) == 1, "it is still a member")


def test_a_session_that_reaches_neither_meta_nor_a_data_node_sends_its_clients_away() -> None:
    """It cannot learn that meta takes it for dead, and forgets it when the grace is over.

    Seed 71449 of the chaos workload found it.
    """
    cluster = make_cluster(data=2)
    view, _ = watched(cluster)
    for name in ("meta", "data-1", "data-2"):
        cluster.sim.cut("session-1", name)
    never_loses(cluster, view, cluster.config.session_grace_seconds + 10.0)
    assert session_of(cluster, "publisher") == "tcp://session-2:9600"


def test_a_session_that_loses_all_its_clients_at_once_removes_none_of_them() -> None:
    """Nothing reaches it from outside for a while, and no other session either.

    Seed 419 of the chaos on real processes found it.
    """
    cluster = make_cluster()
    view, _ = watched(cluster)
    sim = cluster.sim
    for number in range(2):
        cluster.client(f"neighbour-{number}", [1])
    cluster.run(1.0)
    clients = ("publisher", "neighbour-0", "neighbour-1")
    for client in clients:
        assert session_of(cluster, client) == "tcp://session-1:9600"
        sim.cut(client, "session-1")
        sim.cut(client, "session-2")
        sim.drop(client, "session-1")
    never_loses(cluster, view, 5.0)
    sim.heal()
    never_loses(cluster, view, cluster.config.session_grace_seconds + 5.0)


def test_a_suspicion_under_a_former_incarnation_is_sent_to_no_data_node() -> None:
    """The session departs and joins again while its client is at another session."""
    cluster = make_cluster()
    view, _ = watched(cluster)
    sim = cluster.sim
    sim.cut("session-1", "meta")
    cluster.run(10.0)
    assert sim.processes["publisher"].core.statistics()["session"] == "tcp://session-2:9600"
    sim.heal()
    never_loses(cluster, view, 30.0)
    counts = sim.record_counts
    promise("UnpublishDatum" not in counts, "a session withdrew what another one registered")


def test_a_session_drops_no_publisher_of_its_own_because_a_primary_lacks_it() -> None:
    cluster = make_cluster(sessions=1)
    cluster.client("publisher")
    cluster.client("watcher")
    view = cluster.subscribe("watcher", PAY)
    publisher_id = cluster.publish("publisher", PAY, "alive")
    assert cluster.settles(view, ["alive"])
    # The primary forgets the publisher, as after a bug of its own, and its log. The session missed
    # the last hint, so it fetches a whole snapshot before the next digest shows the loss.
    cluster.sim.faults.lossy["data-1", "session-1"] = 1.0
    cluster.publish("publisher", PAY, "other")
    cluster.run(0.1)
    store = cluster.sim.processes["data-1"].core._store
    datum = store.find(PAY)
    store.buckets.take_out(datum, datum.publishers[publisher_id])
    datum.log = None
    cluster.sim.faults.lossy.clear()
    never_loses(cluster, view, 5.0)
    promise(store.publisher(PAY, publisher_id), "the primary was not given the publisher again")


def test_a_client_that_moves_to_a_busy_session_is_not_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its new registration waits there behind others, while its former session suspects it."""
    monkeypatch.setattr(node_queues, "_WINDOW", 2)
    cluster = make_cluster(sessions=2, data=1)
    cluster.client("publisher", [1])
    cluster.client("crowd", [2])
    cluster.client("watcher", [2])
    view = cluster.subscribe("watcher", PAY)
    cluster.publish("publisher", PAY, "alive")
    assert cluster.settles(view, ["alive"])
    # The data node stops with two writes of the crowd under way, so the third one waits.
    cluster.sim.freeze("data-1", 2.0)
    for number in range(3):
        cluster.publish("crowd", data_info_id(f"crowd-{number}"), "x")
    cluster.run(0.1)
    cluster.sim.cut("publisher", "session-1")
    cluster.sim.drop("publisher", "session-1")
    never_loses(cluster, view, 6.0)
    assert view.values() == ["alive"]


def test_a_session_whose_answers_were_dropped_gets_going_again_with_a_full_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data node forgot it as too slow; its connection stands, and no digest is sent."""
    monkeypatch.setattr(node_queues, "_WINDOW", 8)
    cluster = make_cluster(sessions=1)
    cluster.client("crowd")
    cluster.run(1.0)
    core = cluster.sim.processes["data-1"].core
    queues = cluster.sim.processes["session-1"].core._data.queues.by_peer
    settle, forgotten = core.settle, []

    def is_full() -> bool:
        return any(queue.unsent for queue in queues.values())

    def forget_and_settle(now: float) -> Sequence[Effect]:
        waiting = core._writes._acceptances._new
        if waiting and is_full() and len(forgotten) < 10:
            forgotten.append(waiting[0][0])
            core.receive(Link.LOCAL, "", PeerSlow(Link.REQUESTS, waiting[0][0]), now)
        return settle(now)

    monkeypatch.setattr(core, "settle", forget_and_settle)
    cluster.sim.faults.slow["data-1"] = 0.05
    for number in range(60):
        cluster.publish("crowd", data_info_id(f"crowd-{number}"), "x")
    cluster.run(1.0)
    cluster.sim.faults.slow.clear()
    assert forgotten
    assert is_full()

    promise(
        cluster.sim.run_until(lambda: core.statistics()["publishers"] == 60, 10.0),
        "a session waits for ever for answers that were dropped",
    )


# --- bounds ---------------------------------------------------------------------------------------


def test_withdrawals_that_wait_for_a_data_node_count_for_their_client() -> None:
    config = Config(meta_addresses=META, publishers_per_client_max=20)
    cluster = make_cluster(sessions=1, config=config)
    cluster.client("churner")
    cluster.client("other")
    kept = cluster.publish("churner", PAY, "kept")
    cluster.run(0.5)
    cluster.sim.kill("data-1")
    cluster.run(0.5)
    for number in range(60):
        fresh = cluster.publish("churner", data_info_id(f"fresh-{number}"), "x")
        cluster.run(0.05)
        cluster.unpublish("churner", fresh)
        cluster.run(0.05)
    held = int(cluster.sim.processes["session-1"].core.statistics()["publishers"])
    promise(held <= config.publishers_per_client_max, f"one client makes a session hold {held}")
    cluster.data(1)
    cluster.run(5.0)
    assert is_registered(cluster, "churner", kept)


def test_a_burst_of_registrations_is_answered_within_the_limits_of_a_record() -> None:
    """Three data nodes accept it while the session is stopped, which answers all in one turn.

    Windows would have it answered in parts, unless there are twenty data nodes or more.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_queues, "_WINDOW", 2 * Limits.ids_per_record_max)
        patch.setattr(Limits, "client_window", 2 * Limits.ids_per_record_max)
        burst_of_registrations(Limits.ids_per_record_max + 500)


def burst_of_registrations(count: int) -> None:
    config = Config(meta_addresses=META, publishers_per_client_max=count)
    cluster = make_cluster(sessions=1, data=3, config=config)
    cluster.client("publisher")
    cluster.run(0.1)
    for number in (1, 2, 3):
        cluster.sim.freeze(f"data-{number}", 1.0)
    ids = [cluster.publish("publisher", data_info_id(f"n{n}"), "x") for n in range(count)]
    cluster.run(0.9)
    cluster.sim.freeze("session-1", 1.0)
    try:
        cluster.run(2.0)
    except AssertionError as error:
        raise BrokenPromiseError(str(error)) from error
    promise(is_registered(cluster, "publisher", ids[-1]), "the last one is not registered")
