"""The session as a whole: joining, following its cluster, losing its incarnation, a turn."""

from random import Random

import pytest
from msgspec.structs import replace
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    CLUSTER_ID,
    CONFIG,
    D1,
    D2,
    META,
    ONE,
    PAY,
    S1,
    S1_AGAIN,
    TWO,
    V1,
    V2,
    V3,
    Session,
    at_clients,
    digest_of,
    make_links,
    make_member,
    make_membership,
    make_publisher,
    names_at,
    to_client,
    to_data,
)

from zreg.config import Limits
from zreg.effects import (
    BEAT_TOPIC,
    CLOSED,
    MEMBERSHIP_TOPIC,
    REFUSED,
    TIMED_OUT,
    Connect,
    Disconnect,
    Effect,
    EpochSeen,
    HostChanged,
    Link,
    Listen,
    Local,
    Log,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
    Stop,
)
from zreg.errors import (
    LimitError,
    NotPrimaryError,
    NotReadyError,
    SessionGoneError,
    UnknownNodeError,
)
from zreg.model import (
    NO_INCARNATION,
    ZERO,
    Cause,
    Incarnation,
    Membership,
    Removal,
    Role,
    Scope,
    Status,
)
from zreg.primitives.ring import bucket_of, bucket_topic
from zreg.session.core import SessionCore
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Bye,
    Hello,
    Publish,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Unpublish,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.data_messages import (
    Beat,
    Changed,
    Changes,
    ClientWaits,
    CompareVersions,
    DatumsListed,
    DigestCompared,
    FetchChanges,
    ListDatums,
    NodeHello,
    PublishDatum,
    PublishersCompared,
    Snapshot,
    UnpublishDatum,
    Versions,
    WritesWait,
)
from zreg.wire.records.membership_messages import (
    FetchMembership,
    Join,
    Leave,
    MembershipReply,
    Renewed,
    ReportGone,
)

SUBSCRIBE = Subscribe(5, PAY, Scope.GLOBAL)


def publish(request_id: int = 11, version: int = 1, name: str = PAY) -> Publish:
    return Publish(request_id, ONE.publisher_id, version, name, ONE.body)  # type: ignore[arg-type]


def no(request_id: int, error: type[Exception], epoch: int = 3) -> Refused:
    return Refused(request_id, error.code, "no", epoch)  # type: ignore[attr-defined]


def at_meta(effects: list[Effect]) -> list[Message]:
    return [e.message for e in effects if isinstance(e, Send) and e.link is Link.META]


def at_data(effects: list[Effect]) -> list[Effect]:
    return [e for e in effects if getattr(e, "link", None) is Link.DATA]


def connects(*peers: str) -> list[Effect]:
    effects: list[Effect] = []
    for peer in peers:
        node_id = peer.partition("@")[0]
        effects += [
            Connect(Link.CHANGES, peer, f"tcp://{node_id}:2"),
            Connect(Link.DATA, peer, f"tcp://{node_id}:1"),
        ]
    return effects


# --- joining --------------------------------------------------------------------------------------


def test_a_session_looks_for_meta_and_listens_to_beats_and_announcements() -> None:
    core = SessionCore(make_member("s1", 0, Role.SESSION), CONFIG, rng=Random(1), now=0.0)

    assert core.start(0.0) == [
        Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC),
        Listen(Link.CHANGES, BEAT_TOPIC),
    ]
    assert core.next_tick_at() == 0.0
    assert core.tick(0.0) == [Connect(Link.META, META, META)]
    assert core.epoch == 0


def test_a_session_that_is_let_in_connects_to_all_data_nodes() -> None:
    session = Session()

    effects = session.join(make_membership(D1, D2))

    assert [e for e in effects if isinstance(e, Connect)] == connects(D1, D2)
    assert session.core.epoch == 3


def test_a_data_node_is_told_first_which_session_connects_and_then_the_rest() -> None:
    """It has to know whose digest follows."""
    session = Session()
    session.join(make_membership(D1))
    session.greet(ALICE, publish(), SUBSCRIBE)

    assert session.come_up(D1) == to_data(
        D1,
        NodeHello(S1),
        FetchChanges(1, PAY, ZERO),
        PublishDatum(2, PAY, ONE),
        digest_of(ONE),
    )


def test_a_connection_that_breaks_is_made_again_and_everything_is_sent_over_it_again() -> None:
    session = Session(D1)
    session.greet(ALICE)
    session.says(ALICE, publish())

    assert session.go_down(D1) == []
    assert session.says(ALICE, SUBSCRIBE)[1:] == to_client(ALICE, Accepted((5,)))
    assert Connect(Link.DATA, D1, "tcp://d1:1") in session.wait(0.2)
    assert session.local(PeerUp(Link.DATA, D1)) == to_data(
        D1,
        NodeHello(S1),
        FetchChanges(2, PAY, ZERO),
        PublishDatum(3, PAY, ONE),
        digest_of(ONE),
    )


@pytest.mark.parametrize(
    "event",
    [
        PeerUp(Link.DATA, "d9@9"),
        PeerLost(Link.DATA, "d9@9"),
        PeerUp(Link.CHANGES, D1),
        PeerLost(Link.CHANGES, D1),
        PeerLost(Link.CLIENTS, ALICE),
        PeerSlow(Link.DATA, D1),
    ],
)
def test_events_of_unknown_connections_have_no_effects(event: PeerUp) -> None:
    session = Session(D1)
    session.greet(BOB, publish())

    effects = session.local(event)

    assert [e for e in effects if not isinstance(e, Disconnect)] == []


def test_the_repr_of_a_session_shows_its_epoch_and_sizes() -> None:
    session = Session(D1)
    session.greet(ALICE, publish(), SUBSCRIBE)

    assert repr(session.core) == "<SessionCore s1@3 epoch=3 clients=1 pending=1>"
    assert session.core.membership.epoch == 3
    assert session.core.statistics() == {
        "epoch": 3,
        "incarnation": "s1@3",
        "meta": META,
        "announcements": 0,
        "announcements_refused": 0,
        "clients": 1,
        "publishers": 1,
        "pending": 1,
        "publishes": 1,
        "withdrawals": 0,
        "publishes_delayed": 0,
        "publishes_refused": 0,
        "subscribers": 1,
        "interests": 1,
        "http_instances": 0,
        "http_instance_renewals": 0,
        "http_instances_taken": 0,
        "http_instances_off": 0,
        "interests_of_pages": 0,
        "pushes": 0,
        "fetches": 1,
        "gaps": 0,
        "compares": 0,
        "clients_off": 0,
        "clients_asked": 0,
        "clients_moved": 0,
        "stalls": 0,
    }


# --- messages -------------------------------------------------------------------------------------


def test_data_nodes_are_answered_when_they_ask_for_a_sign_of_life() -> None:
    assert Session(D1).hears(D1, Ping()) == to_data(D1, Pong())


@pytest.mark.parametrize("message", [Pong(), NodeHello(S1), Bye(), SUBSCRIBE])
def test_messages_that_data_nodes_do_not_send_are_ignored(message: Message) -> None:
    assert Session(D1).hears(D1, message) == []


def test_each_answer_of_a_data_node_reaches_the_part_it_concerns() -> None:
    """Each answer of a data node makes the session do something else next."""
    session = Session(D1)
    session.greet(ALICE, publish(), SUBSCRIBE)
    session.hears(D1, Accepted((2,)), Snapshot(1, PAY, V1, (ONE,), 0, 1))

    bare = Changed(PAY, V1, V2, 2)
    assert session.turn(Link.CHANGES, D1, bare) == to_data(D1, FetchChanges(3, PAY, V1, V2))
    assert session.hears(D1, Changes(3, PAY, (), 2)) == []
    beat = Beat(Incarnation(1, "d1"), (9,) * 1024)
    compare = CompareVersions(0, bucket_of(PAY), ((PAY, V1),))
    assert session.turn(Link.CHANGES, D1, beat) == to_data(D1, compare)
    session.wait(0.3)
    session.hears(D1, Changes(4, PAY, (), 2))
    differs = Versions(0, compare.bucket, ((PAY, V3),), 9)
    assert session.hears(D1, differs) == to_data(D1, FetchChanges(5, PAY, V1, V3))
    assert session.hears(D1, DigestCompared(3, is_equal=False)) == []
    assert len(session.hears(D1, DigestCompared(3, is_equal=False))) == 2
    lacks = PublishersCompared((ONE.publisher_id,), ())
    assert session.hears(D1, lacks) == to_data(D1, PublishDatum(6, PAY, ONE))
    assert session.says(ALICE, ListDatums(9, "*")) == to_data(D1, ListDatums(7, "*"))
    assert session.hears(D1, DatumsListed(7, ())) == to_client(ALICE, DatumsListed(9, ()))


def test_a_publish_reaches_the_subscribers_of_the_session() -> None:
    session = Session(D1)
    session.greet(BOB, SUBSCRIBE)
    session.hears(D1, Snapshot(1, PAY, V1, (), 0, 1))
    session.says(BOB, PushAck(PAY, Scope.GLOBAL, V1))
    session.greet(ALICE)

    assert session.says(ALICE, publish()) == to_data(D1, PublishDatum(2, PAY, ONE))
    hint = Changed(PAY, V1, V2, 2, (ONE,))
    assert session.turn(Link.CHANGES, D1, hint) == to_client(
        BOB, Push(PAY, Scope.GLOBAL, V1, V2, (ONE,))
    )
    assert session.hears(D1, Accepted((2,))) == to_client(ALICE, Accepted((11,)))


def test_many_changes_of_one_turn_are_one_push() -> None:
    session = Session(D1)
    session.greet(BOB, SUBSCRIBE)
    session.hears(D1, Snapshot(1, PAY, V1, (), 0, 1))
    session.says(BOB, PushAck(PAY, Scope.GLOBAL, V1))

    hints = Changed(PAY, V1, V2, 2, (ONE,)), Changed(PAY, V2, V3, 3, (TWO,))

    assert session.turn(Link.CHANGES, D1, *hints) == to_client(
        BOB, Push(PAY, Scope.GLOBAL, V1, V3, (ONE, TWO))
    )


# --- data nodes that know more, or less -----------------------------------------------------------


def test_a_data_node_that_does_not_know_the_session_gets_its_hello_and_all_again() -> None:
    session = Session(D1)
    session.greet(ALICE, publish())

    effects = session.hears(D1, Refused(0, UnknownNodeError.code, "say NodeHello first"))

    assert effects[:2] == to_data(D1, NodeHello(S1), PublishDatum(2, PAY, ONE))


def test_a_session_that_is_cut_off_from_meta_asks_a_data_node_and_learns_that_it_departed() -> None:
    session = Session(D1)
    session.greet(ALICE, publish())
    session.local(PeerLost(Link.META, META))

    effects = session.hears(D1, no(1, NotPrimaryError, 9)) + session.wait(1.0)
    assert to_data(D1, FetchMembership(0, CLUSTER_ID, 3))[0] in effects

    other = Incarnation(5, "s2")
    departed = MembershipReply(0, make_membership(D1, epoch=9, session=other))
    effects = session.hears(D1, departed) + session.wait(0.5)
    assert to_client(ALICE, Bye())[0] in effects


# --- refusals -------------------------------------------------------------------------------------


def test_a_write_refused_at_a_higher_epoch_is_routed_again_when_the_membership_came() -> None:
    session = Session(D1)
    moved = names_at(make_links(D1, D2), D2)[0]
    session.greet(ALICE)
    session.says(ALICE, publish(name=moved))

    assert session.hears(D1, no(1, NotPrimaryError, 4)) == [
        Send(Link.META, META, FetchMembership(2, CLUSTER_ID, 3))
    ]
    assert (
        session.follow(make_membership(D1, D2, epoch=4))
        == [
            *connects(D2),
            *to_data(D1, digest_of(ring_epoch=4)),
        ][: len(connects(D2))]
    )
    assert session.come_up(D2) == to_data(
        D2, NodeHello(S1), PublishDatum(2, moved, ONE), digest_of(ONE, ring_epoch=4)
    )
    assert session.hears(D2, Accepted((2,))) == to_client(ALICE, Accepted((11,)))


@pytest.mark.parametrize("error", [NotPrimaryError, NotReadyError])
def test_a_write_refused_for_now_is_sent_again(error: type[Exception]) -> None:
    session = Session(D1)
    session.greet(ALICE)
    session.says(ALICE, publish())

    assert session.hears(D1, no(1, error)) == []

    assert at_data(session.wait(0.2)) == to_data(D1, PublishDatum(2, PAY, ONE))


def test_a_refused_fetch_is_no_refused_write() -> None:
    session = Session(D1)
    session.greet(ALICE, SUBSCRIBE)

    assert session.hears(D1, no(1, LimitError)) == []

    assert at_data(session.wait(0.3)) == to_data(D1, FetchChanges(2, PAY, ZERO))


def test_a_refusal_of_an_unknown_request_is_ignored() -> None:
    assert Session(D1).hears(D1, no(0, LimitError), no(99, SessionGoneError)) == []


# --- losing the incarnation -----------------------------------------------------------------------


def lose_incarnation(session: Session) -> list[Effect]:
    """Let a data node say that this incarnation is gone."""
    session.greet(ALICE)
    session.says(ALICE, publish())
    return session.hears(D1, no(1, SessionGoneError))


def test_a_session_whose_incarnation_is_gone_joins_again() -> None:
    session = Session(D1)

    (message,) = at_meta(lose_incarnation(session))

    assert isinstance(message, Join)
    assert (message.cluster_id, message.epoch) == (CLUSTER_ID, 3)


def test_many_refusals_for_a_lost_incarnation_cause_one_rejoin() -> None:
    session = Session(D1)
    session.greet(ALICE)
    more = Publish(12, TWO.publisher_id, 1, PAY, b"")
    session.says(ALICE, publish(), more)

    effects = session.hears(D1, no(1, SessionGoneError), no(2, SessionGoneError))

    assert [type(message) for message in at_meta(effects)] == [Join]


def test_a_data_node_that_is_behind_cannot_take_an_incarnation_away() -> None:
    session = Session(D1)
    session.greet(ALICE)
    session.says(ALICE, publish())

    shown = to_data(D1, MembershipReply(0, make_membership(D1)))
    assert session.hears(D1, no(1, SessionGoneError, 2)) == shown

    assert at_data(session.wait(0.2)) == to_data(D1, PublishDatum(2, PAY, ONE))


def test_a_data_node_that_is_behind_is_shown_the_membership_once() -> None:
    session = Session(D1)
    session.greet(ALICE)
    session.says(ALICE, publish())
    shown = to_data(D1, MembershipReply(0, make_membership(D1)))

    assert session.hears(D1, no(1, NotReadyError, 2)) == shown
    session.wait(0.2)
    assert session.hears(D1, no(2, NotReadyError, 2)) == []
    session.wait(0.4)
    assert session.hears(D1, no(3, NotReadyError, 0)) == []
    session.go_down(D1)
    session.come_up(D1)
    assert session.hears(D1, no(9, NotPrimaryError, 2)) == shown


def test_a_new_incarnation_asks_all_clients_who_they_are_and_answers_for_no_publisher() -> None:
    session = Session(D1)
    session.greet(BOB, ReplayDone())
    lose_incarnation(session)
    membership = make_membership(D1, epoch=8, ring_epoch=3, session=S1_AGAIN)

    effects = session.join(membership, S1_AGAIN)

    # What ALICE will publish again is missing in the digest, and it says so.
    waiting = replace(digest_of(), do_writes_wait=True)
    assert at_data(effects) == to_data(D1, NodeHello(S1_AGAIN), WritesWait(), waiting)
    assert at_clients(effects) == [
        *to_client(BOB, WhoAreYou()),
        *to_client(ALICE, WhoAreYou()),
    ]
    assert at_data(session.wait(0.5)) == []
    again = make_publisher(1, version=2, session=S1_AGAIN)
    assert at_data(session.greet(ALICE, publish(12, 2), ReplayDone())) == to_data(
        D1, PublishDatum(2, PAY, again), digest_of(again)
    )


def test_a_repeated_publish_that_was_never_accepted_is_not_accepted_by_a_new_incarnation() -> None:
    session = Session(D1)
    lose_incarnation(session)
    session.join(make_membership(D1, epoch=8, ring_epoch=3, session=S1_AGAIN), S1_AGAIN)

    assert at_clients(session.says(ALICE, publish(12))) == []


def test_a_late_refusal_of_a_former_incarnation_does_not_affect_the_present_one() -> None:
    session = Session(D1)
    session.greet(ALICE)
    more = Publish(12, TWO.publisher_id, 1, PAY, b"")
    session.says(ALICE, publish(), more)
    session.hears(D1, no(1, SessionGoneError))
    session.join(make_membership(D1, epoch=8, ring_epoch=3, session=S1_AGAIN), S1_AGAIN)

    # Nothing is sent again, and nothing waits for a pause.
    assert session.hears(D1, no(2, SessionGoneError, 8)) == []
    assert session.core.statistics()["incarnation"] == "s1@8"


def test_meta_that_does_not_know_a_session_makes_it_join_again() -> None:
    session = Session(D1)

    session.turn(Link.META, META, Refused(1, UnknownNodeError.code, "join again"))

    assert session.core.statistics()["incarnation"] == "-"
    assert [type(m) for m in at_meta(list(session.core.tick(session.now)))] == [Join]


def wait_without_meta(session: Session, seconds: float) -> list[Effect]:
    """Let time pass while meta says nothing."""
    end = session.now + seconds
    effects: list[Effect] = []
    while session.now < end:
        session.now += 0.1
        effects += [*session.core.tick(session.now), *session.settle()]
    return effects


def test_a_session_that_stays_without_incarnation_sends_its_clients_away() -> None:
    """Clients without a connection are sent nothing."""
    session = Session(D1)
    lose_incarnation(session)
    session.greet(BOB)
    session.local(PeerLost(Link.CLIENTS, BOB))

    assert at_clients(wait_without_meta(session, 1.9)) == []
    assert at_clients(wait_without_meta(session, 0.2)) == to_client(ALICE, Bye())


def test_a_client_that_comes_to_a_session_without_incarnation_is_sent_away_later() -> None:
    session = Session(D1)
    lose_incarnation(session)
    wait_without_meta(session, 2.1)
    session.says(ALICE, Bye())
    session.greet(BOB)

    assert at_clients(wait_without_meta(session, 2.1)) == to_client(BOB, Bye())


@pytest.mark.parametrize("incarnation", [S1, S1_AGAIN], ids=["the same again", "a new one"])
def test_a_session_that_joins_again_keeps_its_clients(incarnation: Incarnation) -> None:
    """Meta may still know the session: then it goes on as the same incarnation."""
    session = Session(D1)
    lose_incarnation(session)
    session.wait(1.0)
    epoch = max(incarnation.epoch, 3)

    session.join(make_membership(D1, epoch=epoch, ring_epoch=3, session=incarnation), incarnation)

    assert Bye() not in [getattr(e, "message", None) for e in session.wait(2.5)]


def test_a_client_without_a_connection_is_not_asked_who_it_is() -> None:
    session = Session(D1)
    session.greet(ALICE)
    session.local(PeerLost(Link.CLIENTS, ALICE))

    effects = session.join(make_membership(D1, epoch=8, session=S1_AGAIN), S1_AGAIN)

    assert at_clients(effects) == []


def test_a_session_that_never_joined_and_knows_no_other_sends_no_client_away() -> None:
    session = Session()
    session.greet(ALICE)

    effects = wait_without_meta(session, 20.0)

    assert Bye() not in [getattr(effect, "message", None) for effect in effects]


@pytest.mark.parametrize(("seconds", "is_kept"), [(1.0, False), (3.0, True)])
def test_while_meta_is_away_a_client_whose_connection_closed_has_the_grace_of_a_session(
    seconds: float, *, is_kept: bool
) -> None:
    """The session that it reached may be one that meta has not admitted yet."""
    session = Session(D1)
    session.greet(ALICE)
    session.local(PeerLost(Link.META, META, CLOSED))
    for _ in range(round(seconds / 0.5)):
        session.says(ALICE, Ping())
        wait_without_meta(session, 0.5)

    session.local(PeerLost(Link.CLIENTS, ALICE))
    wait_without_meta(session, 2.0)

    assert session.core.statistics()["clients"] == is_kept


def test_a_session_that_stops_says_goodbye_to_clients_and_meta() -> None:
    session = Session(D1)
    session.greet(ALICE)

    assert session.local(Stop()) == [
        *to_client(ALICE, Bye()),
        Send(Link.META, META, Leave(2, S1)),
    ]


# --- epochs and rings -----------------------------------------------------------------------------


def test_a_higher_epoch_in_a_header_is_fetched() -> None:
    assert Session(D1).local(EpochSeen(4)) == [
        Send(Link.META, META, FetchMembership(2, CLUSTER_ID, 3))
    ]


def test_a_membership_that_is_older_changes_nothing() -> None:
    session = Session(D1)

    assert session.follow(make_membership(D2, epoch=2)) == []
    assert session.core.epoch == 3


def test_a_ring_that_changes_in_a_turn_sends_each_write_once_to_its_new_owner() -> None:
    session = Session(D1)
    moved = names_at(make_links(D1, D2), D2)[0]
    session.greet(ALICE)
    turn: list[tuple[Link, bytes | str, Message | Local]] = [
        (Link.CLIENTS, ALICE, publish(name=moved)),
        (Link.META, META, MembershipReply(1, make_membership(D1, D2, epoch=4))),
        (Link.LOCAL, "", PeerUp(Link.DATA, D2)),
        (Link.CLIENTS, ALICE, publish(12, 2, name=moved)),
    ]

    for link, peer, message in turn:
        session.core.receive(link, peer, message, session.now)

    newest = make_publisher(1, version=2)
    assert session.settle() == [
        *to_data(D1, digest_of(ring_epoch=4)),
        *to_data(D2, PublishDatum(1, moved, newest), digest_of(newest, ring_epoch=4)),
    ]


def test_an_epoch_without_a_new_ring_moves_nothing() -> None:
    session = Session(D1)
    session.greet(ALICE, publish(), SUBSCRIBE)

    assert session.follow(make_membership(D1, epoch=4, ring_epoch=3)) == []


def test_a_datum_that_moves_is_followed_at_its_new_primary() -> None:
    session = Session(D1)
    session.greet(ALICE, SUBSCRIBE)
    session.hears(D1, Snapshot(1, PAY, V1, (ONE,), 0, 1))

    session.follow(make_membership("d1@4", epoch=4))

    bucket = bucket_of(PAY)
    assert session.come_up("d1@4") == to_data(
        "d1@4",
        NodeHello(S1),
        FetchChanges(2, PAY, V1, V1),
        CompareVersions(0, bucket, ((PAY, V1),)),
        digest_of(ring_epoch=4),
    )


def test_a_new_ring_needs_no_new_topics() -> None:
    session = Session(D1)
    effects = session.greet(ALICE, SUBSCRIBE)
    assert Listen(Link.CHANGES, bucket_topic(bucket_of(PAY))) in effects

    assert not [e for e in session.follow(make_membership(D2, epoch=4)) if isinstance(e, Listen)]


# --- data nodes that are gone ---------------------------------------------------------------------


def test_a_data_node_whose_connection_ended_is_reported_to_meta_once() -> None:
    session = Session(D1)
    lost = PeerLost(Link.DATA, D1, CLOSED)

    report = ReportGone(S1, Incarnation(1, "d1"), CLUSTER_ID)
    assert at_meta(session.local(lost)) == [report]
    assert at_meta(session.local(PeerLost(Link.DATA, D1, REFUSED))) == []


def test_a_loss_that_could_not_be_reported_is_reported_after_the_next_attempt() -> None:
    session = Session(D1)
    session.local(PeerLost(Link.META, META, CLOSED))
    assert at_meta(session.local(PeerLost(Link.DATA, D1, CLOSED))) == []
    session.wait(1.0)
    session.local(PeerUp(Link.META, META))
    assert at_meta(session.local(PeerLost(Link.DATA, D1, REFUSED))) == [], "no leader answered yet"
    session.core.receive(Link.META, META, Renewed(2, 3), session.now)

    assert at_meta(session.local(PeerLost(Link.DATA, D1, REFUSED))) == [
        ReportGone(S1, Incarnation(1, "d1"), CLUSTER_ID)
    ]


def test_a_session_without_incarnation_reports_a_loss_only_once_it_has_joined() -> None:
    session = Session(D1)
    session.turn(Link.META, META, Refused(1, UnknownNodeError.code, "join again"))
    assert at_meta(session.local(PeerLost(Link.DATA, D1, CLOSED))) == []
    again = Incarnation(4, "s1")
    membership = make_membership(D1, epoch=4, ring_epoch=3, session=again)
    session.join(membership, again)

    assert at_meta(session.local(PeerLost(Link.DATA, D1, REFUSED))) == [
        ReportGone(again, Incarnation(1, "d1"), CLUSTER_ID)
    ]


def test_a_lost_connection_for_hints_and_a_silent_one_are_not_reported() -> None:
    session = Session(D1)

    assert at_meta(session.local(PeerLost(Link.CHANGES, D1, CLOSED))) == []
    assert at_meta(session.local(PeerLost(Link.DATA, D1, TIMED_OUT))) == []


# --- nodes that wait until they may work ----------------------------------------------------------


def with_initial(membership: Membership, node_id: str) -> Membership:
    members = [
        replace(m, status=Status.INITIAL) if m.node_id == node_id else m for m in membership.members
    ]
    return replace(membership, members=tuple(members))


def test_a_data_node_that_is_not_working_yet_is_connected_to_when_it_works() -> None:
    session = Session(D1)
    both = make_membership(D1, D2, epoch=4)

    assert at_data(session.follow(with_initial(replace(both, ring_epoch=3), "d2"))) == []
    working = session.follow(make_membership(D1, D2, epoch=5))
    assert [e for e in working if isinstance(e, Connect)] == connects(D2)


def test_a_session_that_is_not_working_yet_serves_clients_and_sends_no_hello_to_data_nodes() -> (
    None
):
    session = Session(D1)
    session.follow(with_initial(make_membership(D1, epoch=4, ring_epoch=3), "s1"))

    effects = session.greet(ALICE, publish())

    (welcome,) = [e.message for e in effects if isinstance(getattr(e, "message", None), Welcome)]
    assert welcome.session == S1
    assert welcome.sessions == ()
    assert to_data(D1, PublishDatum(1, PAY, ONE))[0] in effects
    session.follow(make_membership(D1, epoch=5, ring_epoch=3))
    (welcome,) = [
        e.message for e in session.greet(BOB) if isinstance(getattr(e, "message", None), Welcome)
    ]
    assert welcome.sessions == ("tcp://s1:1",)


# --- time -----------------------------------------------------------------------------------------


def test_a_session_that_stalled_removes_no_client_on_waking() -> None:
    session = Session(D1)
    session.greet(ALICE, publish())
    session.greet(BOB)
    session.wait(0.5)
    session.local(PeerLost(Link.CLIENTS, BOB))

    session.now += 10.0
    effects = [*session.core.tick(session.now), *session.settle()]

    assert at_clients(effects) == []
    assert not [m for m in effects if isinstance(getattr(m, "message", None), UnpublishDatum)]
    assert session.core.statistics()["clients"] == 2
    assert session.core.statistics()["stalls"] == 1


def test_the_publishers_of_a_client_that_went_are_withdrawn_within_a_second() -> None:
    session = Session(D1)
    session.greet(ALICE)
    session.says(ALICE, publish())
    session.hears(D1, Accepted((1,)))
    session.local(PeerLost(Link.CLIENTS, ALICE))

    gone = Removal(ONE.publisher_id, 1, Cause.CLOSED, S1)
    assert at_data(session.wait(0.6)) == to_data(D1, UnpublishDatum(2, PAY, (gone,)))


def test_the_cluster_and_the_session_are_named_to_clients_as_they_are_now() -> None:
    session = Session(D1)
    membership = make_membership(D1, epoch=8, ring_epoch=3, session=S1_AGAIN)
    session.join(membership, S1_AGAIN)

    hello = Hello(PROTOCOL_VERSION, ALICE_ID)
    welcome = Welcome(
        PROTOCOL_VERSION, S1_AGAIN, CLUSTER_ID, 3.0, 1.0, ("tcp://s1:1",), CAPABILITIES
    )
    assert session.says(ALICE, hello) == to_client(ALICE, welcome)


def test_a_withdrawal_before_the_session_joined_is_sent_once_it_has_joined() -> None:
    session = Session()
    session.greet(ALICE, publish(), Unpublish(12, ONE.publisher_id, 1, PAY), ReplayDone())
    session.join(make_membership(D1))

    effects = session.come_up(D1)

    (hello, request, digest) = [e.message for e in effects if isinstance(e, Send)]
    assert hello == NodeHello(S1)
    assert isinstance(request, UnpublishDatum)
    assert request.removals[0].session == NO_INCARNATION
    assert digest == digest_of()


def test_when_the_last_data_node_goes_writes_wait_and_views_stay() -> None:
    session = Session(D1)
    session.greet(ALICE, SUBSCRIBE)
    session.hears(D1, Snapshot(1, PAY, V1, (ONE,), 0, 1))

    assert session.follow(make_membership(epoch=4)) == [
        Disconnect(Link.CHANGES, D1),
        Disconnect(Link.DATA, D1),
    ]
    assert session.says(ALICE, publish()) == []
    assert session.greet(BOB, SUBSCRIBE)[1:] == to_client(
        BOB, Push(PAY, Scope.GLOBAL, None, V1, (ONE,)), Accepted((5,))
    )


def test_a_session_that_meta_had_not_taken_for_dead_answers_for_its_publishers_again() -> None:
    """It removes what a vanished client published, which one without an incarnation does not."""
    session = Session(D1)
    lose_incarnation(session)

    effects = session.join(make_membership(D1, epoch=8, ring_epoch=3))

    assert at_data(effects) == to_data(D1, NodeHello(S1))
    assert at_clients(effects) == to_client(ALICE, WhoAreYou())
    sent = session.greet(ALICE, publish(), ReplayDone()) + session.wait(1.0)
    assert to_data(D1, digest_of(ONE))[0] in session.accept_all(D1, sent) + session.wait(1.0)
    session.local(PeerLost(Link.CLIENTS, ALICE))
    assert any(isinstance(e.message, UnpublishDatum) for e in at_data(session.wait(1.0)))


def test_a_join_that_is_answered_twice_asks_no_client_again() -> None:
    session = Session(D1)
    session.greet(ALICE)

    assert session.join(make_membership(D1)) == []


def test_a_session_that_is_not_let_in_yet_says_that_it_is_no_member() -> None:
    session = Session()
    session.follow(replace(make_membership(D1), cluster_id=b""))

    unadmitted = NodeHello(Incarnation(0, "s1"), Role.SESSION, is_member=False)
    assert session.come_up(D1) == to_data(D1, unadmitted)


def test_a_session_tells_data_nodes_that_it_is_no_member_any_more() -> None:
    session = Session(D1)

    effects = lose_incarnation(session)

    gone = NodeHello(S1, Role.SESSION, is_member=False)
    waits = ClientWaits(ALICE_ID)
    assert at_data(effects) == to_data(D1, waits, gone), "what ALICE published waits"
    session.go_down(D1)
    assert at_data(session.come_up(D1))[:2] == to_data(D1, gone, waits)


def make_isolated() -> tuple[Session, list[Effect]]:
    """Return a session that has just reached no node for too long, and what it did then."""
    session = Session(D1)
    other = make_member("s2", 2, Role.SESSION)
    membership = make_membership(D1, epoch=4, ring_epoch=3)
    session.follow(replace(membership, members=(*membership.members, other)))
    session.greet(ALICE)
    session.local(PeerLost(Link.META, META, TIMED_OUT))
    session.go_down(D1)

    effects = wait_without_meta(session, 2.3)
    session.says(ALICE, Ping())
    effects += wait_without_meta(session, 2.3)
    assert Bye() not in [getattr(effect, "message", None) for effect in effects]
    session.says(ALICE, Ping())
    return session, wait_without_meta(session, 0.8)


def test_a_session_that_reaches_neither_meta_nor_a_data_node_takes_itself_for_dead() -> None:
    """Meta may have taken it for dead, and no node can tell it."""
    session, effects = make_isolated()

    assert "session.isolated" in [e.event for e in effects if isinstance(e, Log)]
    assert to_client(ALICE, Bye())[0] in effects
    assert session.core.statistics()["incarnation"] == "-"

    effects = session.come_up(D1)

    assert session.core.statistics()["incarnation"] == "s1@3", "only it had taken itself for dead"
    gone = NodeHello(S1, Role.SESSION, is_member=False)
    assert at_data(effects)[:2] == to_data(D1, gone, NodeHello(S1))
    assert to_client(ALICE, WhoAreYou())[0] in effects


def test_an_isolated_session_that_meta_took_for_dead_waits_to_be_admitted_again() -> None:
    session, _ = make_isolated()
    others = make_membership(D1, epoch=5, ring_epoch=3, session=Incarnation(2, "s2"))
    session.hears(D1, MembershipReply(1, others))

    session.come_up(D1)

    assert session.core.statistics()["incarnation"] == "-"


def test_an_isolated_session_whose_address_has_changed_leaves_before_it_joins_again() -> None:
    session, _ = make_isolated()
    session.local(HostChanged("10.0.0.7", b"q" * 16))

    session.come_up(D1)

    assert session.core.statistics()["incarnation"] == "-"
    effects = [*session.local(PeerUp(Link.META, META)), *wait_without_meta(session, 1.0)]
    assert [type(message) for message in at_meta(effects)][:1] == [Leave]


def test_a_session_that_is_no_member_any_more_names_who_replays_there_for_long() -> None:
    """The client has named all but one of its publications, and all these are accepted."""
    session = Session(D1)
    session.greet(ALICE)
    replay = [
        Publish(100 + number, number.to_bytes(16), 1, PAY, b"x")
        for number in range(1, 1 + Limits.client_window)
    ]
    session.accept_all(D1, session.says(ALICE, *replay))
    for _ in range(4):
        session.says(ALICE, Ping())
        session.wait(1.0)

    effects = session.local(HostChanged("10.0.0.7", b"q" * 16))

    gone = NodeHello(S1, Role.SESSION, is_member=False)
    assert at_data(effects) == to_data(D1, ClientWaits(ALICE_ID), gone)


def test_a_session_that_is_admitted_waits_for_a_client_that_has_just_greeted() -> None:
    """What it publishes is still on its way, and another session may suspect it meanwhile."""
    session = Session()
    session.greet(ALICE)
    session.join(make_membership(D1))

    assert WritesWait() in [getattr(each, "message", None) for each in session.come_up(D1)]
    effects = session.says(ALICE, publish(), ReplayDone())
    assert at_data(effects)[-1] == to_data(D1, digest_of(ONE))[0]


def test_a_data_node_that_refuses_a_burst_is_introduced_to_once() -> None:
    """It had forgotten this session, and refuses everything that was on its way."""
    session = Session(D1)
    refused = no(0, UnknownNodeError)

    hello = to_data(D1, NodeHello(S1))[0]
    assert session.hears(D1, *[refused] * 100).count(hello) == 1
    session.wait(0.6)
    assert hello in session.hears(D1, refused)
    session.go_down(D1)
    session.come_up(D1)
    assert hello in session.hears(D1, refused)
