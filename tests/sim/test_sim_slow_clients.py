"""Clients and sessions that do not read for a while, and acknowledgements that take seconds."""

import pytest
from promises import received

from zreg.config import Limits
from zreg.model import data_info_id
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog
from zreg.testing.sim.simulation import Simulation
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import Push

PAY = data_info_id("pay")
# More than a connection's backlog has frames, so that the burst of changes below overruns it.
NAMES = [data_info_id(f"name-{number}") for number in range(100)]


class Scene:
    """`both` publishes at PAY and follows all of NAMES; `watcher` follows PAY."""

    def __init__(self, seed: int = 1) -> None:
        self.cluster = SimCluster(seed).start()
        self.sim = self.cluster.sim
        for client in ("source", "both", "watcher"):
            self.cluster.client(client)
        self.watched = self.cluster.subscribe("watcher", PAY)
        self.cluster.publish("both", PAY, "mine")
        self.views = [
            self.cluster.subscribe("both", name, feed_id=feed_id)
            for feed_id, name in enumerate(NAMES, start=1)
        ]
        self.publisher_ids = [self.cluster.publish("source", name, "0") for name in NAMES]
        assert self.cluster.settles(self.watched, ["mine"])
        self.assert_views("0")

    def change(self, value: str) -> None:
        """Change every name, each in a turn of its own."""
        for name, publisher_id in zip(NAMES, self.publisher_ids, strict=True):
            self.cluster.publish("source", name, value, publisher_id)
            self.cluster.run(0.01)

    def assert_views(self, value: str, seconds_max: float = 5.0) -> None:
        def holds() -> bool:
            self.cluster.read_events()
            return all(view.is_known and view.values() == [value] for view in self.views)

        assert self.sim.run_until(holds, seconds_max)

    def session_statistics(self) -> dict[str, int | float | str]:
        return self.sim.processes["session-1"].core.statistics()


# --- a client that does not read ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_publisher_that_does_not_read_for_a_while_stays_in_all_views(seed: int) -> None:
    scene = Scene(seed)
    sim = scene.sim
    sim.faults.deaf.add("both")
    scene.change("1")
    scene.cluster.run(1.5)
    assert sim.faults.fired["peer slow"] == 1, "or nothing is tested"
    sim.read_again("both")
    scene.assert_views("1")

    scene.change("2")
    scene.assert_views("2", 1.0)
    assert scene.watched.removed == []
    assert all(view.removed == [] for view in scene.views)
    assert sim.processes["both"].core.statistics()["dials"] == 1, "its connection stands"
    assert scene.session_statistics()["clients_off"] == 0


def test_a_client_is_slow_again_and_again_and_always_gets_the_newest_state() -> None:
    scene = Scene()
    sim = scene.sim
    for number in range(1, 5):
        sim.faults.deaf.add("both")
        scene.change(f"a{number}")
        scene.change(f"b{number}")
        sim.read_again("both")
        if number % 2:
            # It reads for so short a time that its replay may be under way.
            scene.cluster.run(0.1 * number)
    scene.assert_views("b4")

    assert sim.faults.fired["peer slow"] >= 2
    assert scene.watched.removed == []
    assert scene.session_statistics()["clients_off"] == 0


def test_a_slow_client_replays_once() -> None:
    scene = Scene()
    to_session = received(scene.sim.processes["session-1"])
    scene.sim.faults.deaf.add("both")
    scene.change("1")
    scene.cluster.run(1.5)
    scene.sim.read_again("both")
    scene.assert_views("1")
    scene.cluster.run(10.0)

    names = [type(message).__name__ for message in to_session]
    assert names.count("Hello") == names.count("ReplayDone") == 1
    assert names.count("Subscribe") == len(NAMES)


def test_a_slow_client_whose_own_messages_are_late_replays_once() -> None:
    """Several questions who it is reach it before its answer reaches the session."""
    scene = Scene()
    to_session = received(scene.sim.processes["session-1"])
    scene.sim.faults.deaf.add("both")
    scene.change("1")
    scene.sim.faults.late["both"] = 1.5
    scene.sim.read_again("both")
    scene.cluster.run(10.0)

    names = [type(message).__name__ for message in to_session]
    assert names.count("Hello") == names.count("ReplayDone") == 1
    scene.assert_views("1", 0.0)
    assert scene.watched.removed == []


def test_a_value_that_the_slow_client_published_meanwhile_is_in_all_views() -> None:
    scene = Scene()
    scene.sim.faults.deaf.add("both")
    scene.change("1")
    scene.cluster.publish("both", PAY, "more")
    assert scene.cluster.settles(scene.watched, ["mine", "more"], 1.0), "although it does not read"
    scene.cluster.run(1.0)
    scene.sim.read_again("both")
    scene.assert_views("1")
    scene.cluster.run(5.0)

    assert scene.watched.removed == []
    assert sorted(map(str, scene.watched.values())) == ["mine", "more"]


# --- a session that does not read -----------------------------------------------------------------


def test_an_acknowledgement_that_a_client_had_to_drop_stops_no_pushes() -> None:
    cluster = SimCluster(1).start()
    sim = cluster.sim
    cluster.client("source")
    cluster.client("both")
    view = cluster.subscribe("both", PAY)
    publisher_id = cluster.publish("source", PAY, "0")
    assert cluster.settles(view, ["0"])

    sim.faults.deaf.add("both")
    cluster.publish("source", PAY, "1", publisher_id)
    cluster.run(0.1)
    sim.faults.deaf.add("session-1")
    for name in NAMES:
        cluster.publish("both", name, "x")
    sim.read_again("both")
    cluster.run(0.5)
    assert sim.faults.fired["peer slow"] == 1, "or nothing is tested"
    assert view.values() == ["1"], "the push came, and its acknowledgement was dropped"
    sim.read_again("session-1")
    cluster.publish("source", PAY, "2", publisher_id)

    assert cluster.settles(view, ["2"])
    assert view.removed == []
    assert sim.processes["both"].core.statistics()["dials"] == 1, "its connection stands"
    cluster.run(2.0)
    assert sim.processes["both"].core.statistics()["unanswered"] == 0


# --- late acknowledgements ------------------------------------------------------------------------


def change_often(cluster: SimCluster, publisher_id: bytes, seconds: int) -> None:
    """Change a publisher ten times a second."""
    for number in range(1, 10 * seconds + 1):
        cluster.publish("source", PAY, str(number), publisher_id)
        cluster.run(0.1)


def late_cluster(late_from: str) -> tuple[SimCluster, list[Message], ViewLog, bytes]:
    """Return a cluster with a subscriber whose messages take 2.5 s; 50 publishers are in view."""
    cluster = SimCluster(1).start()
    cluster.client("source")
    subscriber = cluster.client("subscriber")
    messages = received(subscriber)
    for number in range(50):
        cluster.publish("source", PAY, f"other-{number}")
    publisher_id = cluster.publish("source", PAY, "0")
    cluster.run(1.0)
    if late_from == "the beginning":
        cluster.sim.faults.late["subscriber"] = 2.5
    view = cluster.subscribe("subscriber", PAY)
    assert cluster.sim.run_until(lambda: any(isinstance(m, Push) for m in messages), 10.0)
    cluster.run(1.0)
    cluster.sim.faults.late["subscriber"] = 2.5
    return cluster, messages, view, publisher_id


@pytest.mark.parametrize("late_from", ["the beginning", "the first push"])
def test_a_subscriber_whose_acknowledgements_take_seconds_gets_changes_only(late_from: str) -> None:
    cluster, messages, view, publisher_id = late_cluster(late_from)
    change_often(cluster, publisher_id, 20)
    cluster.run(6.0)

    pushes = [message for message in messages if isinstance(message, Push)]
    assert [len(push.publishers) for push in pushes if push.source_version is None] == [51]
    # An acknowledgement takes 2.5 s.
    windows = 20 / 2.5 + 1
    assert windows <= len(pushes) <= windows * Limits.pushes_in_flight_max, "one window at a time"
    assert all(len(push.publishers) == 1 for push in pushes[1:])
    assert "200" in view.values()
    assert view.removed == []


def test_a_lost_connection_starts_anew_from_the_version_of_the_client() -> None:
    """The push in flight is lost; what the client has is not sent again."""
    cluster, messages, view, publisher_id = late_cluster("the first push")
    cluster.publish("source", PAY, "1", publisher_id)
    cluster.run(0.5)
    del cluster.sim.faults.late["subscriber"]
    messages.clear()
    cluster.sim.drop("subscriber", "session-1")
    cluster.run(1.0)

    pushes = [message for message in messages if isinstance(message, Push)]
    assert [push.publishers for push in pushes] == [()], "the view is up to date"
    cluster.publish("source", PAY, "2", publisher_id)
    cluster.run(0.5)
    assert "2" in view.values()
    pushes = [message for message in messages if isinstance(message, Push)]
    assert [len(push.publishers) for push in pushes] == [0, 1]


# --- all at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1, 9))
def test_clients_and_their_session_are_deaf_and_late_at_random_and_no_view_loses_a_publisher(
    seed: int,
) -> None:
    """Each for less than a lease, so that nothing may be removed."""
    scene = Scene(seed)
    cluster, sim, rng = scene.cluster, scene.sim, scene.sim.rng
    value = 0
    for _ in range(12):
        for name in rng.sample(["both", "source", "session-1"], rng.randint(0, 2)):
            (sim.faults.deaf.add if rng.random() < 0.7 else lambda n: late_for(sim, n))(name)
        for _ in range(rng.randint(1, 2)):
            value += 1
            scene.change(str(value))
        for name in ("both", "source", "session-1"):
            sim.read_again(name)
            sim.faults.late.pop(name, None)
        cluster.run(rng.choice([0.05, 0.5, 1.5, 3.0]))
    cluster.run(5.0)

    scene.assert_views(str(value))
    assert scene.watched.removed == []
    assert all(view.removed == [] for view in scene.views)


def late_for(sim: Simulation, name: str) -> None:
    sim.faults.late[name] = sim.rng.choice([0.3, 0.8])
