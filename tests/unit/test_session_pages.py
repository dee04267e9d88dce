"""What a session's core answers to its pages, and what it follows for them."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    D1,
    ONE,
    PAY,
    SHOP,
    TWO,
    V1,
    V2,
    Session,
    make_membership,
    make_publisher,
)

from zreg.effects import Effect, Emit, Link, PeerSlow, Send
from zreg.errors import LimitError, NotReadyError, UnknownMessageError
from zreg.model import Publisher, Scope, Version, data_info_id
from zreg.session.pages.page_questions import (
    ClientLine,
    ClientsRead,
    ReadClients,
    ReadService,
    ReadSubscribers,
    ServiceRead,
    SubscriberLine,
    SubscribersRead,
)
from zreg.session.pages.page_watches import DatumMoved, WatchBegun, WatchEnded
from zreg.session.proxy.askers import PageAnswered, PageAsked
from zreg.wire.records.client_messages import Publish, PushAck, Subscribe
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import Changed, DatumsListed, FetchChanges, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings


def answers(effects: Sequence[Effect]) -> list[PageAnswered]:
    return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, PageAnswered)]


def fetches(effects: Sequence[Effect]) -> list[FetchChanges]:
    return [e.message for e in effects if isinstance(e, Send) and type(e.message) is FetchChanges]


def ask(session: Session, question: msgspec.Struct, question_id: int = 7) -> list[Effect]:
    return session.local(PageAsked(question_id, question))


def read(limit: int = 10, after: bytes = b"", **filters: str) -> ReadService:
    return ReadService(PAY, after, limit, **filters)


def service_read(publishers: tuple[Publisher, ...], version: Version = V1) -> ServiceRead:
    return ServiceRead(
        name=PAY,
        version=version,
        publisher_count=len(publishers),
        is_complete=True,
        publishers=publishers,
        next_after=None,
    )


def test_a_service_is_fetched_once_and_then_shown_from_the_copy() -> None:
    session = Session(D1)

    effects = ask(session, read())
    assert answers(effects) == []
    assert len(fetches(effects)) == 1
    assert answers(ask(session, read(), 8)) == []

    effects = session.answer_fetch(D1, effects, V1, ONE, TWO)
    expected = service_read((ONE, TWO))
    assert answers(effects) == [PageAnswered(7, expected), PageAnswered(8, expected)]

    session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (make_publisher(3),)))
    effects = ask(session, read(), 9)
    assert fetches(effects) == []
    assert [each.answer for each in answers(effects)] == [
        service_read((ONE, TWO, make_publisher(3)), V2)
    ]


def test_the_instances_come_in_pages_by_publisher_id_and_filtered() -> None:
    session = Session(D1)
    publishers = [make_publisher(number, zone=f"z{number % 2}") for number in range(1, 6)]
    session.answer_fetch(D1, ask(session, read()), V1, *reversed(publishers))

    def page(question: ReadService) -> tuple[object, bytes | None]:
        (answered,) = answers(ask(session, question))
        assert isinstance(answered.answer, ServiceRead)
        assert answered.answer.publisher_count == 5
        return answered.answer.publishers, answered.answer.next_after

    second, fourth = publishers[1].publisher_id, publishers[3].publisher_id
    assert page(read(2)) == (tuple(publishers[:2]), second)
    assert page(read(2, second)) == (tuple(publishers[2:4]), fourth)
    assert page(read(2, fourth)) == ((publishers[4],), None)
    assert page(read(zone="z0")) == ((publishers[1], publishers[3]), None)
    assert page(read(1, zone="z0")) == ((publishers[1],), second)
    assert page(read(data_center="other")) == ((), None)


def test_a_service_is_followed_for_a_while_after_the_last_question() -> None:
    session = Session(D1)
    session.answer_fetch(D1, ask(session, read()), V1)
    assert session.core.statistics()["interests_of_pages"] == 1

    session.wait(10)
    assert len(answers(ask(session, read()))) == 1
    session.wait(10)
    assert session.core.statistics()["interests_of_pages"] == 1
    session.wait(6)
    assert session.core.statistics()["interests_of_pages"] == 0
    assert session.core.statistics()["interests"] == 0


def test_a_subscriber_keeps_what_a_page_needs_no_more() -> None:
    session = Session(D1)
    session.answer_fetch(D1, ask(session, read()), V1, ONE)
    session.greet(ALICE, Subscribe(1, PAY, Scope.GLOBAL))
    session.wait(2)
    session.says(ALICE)

    session.wait(0.1)
    assert session.core.statistics()["interests"] == 1
    assert session.core._pages.datums.next_tick_at() is not None


def test_a_question_that_no_data_node_answers_is_refused_in_time() -> None:
    session = Session(D1)
    assert answers(ask(session, read())) == []

    assert answers(session.wait(1.9)) == []
    (answered,) = answers(session.wait(0.2))
    assert answered.question_id == 7
    assert isinstance(answered.answer, Refused)
    assert answered.answer.code == NotReadyError.code
    assert "try again" in answered.answer.detail


def test_the_services_of_pages_are_bounded_the_oldest_ends() -> None:
    session = Session(D1)
    for number in range(100):
        name = data_info_id(f"name-{number}")
        session.answer_fetch(D1, ask(session, ReadService(name, b"", 1)), V1)
    session.answer_fetch(D1, ask(session, read()), V1)

    assert session.core.statistics()["interests_of_pages"] == 100
    first = ReadService(data_info_id("name-0"), b"", 1)
    assert len(fetches(ask(session, first))) == 1
    last = ReadService(data_info_id("name-99"), b"", 1)
    assert len(answers(ask(session, last))) == 1


def test_too_many_services_that_wait_are_refused() -> None:
    session = Session(D1)
    for number in range(100):
        ask(session, ReadService(data_info_id(f"name-{number}"), b"", 1))

    (answered,) = answers(ask(session, read()))
    assert isinstance(answered.answer, Refused)
    assert answered.answer.code == LimitError.code


def test_clients_are_shown_in_pages_with_their_state() -> None:
    session = Session(D1)
    session.greet(ALICE, Publish(1, b"p" * 16, 1, PAY, b"body"), Subscribe(2, PAY, Scope.GLOBAL))
    session.now += 1.5
    session.greet(BOB)
    session.local(PeerSlow(Link.CLIENTS, BOB))

    alice = ClientLine(
        client_id=ALICE_ID,
        app="app",
        zone="z1",
        data_center="dc1",
        is_connected=True,
        is_slow=False,
        seconds=1.5,
        publisher_count=1,
        subscription_count=1,
    )
    bob = replace(
        alice,
        client_id=BOB_ID,
        is_slow=True,
        seconds=0.0,
        publisher_count=0,
        subscription_count=0,
    )
    for question, expected in (
        (ReadClients(b"", 10), ClientsRead(2, (alice, bob), None)),
        (ReadClients(b"", 1), ClientsRead(2, (alice,), ALICE_ID)),
        (ReadClients(ALICE_ID, 1), ClientsRead(2, (bob,), None)),
        (ReadClients(b"", 10, "other"), ClientsRead(2, (), None)),
    ):
        assert answers(ask(session, question)) == [PageAnswered(7, expected)]


def test_subscribers_are_shown_with_what_they_have() -> None:
    session = Session(D1)
    effects = session.greet(ALICE, Subscribe(1, PAY, Scope.GLOBAL), Subscribe(2, PAY, Scope.ZONE))
    session.greet(BOB, Subscribe(1, PAY, Scope.GLOBAL), Subscribe(2, SHOP, Scope.GLOBAL))
    scopes = (Scope.ZONE, Scope.GLOBAL)
    alice = SubscriberLine(ALICE_ID, "app", "z1", "dc1", scopes, None, 0, is_behind=True)
    bob = SubscriberLine(BOB_ID, "app", "z1", "dc1", (Scope.GLOBAL,), None, 0, is_behind=True)

    def lines(question: ReadSubscribers) -> SubscribersRead:
        (answered,) = answers(ask(session, question))
        assert isinstance(answered.answer, SubscribersRead)
        return answered.answer

    assert lines(ReadSubscribers(PAY, b"", 10)) == SubscribersRead(PAY, (alice, bob), None)
    assert lines(ReadSubscribers(PAY, b"", 1)) == SubscribersRead(PAY, (alice,), ALICE_ID)
    assert lines(ReadSubscribers(PAY, ALICE_ID, 1)) == SubscribersRead(PAY, (bob,), None)

    session.answer_fetch(D1, effects, V1, ONE)
    session.says(ALICE, PushAck(PAY, Scope.GLOBAL, V1))
    (line, _) = lines(ReadSubscribers(PAY, b"", 10)).subscribers
    assert (line.version, line.pushes_in_flight, line.is_behind) == (V1, 1, False)


def test_the_questions_of_commands_are_answered_to_pages_too() -> None:
    session = Session(D1)

    assert answers(ask(session, FetchMembership(0))) == [
        PageAnswered(7, MembershipReply(0, make_membership(D1)))
    ]
    (listing,) = ask(session, ListDatums(0, "*"))
    assert isinstance(listing, Send)
    listed = DatumsListed(listing.message.request_id, ())  # type: ignore[attr-defined]
    assert session.hears(D1, listed) == [Emit(PageAnswered(7, DatumsListed(0, ())))]
    (passed_on,) = ask(session, FetchSettings(0, "*"))
    assert isinstance(passed_on, Send)
    assert passed_on.link is Link.META


def test_pages_leave_room_for_the_questions_of_commands_to_meta() -> None:
    session = Session(D1)
    for _ in range(30):
        assert answers(ask(session, FetchSettings(0, "*"))) == []

    (answered,) = answers(ask(session, FetchSettings(0, "*")))
    assert isinstance(answered.answer, Refused)
    assert answered.answer.code == LimitError.code
    (passed_on,) = session.says(BOB, FetchSettings(1, "*"))
    assert isinstance(passed_on, Send)
    assert passed_on.link is Link.META


def moves(effects: Sequence[Effect]) -> list[DatumMoved]:
    return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, DatumMoved)]


def test_a_watched_datum_is_followed_and_each_move_is_told() -> None:
    session = Session(D1)
    effects = session.local(WatchBegun(PAY))
    assert len(fetches(effects)) == 1
    assert session.local(WatchBegun(PAY)) == []
    assert moves(session.answer_fetch(D1, effects, V1, ONE)) == [DatumMoved(PAY, V1, 1)]

    effects = session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (TWO,)))
    assert moves(effects) == [DatumMoved(PAY, V2, 2)]

    session.local(WatchEnded(PAY), WatchEnded(PAY))
    assert session.core.statistics()["interests"] == 0


def test_a_watch_of_everything_follows_nothing_and_hears_what_is_followed() -> None:
    session = Session(D1)
    assert session.local(WatchBegun(None)) == []
    effects = session.greet(ALICE, Subscribe(1, PAY, Scope.GLOBAL))
    assert moves(session.answer_fetch(D1, effects, V1, ONE)) == [DatumMoved(PAY, V1, 1)]

    session.local(WatchEnded(None))
    assert moves(session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (TWO,)))) == []


def test_a_question_that_no_page_has_is_refused() -> None:
    session = Session(D1)

    (answered,) = answers(ask(session, Refused(0, 1, "")))
    assert isinstance(answered.answer, Refused)
    assert answered.answer.code == UnknownMessageError.code
