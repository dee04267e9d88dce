"""A client that does not read stays a client; when it reads again it says everything again."""

import logging

import pytest
from msgspec.structs import replace
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    CONFIG,
    D1,
    PAY,
    SHOP,
    V1,
    V2,
    V3,
    Session,
    at_clients,
    make_publisher,
    pushes,
    to_client,
)

from zreg.effects import Disconnect, Effect, Link, Log, PeerLost, PeerSlow, Send
from zreg.model import Cause, Removal, Scope
from zreg.primitives.digest import view_digest
from zreg.session.clients.pushes.slow_clients import SlowClients
from zreg.wire.records.client_messages import (
    Bye,
    Publish,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Unsubscribe,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong
from zreg.wire.records.data_messages import Changed, PublishDatum, UnpublishDatum

ASK, REPLAY = CONFIG.ping_seconds, CONFIG.lease_seconds
GLOBAL = Scope.GLOBAL
ONE, TWO, THREE = make_publisher(1), make_publisher(2), make_publisher(3)
MINE = make_publisher(9)
ASKED = to_client(ALICE, WhoAreYou())
SLOW = Log(logging.WARNING, "client.slow", {"client": ALICE_ID.hex(), "app": "app"})
RECOVERED = Log(logging.INFO, "client.recovered", {"client": ALICE_ID.hex()})


# --- the component --------------------------------------------------------------------------------


def test_a_slow_client_is_asked_again_and_again_until_it_has_replayed() -> None:
    slow = SlowClients(CONFIG)
    assert (len(slow), slow.next_tick_at()) == (0, None)
    slow.add(ALICE, 0.0)

    assert slow.next_tick_at() == ASK
    assert slow.take_due(ASK - 0.1) == []
    assert slow.take_due(ASK) == [ALICE]
    assert slow.take_due(ASK) == []
    assert slow.take_due(2 * ASK) == [ALICE]
    slow.on_hello(ALICE, 2 * ASK)
    assert slow.is_replaying(ALICE)
    assert slow.take_due(3 * ASK) == [], "its replay is under way"
    assert slow.take_due(2 * ASK + REPLAY) == [ALICE], "the Welcome may have been dropped"
    assert slow.take_due(3 * ASK + REPLAY) == []
    slow.remove(ALICE)

    assert ALICE not in slow
    assert slow.next_tick_at() is None


def test_a_replay_that_began_before_the_last_drop_does_not_count() -> None:
    slow = SlowClients(CONFIG)
    slow.add(ALICE, 0.0)
    slow.on_hello(ALICE, 0.1)
    slow.add(ALICE, 0.2)

    assert not slow.is_replaying(ALICE)


def test_all_slow_clients_are_asked_at_one_time() -> None:
    slow = SlowClients(CONFIG)
    slow.add(ALICE, 0.0)
    slow.add(BOB, 0.9 * ASK)

    assert slow.take_due(ASK) == [ALICE, BOB]
    slow.remove(ALICE)
    assert slow.next_tick_at() == 2 * ASK


def test_a_hello_of_a_client_that_is_not_slow_changes_nothing() -> None:
    slow = SlowClients(CONFIG)

    slow.on_hello(ALICE, 0.0)
    slow.remove(ALICE)

    assert (len(slow), slow.is_replaying(ALICE), slow.next_tick_at()) == (0, False, None)


# --- the session ----------------------------------------------------------------------------------


def publish(request_id: int, version: int = 1) -> Publish:
    return Publish(request_id, MINE.publisher_id, version, SHOP, MINE.body)


def make_session() -> Session:
    """Return a session where ALICE has published at SHOP, and has PAY at V1."""
    session = Session(D1, config=replace(CONFIG, lease_seconds=30.0))
    effects = session.greet(ALICE, publish(1))
    session.accept_all(D1, effects)
    session.answer_fetch(D1, session.says(ALICE, Subscribe(5, PAY, GLOBAL)), V1, ONE)
    session.says(ALICE, PushAck(PAY, GLOBAL, V1))
    return session


def about_publishers(effects: list[Effect]) -> list[Effect]:
    kinds = (PublishDatum, UnpublishDatum)
    return [e for e in effects if isinstance(e, Send) and isinstance(e.message, kinds)]


def be_slow(session: Session) -> list[Effect]:
    return session.local(PeerSlow(Link.CLIENTS, ALICE))


def test_a_client_that_does_not_read_stays_and_is_asked_who_it_is_once_a_second() -> None:
    session = make_session()

    assert be_slow(session) == [SLOW, *ASKED]
    for _ in range(60):
        effects = session.wait(ASK)
        assert at_clients(effects) == ASKED
        assert about_publishers(effects) == []
        assert session.says(ALICE, Ping()) == to_client(ALICE, Pong())

    assert session.core.statistics()["clients"] == 1
    assert session.core.statistics()["publishers"] == 1


def test_a_slow_client_is_pushed_nothing_and_then_the_newest_state() -> None:
    session = make_session()
    session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (TWO,)))
    be_slow(session)

    assert session.turn(Link.CHANGES, D1, Changed(PAY, V2, V3, 3, (THREE,))) == []
    assert session.says(ALICE, PushAck(PAY, GLOBAL, V1)) == [], "of a push before"
    session.greet(ALICE)
    replay = [publish(11, 2), Subscribe(12, PAY, GLOBAL, V1, view_digest([ONE])), ReplayDone()]
    effects = session.says(ALICE, *replay)

    assert pushes(effects) == [Push(PAY, GLOBAL, None, V3, (ONE, TWO, THREE))]
    assert RECOVERED in effects
    published = [e.message for e in effects if isinstance(e, Send) and e.link is Link.DATA]
    assert [type(message) for message in published] == [PublishDatum]
    assert session.accept_all(D1, effects) == to_client(ALICE, Accepted((11,)))
    session.says(ALICE, PushAck(PAY, GLOBAL, V3))
    assert at_clients(session.wait(5.0)) == []
    assert about_publishers(session.wait(5.0)) == []


def test_the_end_of_a_replay_that_began_before_the_drop_is_not_the_end_of_slowness() -> None:
    session = make_session()
    session.greet(ALICE)
    be_slow(session)

    assert RECOVERED not in session.says(ALICE, ReplayDone())
    assert at_clients(session.wait(ASK)) == ASKED


def test_a_client_that_is_slow_during_its_replay_has_to_replay_again() -> None:
    session = make_session()
    be_slow(session)
    session.greet(ALICE, Subscribe(12, PAY, GLOBAL))

    assert be_slow(session) == ASKED, "and it is logged once"
    assert session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (TWO,))) == []
    effects = session.greet(ALICE, publish(21, 2), Subscribe(22, PAY, GLOBAL), ReplayDone())
    assert pushes(effects) == [Push(PAY, GLOBAL, None, V2, (ONE, TWO))]
    assert RECOVERED in effects


def test_a_slow_client_that_unsubscribes_is_pushed_nothing_more() -> None:
    session = make_session()
    be_slow(session)
    session.says(ALICE, Unsubscribe(9, PAY, GLOBAL))

    assert session.core.statistics()["interests"] == 0
    session.greet(ALICE, publish(21, 2), ReplayDone())
    assert at_clients(session.wait(5.0)) == []


def test_the_datum_of_a_slow_client_stays_followed() -> None:
    session = make_session()
    session.greet(BOB, Subscribe(5, PAY, GLOBAL))
    be_slow(session)
    session.says(BOB, Unsubscribe(6, PAY, GLOBAL))

    assert session.core.statistics()["interests"] == 1
    session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (TWO,)))
    session.greet(ALICE, publish(21, 2))
    effects = session.says(ALICE, Subscribe(22, PAY, GLOBAL), ReplayDone())
    assert pushes(effects) == [Push(PAY, GLOBAL, None, V2, (ONE, TWO))]


@pytest.mark.parametrize("cause", [Cause.BYE, Cause.CLOSED, Cause.SILENT])
def test_a_slow_client_ends_like_any_other(cause: Cause) -> None:
    session = make_session()
    be_slow(session)

    effects: list[Effect] = []
    if cause is Cause.BYE:
        effects += session.says(ALICE, Bye())
    elif cause is Cause.CLOSED:
        effects += session.local(PeerLost(Link.CLIENTS, ALICE))
    effects += session.wait(31.0)

    gone = Removal(MINE.publisher_id, 1, cause, MINE.session)
    (sent,) = about_publishers(effects)[:1]
    assert sent.message.removals == (gone,)  # type: ignore[attr-defined]
    assert (Disconnect(Link.CLIENTS, ALICE) in effects) == (cause is Cause.SILENT)
    assert session.core.statistics()["interests"] == 0
    assert at_clients(session.wait(5.0)) == [], "and is asked nothing more"


def test_a_slow_client_that_comes_back_over_another_connection_is_no_longer_slow() -> None:
    session = make_session()
    be_slow(session)

    session.greet(BOB, client_id=ALICE_ID)
    effects = session.says(BOB, publish(21, 2), Subscribe(22, PAY, GLOBAL), ReplayDone())

    assert pushes(effects) == [Push(PAY, GLOBAL, None, V1, (ONE,))]
    session.accept_all(D1, effects)
    session.says(BOB, PushAck(PAY, GLOBAL, V1))
    assert at_clients(session.wait(5.0)) == []


def test_a_peer_that_never_said_hello_is_not_asked() -> None:
    session = make_session()

    assert session.local(PeerSlow(Link.CLIENTS, BOB)) == []
    assert at_clients(session.wait(5.0)) == []
