"""What clients are answered: yes only when it is true, and nothing of theirs outlives them."""

import logging
from typing import Any

import pytest
from msgspec.structs import replace
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    CAROL,
    CLUSTER_ID,
    CONFIG,
    D1,
    META,
    PAY,
    S1,
    SHOP,
    V1,
    V2,
    Session,
    at_clients,
    digest_of,
    make_membership,
    make_publisher,
    to_client,
    to_data,
)

from zreg.effects import (
    Disconnect,
    Effect,
    Link,
    Listen,
    Log,
    PeerLost,
    PeerSlow,
    Probe,
    Send,
    Unlisten,
)
from zreg.errors import (
    LimitError,
    NotReadyError,
    ProtocolVersionError,
    RefusedError,
    UnknownMessageError,
)
from zreg.model import NO_INCARNATION, ZERO, Cause, Incarnation, Publisher, Removal, Scope, Version
from zreg.primitives.digest import view_digest
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.wire.client_messages import (
    Bye,
    Hello,
    Publish,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Unpublish,
    Unsubscribe,
    Welcome,
    WhoAreYou,
)
from zreg.wire.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.data_messages import (
    Changed,
    FetchChanges,
    ListDatums,
    PublishDatum,
    Snapshot,
    UnpublishDatum,
)
from zreg.wire.membership_messages import FetchMembership, MembershipReply
from zreg.wire.messages import PROTOCOL_VERSION, Message

ONE, TWO = make_publisher(1), make_publisher(2)
GLOBAL = Scope.GLOBAL
GRACE = CONFIG.disconnect_grace_seconds
WELCOME = Welcome(PROTOCOL_VERSION, S1, CLUSTER_ID, 3.0, 1.0, ("tcp://s1:1",))
LISTEN, UNLISTEN = (kind(Link.CHANGES, bucket_topic(bucket_of(PAY))) for kind in (Listen, Unlisten))


def publish(request_id: int, publisher: Publisher = ONE) -> Publish:
    return Publish(request_id, publisher.publisher_id, publisher.version, PAY, publisher.body)


def unpublish(request_id: int, publisher: Publisher = ONE) -> Unpublish:
    return Unpublish(request_id, publisher.publisher_id, publisher.version, PAY)


def subscribe(request_id: int = 5, version: Version = ZERO, *seen: Publisher) -> Subscribe:
    return Subscribe(request_id, PAY, GLOBAL, version, view_digest(seen))


def removal(request_id: int, cause: Cause, publisher: Publisher = ONE) -> list[Effect]:
    gone = Removal(publisher.publisher_id, publisher.version, cause, publisher.session)
    return to_data(D1, UnpublishDatum(request_id, PAY, (gone,)))


def refused(request_id: int, error: type[RefusedError], detail: str) -> Refused:
    return Refused(request_id, error.code, detail)


def off(client_id: bytes, cause: str, publishers: int) -> Log:
    fields: dict[str, str | int | float] = {
        "client": client_id.hex(),
        "cause": cause,
        "publishers": publishers,
    }
    return Log(logging.INFO, "client.off", fields)


def changes_and_logs(effects: list[Effect]) -> list[Effect]:
    """Return what of the effects of waiting is no digest."""
    kinds = (PublishDatum, UnpublishDatum, FetchChanges)
    return [
        e
        for e in effects
        if not isinstance(e, Send) or e.link is not Link.DATA or isinstance(e.message, kinds)
    ]


def make_session(**config: Any) -> Session:
    """Return a session with a data node that was told of everything."""
    return Session(D1, config=replace(CONFIG, **config))


def published(session: Session, peer: bytes = ALICE, *publishers: Publisher) -> None:
    """Let a client publish, and its data node accept; request ids of data nodes go from 1."""
    for publisher in publishers or (ONE,):
        effects = session.says(peer, publish(1, publisher))
        assert session.accept_all(D1, effects) == to_client(peer, Accepted((1,)))


# --- greeting -------------------------------------------------------------------------------------


def test_a_hello_is_answered_with_a_welcome_that_names_all_sessions() -> None:
    assert make_session().greet(ALICE) == to_client(ALICE, WELCOME)


def test_a_session_that_is_no_member_yet_takes_clients_and_their_publishes_wait() -> None:
    session = Session()
    welcome = Welcome(PROTOCOL_VERSION, NO_INCARNATION, b"", 3.0, 1.0, ())
    detail = "not accepted yet, but kept: meta has not let this session in yet"
    not_yet = refused(1, NotReadyError, detail)
    assert session.greet(ALICE, publish(1)) == to_client(ALICE, welcome, not_yet)

    session.join(make_membership(D1))
    effects = session.come_up(D1)

    assert effects[1:] == to_data(D1, PublishDatum(1, PAY, ONE), digest_of(ONE))


def test_another_protocol_version_is_refused_with_what_to_do() -> None:
    detail = (
        "this session speaks protocol version 1, the client 2: install matching versions of zreg"
    )
    answer = to_client(ALICE, refused(0, ProtocolVersionError, detail))
    session = make_session()

    assert session.says(ALICE, Hello(2, ALICE_ID)) == answer
    assert session.says(ALICE, publish(1)) == to_client(ALICE, WhoAreYou())


def test_a_full_session_sends_new_clients_to_other_sessions_and_keeps_its_own() -> None:
    session = make_session(clients_max=1)
    session.greet(ALICE)

    detail = "this session has its 1 clients: try another one"
    assert session.greet(BOB) == to_client(BOB, refused(0, LimitError, detail), Bye())
    assert session.greet(CAROL, client_id=ALICE_ID) == [
        Disconnect(Link.CLIENTS, ALICE),
        *to_client(CAROL, WELCOME),
    ]


@pytest.mark.parametrize(
    "message", [publish(1), unpublish(1), subscribe(), Unsubscribe(1, PAY, GLOBAL)]
)
def test_an_unidentified_peer_with_a_request_is_asked_who_it_is_once_a_turn(
    message: Message,
) -> None:
    session = make_session()

    assert session.says(ALICE, message, message) == to_client(ALICE, WhoAreYou())
    assert session.settle() == []


@pytest.mark.parametrize("message", [Pong(), Bye(), ReplayDone(), PushAck(PAY, GLOBAL, V1)])
def test_an_unidentified_peer_without_a_request_gets_no_answer(message: Message) -> None:
    assert make_session().says(ALICE, message) == []


def test_an_unidentified_peer_that_pings_gets_a_pong_and_is_asked_who_it_is() -> None:
    assert make_session().says(ALICE, Ping()) == to_client(ALICE, Pong(), WhoAreYou())


def test_a_peer_that_says_hello_in_the_same_turn_is_not_asked_who_it_is() -> None:
    session = make_session()
    session.core.receive(Link.CLIENTS, ALICE, Ping(), session.now)

    assert session.greet(ALICE) == to_client(ALICE, WELCOME)


@pytest.mark.parametrize("is_known", [True, False])
def test_membership_and_listings_need_no_greeting(*, is_known: bool) -> None:
    session = make_session()
    if is_known:
        session.greet(ALICE)

    reply = MembershipReply(9, make_membership(D1))
    assert session.says(ALICE, FetchMembership(9)) == to_client(ALICE, reply)
    passed_on = ListDatums(1, "*")
    assert session.says(ALICE, ListDatums(9, "*")) == to_data(D1, passed_on)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_message_that_a_session_does_not_take_from_clients_is_refused(*, is_known: bool) -> None:
    session = make_session()
    if is_known:
        session.greet(ALICE)

    detail = "a session does not take Welcome from clients"
    assert session.says(ALICE, WELCOME) == to_client(ALICE, refused(0, UnknownMessageError, detail))


def test_a_ping_is_answered_and_a_pong_is_not() -> None:
    session = make_session()
    session.greet(ALICE)

    assert session.says(ALICE, Ping(), Pong()) == to_client(ALICE, Pong())


# --- publishing -----------------------------------------------------------------------------------


def test_a_publish_is_accepted_once_its_data_node_has_accepted_it() -> None:
    """Nothing leaves before the data node's own answer."""
    session = make_session()
    session.greet(ALICE)

    assert session.says(ALICE, publish(11)) == to_data(D1, PublishDatum(1, PAY, ONE))
    assert at_clients(session.wait(0.9)) == []
    assert session.hears("d9@9", Accepted((1,))) == []
    assert session.hears(D1, Accepted((1,))) == to_client(ALICE, Accepted((11,)))
    assert session.hears(D1, Accepted((1,))) == []


def test_the_accepted_requests_of_a_turn_are_joined_in_one_message() -> None:
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11), publish(12, TWO))

    answers = session.hears(D1, Accepted((1,)), Accepted((2,)))

    assert answers == to_client(ALICE, Accepted((11, 12)))


def test_a_publisher_carries_the_labels_of_its_client_and_the_session_that_answers_for_it() -> None:
    session = make_session()
    hello = Hello(PROTOCOL_VERSION, ALICE_ID, "shop", "z9", "dc9")
    session.says(ALICE, hello)

    publisher = make_publisher(1, zone="z9", data_center="dc9", app="shop")
    assert session.says(ALICE, publish(1)) == to_data(D1, PublishDatum(1, PAY, publisher))


def test_a_publish_that_comes_twice_is_sent_once_and_the_newest_request_is_answered() -> None:
    """A client waits for the answer to its newest request only."""
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11))

    assert session.says(ALICE, publish(12)) == []

    assert session.hears(D1, Accepted((1,))) == to_client(ALICE, Accepted((12,)))


def test_a_repeated_publish_that_is_accepted_already_is_accepted_at_once() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    assert session.says(ALICE, publish(12)) == to_client(ALICE, Accepted((12,)))


def test_an_older_version_that_comes_late_changes_nothing() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session, ALICE, make_publisher(1, version=3))

    assert session.says(ALICE, publish(12, make_publisher(1, version=2))) == []
    assert session.says(ALICE, unpublish(13, make_publisher(1, version=2))) == []

    assert changes_and_logs(session.wait(0.5)) == []


def test_a_publisher_id_of_another_client_is_refused() -> None:
    session = make_session()
    session.greet(ALICE)
    session.greet(BOB)
    published(session)

    newer = make_publisher(1, version=2)
    detail = "this publisher id belongs to another client, or to another data id"
    assert session.says(BOB, publish(7, newer)) == to_client(BOB, refused(7, RefusedError, detail))
    detail = "this publisher id belongs to another client"
    answer = to_client(BOB, refused(8, RefusedError, detail))
    assert session.says(BOB, unpublish(8, newer)) == answer
    assert session.says(ALICE, publish(9)) == to_client(ALICE, Accepted((9,)))
    assert session.says(BOB, Bye()) == [off(BOB_ID, "bye", 0)]


def test_a_publisher_id_stays_with_its_datum() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    detail = "this publisher id belongs to another client, or to another data id"
    moved = Publish(7, ONE.publisher_id, 2, SHOP, b"")
    assert session.says(ALICE, moved) == to_client(ALICE, refused(7, RefusedError, detail))


def test_one_client_publishes_within_a_limit() -> None:
    session = make_session(publishers_per_client_max=1)
    session.greet(ALICE)
    published(session)
    detail = "one client publishes at most 1 times"

    answer = to_client(ALICE, refused(7, LimitError, detail))
    assert session.says(ALICE, publish(7, TWO)) == answer
    newer = make_publisher(1, version=2)
    assert session.says(ALICE, publish(8, newer)) == to_data(D1, PublishDatum(2, PAY, newer))


def test_the_limit_counts_what_is_published_again_while_its_removal_is_under_way() -> None:
    session = make_session(publishers_per_client_max=1)
    session.greet(ALICE)
    session.says(ALICE, publish(1), unpublish(2), publish(3, TWO))

    answer = session.says(ALICE, publish(4, make_publisher(1, version=2)))

    detail = "one client publishes at most 1 times"
    assert answer == to_client(ALICE, refused(4, LimitError, detail))


# --- unpublishing ---------------------------------------------------------------------------------


def test_an_unpublish_is_accepted_when_the_data_node_has_done_it() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    assert session.says(ALICE, unpublish(12)) == removal(2, Cause.UNPUBLISHED)
    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((12,)))


def test_an_unpublish_of_an_unknown_publisher_is_sent_to_the_data_node() -> None:
    """A session of before had it, or it was accepted already and is said once more."""
    session = make_session()
    session.greet(ALICE)

    for request_id in (1, 2):
        effects = session.says(ALICE, unpublish(12))
        assert effects == removal(
            request_id, Cause.UNPUBLISHED, replace(ONE, session=NO_INCARNATION)
        )
        assert session.hears(D1, Accepted((request_id,))) == to_client(ALICE, Accepted((12,)))


def test_an_unpublish_goes_up_to_the_version_that_the_client_had_at_another_session() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    newest = make_publisher(1, version=5)

    assert session.says(ALICE, unpublish(12, newest)) == removal(2, Cause.UNPUBLISHED, newest)
    assert session.says(ALICE, publish(13, make_publisher(1, version=4))) == []


def test_a_late_publish_does_not_undo_its_unpublish() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.says(ALICE, unpublish(12))

    assert session.says(ALICE, publish(13)) == []

    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((12,)))


# --- refusals and connections in the middle -------------------------------------------------------

NO = Refused(1, LimitError.code, "too many", 3)


def test_a_final_refusal_is_passed_on_and_the_publisher_forgotten() -> None:
    session = make_session(publishers_per_client_max=1)
    session.greet(ALICE)
    session.says(ALICE, publish(11))

    assert session.hears(D1, NO) == to_client(ALICE, Refused(11, LimitError.code, "too many"))

    assert session.hears(D1, NO) == []
    assert session.says(ALICE, publish(12, TWO)) == to_data(D1, PublishDatum(2, PAY, TWO))


def test_a_final_refusal_while_the_client_is_disconnected_leaves_nothing_behind() -> None:
    session = make_session(publishers_per_client_max=1)
    session.greet(ALICE, publish(11))
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert session.hears(D1, NO) == []

    assert session.greet(BOB, publish(12, TWO), client_id=ALICE_ID) == [
        *to_client(BOB, WELCOME),
        *to_data(D1, PublishDatum(2, PAY, TWO)),
    ]


def test_a_final_refusal_during_a_replay_leaves_nothing_to_withdraw() -> None:
    session = make_session()
    session.greet(ALICE, publish(11))
    session.greet(ALICE)
    session.hears(D1, NO)

    assert session.says(ALICE, ReplayDone()) == []


def test_a_final_refusal_for_a_client_that_is_gone_is_not_passed_on() -> None:
    session = make_session()
    session.greet(ALICE, publish(11), Bye())

    assert session.hears(D1, Refused(1, LimitError.code, "too many", 3)) == []


def test_a_transient_refusal_is_not_passed_on() -> None:
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, publish(11))

    assert session.hears(D1, Refused(1, NotReadyError.code, "later", 3)) == []
    assert changes_and_logs(session.wait(0.2)) == to_data(D1, PublishDatum(2, PAY, ONE))
    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((11,)))


def test_an_answer_goes_to_the_connection_that_the_client_has_now() -> None:
    session = make_session()
    session.greet(ALICE, publish(11))
    session.local(PeerLost(Link.CLIENTS, ALICE))
    session.greet(BOB, client_id=ALICE_ID)

    assert session.hears(D1, Accepted((1,))) == to_client(BOB, Accepted((11,)))


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_answer_to_a_client_without_a_connection_is_dropped(*, is_gone: bool) -> None:
    session = make_session()
    session.greet(ALICE, publish(11))
    session.local(PeerLost(Link.CLIENTS, ALICE))
    if is_gone:
        session.wait(GRACE)

    assert session.hears(D1, Accepted((1, 2))) == []


# --- replay ---------------------------------------------------------------------------------------


def make_replaying() -> Session:
    """Return a session where ALICE published ONE and TWO, subscribed, and greets again."""
    session = make_session()
    session.greet(ALICE)
    published(session, ALICE, ONE, TWO)
    session.says(ALICE, subscribe())
    session.greet(ALICE)
    return session


def test_a_publisher_that_was_not_replayed_is_withdrawn_when_the_replay_is_done() -> None:
    session = make_replaying()
    again = make_publisher(1, version=2)
    session.says(ALICE, publish(21, again))

    effects = session.says(ALICE, ReplayDone())

    assert effects == [UNLISTEN, *removal(5, Cause.NOT_REPLAYED, TWO)]
    assert session.says(ALICE, ReplayDone()) == []
    assert session.says(ALICE, Bye())[0] == off(ALICE_ID, "bye", 1)


def test_a_publisher_that_was_replayed_at_the_same_version_stays() -> None:
    session = make_replaying()

    session.says(ALICE, publish(21), publish(22, TWO), subscribe(23))

    assert session.says(ALICE, ReplayDone()) == []


def test_a_publisher_that_was_withdrawn_in_the_replay_is_withdrawn_once() -> None:
    session = make_replaying()
    session.says(ALICE, subscribe(20), publish(21), unpublish(22, TWO))

    assert session.says(ALICE, ReplayDone()) == []


def test_a_subscription_that_was_ended_in_the_replay_is_not_ended_again() -> None:
    session = make_replaying()
    session.says(ALICE, publish(21), publish(22, TWO), Unsubscribe(23, PAY, GLOBAL))

    assert session.says(ALICE, ReplayDone()) == []


def test_a_datum_that_another_client_subscribes_to_is_still_followed_after_a_replay() -> None:
    session = make_replaying()
    session.greet(BOB, subscribe())
    session.says(ALICE, publish(21), publish(22, TWO))

    assert session.says(ALICE, ReplayDone()) == []


def test_a_replay_that_breaks_off_removes_nothing() -> None:
    session = make_replaying()
    session.says(ALICE, publish(21))

    assert session.local(PeerLost(Link.CLIENTS, ALICE)) == []
    assert changes_and_logs(session.wait(GRACE - 0.1)) == []


# --- going away -----------------------------------------------------------------------------------


def test_a_bye_ends_everything_at_once() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session, ALICE, ONE, TWO)
    session.says(ALICE, subscribe(), unpublish(9, TWO))
    session.accept_all(D1, removal(4, Cause.UNPUBLISHED))

    effects = session.says(ALICE, Bye())

    assert effects == [UNLISTEN, off(ALICE_ID, "bye", 1), *removal(5, Cause.BYE)]
    assert session.says(ALICE, Bye()) == []
    assert session.says(ALICE, publish(10)) == to_client(ALICE, WhoAreYou())


def test_a_datum_that_another_client_subscribes_to_is_still_followed_after_a_bye() -> None:
    session = make_session()
    session.greet(ALICE, subscribe())
    session.greet(BOB, subscribe())

    assert session.says(ALICE, Bye()) == [off(ALICE_ID, "bye", 0)]
    assert session.says(BOB, Bye()) == [UNLISTEN, off(BOB_ID, "bye", 0)]


def test_a_closed_connection_ends_everything_after_the_grace() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert changes_and_logs(session.wait(GRACE - 0.01)) == []
    assert changes_and_logs(session.wait(0.02)) == [
        off(ALICE_ID, "closed", 1),
        *removal(2, Cause.CLOSED),
    ]


def test_a_client_that_returns_in_time_loses_nothing() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.local(PeerLost(Link.CLIENTS, ALICE))
    session.wait(GRACE - 0.01)

    assert session.greet(BOB, client_id=ALICE_ID) == to_client(BOB, WELCOME)

    assert changes_and_logs(session.wait(1.0)) == []
    assert session.says(BOB, publish(12)) == to_client(BOB, Accepted((12,)))


def test_a_silent_client_is_disconnected_and_its_publishers_go() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    effects = session.wait(CONFIG.lease_seconds + 0.3)

    assert changes_and_logs(effects) == [
        Disconnect(Link.CLIENTS, ALICE),
        off(ALICE_ID, "silent", 1),
        *removal(2, Cause.SILENT),
    ]


def test_a_client_whose_removal_is_under_way_already_is_not_removed_again() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.greet(ALICE, ReplayDone())

    assert session.says(ALICE, Bye()) == [off(ALICE_ID, "bye", 0)]


def test_a_client_that_does_not_read_is_disconnected_and_has_its_grace() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    assert session.local(PeerSlow(Link.CLIENTS, ALICE)) == [Disconnect(Link.CLIENTS, ALICE)]
    assert changes_and_logs(session.wait(GRACE - 0.01)) == []
    assert session.greet(ALICE) == to_client(ALICE, WELCOME)


def test_the_newer_of_two_connections_with_one_client_id_counts() -> None:
    session = make_session()
    session.greet(ALICE)

    assert session.greet(BOB, client_id=ALICE_ID) == [
        Disconnect(Link.CLIENTS, ALICE),
        *to_client(BOB, WELCOME),
    ]
    assert session.says(ALICE, publish(1)) == to_client(ALICE, WhoAreYou())
    assert session.local(PeerLost(Link.CLIENTS, ALICE)) == []
    assert changes_and_logs(session.wait(GRACE)) == []


# --- subscribing ----------------------------------------------------------------------------------

FETCH = FetchChanges(1, PAY, ZERO)


def make_subscribed(*publishers: Publisher) -> Session:
    """Return a session where ALICE was pushed what there is at V1, and acknowledged it."""
    session = make_session()
    session.greet(ALICE)
    session.says(ALICE, subscribe())
    session.hears(D1, Snapshot(1, PAY, V1, publishers, 0, 1))
    session.says(ALICE, PushAck(PAY, GLOBAL, V1))
    return session


def test_a_subscription_is_accepted_at_once_and_pushed_when_the_data_node_answered() -> None:
    session = make_session()
    session.greet(ALICE)

    assert session.says(ALICE, subscribe(5)) == [
        LISTEN,
        *to_data(D1, FETCH),
        *to_client(ALICE, Accepted((5,))),
    ]
    pushed = session.hears(D1, Snapshot(1, PAY, V1, (ONE,), 0, 1))
    assert pushed == to_client(ALICE, Push(PAY, GLOBAL, None, V1, (ONE,)))


def test_an_acknowledgement_lets_the_next_push_go_in_the_same_turn() -> None:
    session = make_session()
    session.greet(ALICE, subscribe())
    session.hears(D1, Snapshot(1, PAY, V1, (ONE,), 0, 1))
    assert session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (TWO,))) == []

    pushed = session.says(ALICE, PushAck(PAY, GLOBAL, V1))

    assert pushed == to_client(ALICE, Push(PAY, GLOBAL, V1, V2, (TWO,)))


def test_an_acknowledgement_of_a_datum_that_is_not_subscribed_is_ignored() -> None:
    session = make_subscribed(ONE)

    assert session.says(ALICE, PushAck(SHOP, GLOBAL, V1), PushAck(PAY, Scope.ZONE, V1)) == []


def test_one_client_subscribes_within_a_limit_but_may_repeat_itself() -> None:
    session = make_session(subscribers_per_client_max=1)
    session.greet(ALICE, subscribe(5))
    session.hears(D1, Snapshot(1, PAY, V1, (ONE,), 0, 1))

    detail = "one client subscribes at most 1 times"
    answer = to_client(ALICE, refused(7, LimitError, detail))
    assert session.says(ALICE, Subscribe(7, SHOP, GLOBAL)) == answer
    assert session.says(ALICE, subscribe(8)) == to_client(
        ALICE, Push(PAY, GLOBAL, None, V1, (ONE,)), Accepted((8,))
    )


def test_an_unsubscribe_ends_the_pushes_and_the_following() -> None:
    session = make_subscribed(ONE)

    assert session.says(ALICE, Unsubscribe(9, PAY, GLOBAL)) == [
        UNLISTEN,
        *to_client(ALICE, Accepted((9,))),
    ]
    assert session.says(ALICE, Unsubscribe(10, PAY, GLOBAL)) == to_client(ALICE, Accepted((10,)))
    assert session.turn(Link.CHANGES, D1, Changed(PAY, V1, V2, 2, (TWO,))) == []


def test_a_client_whose_view_is_up_to_date_is_told_only_that() -> None:
    session = make_subscribed(ONE)
    session.greet(BOB)

    assert session.says(BOB, subscribe(5, V1, ONE)) == to_client(
        BOB, Push(PAY, GLOBAL, V1, V1, ()), Accepted((5,))
    )


def test_the_primary_judges_a_client_version_above_that_of_the_session() -> None:
    session = make_subscribed(ONE)
    session.greet(BOB)
    seen = Version(3, 50)

    assert session.says(BOB, subscribe(5, seen, ONE)) == [
        *to_data(D1, FetchChanges(2, PAY, V1, seen)),
        *to_client(BOB, Accepted((5,))),
    ]
    above = Version(3, 51)
    assert session.hears(D1, Snapshot(2, PAY, above, (ONE,), 0, 1)) == to_client(
        BOB, Push(PAY, GLOBAL, None, above, (ONE,))
    )


def test_a_client_version_above_that_of_the_session_waits_for_the_primary() -> None:
    """Nobody is set back to an older copy because a connection is down."""
    session = make_subscribed(ONE)
    session.go_down(D1)
    session.greet(BOB)

    answers = session.says(BOB, subscribe(5, Version(3, 50), ONE))

    assert answers == to_client(BOB, Accepted((5,)))
    assert at_clients(session.wait(0.5)) == []


def test_the_primary_judges_an_acknowledged_version_above_the_one_pushed() -> None:
    session = make_session()
    session.greet(ALICE, subscribe())
    session.hears(D1, Snapshot(1, PAY, V1, (ONE,), 0, 1))

    seen = Version(3, 50)
    effects = session.says(ALICE, PushAck(PAY, GLOBAL, seen))

    assert effects == to_data(D1, FetchChanges(2, PAY, V1, seen))


def test_a_client_version_of_an_unseen_epoch_waits_for_the_epoch_and_then_for_the_primary() -> None:
    session = make_subscribed(ONE)
    session.greet(BOB)
    seen = Version(7, 1)

    effects = session.says(BOB, subscribe(5, seen, ONE))
    assert effects == [
        Send(Link.META, META, FetchMembership(2, CLUSTER_ID, 3)),
        *to_client(BOB, Accepted((5,))),
    ]

    effects = session.follow(make_membership(D1, epoch=7, ring_epoch=3))
    assert effects == to_data(D1, FetchChanges(2, PAY, V1, seen))


def test_a_client_that_never_acknowledges_loses_its_connection() -> None:
    """And only that: what it published has its grace, and it comes back to the newest state."""
    session = make_session(lease_seconds=100.0)
    session.greet(ALICE, subscribe(5), Subscribe(6, SHOP, GLOBAL))
    for request_id, name in ((1, PAY), (2, SHOP)):
        session.hears(D1, Snapshot(request_id, name, V1, (), 0, 1))

    effects = at_clients(session.wait(3 * CONFIG.push_retry_seconds + 0.1))

    again = [Push(name, GLOBAL, None, V1, ()) for name in (PAY, SHOP)]
    probes: list[Effect] = [Probe(Link.CLIENTS, ALICE)] * 2
    retried = [*probes, *to_client(ALICE, *again)]
    assert effects == [*retried, *retried, Disconnect(Link.CLIENTS, ALICE)]
    assert session.greet(ALICE, subscribe(7))[1:] == to_client(ALICE, again[0], Accepted((7,)))


def test_a_client_that_left_before_its_acknowledgement_is_not_disconnected_again() -> None:
    session = make_session()
    session.greet(ALICE, subscribe())
    session.hears(D1, Snapshot(1, PAY, V1, (), 0, 1))
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert at_clients(session.wait(3 * CONFIG.push_retry_seconds + 0.1)) == []


# --- the session itself ---------------------------------------------------------------------------


def test_a_replay_during_which_the_session_gets_a_new_incarnation_withdraws_nothing() -> None:
    """What was said before the question counts as said: only the next Hello starts anew."""
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.greet(ALICE, publish(21, make_publisher(1, version=2)))

    asked = session.join(make_membership(D1, epoch=8, ring_epoch=3), Incarnation(8, "s1"))

    assert asked[-1:] == to_client(ALICE, WhoAreYou())
    assert session.says(ALICE, ReplayDone()) == []


def test_a_client_that_says_hello_in_the_turn_in_which_all_are_asked_is_not_asked() -> None:
    session = make_session()
    session.greet(ALICE)
    reply = MembershipReply(1, make_membership(D1, epoch=8, ring_epoch=3), Incarnation(8, "s1"))
    session.core.receive(Link.META, META, reply, session.now)

    welcome = replace(WELCOME, session=Incarnation(8, "s1"))
    assert at_clients(session.greet(ALICE)) == to_client(ALICE, welcome)


def test_a_repeated_publish_is_told_which_data_node_is_not_reached() -> None:
    session = Session(D1)
    session.go_down(D1)
    assert session.greet(ALICE, publish(1))[1:] == []

    why = f"not accepted yet, but kept: {D1}, which has this id, is not reached"
    assert session.says(ALICE, publish(2)) == to_client(ALICE, refused(2, NotReadyError, why))

    session.local(PeerLost(Link.META, META, "refused"))
    (no,) = session.says(ALICE, publish(3))
    assert no.message.detail == (  # type: ignore[attr-defined]
        f"{why}, and meta is away: s1 does not reach its leader (meta:9610: refused)"
    )


def test_a_repeated_publish_is_told_that_no_data_node_works() -> None:
    session = Session()
    session.join(make_membership())
    session.greet(ALICE, publish(1))

    why = "not accepted yet, but kept: no data node works"
    assert session.says(ALICE, publish(2)) == to_client(ALICE, refused(2, NotReadyError, why))


def test_a_repeated_publish_that_is_under_way_gets_no_answer_yet() -> None:
    session = Session(D1)
    session.greet(ALICE, publish(1))

    assert session.says(ALICE, publish(2)) == []
