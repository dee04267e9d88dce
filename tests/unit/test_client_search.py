"""A session pages through its clients on a host, and what they subscribe to."""

from msgspec.structs import replace
from session_fakes import ALICE, ALICE_ID, BOB, BOB_ID, D1, PAY, Session

from zreg.effects import Link, PeerHeard, PeerLost, Send
from zreg.model import Scope, data_info_id
from zreg.wire.records.client_messages import Bye, Publish, Subscribe
from zreg.wire.records.common_messages import ClientsFound, FindClients, HostSubscription

HOST = "10.0.0.7"
SHOP = data_info_id("shop")


def came_from(session: Session, peer: bytes, host: str, *names: str) -> None:
    """Let a client come from a host, and subscribe."""
    session.local(PeerHeard(Link.CLIENTS, peer, host))
    requests = (Subscribe(n + 1, data_info_id(name), Scope.GLOBAL) for n, name in enumerate(names))
    session.greet(peer, *requests)


def page(session: Session, question: FindClients) -> ClientsFound:
    (effect,) = session.says(b"asker", question)
    assert isinstance(effect, Send)
    assert isinstance(effect.message, ClientsFound)
    return effect.message


def lines(session: Session, host: str = HOST, limit: int = 200) -> list[HostSubscription]:
    """Return the lines of all pages."""
    found: list[HostSubscription] = []
    question = FindClients(7, host, limit=limit)
    while not (answer := page(session, question)).is_complete:
        assert 0 < len(answer.subscriptions) <= limit
        found += answer.subscriptions
        last = found[-1]
        question = replace(question, after_client=last.client_id, after_name=last.data_info_id)
    return found + list(answer.subscriptions)


def short(found: list[HostSubscription]) -> list[tuple[bytes, str]]:
    return [(line.client_id, line.data_info_id.partition("#@#")[0]) for line in found]


def test_a_client_is_found_by_the_address_it_comes_from_with_its_subscriptions() -> None:
    session = Session(D1)
    came_from(session, ALICE, HOST, "shop", "pay")
    came_from(session, BOB, "10.0.0.8", "pay")
    session.says(ALICE, Publish(9, b"p" * 16, 1, PAY, b"body"))
    session.says(ALICE, Subscribe(10, PAY, Scope.ZONE))

    of_alice = HostSubscription(
        client_id=ALICE_ID,
        app="app",
        zone="z1",
        data_center="dc1",
        is_connected=True,
        publisher_count=1,
        data_info_id=PAY,
        scopes=(Scope.ZONE, Scope.GLOBAL),
    )
    assert lines(session) == [
        of_alice,
        replace(of_alice, data_info_id=SHOP, scopes=(Scope.GLOBAL,)),
    ]


def test_a_client_without_a_subscription_has_a_line() -> None:
    session = Session(D1)
    came_from(session, ALICE, HOST)

    (line,) = lines(session)
    assert (line.client_id, line.data_info_id, line.scopes) == (ALICE_ID, "", ())


def test_pages_together_have_everything_once() -> None:
    session = Session(D1)
    came_from(session, BOB, HOST, "d", "c", "e")
    came_from(session, ALICE, HOST, "b", "a")
    expected = sorted([(ALICE_ID, "a"), (ALICE_ID, "b")] + [(BOB_ID, each) for each in "cde"])

    for limit in range(1, 7):
        assert short(lines(session, limit=limit)) == expected


def test_a_client_in_its_grace_is_shown_as_not_connected_and_then_not_at_all() -> None:
    session = Session(D1)
    came_from(session, ALICE, HOST, "pay")
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert [line.is_connected for line in lines(session)] == [False]
    session.wait(5.0)
    assert lines(session) == []


def test_the_host_of_a_client_is_that_of_its_present_connection() -> None:
    session = Session(D1)
    came_from(session, ALICE, HOST, "pay")
    session.local(PeerHeard(Link.CLIENTS, b"other", "10.0.0.9"))
    session.greet(b"other", client_id=ALICE_ID)

    assert (lines(session), len(lines(session, "10.0.0.9"))) == ([], 1)


def test_a_client_over_loopback_is_on_the_host_of_its_session() -> None:
    session = Session(D1)
    own = session.core.membership.living("s1")
    came_from(session, ALICE, "127.0.0.1", "pay")
    assert len(lines(session, "127.0.0.1")) == 1
    assert own is not None
    assert len(lines(session, own.address.removeprefix("tcp://").partition(":")[0])) == 1


def test_nothing_is_kept_of_connections_that_are_gone() -> None:
    session = Session(D1)
    hosts = session.core._clients.table._hosts
    for number in range(100):
        peer = number.to_bytes(5)
        session.local(PeerHeard(Link.CLIENTS, peer, HOST))
        session.local(PeerLost(Link.CLIENTS, peer))
    came_from(session, ALICE, HOST)
    session.says(ALICE, Bye())

    assert hosts == {}
