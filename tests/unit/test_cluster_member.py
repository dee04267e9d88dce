"""A node as a member: it joins, renews, follows the membership, and moves on to the leader."""

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
from zreg.membership.cluster_member import ClusterMember, NodeFailed
from zreg.membership.leader_reports import report_gone
from zreg.model import (
    EMPTY_MEMBERSHIP,
    Incarnation,
    Member,
    Membership,
    RingParameters,
    Role,
    Status,
)
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Refused
from zreg.wire.records.membership_messages import (
    FetchMembership,
    Join,
    Leave,
    MembershipChanged,
    MembershipReply,
    Renew,
    Renewed,
    ReportGone,
)

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


def make_cluster_member(config: Config = CONFIG) -> ClusterMember:
    return ClusterMember(ME, config, rng=NoJitter(), now=0.0)


def hear(
    cluster_member: ClusterMember, message: Message, now: float = 0.0, *, peer: str = ONE
) -> list[Effect]:
    return cluster_member.receive(Link.META, peer, message, now).effects


def happen(cluster_member: ClusterMember, event: Local, now: float = 0.0) -> list[Effect]:
    return cluster_member.receive(Link.LOCAL, "", event, now).effects


def make_connected(config: Config = CONFIG) -> ClusterMember:
    """Return a cluster member that has just sent its first join, as request 1."""
    cluster_member = make_cluster_member(config)
    assert cluster_member.tick(0.0).effects == [Connect(Link.META, ONE, ONE)]
    assert happen(cluster_member, PeerUp(Link.META, ONE)) == [send(Join(1, ME, b"", 0))]
    return cluster_member


def make_joined(epoch: int = 5, *, now: float = 0.0) -> ClusterMember:
    """Return a cluster member that is a member since `now`, and asks next at `RENEW`."""
    cluster_member = make_connected()
    hear(cluster_member, MembershipReply(1, membership(me(), epoch=epoch), S1), now)
    assert cluster_member.incarnation == S1
    return cluster_member


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


# --- connecting and joining -----------------------------------------------------------------------


def test_a_node_listens_to_announcements_and_connects_with_its_first_tick() -> None:
    cluster_member = make_cluster_member()

    assert cluster_member.start().effects == [Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)]
    assert cluster_member.next_tick_at() == 0.0
    assert cluster_member.tick(0.0).effects == [Connect(Link.META, ONE, ONE)]
    assert cluster_member.next_tick_at() is None
    assert cluster_member.tick(100.0).effects == []


def test_it_joins_as_soon_as_the_connection_stands_and_gets_an_incarnation() -> None:
    cluster_member = make_connected()
    answer = MembershipReply(1, membership(me()), S1)

    effects = hear(cluster_member, answer)

    assert effects == [LISTEN_TO_PUB, joined(S1, 5)]
    assert cluster_member.incarnation == S1
    assert cluster_member.membership == membership(me())
    assert cluster_member.statistics() == {
        "epoch": 5,
        "incarnation": "s1@5",
        "meta": ONE,
        "announcements": 0,
        "announcements_refused": 0,
    }


def test_a_node_that_cannot_place_data_on_the_ring_ends_and_takes_back_its_join() -> None:
    """It would be WORKING in the membership without following it."""
    cluster_member = make_connected()
    strange = replace(membership(me()), ring=RingParameters("crc32"))

    leave, failed = hear(cluster_member, MembershipReply(1, strange, S1))

    assert leave == send(Leave(2, S1))
    assert isinstance(failed, Emit)
    assert isinstance(failed.event, NodeFailed)
    assert "ring_hash 'crc32' is not known: choose one of md5, sha1" in failed.event.reason
    assert cluster_member.incarnation is None
    assert cluster_member.membership.epoch == 0
    (again,) = hear(cluster_member, MembershipReply(0, strange))
    assert again == failed


def test_it_joins_again_until_meta_answers_and_an_answer_may_come_twice() -> None:
    cluster_member = make_connected()
    assert cluster_member.next_tick_at() == RENEW
    assert cluster_member.tick(RENEW).effects == [send(Join(2, ME, b"", 0))]
    hear(cluster_member, MembershipReply(1, membership(me()), S1), RENEW)

    assert hear(cluster_member, MembershipReply(2, membership(me()), S1), RENEW) == [], (
        "told of once"
    )
    assert cluster_member.incarnation == S1


def test_before_it_is_connected_it_has_no_incarnation_and_sends_nothing() -> None:
    cluster_member = make_cluster_member()

    assert cluster_member.statistics() == {
        "epoch": 0,
        "incarnation": "-",
        "meta": "-",
        "announcements": 0,
        "announcements_refused": 0,
    }
    assert cluster_member.membership is EMPTY_MEMBERSHIP
    assert cluster_member.leave() == []
    assert cluster_member.lose_incarnation(0.0).effects == []
    assert happen(cluster_member, EpochSeen(9)) == []


def test_it_tries_its_meta_nodes_in_turn_and_pauses_longer_after_each_round() -> None:
    cluster_member = make_cluster_member()
    now = 0.0
    for address, pause in ((ONE, PAUSE), (TWO, PAUSE), (ONE, PAUSE), (TWO, 2 * PAUSE)):
        assert cluster_member.tick(now - 0.001).effects == []
        assert cluster_member.tick(now).effects == [Connect(Link.META, address, address)]
        happen(cluster_member, PeerLost(Link.META, address, "refused"), now)
        now += pause
        assert cluster_member.next_tick_at() == now


def test_meta_nodes_of_the_membership_are_tried_too() -> None:
    cluster_member = make_connected(Config(meta_addresses=(ONE,)))
    other = meta("m2", TWO, "")
    hear(cluster_member, MembershipReply(1, membership(me(), metas=(meta(), other)), S1))

    happen(cluster_member, PeerLost(Link.META, ONE, "closed"))

    assert cluster_member.tick(PAUSE).effects == [Connect(Link.META, TWO, TWO)]


def test_an_answer_of_a_meta_node_resets_the_pauses() -> None:
    cluster_member = make_cluster_member()
    cluster_member.tick(0.0)
    happen(cluster_member, PeerLost(Link.META, ONE, "refused"))
    cluster_member.tick(1.0)
    happen(cluster_member, PeerUp(Link.META, TWO), 1.0)
    hear(cluster_member, MembershipReply(1, membership(me()), S1), 1.0, peer=TWO)

    happen(cluster_member, PeerLost(Link.META, TWO, "closed"), 1.0)

    assert cluster_member.next_tick_at() == 1.0 + PAUSE


def test_a_connection_without_an_answer_does_not_reset_the_pauses() -> None:
    cluster_member = make_connected()
    happen(cluster_member, PeerLost(Link.META, ONE, "closed"))
    cluster_member.tick(PAUSE)
    happen(cluster_member, PeerUp(Link.META, TWO), PAUSE)

    happen(cluster_member, PeerLost(Link.META, TWO, "closed"), PAUSE)

    assert cluster_member.next_tick_at() == 2 * PAUSE
    cluster_member.tick(2 * PAUSE)
    happen(cluster_member, PeerLost(Link.META, ONE, "closed"), 2 * PAUSE)
    cluster_member.tick(3 * PAUSE)
    happen(cluster_member, PeerUp(Link.META, TWO), 3 * PAUSE)
    happen(cluster_member, PeerLost(Link.META, TWO, "closed"), 3 * PAUSE)
    assert cluster_member.next_tick_at() == pytest.approx(5 * PAUSE)


def test_while_meta_is_away_the_last_membership_stays_and_the_next_meta_node_is_asked() -> None:
    cluster_member = make_joined()

    happen(cluster_member, PeerLost(Link.META, ONE, "closed"), 1.0)

    assert cluster_member.membership == membership(me())
    assert cluster_member.incarnation == S1
    assert cluster_member.tick(1.0 + PAUSE).effects == [Connect(Link.META, TWO, TWO)]
    assert happen(cluster_member, PeerUp(Link.META, TWO), 9.0) == [
        send(Renew(2, S1, CLUSTER, 5), TWO)
    ]


def test_messages_of_a_dropped_connection_are_ignored() -> None:
    cluster_member = make_joined()
    happen(cluster_member, PeerLost(Link.META, ONE, "closed"))
    cluster_member.tick(PAUSE)

    assert happen(cluster_member, PeerUp(Link.META, ONE), PAUSE) == []
    assert happen(cluster_member, PeerLost(Link.META, ONE), PAUSE) == []
    assert hear(cluster_member, Refused(9, UnknownNodeError.code), PAUSE) == []
    assert hear(cluster_member, MembershipReply(9, membership(me(), epoch=9)), PAUSE) == []
    assert cluster_member.incarnation == S1
    assert cluster_member.membership.epoch == 5


# --- renewing, silence, stalls --------------------------------------------------------------------


def test_a_renewal_names_the_epoch_that_the_node_follows() -> None:
    cluster_member = make_joined()

    assert cluster_member.tick(RENEW - 0.001).effects == []
    assert cluster_member.tick(RENEW).effects == [send(Renew(2, S1, CLUSTER, 5))]
    assert cluster_member.next_tick_at() == 2 * RENEW
    assert hear(cluster_member, Renewed(2, 5), RENEW) == []


def test_it_leaves_a_meta_node_that_is_silent_for_half_a_lease() -> None:
    cluster_member = make_joined()
    sent: list[Effect] = []
    now = 0.0
    while now <= LEASE / 2:
        sent += cluster_member.tick(now).effects
        now += RENEW
    assert sent == [send(Renew(number, S1, CLUSTER, 5)) for number in (2, 3, 4)]

    effects = cluster_member.tick(now).effects

    advice = "check whether meta hangs, and whether --meta names its port (9610 by default)"
    assert effects == [Disconnect(Link.META, ONE), lost("meta-1:9610: no answer", advice)]
    assert cluster_member.tick(now + PAUSE).effects == [Connect(Link.META, TWO, TWO)]


def test_any_message_of_meta_is_a_sign_of_life() -> None:
    cluster_member = make_joined()
    for number in range(2, 12):
        now = (number - 1) * RENEW
        assert hear(cluster_member, Ping(), now) == []
        assert cluster_member.tick(now).effects == [send(Renew(number, S1, CLUSTER, 5))]


def test_a_node_that_did_not_run_itself_does_not_count_that_as_silence_of_meta() -> None:
    """Meta's answers are still to be read, or the requests never left."""
    cluster_member = make_joined()
    woke = 100.0

    assert cluster_member.tick(woke).effects == [send(Renew(2, S1, CLUSTER, 5))]
    assert cluster_member.tick(woke + RENEW).effects == [send(Renew(3, S1, CLUSTER, 5))]


def test_it_leaves_with_its_incarnation() -> None:
    cluster_member = make_joined()

    assert cluster_member.leave() == [send(Leave(2, S1))]


def test_a_node_without_an_incarnation_does_not_leave() -> None:
    assert make_connected().leave() == []


@pytest.mark.parametrize(
    "event",
    [PeerSlow(Link.DATA, ONE), PeerUp(Link.DATA, ONE), PeerLost(Link.DATA, ONE)],
)
def test_events_of_other_connections_are_ignored(event: Local) -> None:
    assert happen(make_joined(), event) == []


def test_a_meta_node_that_does_not_read_is_left() -> None:
    """Requests to it were dropped, so its answers cannot be waited for."""
    assert happen(make_joined(), PeerSlow(Link.META, ONE)) == [
        Disconnect(Link.META, ONE),
        lost("meta-1:9610: it does not read"),
    ]


# --- following the membership ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "peer", "hint"),
    [
        pytest.param(Link.META, ONE, Renewed(2, 7), id="renewal"),
        pytest.param(Link.MEMBERSHIP, PUB, MembershipChanged(CLUSTER, 7), id="announcement"),
        pytest.param(Link.LOCAL, "", EpochSeen(7), id="header"),
    ],
)
def test_a_higher_epoch_is_fetched_from_each_kind_of_hint(
    link: Link, peer: str, hint: Message | Local
) -> None:
    cluster_member = make_joined()

    assert cluster_member.receive(link, peer, hint, 0.1).effects == [send(fetch(2))]
    assert hear(cluster_member, MembershipReply(2, membership(me(), epoch=7))) == []
    assert cluster_member.membership == membership(me(), epoch=7)
    assert cluster_member.receive(link, peer, hint, 0.1).effects == []


@pytest.mark.parametrize("epoch", [0, 4, 5])
def test_an_epoch_that_is_not_higher_is_not_fetched(epoch: int) -> None:
    cluster_member = make_joined()

    assert happen(cluster_member, EpochSeen(epoch)) == []
    assert hear(cluster_member, Renewed(2, epoch)) == []


def test_announcements_of_another_cluster_are_ignored() -> None:
    cluster_member = make_joined()

    assert hear(cluster_member, MembershipChanged(OTHER_CLUSTER, 99)) == []


def test_many_hints_are_one_fetch() -> None:
    """The header of every peer may show the new epoch in the same turn."""
    cluster_member = make_joined()
    assert happen(cluster_member, EpochSeen(7)) == [send(fetch(2))]

    assert happen(cluster_member, EpochSeen(7)) == []
    assert happen(cluster_member, EpochSeen(8)) == []


def test_an_answer_below_the_highest_hint_is_taken_and_the_rest_is_fetched() -> None:
    cluster_member = make_joined()
    happen(cluster_member, EpochSeen(7))
    happen(cluster_member, EpochSeen(8))

    effects = hear(cluster_member, MembershipReply(2, membership(me(), epoch=7)))

    assert effects == [send(fetch(3, 7))]
    assert cluster_member.membership.epoch == 7


def test_an_answer_without_progress_is_not_fetched_again_before_the_next_renewal() -> None:
    """An epoch that meta does not know must not make a loop of questions and answers."""
    cluster_member = make_joined()
    happen(cluster_member, EpochSeen(99))

    assert hear(cluster_member, MembershipReply(2, membership(me()))) == []
    assert cluster_member.tick(RENEW).effects == [send(Renew(3, S1, CLUSTER, 5))]
    assert happen(cluster_member, EpochSeen(99), RENEW) == [send(fetch(4))]


def test_a_fetch_that_is_not_answered_is_made_again_after_the_next_renewal() -> None:
    cluster_member = make_joined()
    happen(cluster_member, EpochSeen(7))
    cluster_member.tick(RENEW)

    assert hear(cluster_member, Renewed(3, 7), RENEW) == [send(fetch(4))]


def test_a_fetch_whose_answer_was_lost_with_its_connection_is_made_again() -> None:
    cluster_member = make_joined()
    happen(cluster_member, EpochSeen(7))
    happen(cluster_member, PeerLost(Link.META, ONE))
    cluster_member.tick(PAUSE)
    assert happen(cluster_member, PeerUp(Link.META, TWO), PAUSE) == [
        send(Renew(3, S1, CLUSTER, 5), TWO)
    ]

    assert hear(cluster_member, Renewed(3, 7), PAUSE, peer=TWO) == [restored(), send(fetch(4), TWO)]


def test_a_hint_while_meta_is_away_is_fetched_from_the_next_meta_node() -> None:
    cluster_member = make_joined()
    happen(cluster_member, PeerLost(Link.META, ONE))

    assert happen(cluster_member, EpochSeen(7)) == []

    cluster_member.tick(PAUSE)
    happen(cluster_member, PeerUp(Link.META, TWO), PAUSE)
    assert hear(cluster_member, Renewed(2, 7), PAUSE, peer=TWO) == [restored(), send(fetch(3), TWO)]


def test_a_lower_epoch_is_never_taken() -> None:
    cluster_member = make_joined(epoch=8)

    assert hear(cluster_member, MembershipReply(2, membership(me(), epoch=7))) == []
    assert (
        hear(cluster_member, MembershipReply(2, membership(me(), epoch=7), Incarnation(6, "s1")))
        == []
    )
    assert cluster_member.membership == membership(me(), epoch=8)
    assert cluster_member.incarnation == S1


def test_the_membership_of_another_cluster_is_only_taken_when_it_admits_the_node() -> None:
    """The epochs of two clusters have no order."""
    cluster_member = make_joined(epoch=50)
    other = membership(me(2), epoch=2, cluster_id=OTHER_CLUSTER)
    assert hear(cluster_member, MembershipReply(2, other)) == []
    assert hear(cluster_member, MembershipReply(2, replace(other, epoch=99))) == []
    assert cluster_member.membership.cluster_id == CLUSTER

    effects = hear(cluster_member, MembershipReply(2, other, Incarnation(2, "s1")))

    assert effects == [joined(Incarnation(2, "s1"), 2)]
    assert cluster_member.membership == other
    assert happen(cluster_member, EpochSeen(3)) == [send(fetch(2, 2, OTHER_CLUSTER))]


@pytest.mark.parametrize(
    "event",
    [PeerUp(Link.META, TWO), EpochSeen(0)],
)
def test_messages_of_other_links_change_nothing(event: Local) -> None:
    cluster_member = make_joined()

    assert happen(cluster_member, event) == []
    assert hear(cluster_member, MembershipReply(2, membership(epoch=9)), peer=TWO) == []
    reply = MembershipReply(2, membership())
    assert cluster_member.receive(Link.MEMBERSHIP, PUB, reply, 0.0).effects == []
    assert cluster_member.membership == membership(me())


# --- losing the incarnation -----------------------------------------------------------------------


def test_a_refused_renewal_makes_it_join_again_at_once() -> None:
    cluster_member = make_joined()
    cluster_member.tick(RENEW)

    effects = hear(cluster_member, Refused(2, UnknownNodeError.code, "join again"), 0.6)

    gone = Log(logging.WARNING, "node.incarnation.gone", {"detail": "join again"})
    assert effects == [gone]
    assert cluster_member.incarnation is None
    assert cluster_member.membership == membership(me())
    assert cluster_member.next_tick_at() == 0.6
    assert cluster_member.tick(0.6).effects == [send(Join(3, ME, CLUSTER, 5))]
    again = Incarnation(9, "s1")
    reply = MembershipReply(3, membership(me(9), epoch=9), again)
    assert hear(cluster_member, reply, 0.7) == [joined(again, 9)]
    assert cluster_member.incarnation == again


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
    """Otherwise it would act for the process that has its id now, at the same epoch."""
    cluster_member = make_joined()

    effects = hear(cluster_member, MembershipReply(2, membership(*successor, epoch=9)), 0.3)

    assert effects == [Log(logging.WARNING, "node.incarnation.gone", {"epoch": 9})]
    assert cluster_member.incarnation is None
    assert cluster_member.membership.epoch == 9
    assert cluster_member.tick(0.3).effects == [send(Join(2, ME, CLUSTER, 9))]


def test_a_refusal_that_says_that_it_is_gone_makes_it_join_again_once() -> None:
    """Many refusals of data nodes may come in one turn."""
    cluster_member = make_joined()

    assert cluster_member.lose_incarnation(0.2).effects == [send(Join(2, ME, CLUSTER, 5))]
    assert cluster_member.lose_incarnation(0.2).effects == []
    assert cluster_member.incarnation is None
    assert cluster_member.next_tick_at() == 0.2 + RENEW


def test_the_word_of_another_node_while_meta_is_away_waits_for_the_next_meta_node() -> None:
    cluster_member = make_joined()
    happen(cluster_member, PeerLost(Link.META, ONE))

    assert cluster_member.lose_incarnation(0.0).effects == []

    cluster_member.tick(PAUSE)
    assert happen(cluster_member, PeerUp(Link.META, TWO), PAUSE) == [
        send(Join(2, ME, CLUSTER, 5), TWO)
    ]


# --- refusals -------------------------------------------------------------------------------------


def refuse_id(cluster_member: ClusterMember, now: float) -> list[Effect]:
    return hear(cluster_member, Refused(1, NodeIdInUseError.code, "stop that one"), now)


def test_a_node_id_in_use_fails_the_node_after_a_lease() -> None:
    """Meta notices a dead predecessor in that time."""
    cluster_member = make_connected()

    assert refuse_id(cluster_member, 0.1) == []
    assert refuse_id(cluster_member, 1.1 + LEASE) == []
    assert refuse_id(cluster_member, 1.2 + LEASE) == [Emit(NodeFailed("stop that one"))]


def test_a_node_id_that_becomes_free_in_time_is_taken() -> None:
    cluster_member = make_connected()
    refuse_id(cluster_member, 0.1)
    hear(cluster_member, MembershipReply(1, membership(me()), S1), 1.0)
    cluster_member.lose_incarnation(50.0)

    assert refuse_id(cluster_member, 50.0) == []


def test_the_wait_for_a_node_id_begins_again_with_another_connection() -> None:
    """Meta may have been away itself, and have given all nodes new leases."""
    cluster_member = make_connected()
    refuse_id(cluster_member, 0.1)
    happen(cluster_member, PeerLost(Link.META, ONE), 2.0)
    cluster_member.tick(20.0)
    happen(cluster_member, PeerUp(Link.META, TWO), 20.0)

    refusal = Refused(1, NodeIdInUseError.code, "stop that one")
    assert hear(cluster_member, refusal, 20.0, peer=TWO) == []
    assert hear(cluster_member, refusal, 21.1 + LEASE, peer=TWO) == [
        Emit(NodeFailed("stop that one"))
    ]


def test_a_node_that_meta_refuses_as_foreign_fails() -> None:
    cluster_member = make_joined()

    effects = hear(cluster_member, Refused(2, ForeignClusterError.code, "restart it"))

    assert effects == [Emit(NodeFailed("restart it"))]


@pytest.mark.parametrize(
    ("error", "level"), [(NotReadyError, logging.INFO), (RefusedError, logging.WARNING)]
)
def test_any_other_refusal_is_logged_once_and_the_node_asks_again(
    error: type[RefusedError], level: int
) -> None:
    cluster_member = make_connected()

    effects = hear(cluster_member, Refused(1, error.code, "not now"), 0.1)

    assert effects == [Log(level, "meta.refused", {"code": error.code, "detail": "not now"})]
    assert (
        cluster_member.outage_sentence
        == "meta is away: s1 does not reach its leader (meta-1:9610: not now)"
    )
    assert cluster_member.tick(RENEW).effects == [send(Join(2, ME, b"", 0))]
    assert hear(cluster_member, Refused(2, error.code, "not now"), 2 * RENEW) == []


def test_each_refusal_of_a_member_is_logged() -> None:
    cluster_member = make_joined()

    effects = hear(cluster_member, Refused(2, RefusedError.code, "no"), 0.1)

    assert effects == [Log(logging.INFO, "meta.refused", {"code": 1, "detail": "no"})]
    assert cluster_member.outage_sentence == ""


# --- listening to announcements -------------------------------------------------------------------


def test_a_lost_announcement_connection_is_made_again_with_the_next_renewal() -> None:
    cluster_member = make_joined()

    assert happen(cluster_member, PeerLost(Link.MEMBERSHIP, PUB, "closed")) == []

    assert cluster_member.tick(RENEW).effects == [send(Renew(2, S1, CLUSTER, 5)), LISTEN_TO_PUB]
    assert cluster_member.tick(2 * RENEW).effects == [send(Renew(3, S1, CLUSTER, 5))]


def test_an_announcement_connection_that_cannot_be_made_is_tried_with_every_renewal() -> None:
    cluster_member = make_joined()
    for number in range(2, 5):
        happen(cluster_member, PeerLost(Link.MEMBERSHIP, PUB, "refused"))
        now = (number - 1) * RENEW
        assert cluster_member.tick(now).effects == [
            send(Renew(number, S1, CLUSTER, 5)),
            LISTEN_TO_PUB,
        ]
        hear(cluster_member, Renewed(number, 5), now)


def test_a_missed_announcement_is_made_up_for_by_the_renewal() -> None:
    cluster_member = make_joined()
    happen(cluster_member, PeerLost(Link.MEMBERSHIP, PUB, "refused"))
    cluster_member.tick(RENEW)

    assert hear(cluster_member, Renewed(2, 6), RENEW) == [send(fetch(3))]


def test_the_loss_of_a_former_announcement_connection_is_ignored() -> None:
    cluster_member = make_joined()

    assert happen(cluster_member, PeerLost(Link.MEMBERSHIP, OTHER_PUB)) == []

    assert cluster_member.tick(RENEW).effects == [send(Renew(2, S1, CLUSTER, 5))]


def test_it_listens_to_a_meta_node_of_the_present_membership() -> None:
    cluster_member = make_joined()
    other = membership(me(), epoch=6, metas=(meta("m2", TWO, OTHER_PUB),))

    effects = hear(cluster_member, MembershipReply(2, other))

    assert effects == [
        Disconnect(Link.MEMBERSHIP, PUB),
        Connect(Link.MEMBERSHIP, OTHER_PUB, OTHER_PUB),
    ]


def test_it_stays_with_a_meta_node_that_still_announces() -> None:
    cluster_member = make_joined()
    both = membership(me(), epoch=6, metas=(meta("m0", TWO, OTHER_PUB), meta()))

    assert hear(cluster_member, MembershipReply(2, both)) == []


def test_without_announcements_it_follows_by_its_renewals() -> None:
    cluster_member = make_connected()
    silent = membership(me(), metas=(meta(pub=""),))

    assert hear(cluster_member, MembershipReply(1, silent, S1)) == [joined(S1, 5)]
    assert cluster_member.tick(RENEW).effects == [send(Renew(2, S1, CLUSTER, 5))]


# --- several meta nodes ---------------------------------------------------------------------------


def elsewhere(request_id: int, address: str) -> Refused:
    return Refused(request_id, NotLeaderError.code, "ask the one that leads", address=address)


def test_a_redirect_leads_to_the_leader_at_once() -> None:
    cluster_member = make_connected()

    assert hear(cluster_member, elsewhere(1, TWO)) == [
        Disconnect(Link.META, ONE),
        Connect(Link.META, TWO, TWO),
    ]
    assert happen(cluster_member, PeerUp(Link.META, TWO)) == [send(Join(2, ME, b"", 0), TWO)]


@pytest.mark.parametrize("address", ["", ONE], ids=["unknown", "the-refusing-node-itself"])
def test_without_a_known_leader_it_tries_the_next_meta_node_after_a_pause(address: str) -> None:
    cluster_member = make_connected()

    assert hear(cluster_member, elsewhere(1, address)) == [
        Disconnect(Link.META, ONE),
        lost("meta-1:9610: ask the one that leads"),
    ]
    assert cluster_member.tick(PAUSE).effects == [Connect(Link.META, TWO, TWO)]


def test_redirects_in_a_circle_end_in_a_pause() -> None:
    cluster_member = make_connected()
    address, other = ONE, TWO
    for _ in range(3):
        assert Connect(Link.META, other, other) in hear(
            cluster_member, elsewhere(1, other), peer=address
        )
        happen(cluster_member, PeerUp(Link.META, other))
        address, other = other, address

    assert hear(cluster_member, elsewhere(1, other), peer=address) == [
        Disconnect(Link.META, address),
        lost(f"{address.removeprefix('tcp://')}: ask the one that leads"),
    ]


def test_the_meta_node_lost_last_is_not_tried_next() -> None:
    """It was redirected to TWO, which is frozen now: connecting there would hang for a lease."""
    cluster_member = make_connected()
    hear(cluster_member, elsewhere(1, TWO))
    happen(cluster_member, PeerUp(Link.META, TWO))

    now = 0.0
    while Disconnect(Link.META, TWO) not in cluster_member.tick(now).effects:
        now += RENEW
        assert now < LEASE

    assert cluster_member.tick(now + LEASE).effects == [Connect(Link.META, ONE, ONE)]


def test_after_a_leader_that_is_not_reached_the_next_meta_node_is_tried() -> None:
    cluster_member = make_connected()
    hear(cluster_member, elsewhere(1, "tcp://gone:9610"))

    advice = "start meta, or correct --meta; a firewall may block the port"
    assert happen(cluster_member, PeerLost(Link.META, "tcp://gone:9610", "refused")) == [
        lost("gone:9610: refused", advice)
    ]
    assert cluster_member.tick(PAUSE).effects == [Connect(Link.META, TWO, TWO)]


def test_pauses_stay_short_during_an_election_and_grow_when_no_meta_node_answers() -> None:
    """The other meta nodes redirect to the dead leader until they have elected another one."""
    cluster_member = make_connected()
    now, pauses = 0.0, []
    for attempt in range(24):
        is_alive = cluster_member._connection.address == ONE and attempt < 12
        if is_alive:
            happen(cluster_member, PeerUp(Link.META, ONE), now)
            hear(cluster_member, elsewhere(1, TWO), now)
        happen(
            cluster_member,
            PeerLost(Link.META, str(cluster_member._connection.address), "refused"),
            now,
        )
        due = cluster_member.next_tick_at()
        assert due is not None
        pauses.append(due - now)
        now = due
        cluster_member.tick(now)

    assert max(pauses[:12]) <= RENEW
    assert max(pauses) == pytest.approx(CONFIG.reconnect_seconds_max)


def test_after_a_lost_announcement_connection_the_next_meta_node_is_listened_to() -> None:
    cluster_member = make_connected()
    metas = (meta(), meta("m2", TWO, OTHER_PUB))
    hear(cluster_member, MembershipReply(1, membership(me(), metas=metas), S1))
    happen(cluster_member, PeerLost(Link.MEMBERSHIP, PUB, "closed"))

    assert Connect(Link.MEMBERSHIP, OTHER_PUB, OTHER_PUB) in cluster_member.tick(RENEW).effects


def test_it_says_why_meta_is_away_until_the_leader_answers() -> None:
    cluster_member = make_joined()
    assert cluster_member.outage_sentence == ""
    happen(cluster_member, PeerLost(Link.META, ONE, "refused"))
    assert (
        cluster_member.outage_sentence
        == "meta is away: s1 does not reach its leader (meta-1:9610: refused)"
    )
    cluster_member.tick(PAUSE)
    happen(cluster_member, PeerUp(Link.META, TWO), PAUSE)
    hear(cluster_member, Renewed(2, 5), PAUSE, peer=TWO)

    assert cluster_member.outage_sentence == ""


# --- peers that are no meta node, or of another cluster -------------------------------------------


def test_a_peer_that_does_not_know_join_is_left_and_the_next_address_is_tried() -> None:
    cluster_member = make_connected()
    no = Refused(0, UnknownMessageError.code, "a session does not take Join from clients")

    effects = hear(cluster_member, no)

    reason = f"not a meta node (correct --meta): it answers {no.detail!r}"
    assert effects == [Disconnect(Link.META, ONE), lost(f"meta-1:9610: {reason}")]
    assert cluster_member.statistics()["meta"] == "-"
    assert cluster_member.tick(PAUSE).effects == [Connect(Link.META, TWO, TWO)]


def test_a_meta_node_that_refuses_one_request_as_unknown_is_kept() -> None:
    """It has an older version, and does not know a new request."""
    cluster_member = make_connected()

    effects = hear(cluster_member, Refused(7, UnknownMessageError.code, "tag 99"))

    assert [type(effect) for effect in effects] == [Log]
    assert Disconnect(Link.META, ONE) not in effects


def test_a_meta_node_of_another_cluster_is_left_at_once_and_logged() -> None:
    cluster_member = make_connected()

    effects = happen(cluster_member, PeerIncompatible(Link.META, ONE, "it is of cluster 'other'"))

    assert effects == [
        Disconnect(Link.META, ONE),
        lost("meta-1:9610: it is of cluster 'other'"),
    ]
    assert cluster_member.tick(PAUSE).effects == [Connect(Link.META, TWO, TWO)]


@pytest.mark.parametrize(
    "event", [PeerIncompatible(Link.META, TWO, "x"), PeerIncompatible(Link.DATA, ONE, "x")]
)
def test_messages_of_other_connections_are_ignored(event: Local) -> None:
    assert happen(make_connected(), event) == []


def test_a_connection_alone_does_not_end_an_outage() -> None:
    """A wrong port takes connections too; only the leader's answer proves that meta is back."""
    cluster_member = make_cluster_member(Config(meta_addresses=(ONE,)))
    cluster_member.tick(0.0)
    happen(cluster_member, PeerLost(Link.META, ONE, "refused"))
    cluster_member.tick(PAUSE)

    assert happen(cluster_member, PeerUp(Link.META, ONE), PAUSE) == [send(Join(1, ME, b"", 0))]
    assert cluster_member.statistics()["meta"] == "-"
    effects = hear(cluster_member, MembershipReply(1, membership(me()), S1), PAUSE)

    assert restored() in effects
    assert cluster_member.statistics()["meta"] == ONE


# --- reports of lost nodes ------------------------------------------------------------------------

D7 = Incarnation(4, "d7")


def other(epoch: int = 4) -> Member:
    return Member("d7", Role.DATA, epoch, Status.WORKING, "tcp://d7:1", "tcp://d7:2")


def make_joined_beside(*members: Member) -> ClusterMember:
    cluster_member = make_connected()
    hear(cluster_member, MembershipReply(1, membership(me(), *members), S1))
    return cluster_member


def test_it_reports_a_lost_member_to_the_leader() -> None:
    cluster_member = make_joined_beside(other())

    assert report_gone(cluster_member, D7) == [send(ReportGone(S1, D7, CLUSTER))]


@pytest.mark.parametrize("members", [(), (other(epoch=3),), (other(epoch=9),)])
def test_it_reports_only_living_members(members: tuple[Member, ...]) -> None:
    assert report_gone(make_joined_beside(*members), D7) == []


def test_without_an_incarnation_it_reports_no_member() -> None:
    assert report_gone(make_connected(), D7) == []

    cluster_member = make_joined_beside(other())
    hear(cluster_member, Refused(2, UnknownNodeError.code, "gone"))
    assert report_gone(cluster_member, D7) == []


def test_it_reports_over_a_new_connection_only_after_the_leader_has_answered() -> None:
    """A meta node that does not lead would not hear it."""
    cluster_member = make_joined_beside(other())
    happen(cluster_member, PeerLost(Link.META, ONE, "closed"))
    assert report_gone(cluster_member, D7) == []
    cluster_member.tick(PAUSE)
    happen(cluster_member, PeerUp(Link.META, TWO), PAUSE)
    assert report_gone(cluster_member, D7) == []

    hear(cluster_member, Renewed(2, 5), PAUSE, peer=TWO)

    assert report_gone(cluster_member, D7) == [send(ReportGone(S1, D7, CLUSTER), TWO)]
