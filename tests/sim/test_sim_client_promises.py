"""Directed scenarios of clients, of meta, and of all sessions away for long."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
from promises import (
    ONE_COPY,
    PAY,
    all_owned_by,
    is_registered,
    make_cluster,
    membership_of,
    never_loses,
    owned_by,
    promise,
    received,
    session_of,
    watched,
)

from zreg.config import Limits
from zreg.model import DataInfoId, Role, Status, data_info_id
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog
from zreg.wire.records.client_messages import Publish

SHOP = data_info_id("shop")
# Longer than the grace of a departed session.
AWAY_SECONDS = 30.0


# --- clients --------------------------------------------------------------------------------------


def test_a_client_reaches_its_third_address_before_its_publishers_are_removed() -> None:
    """Its session closes the connection; one of the two other addresses is a black hole."""
    for seed in range(1, 9):
        cluster = make_cluster(sessions=3, seed=seed)
        view, _ = watched(cluster, at=3)
        sim = cluster.sim
        sim.faults.black_holes.add("session-2")
        sim.cut("publisher", "session-1")
        sim.drop("publisher", "session-1")
        never_loses(cluster, view, 3.0)


def test_an_answer_that_comes_after_the_request_was_repeated_is_an_answer() -> None:
    cluster = make_cluster(sessions=1)
    cluster.client("publisher")
    cluster.run(0.5)
    to_session = received(cluster.sim.processes["session-1"])
    cluster.sim.faults.late["session-1"] = 0.7
    publisher_id = cluster.publish("publisher", PAY, "x")
    # It is late twice: on its way to the data node, and back to the client.
    cluster.run(1.6)
    promise(is_registered(cluster, "publisher", publisher_id), "a late answer did not count")
    ids = {each.request_id for each in to_session if isinstance(each, Publish)}
    assert len([each for each in to_session if isinstance(each, Publish)]) > 1
    promise(len(ids) == 1, "the repeated request has another id")


def test_a_client_that_leaves_a_session_which_it_does_not_hear_stays_in_all_views() -> None:
    """The session hears the client, and the client waits at a session that is stopped."""
    cluster = make_cluster(sessions=3)
    view, _ = watched(cluster, at=3)
    sim = cluster.sim
    sim.cut("publisher", "session-3")
    sim.freeze("session-2", 5.0)
    cluster.run(0.5)
    sim.cut_one_way("session-1", "publisher")
    never_loses(cluster, view, 8.0)
    promise(view.values() == ["alive"], "the view does not show what there is")


def test_a_client_goes_on_to_a_session_that_meta_has_admitted() -> None:
    """The first one that it reaches was started while meta is away."""
    for seed in range(1, 5):
        cluster = SimCluster(seed, has_membership_cache=True).start(sessions=3, data=1)
        cluster.run(2.0)
        view, _ = watched(cluster, at=3)
        sim = cluster.sim
        sim.kill("meta")
        sim.kill("session-2")
        cluster.session(2)
        cluster.run(1.0)
        sim.cut("publisher", "session-1")
        sim.drop("publisher", "session-1")
        never_loses(cluster, view, 3.0)
        at = session_of(cluster, "publisher")
        promise(at == "tcp://session-3:9600", "the client stays where it cannot publish")


def test_a_client_stays_with_no_session_that_cannot_register_and_knows_no_other() -> None:
    """The session that the client left runs again; the other one started without meta."""
    cluster = make_cluster()
    view, _ = watched(cluster, at=1)
    sim = cluster.sim
    sim.kill("session-2")
    cluster.run(2.0)
    sim.cut("session-2", "meta")
    sim.freeze("session-1", 8.0)
    cluster.session(2)
    cluster.run(7.5)
    assert session_of(cluster, "publisher") == "tcp://session-2:9600"
    never_loses(cluster, view, cluster.config.session_grace_seconds + 10.0)
    at = session_of(cluster, "publisher")
    promise(at == "tcp://session-1:9600", "the client stays where it cannot publish")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let clients leave one publication unanswered at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limits, "client_window", 1)
        yield


def publishing_last(cluster: SimCluster, name: DataInfoId, *before: DataInfoId) -> ViewLog:
    """Let `publisher` publish "alive" after other ids; return the view of `watcher`."""
    cluster.client("publisher", [1])
    cluster.client("watcher", [2])
    for other in before:
        cluster.publish("publisher", other, "other")
    view = cluster.subscribe("watcher", name)
    cluster.publish("publisher", name, "alive")
    assert cluster.settles(view, ["alive"])
    cluster.run(1.0)
    return view


def test_the_end_of_a_replay_overtakes_no_publication_that_waits() -> None:
    """The client returns to its session, which withdraws what the replay did not name."""
    with one_at_a_time():
        cluster = make_cluster()
        others = [data_info_id(f"other-{number}") for number in range(5)]
        view = publishing_last(cluster, PAY, *others)
        cluster.sim.drop("publisher", "session-1")
        never_loses(cluster, view, 5.0)
        promise(cluster.settles(view, ["alive"]), "the view does not show what there is")


def test_a_client_that_waits_for_a_slow_data_node_in_its_replay_stays_in_all_views() -> None:
    """Its former session suspects it before it has published everything at another one."""
    with one_at_a_time():
        cluster = make_cluster(data=2, config=ONE_COPY)
        # Together they take longer than a session waits with its answer to a data node's call.
        slow = islice(all_owned_by(cluster, "data-1"), 6)
        view = publishing_last(cluster, owned_by(cluster, "data-2"), *slow)
        sim = cluster.sim
        sim.faults.late["data-1"] = 0.8
        sim.cut("publisher", "session-1")
        sim.drop("publisher", "session-1")
        never_loses(cluster, view, 8.0)
        promise(cluster.settles(view, ["alive"]), "the view does not show what there is")


# --- all sessions away, meta away -----------------------------------------------------------------


def returning(cluster: SimCluster, names: list[str]) -> None:
    for name in names:
        cluster.session(int(name.partition("-")[2]))


def test_no_view_changes_when_all_sessions_die_and_come_back_after_every_grace() -> None:
    for seed in range(1, 4):
        cluster = make_cluster(seed=seed)
        view, _ = watched(cluster)
        for name in ("session-1", "session-2"):
            cluster.sim.kill(name)
        never_loses(cluster, view, AWAY_SECONDS)
        returning(cluster, ["session-1", "session-2"])
        never_loses(cluster, view, 30.0)
        promise(cluster.settles(view, ["alive"]), "the view does not show what there is")


def test_no_view_changes_when_the_last_session_is_stopped_for_longer_than_the_grace() -> None:
    """The grace of session-1 would end while nobody can register anywhere."""
    cluster = make_cluster()
    view, _ = watched(cluster)
    sim = cluster.sim
    sim.kill("session-1")
    sim.freeze("session-2", AWAY_SECONDS)
    sim.cut("publisher", "session-2")
    never_loses(cluster, view, AWAY_SECONDS - 1.0)
    departed = membership_of(cluster).of(Role.SESSION, Status.DEPARTED)
    promise([m.node_id for m in departed] == ["session-1"], "the grace ran while it had no use")
    sim.heal()
    never_loses(cluster, view, 30.0)
    promise(cluster.settles(view, ["alive"]), "the view does not show what there is")


def test_a_leader_that_was_stopped_forgets_no_session_before_the_others_are_heard() -> None:
    """The session's client returns to session-2 while nobody can tell the data node of it."""
    cluster = make_cluster()
    view, _ = watched(cluster)
    sim = cluster.sim
    sim.kill("session-1")
    cluster.run(1.0)
    sim.freeze("meta", AWAY_SECONDS)
    cluster.run(AWAY_SECONDS - 0.5)
    cluster.run(1.0)
    departed = membership_of(cluster).of(Role.SESSION, Status.DEPARTED)
    promise([m.node_id for m in departed] == ["session-1"], "the grace ran while meta slept")
    never_loses(cluster, view, 30.0)


def test_a_new_leader_gives_each_departed_session_its_whole_grace() -> None:
    cluster = SimCluster(1, metas=3).start(sessions=2, data=1)
    cluster.run(2.0)
    cluster.sim.kill("session-1")
    cluster.run(cluster.config.session_grace_seconds - 5.0)
    leader = cluster.leader()
    assert leader is not None
    cluster.sim.kill(leader)
    cluster.run(10.0)
    departed = membership_of(cluster).of(Role.SESSION, Status.DEPARTED)
    promise([m.node_id for m in departed] == ["session-1"], "the former leader's time counted")
    cluster.run(cluster.config.session_grace_seconds)
    assert not membership_of(cluster).of(Role.SESSION, Status.DEPARTED)


def test_a_data_node_that_starts_while_meta_is_away_answers_nothing() -> None:
    """Its disk says that it works; but it does not hold what it held."""
    cluster = SimCluster(1, metas=3, has_membership_cache=True).start(sessions=2, data=1)
    cluster.run(1.0)
    view, _ = watched(cluster)
    cluster.publish("publisher", SHOP, "alive")
    cluster.run(0.5)
    for name in cluster.meta_names:
        cluster.sim.kill(name)
    cluster.sim.kill("data-1")
    cluster.run(1.0)
    cluster.data(1)
    cluster.sim.cut("session-1", "data-1")
    cluster.client("new", [2])
    new = cluster.subscribe("new", SHOP)
    never_loses(cluster, view, 70.0)
    promise(not new.is_known, "a data node that meta has not admitted answered")
    cluster.sim.heal()
    cluster.metas()
    promise(cluster.settles(new, ["alive"], 15.0), "the view does not show what there is")
    never_loses(cluster, view, 5.0)
