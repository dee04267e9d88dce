"""A client without a url: the session of its machine, then those of the LAN, side by side."""

from client_fakes import CLUSTER, CONFIG, ME, WELCOME, A, FixedRandom, acts, hear, local
from msgspec.structs import replace

from zreg.client.core.commands import ClientState
from zreg.client.core.connection.outage import Outage
from zreg.client.core.connection.session_dials import SessionDials
from zreg.client.core.core import ClientCore
from zreg.discovery.announced_dials import DIALS_MAX, START_SECONDS
from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.sightings import Browse, Sighted, Withdrawn
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    PeerDelayed,
    PeerIncompatible,
    PeerLost,
    PeerUp,
)
from zreg.model import NO_INCARNATION, Role
from zreg.wire.records.client_messages import Bye

ETH = Interface("eth0")
REAL = "tcp://10.0.0.5:9600"
OTHER = "tcp://10.0.0.6:9600"


def sighted(name: str, *addresses: str) -> Sighted:
    announcement = Announcement(
        role=Role.SESSION, node_id=name, cluster="zreg", cluster_id=CLUSTER, addresses=addresses
    )
    return Sighted(name, ETH, announcement)


def lie(number: int) -> Sighted:
    return sighted(f"lie-{number}", f"tcp://10.0.1.{number}:9600")


class World:
    """A client that browses, since its machine has no session; only `living` addresses accept."""

    def __init__(self, *living: str) -> None:
        self.core = ClientCore(
            CONFIG, client_id=ME, addresses=(A,), app="app", rng=FixedRandom(), discovers=True
        )
        self.now = 0.0
        self.living = living
        # The connections of attempts under way, by name; and all that were begun and ended.
        self.under_way: dict[str, str] = {}
        self.dialled: list[tuple[float, str]] = []
        self.most_under_way = 0
        self.take(self.core.start(0.0))

    def see(self, *events: Sighted | Withdrawn) -> None:
        for event in events:
            self.take(local(self.core, event, self.now))

    def take(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Disconnect):
                self.under_way.pop(str(effect.peer), None)
            elif isinstance(effect, Connect):
                self.dialled.append((self.now, effect.address))
                self.under_way[effect.peer] = effect.address
                if effect.address == A:
                    self.fail(effect.peer)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        return effects

    def fail(self, peer: str, reason: str = "refused") -> list[Effect]:
        self.under_way.pop(peer, None)
        return self.take(local(self.core, PeerLost(Link.SESSION, peer, reason), self.now))

    def run_until_up(self, seconds_max: float = 30.0) -> str:
        """Run until an attempt at a living address succeeds; return the name of its connection."""
        end = self.now + seconds_max
        while self.now < end:
            for peer, address in self.under_way.items():
                if address in self.living:
                    self.take(local(self.core, PeerUp(Link.SESSION, peer, "10.0.0.9"), self.now))
                    return peer
            self.tick()
        raise AssertionError(f"no session was found: {self.core!r} {self.dialled}")

    def tick(self) -> list[Effect]:
        due_at = self.core.next_tick_at()
        assert due_at is not None
        self.now = max(self.now, due_at)
        return self.take(list(self.core.tick(self.now)))


def test_a_client_browses_after_a_round_over_what_it_knows() -> None:
    core = World().core

    statistics = core.statistics()
    assert (statistics["phase"], statistics["sessions_known"]) == ("paused", 1)


def test_each_lie_delays_a_client_by_one_start() -> None:
    for lie_count in (1, 20, 63):
        world = World(REAL)
        world.see(*(lie(number) for number in range(lie_count)), sighted("real", REAL))
        began_at = world.core.next_tick_at() or 0.0

        peer = world.run_until_up()

        assert world.now - began_at <= (lie_count + 1) * START_SECONDS
        assert list(world.under_way) == [peer], "the other attempts ended"
        assert world.most_under_way <= DIALS_MAX
        hear(world.core, WELCOME, world.now, peer=peer)
        assert world.core.state is ClientState.CONNECTED
        assert world.core.statistics()["session"] == REAL


def test_a_session_that_is_announced_during_a_search_is_tried_in_it() -> None:
    world = World(REAL)
    world.see(*(lie(number) for number in range(5)))
    for _ in range(3):
        world.tick()
    began_at = world.now
    world.see(sighted("real", REAL))

    world.run_until_up()

    assert world.now - began_at <= 5 * START_SECONDS


def test_what_is_withdrawn_is_not_tried_and_a_search_for_nothing_ends() -> None:
    world = World()
    world.see(lie(1), lie(2))
    world.tick()
    (peer,) = world.under_way
    world.see(Withdrawn("lie-2", ETH))
    world.fail(peer)

    assert world.core.statistics()["phase"] == "paused"
    world.see(Withdrawn("lie-1", ETH))
    count = len(world.dialled)
    for _ in range(3):
        world.tick()
    assert {address for _, address in world.dialled[count:]} <= {A}


def test_the_search_ends_with_the_reason_and_the_next_round_begins_with_what_is_known() -> None:
    world = World()
    world.see(lie(1))
    effects: list[Effect] = []
    while not (ended := [each for each in effects if isinstance(each, Emit)]):
        effects = world.tick()

    assert len(ended) == 1
    assert "could not be made in time" in str(ended[0].event)
    world.tick()
    assert [address for _, address in world.dialled[-2:]] == ["tcp://10.0.1.1:9600", A]


def test_a_found_session_that_does_not_serve_lets_the_search_go_on() -> None:
    world = World(REAL, OTHER)
    world.see(sighted("one", REAL), sighted("two", OTHER))
    peer = world.run_until_up()
    first = world.core.statistics()["session"]
    unadmitted = replace(WELCOME, session=NO_INCARNATION)

    world.take(hear(world.core, unadmitted, world.now, peer=peer))
    second_peer = world.run_until_up()

    assert world.core.statistics()["session"] == ({REAL, OTHER} - {first}).pop()
    # There is no other one left in this round.
    hear(world.core, unadmitted, world.now, peer=second_peer)
    assert world.core.state is ClientState.CONNECTED


def test_an_announced_session_of_another_cluster_ends_its_attempt_only() -> None:
    world = World(REAL)
    world.see(sighted("other", OTHER), sighted("real", REAL))
    world.tick()
    ((peer, address),) = world.under_way.items()
    assert address == OTHER
    event = PeerIncompatible(Link.SESSION, peer, "it is of cluster 'other'")

    effects = world.take(local(world.core, event, world.now))

    assert acts(effects) == [Disconnect(Link.SESSION, peer)]
    world.tick()
    (peer,) = world.under_way
    assert local(world.core, PeerDelayed(Link.SESSION, peer, "a name"), world.now) == []
    world.run_until_up()
    assert world.core.statistics()["session"] == REAL


def test_events_of_attempts_that_were_given_up_change_nothing() -> None:
    world = World()
    world.see(lie(1), lie(2))
    world.tick()
    (peer,) = world.under_way
    while peer in world.under_way:
        world.tick()
    before = repr(world.core)

    for event in (PeerUp(Link.SESSION, peer, ""), PeerLost(Link.SESSION, peer, "refused")):
        assert local(world.core, event, world.now) == []
    assert repr(world.core) == before


def test_an_announced_session_that_says_goodbye_is_tried_last() -> None:
    world = World(REAL, OTHER)
    world.see(sighted("one", REAL), sighted("two", OTHER))
    peer = world.run_until_up()
    left = str(world.core.statistics()["session"])
    hear(world.core, WELCOME, world.now, peer=peer)
    count = len(world.dialled)

    world.take(hear(world.core, Bye(), world.now, peer=peer))
    world.run_until_up()

    assert left not in {address for _, address in world.dialled[count:]}
    assert world.core.statistics()["session"] == ({REAL, OTHER} - {left}).pop()


def test_a_client_with_a_url_ignores_announcements() -> None:
    core = ClientCore(CONFIG, client_id=ME, addresses=(A,), app="app", rng=FixedRandom())
    core.start(0.0)
    effects = local(core, PeerLost(Link.SESSION, "session-1", "refused"), 0.1)
    assert Emit(Browse(is_wanted=True)) not in effects

    local(core, sighted("real", REAL), 0.2)

    assert core.statistics()["sessions_known"] == 1


def test_the_search_shows_its_attempts() -> None:
    dials = SessionDials(CONFIG, [A], Outage([A]), rng=FixedRandom(), discovers=True)

    assert repr(dials) == "<SessionDials []>"
