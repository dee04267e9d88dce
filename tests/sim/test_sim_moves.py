"""Directed scenarios of clients that move to another session because theirs has too many."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace
from promises import META, PAY, make_cluster, membership_of, promise

from zreg.client.core.commands import ClientState, ConnectionChanged, ViewChanged
from zreg.config import Config
from zreg.testing.sim.cluster import SimCluster

if TYPE_CHECKING:
    from zreg.testing.sim.observations.view_log import ViewLog

CLIENT_COUNT = 15
CONFIG = Config(meta_addresses=META, replica_count=1)
AGE_SECONDS = 31.0


class Crowd:
    """Clients that publish and follow one id; all of them begin at session-1."""

    def __init__(self, cluster: SimCluster, count: int = CLIENT_COUNT) -> None:
        self.cluster = cluster
        self.names = [f"client-{number}" for number in range(count)]
        self.views: dict[str, ViewLog] = {}
        for name in self.names:
            cluster.client(name, [1])
            cluster.publish(name, PAY, name)
            self.views[name] = cluster.subscribe(name, PAY)
        cluster.client("watcher", [1])
        self.views["watcher"] = cluster.subscribe("watcher", PAY)
        assert all(cluster.settles(view, self.names) for view in self.views.values())
        cluster.run(1.0)
        # What the cores have told so far is no matter of what follows.
        self._read = {name: len(cluster.sim.processes[name].events) for name in self.views}

    def counts(self) -> Counter[str]:
        """Return how many clients each session has welcomed, by its address."""
        processes = self.cluster.sim.processes
        return Counter(str(processes[n].core.statistics()["session"]) for n in self.views)

    @property
    def move_count(self) -> int:
        """How often a client has moved."""
        processes = self.cluster.sim.processes
        return sum(int(processes[name].core.statistics()["moves"]) for name in self.views)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass; nothing that clients are told may differ from a quiet life."""
        end = self.cluster.sim.now + seconds
        while self.cluster.sim.now < end and not until():
            self.cluster.run(0.05)
            self.check()

    def check(self) -> None:
        """Check that no view has changed, and that no client has lost its connection."""
        for name, view in self.views.items():
            promise(sorted(map(str, view.values())) == sorted(self.names), f"{name} sees a change")
            promise(not view.removed, f"{name} saw a publisher vanish")
            events = self.cluster.sim.processes[name].events
            for event in events[self._read[name] :]:
                if isinstance(event, ConnectionChanged):
                    is_connected = event.state is ClientState.CONNECTED
                    promise(is_connected, f"{name} is {event.state.value}: {event.detail}")
                if isinstance(event, ViewChanged):
                    promise(event.is_confirmed, f"the view of {name} became stale")
            self._read[name] = len(events)

    def moving(self) -> list[str]:
        """Return the clients that talk with a new session and still hold on to the former one."""
        processes = self.cluster.sim.processes
        return [n for n in self.views if processes[n].core._connection.former is not None]

    def begin_a_move(self) -> str:
        """Let time pass until a client is in the middle of its move; return its name."""
        # Old enough to be asked. A data node that answers late makes each move take long.
        self.run(AGE_SECONDS - 2.0)
        self.cluster.sim.faults.late["data-1"] = 1.0
        self.run(10.0, until=lambda: bool(self.moving()))
        return self.moving()[0]

    def session_of(self, name: str) -> str:
        """Return the name of the session with which a client talks."""
        address = str(self.cluster.sim.processes[name].core.statistics()["session"])
        return address.removeprefix("tcp://").removesuffix(":9600")


def make_crowd(*, sessions: int = 3, config: Config = CONFIG, count: int = CLIENT_COUNT) -> Crowd:
    return Crowd(make_cluster(sessions=sessions, config=config), count)


def test_clients_even_out_over_the_sessions_and_no_client_sees_it() -> None:
    crowd = make_crowd()
    epoch = membership_of(crowd.cluster).epoch
    crowd.run(60.0)
    counts = crowd.counts()
    promise(max(counts.values()) <= 7, f"the sessions have {counts}")
    promise(crowd.move_count == 16 - counts["tcp://session-1:9600"], "a client moved twice")
    # The counts travel with renewals: they are no change of the membership.
    promise(membership_of(crowd.cluster).epoch == epoch, "a count raised the epoch")
    # What a client leaves behind is forgotten there, so no digest differs and nothing is repaired.
    publishers = CLIENT_COUNT + crowd.move_count
    promise(crowd.cluster.sim.record_counts["PublishDatum"] <= publishers, "a repair took place")
    promise("UnpublishDatum" not in crowd.cluster.sim.record_counts, "a session withdrew something")
    crowd.run(180.0)
    promise(crowd.counts() == counts, "clients move although the sessions are even")


def test_after_a_rolling_restart_the_clients_come_back_to_the_restarted_sessions() -> None:
    crowd = make_crowd()
    cluster = crowd.cluster
    for number in (1, 2):
        cluster.sim.kill(f"session-{number}")
        cluster.run(5.0)
    for number in (1, 2):
        cluster.session(number)
    cluster.run(1.0)
    assert set(crowd.counts()) == {"tcp://session-3:9600"}
    for name, view in crowd.views.items():
        promise(not view.removed, f"{name} saw a publisher vanish")
        crowd._read[name] = len(cluster.sim.processes[name].events)
    crowd.run(60.0)
    counts = crowd.counts()
    promise(max(counts.values()) <= 7, f"the sessions have {counts}")


def test_no_client_moves_if_moving_is_turned_off() -> None:
    crowd = make_crowd(config=replace(CONFIG, move_percent_max=0))
    crowd.run(60.0)
    promise(crowd.move_count == 0, "a client moved")


def test_a_client_that_cannot_be_registered_at_its_new_session_goes_back() -> None:
    """Its former session answers for it all the time, and hears from it."""
    crowd = make_crowd(sessions=2)
    crowd.run(AGE_SECONDS - 5.0)
    crowd.cluster.sim.cut("session-2", "data-1")
    crowd.run(40.0)
    counts = crowd.cluster.sim.record_counts
    assert counts["Move"], "no client was asked"
    promise(crowd.move_count == 0, "a client stays at a session that does not serve it")
    promise(set(crowd.counts()) == {"tcp://session-1:9600"}, "a client did not go back")


def test_a_client_whose_new_session_dies_in_the_middle_of_its_move_goes_back() -> None:
    crowd = make_crowd()
    name = crowd.begin_a_move()
    new = crowd.session_of(name)
    crowd.cluster.sim.kill(new)
    crowd.run(0.5)
    promise(crowd.session_of(name) == "session-1", "the client is not back")
    crowd.run(crowd.cluster.config.session_grace_seconds + 10.0)


def test_a_client_whose_former_session_dies_in_the_middle_of_its_move_stays_at_the_new_one() -> (
    None
):
    crowd = make_crowd()
    name = crowd.begin_a_move()
    new = crowd.session_of(name)
    crowd.views = {name: crowd.views[name]}
    crowd.cluster.sim.kill("session-1")
    crowd.run(0.5)
    promise(not crowd.moving() and crowd.session_of(name) == new, "it is not at the new session")
    crowd.run(crowd.cluster.config.session_grace_seconds + 10.0)


def test_a_session_without_meta_asks_no_client_and_goes_on_asking_when_meta_is_back() -> None:
    crowd = make_crowd()
    name = crowd.begin_a_move()
    crowd.cluster.sim.kill("meta")
    crowd.cluster.sim.faults.late.clear()
    crowd.run(5.0)
    promise(not crowd.moving() and crowd.session_of(name) != "session-1", "the move has no end")
    asked = crowd.cluster.sim.record_counts["Move"]
    crowd.run(20.0)
    promise(crowd.cluster.sim.record_counts["Move"] == asked, "counts of long ago are used")
    crowd.cluster.meta()
    crowd.run(60.0)
    promise(max(crowd.counts().values()) <= 7, f"the sessions have {crowd.counts()}")


def test_a_client_that_cannot_reach_the_other_session_stays_as_it_was() -> None:
    crowd = make_crowd(sessions=2)
    crowd.cluster.sim.faults.black_holes.add("session-2")
    crowd.run(40.0)
    assert crowd.cluster.sim.record_counts["Move"], "no client was asked"
    promise(set(crowd.counts()) == {"tcp://session-1:9600"}, "a client is somewhere else")
