"""What clients are answered: yes only when it is true, and nothing of theirs outlives them."""

import pytest
from msgspec.structs import replace
from session_client_fakes import (
    GLOBAL,
    GRACE,
    LISTEN,
    UNLISTEN,
    WELCOME,
    changes_and_logs,
    make_session,
    publish,
    published,
    refused,
    removal,
    removed_log,
    subscribe,
    unpublish,
)
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
    ONE,
    PAY,
    SHOP,
    TWO,
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
    WARNING,
    Disconnect,
    Link,
    Log,
    PeerLost,
    Probe,
    Send,
)
from zreg.errors import (
    DeniedError,
    LimitError,
    NotReadyError,
    ProtocolVersionError,
    RefusedError,
    UnknownMessageError,
)
from zreg.model import (
    NO_INCARNATION,
    ZERO,
    Cause,
    Incarnation,
    Publisher,
    Scope,
    Version,
    http_client_id,
)
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Bye,
    Hello,
    Moving,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Unsubscribe,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong
from zreg.wire.records.data_messages import (
    Changed,
    FetchChanges,
    ListDatums,
    PublishDatum,
    Snapshot,
)
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

# --- greeting -------------------------------------------------------------------------------------


def test_a_hello_is_answered_with_a_welcome_that_names_all_sessions() -> None:
    assert make_session().greet(ALICE) == to_client(ALICE, WELCOME)


def test_a_session_that_is_no_member_yet_takes_clients_and_their_publishes_wait() -> None:
    session = Session()
    welcome = Welcome(PROTOCOL_VERSION, NO_INCARNATION, b"", 3.0, 1.0, (), CAPABILITIES)
    detail = "not accepted yet, but stored: meta has not admitted this session yet"
    not_yet = refused(1, NotReadyError, detail)
    assert session.greet(ALICE, publish(1)) == to_client(ALICE, welcome, not_yet)

    session.join(make_membership(D1))
    effects = session.come_up(D1)

    # The client was asked to publish again, as it may be elsewhere by now.
    assert PublishDatum not in [type(each.message) for each in effects if isinstance(each, Send)]
    again = replace(ONE, version=2)
    effects = session.greet(ALICE, publish(2, again), ReplayDone())
    assert effects[1:] == to_data(D1, PublishDatum(1, PAY, again), digest_of(again))


def refused_log(client_id: bytes, error: type[RefusedError], detail: str) -> Log:
    fields: dict[str, str | int | float] = {
        "client": client_id.hex(),
        "code": error.code,
        "detail": detail,
    }
    return Log(WARNING, "client.refused", fields)


def test_a_client_with_a_label_that_cannot_be_seen_is_refused() -> None:
    detail = (
        "zone 'east\\u200b' cannot be used: give a printable text of at most 64 characters; "
        "this one has U+200B ZERO WIDTH SPACE"
    )
    session = make_session()

    assert session.says(ALICE, Hello(1, ALICE_ID, zone="east\u200b")) == [
        refused_log(ALICE_ID, DeniedError, detail),
        *to_client(ALICE, refused(0, DeniedError, detail)),
        *to_client(ALICE, Bye()),
    ]
    assert session.says(ALICE, publish(1)) == to_client(ALICE, WhoAreYou())


def test_a_client_cannot_take_the_id_of_an_instance_over_http() -> None:
    client_id = http_client_id(ALICE_ID)
    detail = "this client id is that of an instance over HTTP: draw one at random"
    session = make_session()

    assert session.says(ALICE, Hello(1, client_id)) == [
        refused_log(client_id, DeniedError, detail),
        *to_client(ALICE, refused(0, DeniedError, detail), Bye()),
    ]


def test_another_protocol_version_is_refused_with_what_to_do() -> None:
    detail = (
        "you speak protocol version 2, and the node that answers this speaks 1: "
        "upgrade zreg on the node that answers this"
    )
    answer = to_client(ALICE, refused(0, ProtocolVersionError, detail))
    session = make_session()

    log = refused_log(ALICE_ID, ProtocolVersionError, detail)
    assert session.says(ALICE, Hello(2, ALICE_ID)) == [log, *answer]
    assert session.says(BOB, Hello(2, BOB_ID)) == to_client(
        BOB, refused(0, ProtocolVersionError, detail)
    ), "logged once in a while"
    assert session.says(ALICE, publish(1)) == to_client(ALICE, WhoAreYou())


def test_a_full_session_sends_new_clients_to_other_sessions_and_keeps_its_own() -> None:
    session = make_session(clients_max=1)
    session.greet(ALICE)

    detail = "this session has its 1 clients: try another one"
    log = refused_log(BOB_ID, LimitError, detail)
    assert session.greet(BOB) == [log, *to_client(BOB, refused(0, LimitError, detail), Bye())]
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


@pytest.mark.parametrize(
    "message", [Pong(), Bye(), Moving(), ReplayDone(), PushAck(PAY, GLOBAL, V1)]
)
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

    detail = "a session does not take Welcome from clients: see docs/protocol.md"
    assert session.says(ALICE, WELCOME) == to_client(ALICE, refused(0, UnknownMessageError, detail))


def test_a_ping_is_answered_and_a_pong_is_not() -> None:
    session = make_session()
    session.greet(ALICE)

    assert session.says(ALICE, Ping(), Pong()) == to_client(ALICE, Pong())


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
    assert session.says(ALICE, Bye())[0] == removed_log(ALICE_ID, "bye", 1)


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

    assert effects == [UNLISTEN, removed_log(ALICE_ID, "bye", 1), *removal(5, Cause.BYE)]
    assert session.says(ALICE, Bye()) == []
    assert session.says(ALICE, publish(10)) == to_client(ALICE, WhoAreYou())


def test_a_datum_that_another_client_subscribes_to_is_still_followed_after_a_bye() -> None:
    session = make_session()
    session.greet(ALICE, subscribe())
    session.greet(BOB, subscribe())

    assert session.says(ALICE, Bye()) == [removed_log(ALICE_ID, "bye", 0)]
    assert session.says(BOB, Bye()) == [UNLISTEN, removed_log(BOB_ID, "bye", 0)]


def test_a_closed_connection_ends_everything_after_the_grace() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)

    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert changes_and_logs(session.wait(GRACE - 0.01)) == []
    assert changes_and_logs(session.wait(0.02)) == [
        removed_log(ALICE_ID, "closed", 1),
        *removal(2, Cause.CLOSED),
    ]


def test_a_client_that_says_that_it_moves_has_the_grace_of_a_session() -> None:
    """The session was slow, so the client left it; it lives and registers at another one."""
    session = make_session()
    session.greet(ALICE)
    published(session)

    assert session.says(ALICE, Moving()) == []
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert changes_and_logs(session.wait(CONFIG.session_grace_seconds - 0.01)) == []
    assert changes_and_logs(session.wait(0.05)) == [
        removed_log(ALICE_ID, "closed", 1),
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
        removed_log(ALICE_ID, "silent", 1),
        *removal(2, Cause.SILENT),
    ]


def test_a_client_whose_removal_is_under_way_already_is_not_removed_again() -> None:
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.greet(ALICE, ReplayDone())

    assert session.says(ALICE, Bye()) == [removed_log(ALICE_ID, "bye", 0)]


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
    """Return a session where ALICE was pushed the datum at V1, and acknowledged it."""
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

    detail = "one client subscribes at most 1 times: use several clients"
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
    """No client is set back to an older copy because a connection is down."""
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


def test_a_client_that_never_acknowledges_is_probed_once_and_stays() -> None:
    session = make_session(lease_seconds=100.0)
    session.greet(ALICE, subscribe(5), Subscribe(6, SHOP, GLOBAL))
    published(session)
    for request_id, name in ((1, PAY), (2, SHOP)):
        session.hears(D1, Snapshot(request_id, name, V1, (), 0, 1))

    effects = at_clients(session.wait(10 * CONFIG.push_retry_seconds))

    assert effects == [Probe(Link.CLIENTS, ALICE)], "and nothing is pushed again"
    again = Push(PAY, GLOBAL, None, V1, ())
    assert session.says(ALICE, subscribe(7)) == to_client(ALICE, again, Accepted((7,)))
    assert session.says(ALICE, publish(12)) == to_client(ALICE, Accepted((12,)))


def test_a_subscription_that_is_repeated_under_its_id_is_answered_and_not_pushed_again() -> None:
    session = make_subscribed(ONE)

    assert session.says(ALICE, subscribe(5)) == to_client(ALICE, Accepted((5,)))
    assert session.says(ALICE, subscribe(6)) == to_client(
        ALICE, Push(PAY, GLOBAL, None, V1, (ONE,)), Accepted((6,))
    )
    session.greet(ALICE)
    assert session.says(ALICE, subscribe(6)) == to_client(
        ALICE, Push(PAY, GLOBAL, None, V1, (ONE,)), Accepted((6,))
    ), "it replays, with ids that count from 1 again"


def test_a_client_that_left_before_its_acknowledgement_is_not_probed() -> None:
    session = make_session()
    session.greet(ALICE, subscribe())
    session.hears(D1, Snapshot(1, PAY, V1, (), 0, 1))
    session.local(PeerLost(Link.CLIENTS, ALICE))

    assert at_clients(session.wait(3 * CONFIG.push_retry_seconds + 0.1)) == []


# --- the session itself ---------------------------------------------------------------------------


def test_a_replay_during_which_the_session_gets_a_new_incarnation_withdraws_nothing() -> None:
    """What the client replayed before WhoAreYou counts: only the next Hello starts anew."""
    session = make_session()
    session.greet(ALICE)
    published(session)
    session.greet(ALICE, publish(21, make_publisher(1, version=2)))

    asked = session.join(make_membership(D1, epoch=8, ring_epoch=3), Incarnation(8, "s1"))

    assert asked[-1:] == to_client(ALICE, WhoAreYou())
    assert session.says(ALICE, ReplayDone()) == to_data(D1, digest_of())


def test_a_client_that_says_hello_in_the_turn_in_which_all_are_asked_is_not_asked() -> None:
    session = make_session()
    session.greet(ALICE)
    reply = MembershipReply(1, make_membership(D1, epoch=8, ring_epoch=3), Incarnation(8, "s1"))
    session.core.receive(Link.META, META, reply, session.now)

    welcome = replace(WELCOME, session=Incarnation(8, "s1"))
    assert at_clients(session.greet(ALICE)) == to_client(ALICE, welcome)
