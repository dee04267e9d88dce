"""A session notes when the changes of an id pass through it."""

from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    D1,
    ONE,
    PAY,
    V1,
    V2,
    V3,
    Session,
    make_publisher,
)

from zreg.effects import Effect, Link, Send
from zreg.errors import NotPrimaryError
from zreg.model import ZERO, Scope, Version
from zreg.primitives.ring import bucket_of
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Hello,
    Publish,
    PushAck,
    Subscribe,
    Unpublish,
)
from zreg.wire.records.common_messages import FetchHops, Hop, HopKind, HopsReply, Refused
from zreg.wire.records.data_messages import Changed, FetchChanges, Versions

OF_ONE = {"publisher_id": ONE.publisher_id, "publisher_version": ONE.version}
GLOBAL = Scope.GLOBAL


def hops(session: Session) -> list[tuple[str, Version, int, int]]:
    """Return what the session tells: kind, version, count and total."""
    (effect,) = session.says(b"asker", FetchHops(70, PAY))
    assert isinstance(effect, Send)
    assert isinstance(effect.message, HopsReply)
    return [
        (HopKind(hop.kind).name, hop.version, hop.count, hop.total) for hop in effect.message.hops
    ]


def subscribed(*peers: bytes) -> Session:
    """Return a session whose clients have the id at V1."""
    session = Session(D1)
    effects: list[Effect] = []
    for number, peer in enumerate(peers):
        effects += session.greet(peer, Subscribe(number + 1, PAY, GLOBAL))
    session.answer_fetch(D1, effects, V1, ONE)
    for peer in peers:
        session.says(peer, PushAck(PAY, GLOBAL, V1))
    return session


def changed(session: Session, source: Version, version: Version, sequence: int) -> list[Effect]:
    newer = make_publisher(1, version.counter, body=bytes([version.counter]))
    hint = Changed(PAY, source, version, sequence, (newer,))
    return session.turn(Link.CHANGES, D1, hint)


def test_a_publish_is_noted_when_it_arrives_is_sent_and_is_accepted() -> None:
    session = Session(D1)
    sent = session.greet(ALICE, Publish(7, ONE.publisher_id, ONE.version, PAY, b"body"))
    session.now += 0.25
    session.accept_all(D1, sent)

    assert session.says(b"asker", FetchHops(70, PAY, "s1"))[0] == Send(
        Link.CLIENTS,
        b"asker",
        HopsReply(
            70,
            "s1",
            (
                Hop(HopKind.PUBLISHED, 250_000, ZERO, **OF_ONE),
                Hop(HopKind.FORWARDED, 250_000, ZERO, **OF_ONE, peer=D1),
                Hop(HopKind.ANSWERED, 0, ZERO, **OF_ONE, peer=D1, count=1),
            ),
        ),
    )


def test_a_publish_that_comes_twice_is_noted_once() -> None:
    session = Session(D1)
    publish = Publish(7, ONE.publisher_id, ONE.version, PAY, b"body")
    session.greet(ALICE, publish)
    session.says(ALICE, publish)

    assert [kind for kind, *_ in hops(session)] == ["PUBLISHED", "FORWARDED"]


def test_a_refusal_and_the_second_attempt_are_noted() -> None:
    session = Session(D1)
    session.greet(ALICE, Publish(7, ONE.publisher_id, ONE.version, PAY, b"body"))
    session.hears(D1, Refused(1, NotPrimaryError.code, "it is another one"))
    session.wait(1.0)

    assert [(kind, count) for kind, _, count, _ in hops(session)] == [
        ("PUBLISHED", 0),
        ("FORWARDED", 0),
        ("REFUSED", NotPrimaryError.code),
        ("FORWARDED", 0),
    ]


def test_an_unpublish_is_noted() -> None:
    session = Session(D1)
    sent = session.greet(ALICE, Publish(7, ONE.publisher_id, ONE.version, PAY, b"body"))
    session.accept_all(D1, sent)
    sent = session.says(ALICE, Unpublish(8, ONE.publisher_id, ONE.version, PAY))
    session.accept_all(D1, sent)

    assert [kind for kind, *_ in hops(session)][3:] == ["WITHDRAWN", "FORWARDED", "ANSWERED"]


def test_first_snapshots_are_no_pushes_of_a_change() -> None:
    assert hops(subscribed(ALICE, BOB)) == [("FETCHED", V1, 0, 0)]


def test_a_change_is_noted_when_its_hint_arrives_and_with_all_pushes_of_it() -> None:
    session = subscribed(ALICE, BOB)
    changed(session, V1, V2, 2)
    assert hops(session)[1:] == [("HEARD", V2, 0, 0), ("PUSHED", V2, 2, 0)]

    session.says(ALICE, PushAck(PAY, GLOBAL, V2))
    assert hops(session)[3:] == [("CONFIRMED", V2, 1, 2)]
    session.says(ALICE, PushAck(PAY, GLOBAL, V2))
    session.says(BOB, PushAck(PAY, GLOBAL, V2))
    assert hops(session)[3:] == [("CONFIRMED", V2, 2, 2)]


def test_one_acknowledgement_confirms_all_pushes_before_it() -> None:
    session = Session(D1)
    hello = Hello(PROTOCOL_VERSION, ALICE_ID, "app", capabilities=CAPABILITIES)
    session.answer_fetch(D1, session.says(ALICE, hello, Subscribe(1, PAY, GLOBAL)), V1, ONE)
    session.says(ALICE, PushAck(PAY, GLOBAL, V1))
    changed(session, V1, V2, 2)
    changed(session, V2, V3, 3)

    session.says(ALICE, PushAck(PAY, GLOBAL, V3))

    assert [each for each in hops(session) if each[0] == "CONFIRMED"] == [
        ("CONFIRMED", V2, 1, 1),
        ("CONFIRMED", V3, 1, 1),
    ]


def test_a_hint_without_its_change_is_noted_with_the_fetch() -> None:
    session = subscribed(ALICE)
    fetch = session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2))
    assert any(isinstance(each, Send) and isinstance(each.message, FetchChanges) for each in fetch)
    session.answer_fetch(D1, fetch, V2, make_publisher(1, 2, body=b"new"))

    assert hops(session)[1:] == [("BEHIND", V2, 0, 0), ("FETCHED", V2, 1, 0), ("PUSHED", V2, 1, 0)]


def test_a_hint_that_was_lost_is_noted_when_a_comparison_shows_it() -> None:
    session = subscribed(ALICE)
    versions = Versions(0, bucket_of(PAY), ((PAY, V3),), 9)
    session.answer_fetch(D1, session.hears(D1, versions), V3, make_publisher(1, 3, body=b"new"))

    assert [each[:2] for each in hops(session)[1:]] == [
        ("MISSED", V3),
        ("FETCHED", V3),
        ("PUSHED", V3),
    ]


def test_an_old_hint_is_not_noted() -> None:
    session = subscribed(ALICE)
    changed(session, ZERO, V1, 2)

    assert [kind for kind, *_ in hops(session)] == ["FETCHED"]
