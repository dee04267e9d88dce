"""Which clients a session asks to move, how many, and that the sessions come to rest."""

from collections.abc import Sequence
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from session_client_fakes import publish, published, removal, unpublish
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    CLUSTER_ID,
    CONFIG,
    D1,
    META,
    ONE,
    PAY,
    S1,
    Session,
    digest_of,
    make_member,
    make_membership,
)

from zreg.config import Config
from zreg.effects import INFO, Effect, Link, Log, PeerLost, Send, Unlisten
from zreg.errors import UsageError
from zreg.meta.members.memory.client_counts import ClientCounts
from zreg.model import Cause, Incarnation, Membership, Role, Scope
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.session.clients.client_table import Client, ClientTable
from zreg.session.clients.rebalancing import moves_wanted, pause_seconds
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.client_messages import (
    Capability,
    Hello,
    Move,
    Moving,
    ReplayDone,
    Subscribe,
)
from zreg.wire.records.common_messages import Ping
from zreg.wire.records.data_messages import PublishDatum, UnpublishDatum
from zreg.wire.records.membership_messages import Renew, SessionLoad, SessionLoads

S2, S3 = Incarnation(5, "s2"), Incarnation(6, "s3")
MOVES = int(Capability.MOVES)


def loads_of(*counts: int) -> SessionLoads:
    """Return what meta tells of sessions with these counts of clients."""
    found = ClientCounts(1.0)
    for number, count in enumerate(counts):
        found.note(Renew(1, Incarnation(number, f"s{number}"), b"", 1, client_count=count))
    loads = found.loads(0.0)
    assert loads is not None
    return loads


# --- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ((3, 2), 0),
        ((4, 1), 0),
        ((5, 0), 1),
        ((24, 18, 18), 0),
        ((25, 18, 17), 1),
        ((6000, 1000, 1000), 60),
        ((1300, 1000, 1000), 0),
        ((1400, 1000, 1000), 14),
        # One session has too few, and none has too many.
        ((1000, 1000, 1000, 1000, 1000, 1000, 1000, 0), 10),
        ((10, 10, 10, 10, 10, 10, 10, 0), 1),
        ((1, 1, 1, 1, 1, 0), 0),
        ((7, 7, 7), 0),
        ((0, 0, 0), 0),
        ((40,), 0),
    ],
)
def test_a_session_asks_as_many_as_its_excess_allows(counts: tuple[int, ...], wanted: int) -> None:
    assert moves_wanted(counts[0], loads_of(*counts), 1) == wanted


def test_a_session_below_the_mean_asks_none_although_another_has_too_few() -> None:
    assert moves_wanted(900, loads_of(900, 1500, 1500, 0), 1) == 0


def test_the_more_sessions_fill_one_that_has_too_few_the_less_often_each_asks() -> None:
    assert pause_seconds(200, loads_of(*(200,) * 39, 0)) == 5.0
    assert pause_seconds(200, loads_of(200, 200, 0)) == 1.0
    assert pause_seconds(400, loads_of(400, *(200,) * 39)) == 1.0


def test_the_mean_is_not_passed_in_one_step() -> None:
    assert moves_wanted(13, loads_of(13, 7, 7), 100) == 4


class Sessions:
    """Sessions that renew twice a second and ask once a second; clients that take a while to move.

    Everything is as late as it can be: what a session hears of the others is up to a second old.
    """

    def __init__(self, counts: list[int], rng: Random, percent: int) -> None:
        self.counts = counts
        self.rng = rng
        self.percent = percent
        self.names = [Incarnation(number, f"s{number}") for number in range(len(counts))]
        self.meta = ClientCounts(0.25)
        self.loads: list[SessionLoads | None] = [None] * len(counts)
        # When a client leaves, from which session and to which one.
        self.on_the_way: list[tuple[float, int, int]] = []
        self.moves: list[tuple[int, int]] = []
        self.ask_at = [0.0] * len(counts)

    def step(self, now: float) -> None:
        """Let half a second pass."""
        due = [each for each in self.on_the_way if each[0] <= now]
        self.on_the_way = [each for each in self.on_the_way if each[0] > now]
        for _, left, entered in due:
            self.counts[left] -= 1
            self.counts[entered] += 1
        for number in self.rng.sample(range(len(self.counts)), len(self.counts)):
            renew = Renew(1, self.names[number], b"", 1, client_count=self.counts[number])
            self.meta.note(renew)
            self.loads[number] = self.meta.loads(now + self.rng.random() / 2)
            if now >= self.ask_at[number]:
                self._ask(number, now)

    def _ask(self, number: int, now: float) -> None:
        loads = self.loads[number]
        if loads is None:
            return
        leaving = sum(left == number for _, left, _ in self.on_the_way)
        count = self.counts[number] - leaving
        self.ask_at[number] = now + pause_seconds(count, loads)
        for index in range(moves_wanted(count, loads, self.percent)):
            entered = loads.lighter[(number + index) % len(loads.lighter)].session.epoch
            seconds = self.rng.choice((0.1, 0.1, 1.0, 3.0))
            self.on_the_way.append((now + seconds, number, entered))
            self.moves.append((number, entered))


@given(
    counts=st.lists(st.integers(0, 400), min_size=2, max_size=12),
    seed=st.integers(0, 2**32),
    percent=st.sampled_from((1, 1, 5)),
)
@settings(max_examples=150, deadline=None)
def test_sessions_even_out_come_to_rest_and_hardly_a_client_moves_in_vain(
    counts: list[int], seed: int, percent: int
) -> None:
    mean = Fraction(sum(counts), len(counts))
    excess = sum(max(count - mean, 0) for count in counts)
    sessions = Sessions(list(counts), Random(seed), percent)
    now, quiet_since, move_count = 0.0, 0.0, 0
    while now - quiet_since < 10.0:
        assert now < 900.0, f"no rest: {sessions.counts}"
        sessions.step(now)
        if len(sessions.moves) != move_count or sessions.on_the_way:
            move_count, quiet_since = len(sessions.moves), now
        now += 0.5

    assert max(sessions.counts) <= max(mean * Fraction(6, 5), mean + 2)
    # Some clients go to a session that several others fill at the same time.
    assert move_count <= excess * Fraction(5, 4) + 2 * len(counts)
    # A client that moves back after another one has come: this is what flapping would be.
    there_and_back = sum((entered, left) in sessions.moves for left, entered in set(sessions.moves))
    assert there_and_back <= 2 * len(counts)


# --- whom, and where to ---------------------------------------------------------------------------


def three_sessions() -> Membership:
    present = make_membership(D1)
    others = [make_member(each.node_id, each.epoch, Role.SESSION) for each in (S2, S3)]
    return replace(present, members=(*present.members, *others))


def make_session(**config: Any) -> Session:
    session = Session(config=replace(CONFIG, **config))
    session.join(three_sessions())
    session.come_up(D1)
    return session


def come(session: Session, count: int, *, capabilities: int = MOVES) -> list[bytes]:
    """Let clients connect and replay nothing; return their connections."""
    peers = [b"peer-%d" % number for number in range(100, 100 + count)]
    for peer in peers:
        hello = Hello(PROTOCOL_VERSION, peer.ljust(16, b"."), capabilities=capabilities)
        session.says(peer, hello, ReplayDone())
    return peers


def uneven(mine: int, *lighter: int) -> SessionLoads:
    """Return what meta tells of this session and of two others with fewer clients."""
    others = tuple(map(SessionLoad, (S2, S3), lighter))
    return SessionLoads(3, mine + sum(lighter), others)


def pass_time(session: Session, seconds: float, peers: Sequence[bytes] = ()) -> list[Effect]:
    """Let time pass while these clients ping; return what the clients are asked."""
    effects: list[Effect] = []
    for _ in range(round(seconds)):
        for peer in peers:
            session.says(peer, Ping())
        effects += session.wait(1.0)
    return [e for e in effects if isinstance(e, Send) and isinstance(e.message, Move)]


def move(peer: bytes, to: Incarnation) -> Effect:
    return Send(Link.CLIENTS, peer, Move(f"tcp://{to.node_id}:1"))


def test_one_client_in_a_hundred_is_asked_in_a_second_each_to_go_to_another_session() -> None:
    session = make_session()
    session.loads = uneven(6, 1, 0)
    peers = come(session, 6)

    assert pass_time(session, 29.0, peers) == [], "they have just come"
    assert pass_time(session, 5.0, peers) == [
        move(peers[0], S3),
        move(peers[1], S2),
    ]
    assert pass_time(session, 8.0, peers) == [], "those on their way do not count here"
    assert session.core.statistics()["clients_asked"] == 2


def test_a_client_that_stays_is_counted_again_and_others_are_asked_first() -> None:
    session = make_session()
    session.loads = uneven(5, 2, 2)
    peers = come(session, 5)

    asked = pass_time(session, 31.0 + 3 * 16.0, peers)

    assert asked == [move(peers[0], S3), move(peers[1], S2), move(peers[2], S3), move(peers[3], S2)]


@pytest.mark.parametrize(
    ("loads", "config", "capabilities"),
    [
        (None, {}, MOVES),
        (uneven(6, 1, 0), {"move_percent_max": 0}, MOVES),
        (uneven(6, 1, 0), {}, int(Capability.GATHERED_ACKS)),
        (uneven(6, 5, 5), {}, MOVES),
        (SessionLoads(2, 6, (SessionLoad(Incarnation(9, "s9"), 0),)), {}, MOVES),
        (SessionLoads(2, 6, (SessionLoad(S1, 0),)), {}, MOVES),
    ],
    ids=["no counts", "turned off", "old clients", "even", "unknown session", "only itself"],
)
def test_no_client_is_asked(
    loads: SessionLoads | None, config: dict[str, Any], capabilities: int
) -> None:
    session = make_session(**config)
    session.loads = loads
    peers = come(session, 6, capabilities=capabilities)

    assert pass_time(session, 40.0, peers) == []


def test_no_client_is_asked_after_the_leader_of_meta_was_lost() -> None:
    session = make_session()
    session.loads = uneven(6, 1, 0)
    peers = come(session, 6)
    pass_time(session, 29.0, peers)
    session.local(PeerLost(Link.META, META))

    assert pass_time(session, 5.0, peers) == []


def test_a_client_in_its_replay_or_on_its_way_is_not_asked() -> None:
    session = make_session()
    session.loads = uneven(3, 0, 0)
    peers = come(session, 3)
    pass_time(session, 29.0, peers)
    session.says(peers[0], Hello(PROTOCOL_VERSION, peers[0].ljust(16, b"."), capabilities=MOVES))
    session.says(peers[1], Moving())

    assert pass_time(session, 5.0, peers) == [move(peers[2], S3)]


def test_few_clients_are_looked_at_in_a_second_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = make_session()
    session.loads = uneven(200, 0, 0)
    peers = come(session, 199, capabilities=0)
    session.says(BOB, Hello(PROTOCOL_VERSION, BOB_ID, capabilities=MOVES), ReplayDone())
    pass_time(session, 28.0, [*peers, BOB])
    looked_at = []
    rotate = ClientTable.rotate

    def counted(table: ClientTable) -> Client:
        looked_at.append(rotate(table))
        return looked_at[-1]

    monkeypatch.setattr(ClientTable, "rotate", counted)
    asked = pass_time(session, 10.0, [*peers, BOB])

    assert asked == [move(BOB, S3)], "each has its turn within some seconds"
    # One or two are wanted in a second.
    assert 10 * (4 + 32) <= len(looked_at) <= 10 * (2 * 4 + 32)


def test_a_session_tells_meta_how_many_clients_are_connected() -> None:
    session = make_session()
    come(session, 2)
    session.greet(ALICE)
    session.local(PeerLost(Link.CLIENTS, ALICE))
    session.now += 0.5

    renewals = [e.message for e in session.core.tick(session.now) if isinstance(e, Send)]

    assert Renew(2, S1, CLUSTER_ID, 3, client_count=2) in renewals


# --- a client that has moved ----------------------------------------------------------------------


def test_a_client_that_has_moved_is_forgotten_and_nothing_is_withdrawn() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.says(ALICE, Subscribe(3, PAY, Scope.GLOBAL), ReplayDone())
    fields: dict[str, str | int | float] = {"client": ALICE_ID.hex(), "publishers": 1}

    assert session.says(ALICE, Moving(is_settled=True)) == [
        Unlisten(Link.CHANGES, bucket_topic(bucket_of(PAY))),
        Log(INFO, "client.moved", fields),
    ]
    assert session.local(PeerLost(Link.CLIENTS, ALICE)) == []
    effects = session.wait(CONFIG.session_grace_seconds + 5.0)
    sent = [e.message for e in effects if isinstance(e, Send) and e.link is Link.DATA]
    assert digest_of() in sent, "it does not answer for the publisher any more"
    assert [each for each in sent if isinstance(each, UnpublishDatum)] == []
    statistics = session.core.statistics()
    assert (statistics["clients"], statistics["publishers"]) == (0, 0)
    assert statistics["clients_moved"] == 1


def test_a_request_under_way_of_a_client_that_has_moved_is_no_matter_any_more() -> None:
    session = make_session()
    session.greet(ALICE)
    effects = session.says(ALICE, publish(1), ReplayDone())
    session.says(ALICE, Moving(is_settled=True))

    assert session.accept_all(D1, effects) == []
    assert session.core.statistics()["pending"] == 0


def test_what_a_client_had_withdrawn_before_it_moved_is_still_withdrawn() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.says(ALICE, ReplayDone())
    session.go_down(D1)
    session.says(ALICE, unpublish(2))
    session.says(ALICE, Moving(is_settled=True))

    assert removal(2, Cause.UNPUBLISHED)[0] in session.come_up(D1)


def test_a_client_that_only_says_that_it_goes_is_held_for_the_grace_of_a_session() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.says(ALICE, Moving())
    session.local(PeerLost(Link.CLIENTS, ALICE))

    session.wait(CONFIG.session_grace_seconds - 1.0)
    assert session.core.statistics()["publishers"] == 1


def test_a_client_that_has_moved_may_come_back() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.says(ALICE, Moving(is_settled=True))
    session.greet(ALICE)

    effects = session.says(ALICE, publish(4, replace(ONE, version=3)))

    sent = [e.message for e in effects if isinstance(e, Send) and e.link is Link.DATA]
    assert PublishDatum(2, PAY, replace(ONE, version=3)) in sent


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_share_of_clients_beyond_its_bounds_is_refused(percent: int) -> None:
    with pytest.raises(UsageError, match="move_percent_max must be from 0 to 100"):
        Config(move_percent_max=percent)
