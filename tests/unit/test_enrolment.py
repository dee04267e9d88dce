"""A node's seat in the membership: it joins, renews, follows, moves on, and knows who it is."""

import logging
from random import Random

import pytest
from msgspec.structs import replace

from zreg.config import Config
from zreg.effects import (
    MEMBERSHIP_TOPIC,
    Connect,
    Disconnect,
    Effect,
    Emit,
    EpochSeen,
    Link,
    Listen,
    Local,
    Log,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.errors import (
    ForeignClusterError,
    NodeIdInUseError,
    NotLeaderError,
    NotReadyError,
    RefusedError,
    UnknownMessageError,
    UnknownNodeError,
)
from zreg.membership.enrolment import Enrolment, NodeFailed
from zreg.model import (
    EMPTY_MEMBERSHIP,
    NO_INCARNATION,
    Incarnation,
    Member,
    Membership,
    RingParameters,
    Role,
    Status,
)
from zreg.wire.common_messages import Ping, Refused
from zreg.wire.membership_messages import (
    FetchMembership,
    Join,
    Leave,
    MembershipChanged,
    MembershipReply,
    Renew,
    Renewed,
    ReportGone,
)
from zreg.wire.messages import Message

ONE, TWO = "tcp://meta-1:9610", "tcp://meta-2:9610"
PUB, OTHER_PUB = "tcp://meta-1:9612", "tcp://meta-2:9612"
CONFIG = Config(meta_addresses=(ONE, TWO))
LEASE, RENEW = CONFIG.lease_seconds, CONFIG.renew_seconds
PAUSE = CONFIG.reconnect_seconds_min
CLUSTER, OTHER_CLUSTER = b"A" * 16, b"B" * 16
ME = Member("s1", Role.SESSION, 0, Status.INITIAL, "tcp://s1:9600", process_id=b"p" * 16)
S1 = Incarnation(5, "s1")


class NoJitter(Random):
    """Draws the upper end, so that a pause is the present bound of its backoff."""

    def random(self) -> float:
        return 1.0


def meta(node_id: str = "m1", address: str = ONE, pub: str = PUB) -> Member:
    return Member(node_id, Role.META, 1, Status.WORKING, address, pub)


def me(epoch: int = 5, status: Status = Status.WORKING) -> Member:
    return replace(ME, incarnation_epoch=epoch, status=status)


def membership(
    *members: Member,
    epoch: int = 5,
    cluster_id: bytes = CLUSTER,
    metas: tuple[Member, ...] = (meta(),),
) -> Membership:
    return Membership(cluster_id, epoch, 0, RingParameters(), (*members, *metas))


def make_enrolment(config: Config = CONFIG) -> Enrolment:
    return Enrolment(ME, config, rng=NoJitter(), now=0.0)


def hear(
    enrolment: Enrolment, message: Message, now: float = 0.0, *, peer: str = ONE
) -> list[Effect]:
    return list(enrolment.receive(Link.META, peer, message, now))


def happen(enrolment: Enrolment, event: Local, now: float = 0.0) -> list[Effect]:
    return list(enrolment.receive(Link.LOCAL, "", event, now))


def make_connected(config: Config = CONFIG) -> Enrolment:
    """Return an enrolment that has just sent its first join, as request 1."""
    enrolment = make_enrolment(config)
    assert enrolment.tick(0.0) == [Connect(Link.META, ONE, ONE)]
    assert happen(enrolment, PeerUp(Link.META, ONE)) == [send(Join(1, ME, b"", 0))]
    return enrolment


def make_joined(epoch: int = 5, *, now: float = 0.0) -> Enrolment:
    """Return an enrolment that is a member since `now`, and asks next at `RENEW`."""
    enrolment = make_connected()
    hear(enrolment, MembershipReply(1, membership(me(), epoch=epoch), S1), now)
    assert enrolment.incarnation == S1
    return enrolment


def send(message: Message, peer: str = ONE) -> Effect:
    return Send(Link.META, peer, message)


def fetch(request_id: int, epoch: int = 5, cluster_id: bytes = CLUSTER) -> FetchMembership:
    return FetchMembership(request_id, cluster_id, epoch)


def lost(reason: str, detail: str = "") -> Log:
    fields: dict[str, str | int | float] = {"reason": reason}
    if detail:
        fields["detail"] = detail
    return Log(logging.WARNING, "meta.connection.lost", fields)


def restored() -> Log:
    return Log(logging.INFO, "meta.connection.restored", {})


def joined(incarnation: Incarnation, epoch: int) -> Log:
    fields: dict[str, str | int | float] = {"incarnation": str(incarnation), "epoch": epoch}
    return Log(logging.INFO, "node.joined", fields)


LISTEN_TO_PUB = Connect(Link.MEMBERSHIP, PUB, PUB)


# --- connecting and joining ---------------------------------------------------------------------


def test_a_node_listens_to_announcements_and_connects_with_its_first_tick() -> None:
    enrolment = make_enrolment()

    assert enrolment.start() == [Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)]
    assert enrolment.next_tick_at() == 0.0
    assert enrolment.tick(0.0) == [Connect(Link.META, ONE, ONE)]
    assert enrolment.next_tick_at() is None
    assert enrolment.tick(100.0) == []


def test_it_joins_as_soon_as_the_connection_stands_and_becomes_somebody() -> None:
    enrolment = make_connected()
    answer = MembershipReply(1, membership(me()), S1)

    effects = hear(enrolment, answer)

    assert effects == [LISTEN_TO_PUB, joined(S1, 5)]
    assert enrolment.incarnation == S1
    assert enrolment.membership == membership(me())
    assert enrolment.statistics() == {"epoch": 5, "incarnation": "s1@5", "meta": ONE}


def test_it_joins_again_until_it_is_answered_and_an_answer_may_come_twice() -> None:
    enrolment = make_connected()
    assert enrolment.next_tick_at() == RENEW
    assert enrolment.tick(RENEW) == [send(Join(2, ME, b"", 0))]
    hear(enrolment, MembershipReply(1, membership(me()), S1), RENEW)

    assert hear(enrolment, MembershipReply(2, membership(me()), S1), RENEW) == [], "told of once"
    assert enrolment.incarnation == S1


def test_before_it_is_connected_it_is_nobody_and_asks_nobody() -> None:
    enrolment = make_enrolment()

    assert enrolment.statistics() == {"epoch": 0, "incarnation": "-", "meta": "-"}
    assert enrolment.membership is EMPTY_MEMBERSHIP
    assert enrolment.leave() == []
    assert enrolment.lose_incarnation(0.0) == []
    assert happen(enrolment, EpochSeen(9)) == []


def test_it_tries_its_meta_nodes_in_turn_and_pauses_longer_after_each_round() -> None:
    enrolment = make_enrolment()
    now = 0.0
    for address, pause in ((ONE, PAUSE), (TWO, PAUSE), (ONE, PAUSE), (TWO, 2 * PAUSE)):
        assert enrolment.tick(now - 0.001) == []
        assert enrolment.tick(now) == [Connect(Link.META, address, address)]
        happen(enrolment, PeerLost(Link.META, address, "refused"), now)
        now += pause
        assert enrolment.next_tick_at() == now


def test_a_meta_node_that_it_learned_of_is_tried_too() -> None:
    enrolment = make_connected(Config(meta_addresses=(ONE,)))
    other = meta("m2", TWO, "")
    hear(enrolment, MembershipReply(1, membership(me(), metas=(meta(), other)), S1))

    happen(enrolment, PeerLost(Link.META, ONE, "closed"))

    assert enrolment.tick(PAUSE) == [Connect(Link.META, TWO, TWO)]


def test_a_meta_node_that_answers_ends_the_growing_of_the_pauses() -> None:
    enrolment = make_enrolment()
    enrolment.tick(0.0)
    happen(enrolment, PeerLost(Link.META, ONE, "refused"))
    enrolment.tick(1.0)
    happen(enrolment, PeerUp(Link.META, TWO), 1.0)
    hear(enrolment, MembershipReply(1, membership(me()), S1), 1.0, peer=TWO)

    happen(enrolment, PeerLost(Link.META, TWO, "closed"), 1.0)

    assert enrolment.next_tick_at() == 1.0 + PAUSE


def test_a_meta_node_that_only_takes_connections_does_not_end_it() -> None:
    enrolment = make_connected()
    happen(enrolment, PeerLost(Link.META, ONE, "closed"))
    enrolment.tick(PAUSE)
    happen(enrolment, PeerUp(Link.META, TWO), PAUSE)

    happen(enrolment, PeerLost(Link.META, TWO, "closed"), PAUSE)

    assert enrolment.next_tick_at() == 2 * PAUSE
    enrolment.tick(2 * PAUSE)
    happen(enrolment, PeerLost(Link.META, ONE, "closed"), 2 * PAUSE)
    enrolment.tick(3 * PAUSE)
    happen(enrolment, PeerUp(Link.META, TWO), 3 * PAUSE)
    happen(enrolment, PeerLost(Link.META, TWO, "closed"), 3 * PAUSE)
    assert enrolment.next_tick_at() == pytest.approx(5 * PAUSE)


def test_when_meta_is_away_the_last_membership_stays_and_is_renewed_at_the_next() -> None:
    enrolment = make_joined()

    happen(enrolment, PeerLost(Link.META, ONE, "closed"), 1.0)

    assert enrolment.membership == membership(me())
    assert enrolment.incarnation == S1
    assert enrolment.tick(1.0 + PAUSE) == [Connect(Link.META, TWO, TWO)]
    assert happen(enrolment, PeerUp(Link.META, TWO), 9.0) == [send(Renew(2, S1, CLUSTER, 5), TWO)]


def test_what_comes_from_a_connection_that_was_given_up_is_not_heard() -> None:
    enrolment = make_joined()
    happen(enrolment, PeerLost(Link.META, ONE, "closed"))
    enrolment.tick(PAUSE)

    assert happen(enrolment, PeerUp(Link.META, ONE), PAUSE) == []
    assert happen(enrolment, PeerLost(Link.META, ONE), PAUSE) == []
    assert hear(enrolment, Refused(9, UnknownNodeError.code), PAUSE) == []
    assert hear(enrolment, MembershipReply(9, membership(me(), epoch=9)), PAUSE) == []
    assert enrolment.incarnation == S1
    assert enrolment.membership.epoch == 5


# --- renewing, silence, stalls ------------------------------------------------------------------


def test_it_renews_with_what_it_follows() -> None:
    enrolment = make_joined()

    assert enrolment.tick(RENEW - 0.001) == []
    assert enrolment.tick(RENEW) == [send(Renew(2, S1, CLUSTER, 5))]
    assert enrolment.next_tick_at() == 2 * RENEW
    assert hear(enrolment, Renewed(2, 5), RENEW) == []


def test_it_moves_on_from_a_meta_node_that_is_silent_for_half_a_lease() -> None:
    enrolment = make_joined()
    sent: list[Effect] = []
    now = 0.0
    while now <= LEASE / 2:
        sent += enrolment.tick(now)
        now += RENEW
    assert sent == [send(Renew(number, S1, CLUSTER, 5)) for number in (2, 3, 4)]

    effects = enrolment.tick(now)

    advice = "see whether meta hangs, and whether --meta names its port (9610 by habit)"
    assert effects == [Disconnect(Link.META, ONE), lost("meta-1:9610: no answer", advice)]
    assert enrolment.tick(now + PAUSE) == [Connect(Link.META, TWO, TWO)]


def test_any_word_of_meta_is_life() -> None:
    enrolment = make_joined()
    for number in range(2, 12):
        now = (number - 1) * RENEW
        assert hear(enrolment, Ping(), now) == []
        assert enrolment.tick(now) == [send(Renew(number, S1, CLUSTER, 5))]


def test_a_node_that_was_itself_away_does_not_blame_meta() -> None:
    """What meta said is still to be read, or was never asked for."""
    enrolment = make_joined()
    woke = 100.0

    assert enrolment.tick(woke) == [send(Renew(2, S1, CLUSTER, 5))]
    assert enrolment.tick(woke + RENEW) == [send(Renew(3, S1, CLUSTER, 5))]


def test_it_says_that_it_leaves() -> None:
    enrolment = make_joined()

    assert enrolment.leave() == [send(Leave(2, S1))]


def test_who_is_nobody_has_nothing_to_leave() -> None:
    assert make_connected().leave() == []


@pytest.mark.parametrize(
    "event",
    [PeerSlow(Link.META, ONE), PeerUp(Link.DATA, ONE), PeerLost(Link.DATA, ONE)],
)
def test_what_happens_to_other_connections_is_not_its_business(event: Local) -> None:
    assert happen(make_joined(), event) == []


# --- following the membership -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "peer", "hint"),
    [
        pytest.param(Link.META, ONE, Renewed(2, 7), id="renewal"),
        pytest.param(Link.MEMBERSHIP, PUB, MembershipChanged(CLUSTER, 7), id="announcement"),
        pytest.param(Link.LOCAL, "", EpochSeen(7), id="header"),
    ],
)
def test_a_higher_epoch_is_fetched_whoever_shows_it(
    link: Link, peer: str, hint: Message | Local
) -> None:
    enrolment = make_joined()

    assert enrolment.receive(link, peer, hint, 0.1) == [send(fetch(2))]
    assert hear(enrolment, MembershipReply(2, membership(me(), epoch=7))) == []
    assert enrolment.membership == membership(me(), epoch=7)
    assert enrolment.receive(link, peer, hint, 0.1) == []


@pytest.mark.parametrize("epoch", [0, 4, 5])
def test_an_epoch_that_is_not_higher_is_nothing_new(epoch: int) -> None:
    enrolment = make_joined()

    assert happen(enrolment, EpochSeen(epoch)) == []
    assert hear(enrolment, Renewed(2, epoch)) == []


def test_announcements_of_another_cluster_are_ignored() -> None:
    enrolment = make_joined()

    assert hear(enrolment, MembershipChanged(OTHER_CLUSTER, 99)) == []


def test_many_hints_are_one_fetch() -> None:
    """The header of every peer may show the new epoch in the same turn."""
    enrolment = make_joined()
    assert happen(enrolment, EpochSeen(7)) == [send(fetch(2))]

    assert happen(enrolment, EpochSeen(7)) == []
    assert happen(enrolment, EpochSeen(8)) == []


def test_an_answer_below_the_highest_hint_is_taken_and_asked_for_again() -> None:
    enrolment = make_joined()
    happen(enrolment, EpochSeen(7))
    happen(enrolment, EpochSeen(8))

    effects = hear(enrolment, MembershipReply(2, membership(me(), epoch=7)))

    assert effects == [send(fetch(3, 7))]
    assert enrolment.membership.epoch == 7


def test_an_answer_that_leads_nowhere_is_not_asked_for_again_until_the_next_renewal() -> None:
    """An epoch that meta does not know must not make a loop of questions and answers."""
    enrolment = make_joined()
    happen(enrolment, EpochSeen(99))

    assert hear(enrolment, MembershipReply(2, membership(me()))) == []
    assert enrolment.tick(RENEW) == [send(Renew(3, S1, CLUSTER, 5))]
    assert happen(enrolment, EpochSeen(99), RENEW) == [send(fetch(4))]


def test_a_fetch_that_is_not_answered_is_made_again_after_the_next_renewal() -> None:
    enrolment = make_joined()
    happen(enrolment, EpochSeen(7))
    enrolment.tick(RENEW)

    assert hear(enrolment, Renewed(3, 7), RENEW) == [send(fetch(4))]


def test_a_fetch_whose_answer_was_lost_with_its_connection_is_made_again() -> None:
    enrolment = make_joined()
    happen(enrolment, EpochSeen(7))
    happen(enrolment, PeerLost(Link.META, ONE))
    enrolment.tick(PAUSE)
    assert happen(enrolment, PeerUp(Link.META, TWO), PAUSE) == [send(Renew(3, S1, CLUSTER, 5), TWO)]

    assert hear(enrolment, Renewed(3, 7), PAUSE, peer=TWO) == [restored(), send(fetch(4), TWO)]


def test_a_hint_while_meta_is_away_is_followed_up_at_the_next_one() -> None:
    enrolment = make_joined()
    happen(enrolment, PeerLost(Link.META, ONE))

    assert happen(enrolment, EpochSeen(7)) == []

    enrolment.tick(PAUSE)
    happen(enrolment, PeerUp(Link.META, TWO), PAUSE)
    assert hear(enrolment, Renewed(2, 7), PAUSE, peer=TWO) == [restored(), send(fetch(3), TWO)]


def test_a_lower_epoch_is_never_taken() -> None:
    enrolment = make_joined(epoch=8)

    assert hear(enrolment, MembershipReply(2, membership(me(), epoch=7))) == []
    assert (
        hear(enrolment, MembershipReply(2, membership(me(), epoch=7), Incarnation(6, "s1"))) == []
    )
    assert enrolment.membership == membership(me(), epoch=8)
    assert enrolment.incarnation == S1


def test_the_membership_of_another_cluster_is_only_taken_when_it_lets_me_in() -> None:
    """A meta node that gave up its own cluster has lower epochs, or higher ones; no matter."""
    enrolment = make_joined(epoch=50)
    other = membership(me(2), epoch=2, cluster_id=OTHER_CLUSTER)
    assert hear(enrolment, MembershipReply(2, other)) == []
    assert hear(enrolment, MembershipReply(2, replace(other, epoch=99))) == []
    assert enrolment.membership.cluster_id == CLUSTER

    effects = hear(enrolment, MembershipReply(2, other, Incarnation(2, "s1")))

    assert effects == [joined(Incarnation(2, "s1"), 2)]
    assert enrolment.membership == other
    assert happen(enrolment, EpochSeen(3)) == [send(fetch(2, 2, OTHER_CLUSTER))]


def test_it_hands_its_membership_to_a_meta_node_that_asks() -> None:
    """A meta node that lost its memory goes on from what its nodes remember."""
    enrolment = make_joined()

    assert hear(enrolment, FetchMembership(31)) == [
        send(MembershipReply(31, membership(me()), NO_INCARNATION))
    ]


@pytest.mark.parametrize(
    "event",
    [PeerUp(Link.META, TWO), EpochSeen(0)],
)
def test_strangers_change_nothing(event: Local) -> None:
    enrolment = make_joined()

    assert happen(enrolment, event) == []
    assert hear(enrolment, MembershipReply(2, membership(epoch=9)), peer=TWO) == []
    assert enrolment.receive(Link.MEMBERSHIP, PUB, MembershipReply(2, membership()), 0.0) == []
    assert enrolment.membership == membership(me())


# --- being nobody any more ----------------------------------------------------------------------


def test_a_refused_renewal_makes_it_join_again_at_once() -> None:
    enrolment = make_joined()
    enrolment.tick(RENEW)

    effects = hear(enrolment, Refused(2, UnknownNodeError.code, "join again"), 0.6)

    gone = Log(logging.WARNING, "node.incarnation.gone", {"detail": "join again"})
    assert effects == [gone]
    assert enrolment.incarnation is None
    assert enrolment.membership == membership(me())
    assert enrolment.next_tick_at() == 0.6
    assert enrolment.tick(0.6) == [send(Join(3, ME, CLUSTER, 5))]
    again = Incarnation(9, "s1")
    reply = MembershipReply(3, membership(me(9), epoch=9), again)
    assert hear(enrolment, reply, 0.7) == [joined(again, 9)]
    assert enrolment.incarnation == again


@pytest.mark.parametrize(
    "successor",
    [
        pytest.param((), id="forgotten"),
        pytest.param((me(status=Status.DEPARTED),), id="departed"),
        pytest.param((me(status=Status.DEPARTED), me(9)), id="replaced"),
    ],
)
def test_a_membership_without_it_makes_it_join_again_at_once(
    successor: tuple[Member, ...],
) -> None:
    """Else it would act for whoever has its id now, at the same epoch."""
    enrolment = make_joined()

    effects = hear(enrolment, MembershipReply(2, membership(*successor, epoch=9)), 0.3)

    assert effects == [Log(logging.WARNING, "node.incarnation.gone", {"epoch": 9})]
    assert enrolment.incarnation is None
    assert enrolment.membership.epoch == 9
    assert enrolment.tick(0.3) == [send(Join(2, ME, CLUSTER, 9))]


def test_being_told_by_somebody_else_makes_it_join_again_once() -> None:
    """Many refusals of data nodes may come in one turn."""
    enrolment = make_joined()

    assert enrolment.lose_incarnation(0.2) == [send(Join(2, ME, CLUSTER, 5))]
    assert enrolment.lose_incarnation(0.2) == []
    assert enrolment.incarnation is None
    assert enrolment.next_tick_at() == 0.2 + RENEW


def test_being_told_while_meta_is_away_waits_for_the_next_one() -> None:
    enrolment = make_joined()
    happen(enrolment, PeerLost(Link.META, ONE))

    assert enrolment.lose_incarnation(0.0) == []

    enrolment.tick(PAUSE)
    assert happen(enrolment, PeerUp(Link.META, TWO), PAUSE) == [send(Join(2, ME, CLUSTER, 5), TWO)]


# --- being refused ------------------------------------------------------------------------------


def refuse_id(enrolment: Enrolment, now: float) -> list[Effect]:
    return hear(enrolment, Refused(1, NodeIdInUseError.code, "stop that one"), now)


def test_an_id_in_use_is_waited_for_a_lease_and_then_a_person_must_act() -> None:
    """A dead predecessor is noticed in that time."""
    enrolment = make_connected()

    assert refuse_id(enrolment, 0.1) == []
    assert refuse_id(enrolment, 1.1 + LEASE) == []
    assert refuse_id(enrolment, 1.2 + LEASE) == [Emit(NodeFailed("stop that one"))]


def test_an_id_that_gets_free_in_time_is_taken() -> None:
    enrolment = make_connected()
    refuse_id(enrolment, 0.1)
    hear(enrolment, MembershipReply(1, membership(me()), S1), 1.0)
    enrolment.lose_incarnation(50.0)

    assert refuse_id(enrolment, 50.0) == []


def test_the_wait_for_an_id_begins_again_with_another_connection() -> None:
    """Meta may have been away itself, and have given everybody a new lease."""
    enrolment = make_connected()
    refuse_id(enrolment, 0.1)
    happen(enrolment, PeerLost(Link.META, ONE), 2.0)
    enrolment.tick(20.0)
    happen(enrolment, PeerUp(Link.META, TWO), 20.0)

    refusal = Refused(1, NodeIdInUseError.code, "stop that one")
    assert hear(enrolment, refusal, 20.0, peer=TWO) == []
    assert hear(enrolment, refusal, 21.1 + LEASE, peer=TWO) == [Emit(NodeFailed("stop that one"))]


def test_a_node_of_another_cluster_cannot_go_on() -> None:
    enrolment = make_joined()

    effects = hear(enrolment, Refused(2, ForeignClusterError.code, "restart it"))

    assert effects == [Emit(NodeFailed("restart it"))]


@pytest.mark.parametrize(
    ("error", "level"), [(NotReadyError, logging.INFO), (RefusedError, logging.WARNING)]
)
def test_any_other_refusal_is_noted_once_and_asked_again(
    error: type[RefusedError], level: int
) -> None:
    enrolment = make_connected()

    effects = hear(enrolment, Refused(1, error.code, "not now"), 0.1)

    assert effects == [Log(level, "meta.refused", {"code": error.code, "detail": "not now"})]
    assert enrolment.trouble == "meta is away: s1 does not reach its leader (meta-1:9610: not now)"
    assert enrolment.tick(RENEW) == [send(Join(2, ME, b"", 0))]
    assert hear(enrolment, Refused(2, error.code, "not now"), 2 * RENEW) == []


def test_a_member_is_told_of_each_refusal() -> None:
    enrolment = make_joined()

    effects = hear(enrolment, Refused(2, RefusedError.code, "no"), 0.1)

    assert effects == [Log(logging.INFO, "meta.refused", {"code": 1, "detail": "no"})]
    assert enrolment.trouble == ""


# --- listening to announcements -----------------------------------------------------------------


def test_a_lost_announcement_connection_is_made_again_with_the_next_renewal() -> None:
    enrolment = make_joined()

    assert happen(enrolment, PeerLost(Link.MEMBERSHIP, PUB, "closed")) == []

    assert enrolment.tick(RENEW) == [send(Renew(2, S1, CLUSTER, 5)), LISTEN_TO_PUB]
    assert enrolment.tick(2 * RENEW) == [send(Renew(3, S1, CLUSTER, 5))]


def test_an_announcement_connection_that_cannot_be_made_is_tried_with_every_renewal() -> None:
    enrolment = make_joined()
    for number in range(2, 5):
        happen(enrolment, PeerLost(Link.MEMBERSHIP, PUB, "refused"))
        now = (number - 1) * RENEW
        assert enrolment.tick(now) == [send(Renew(number, S1, CLUSTER, 5)), LISTEN_TO_PUB]
        hear(enrolment, Renewed(number, 5), now)


def test_what_an_announcement_said_meanwhile_comes_with_the_renewal() -> None:
    enrolment = make_joined()
    happen(enrolment, PeerLost(Link.MEMBERSHIP, PUB, "refused"))
    enrolment.tick(RENEW)

    assert hear(enrolment, Renewed(2, 6), RENEW) == [send(fetch(3))]


def test_the_loss_of_a_former_announcement_connection_means_nothing() -> None:
    enrolment = make_joined()

    assert happen(enrolment, PeerLost(Link.MEMBERSHIP, OTHER_PUB)) == []

    assert enrolment.tick(RENEW) == [send(Renew(2, S1, CLUSTER, 5))]


def test_it_follows_the_announcements_of_the_meta_node_of_now() -> None:
    enrolment = make_joined()
    other = membership(me(), epoch=6, metas=(meta("m2", TWO, OTHER_PUB),))

    effects = hear(enrolment, MembershipReply(2, other))

    assert effects == [
        Disconnect(Link.MEMBERSHIP, PUB),
        Connect(Link.MEMBERSHIP, OTHER_PUB, OTHER_PUB),
    ]


def test_one_that_still_announces_is_kept_whoever_else_does() -> None:
    enrolment = make_joined()
    both = membership(me(), epoch=6, metas=(meta("m0", TWO, OTHER_PUB), meta()))

    assert hear(enrolment, MembershipReply(2, both)) == []


def test_where_nobody_announces_it_renews_and_follows_by_that() -> None:
    enrolment = make_connected()
    silent = membership(me(), metas=(meta(pub=""),))

    assert hear(enrolment, MembershipReply(1, silent, S1)) == [joined(S1, 5)]
    assert enrolment.tick(RENEW) == [send(Renew(2, S1, CLUSTER, 5))]


# --- several meta nodes -------------------------------------------------------------------------


def elsewhere(request_id: int, address: str) -> Refused:
    return Refused(request_id, NotLeaderError.code, "ask the one that leads", address=address)


def test_it_goes_to_the_leader_at_once_and_asks_there() -> None:
    enrolment = make_connected()

    assert hear(enrolment, elsewhere(1, TWO)) == [
        Disconnect(Link.META, ONE),
        Connect(Link.META, TWO, TWO),
    ]
    assert happen(enrolment, PeerUp(Link.META, TWO)) == [send(Join(2, ME, b"", 0), TWO)]


@pytest.mark.parametrize("address", ["", ONE], ids=["nobody", "the-one-that-says-so"])
def test_without_a_leader_it_goes_on_to_the_next_after_a_pause(address: str) -> None:
    enrolment = make_connected()

    assert hear(enrolment, elsewhere(1, address)) == [
        Disconnect(Link.META, ONE),
        lost("meta-1:9610: ask the one that leads"),
    ]
    assert enrolment.tick(PAUSE) == [Connect(Link.META, TWO, TWO)]


def test_meta_nodes_that_send_it_round_in_a_circle_are_given_time() -> None:
    enrolment = make_connected()
    address, other = ONE, TWO
    for _ in range(3):
        assert Connect(Link.META, other, other) in hear(
            enrolment, elsewhere(1, other), peer=address
        )
        happen(enrolment, PeerUp(Link.META, other))
        address, other = other, address

    assert hear(enrolment, elsewhere(1, other), peer=address) == [
        Disconnect(Link.META, address),
        lost(f"{address.removeprefix('tcp://')}: ask the one that leads"),
    ]


def test_the_one_that_was_just_lost_is_not_the_next_to_be_tried() -> None:
    """It was sent to TWO, which is frozen now: to connect there would hang for a lease."""
    enrolment = make_connected()
    hear(enrolment, elsewhere(1, TWO))
    happen(enrolment, PeerUp(Link.META, TWO))

    now = 0.0
    while Disconnect(Link.META, TWO) not in enrolment.tick(now):
        now += RENEW
        assert now < LEASE

    assert enrolment.tick(now + LEASE) == [Connect(Link.META, ONE, ONE)]


def test_a_leader_that_cannot_be_reached_is_one_of_many() -> None:
    enrolment = make_connected()
    hear(enrolment, elsewhere(1, "tcp://gone:9610"))

    advice = "start meta, or correct --meta; a firewall may be in the way"
    assert happen(enrolment, PeerLost(Link.META, "tcp://gone:9610", "refused")) == [
        lost("gone:9610: refused", advice)
    ]
    assert enrolment.tick(PAUSE) == [Connect(Link.META, TWO, TWO)]


def test_as_long_as_some_meta_node_answers_an_election_is_waited_for_and_not_for_longer() -> None:
    """The others send it to the leader that died, until they have elected another one."""
    enrolment = make_connected()
    now, pauses = 0.0, []
    for attempt in range(24):
        is_alive = enrolment._meta == ONE and attempt < 12
        if is_alive:
            happen(enrolment, PeerUp(Link.META, ONE), now)
            hear(enrolment, elsewhere(1, TWO), now)
        happen(enrolment, PeerLost(Link.META, str(enrolment._meta), "refused"), now)
        due = enrolment.next_tick_at()
        assert due is not None
        pauses.append(due - now)
        now = due
        enrolment.tick(now)

    assert max(pauses[:12]) <= RENEW
    assert max(pauses) == pytest.approx(CONFIG.reconnect_seconds_max)


def test_when_the_announcer_is_lost_the_next_one_is_listened_to() -> None:
    enrolment = make_connected()
    metas = (meta(), meta("m2", TWO, OTHER_PUB))
    hear(enrolment, MembershipReply(1, membership(me(), metas=metas), S1))
    happen(enrolment, PeerLost(Link.MEMBERSHIP, PUB, "closed"))

    assert Connect(Link.MEMBERSHIP, OTHER_PUB, OTHER_PUB) in enrolment.tick(RENEW)


def test_it_says_why_meta_is_away_until_it_is_back() -> None:
    enrolment = make_joined()
    assert enrolment.trouble == ""
    happen(enrolment, PeerLost(Link.META, ONE, "refused"))
    assert enrolment.trouble == "meta is away: s1 does not reach its leader (meta-1:9610: refused)"
    enrolment.tick(PAUSE)
    happen(enrolment, PeerUp(Link.META, TWO), PAUSE)
    hear(enrolment, Renewed(2, 5), PAUSE, peer=TWO)

    assert enrolment.trouble == ""


# --- what is no meta node, or none of this cluster ----------------------------------------------


def test_whoever_takes_no_join_is_no_meta_node_and_the_next_is_tried() -> None:
    enrolment = make_connected()
    no = Refused(0, UnknownMessageError.code, "a session does not take Join from clients")

    effects = hear(enrolment, no)

    reason = f"no meta node is there, but one that says {no.detail!r}"
    assert effects == [Disconnect(Link.META, ONE), lost(f"meta-1:9610: {reason}")]
    assert enrolment.statistics()["meta"] == "-"
    assert enrolment.tick(PAUSE) == [Connect(Link.META, TWO, TWO)]


def test_a_meta_node_that_does_not_know_a_request_is_one_all_the_same() -> None:
    """Of an older version, asked for something new."""
    enrolment = make_connected()

    effects = hear(enrolment, Refused(7, UnknownMessageError.code, "tag 99"))

    assert [type(effect) for effect in effects] == [Log]
    assert Disconnect(Link.META, ONE) not in effects


def test_a_meta_node_of_another_cluster_is_left_at_once_and_named() -> None:
    enrolment = make_connected()

    effects = happen(enrolment, PeerIncompatible(Link.META, ONE, "it is of cluster 'other'"))

    assert effects == [
        Disconnect(Link.META, ONE),
        lost("meta-1:9610: it is of cluster 'other'"),
    ]
    assert enrolment.tick(PAUSE) == [Connect(Link.META, TWO, TWO)]


@pytest.mark.parametrize(
    "event", [PeerIncompatible(Link.META, TWO, "x"), PeerIncompatible(Link.DATA, ONE, "x")]
)
def test_what_another_connection_brings_is_not_its_business(event: Local) -> None:
    assert happen(make_connected(), event) == []


def test_a_connection_alone_is_no_success() -> None:
    """A wrong port takes connections too: only the leader's answer tells that meta is back."""
    enrolment = make_enrolment(Config(meta_addresses=(ONE,)))
    enrolment.tick(0.0)
    happen(enrolment, PeerLost(Link.META, ONE, "refused"))
    enrolment.tick(PAUSE)

    assert happen(enrolment, PeerUp(Link.META, ONE), PAUSE) == [send(Join(1, ME, b"", 0))]
    assert enrolment.statistics()["meta"] == "-"
    effects = hear(enrolment, MembershipReply(1, membership(me()), S1), PAUSE)

    assert restored() in effects
    assert enrolment.statistics()["meta"] == ONE


# --- reports of nodes that are gone ---------------------------------------------------------------

D7 = Incarnation(4, "d7")


def other(epoch: int = 4) -> Member:
    return Member("d7", Role.DATA, epoch, Status.WORKING, "tcp://d7:1", "tcp://d7:2")


def make_joined_beside(*members: Member) -> Enrolment:
    enrolment = make_connected()
    hear(enrolment, MembershipReply(1, membership(me(), *members), S1))
    return enrolment


def test_it_tells_the_leader_that_let_it_in_of_a_member_that_is_gone() -> None:
    enrolment = make_joined_beside(other())

    assert enrolment.report_gone(D7) == [send(ReportGone(S1, D7, CLUSTER))]


@pytest.mark.parametrize("members", [(), (other(epoch=3),), (other(epoch=9),)])
def test_it_reports_nobody_who_is_no_member_or_another_one(members: tuple[Member, ...]) -> None:
    assert make_joined_beside(*members).report_gone(D7) == []


def test_before_it_is_anybody_it_reports_nobody() -> None:
    assert make_connected().report_gone(D7) == []

    enrolment = make_joined_beside(other())
    hear(enrolment, Refused(2, UnknownNodeError.code, "gone"))
    assert enrolment.report_gone(D7) == []


def test_it_reports_over_a_new_connection_only_when_the_leader_has_answered_there() -> None:
    """A meta node that does not lead would not hear it."""
    enrolment = make_joined_beside(other())
    happen(enrolment, PeerLost(Link.META, ONE, "closed"))
    assert enrolment.report_gone(D7) == []
    enrolment.tick(PAUSE)
    happen(enrolment, PeerUp(Link.META, TWO), PAUSE)
    assert enrolment.report_gone(D7) == []

    hear(enrolment, Renewed(2, 5), PAUSE, peer=TWO)

    assert enrolment.report_gone(D7) == [send(ReportGone(S1, D7, CLUSTER), TWO)]
